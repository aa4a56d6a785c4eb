// On the leader: which members lost their log and wait to be replaced (docs/design/raft.md 8.6).
//
// A damaged node keeps silent, so silence is what the leader looks into: a member that is not heard
// of, or that the core has found damaged, is probed now and then, and its own word decides.
//
// Thread rule: the core thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "node/membership_host.h"
#include "raft/core.h"
#include "transport/control.h"

namespace arima::node {

// The member's data directory says that it cannot go on under this id: it is damaged, or an older
// copy of the directory that became this member was brought back.
bool NeedsNewId(const raft::MemberInfo& member, const transport::ProbeAnswer& probe,
                const Uuid& cluster_id);

class DamageWatch {
 public:
  explicit DamageWatch(MembershipHost* host) : host_(*host) {}

  // Members that need a new id, each named again after a pause as long as it is one. `judged`: this
  // node leads for long enough to know who is silent.
  std::vector<raft::MemberId> Poll(const raft::CoreStatus& status, bool judged, uint64_t now_ns);
  // Another node leads.
  void Forget() { suspects_.clear(); }
  size_t CountDamaged(const raft::CoreStatus& status) const;

 private:
  struct Suspect {
    bool busy = false;
    bool damaged = false;  // by its own word
    bool told = false;     // alarm given
    raft::MemberId as{};   // the member it says it is
    uint64_t not_before_ns = 0;
  };
  void Probe(const raft::MemberInfo& member, const std::shared_ptr<Suspect>& suspect);

  MembershipHost& host_;
  // Callbacks hold weak references: who is not suspected any more ignores late answers.
  std::map<raft::MemberId, std::shared_ptr<Suspect>> suspects_;
  uint64_t now_ns_ = 0;
};

}  // namespace arima::node
