// ForwardQueue: membership requests on a node that does not lead, on their way to the leader.
//
// A request waits for a leader, is sent to it, and comes back with the leader's answer. It may be
// asked again: joins, removals and transfers to a named node may be repeated. So a leader that is
// lost meanwhile, or was none, is replaced by the next one, as long as one appears within
// kLeaderWaitNs; after that the answer is "nothing was changed" (kUnavailable) if no leader can
// have seen the request, else kOutcomeUnknown. A transfer to anybody is not asked again once a
// leader may have seen it. Every request is answered exactly once, at the latest by FailAll.
//
// Thread rule: the core thread.
#pragma once

#include <cstdint>
#include <map>
#include <variant>
#include <vector>

#include "node/membership_host.h"
#include "service/cluster_service.h"

namespace arima::node {

struct JoinCall {
  service::JoinRequest request;
  service::Done<service::JoinResponse> done;
};
struct RemoveCall {
  service::RemoveRequest request;
  service::Done<service::RemoveResponse> done;
};
struct TransferCall {
  service::TransferRequest request;
  service::Done<service::TransferResponse> done;
};
struct MembershipRequest {
  std::variant<JoinCall, RemoveCall, TransferCall> call;
  uint64_t deadline_ns = 0;
  // Something may have been changed on its behalf.
  bool maybe_done = false;
};
void Refuse(MembershipRequest& request, const Error& error);
// At least 1.
uint64_t RemainingMs(uint64_t deadline_ns, uint64_t now_ns);

// How much longer than the leader may take whoever forwards waits for the leader's answer.
inline constexpr uint64_t kForwardMarginMs = 3000;
inline constexpr uint64_t kLeaderWaitNs = 2'000'000'000;
inline constexpr size_t kForwardedRequestsMax = 256;

class ForwardQueue {
 public:
  explicit ForwardQueue(MembershipHost* host);

  // kOverloaded is answered when there are too many.
  void Add(MembershipRequest request, uint64_t now_ns);
  // Sends, expires. Returns what the node can do itself because it leads by now.
  std::vector<MembershipRequest> Poll(const raft::CoreStatus& status, uint64_t now_ns);
  void FailAll(const Error& error);

 private:
  struct Item {
    MembershipRequest request;
    uint64_t leader_deadline_ns = 0;  // a leader must be found by then
    uint64_t not_before_ns = 0;
    uint64_t sent_ns = 0;
    bool under_way = false;
  };

  // Nothing happens while there is no leader to send to.
  void Send(uint64_t id, const raft::CoreStatus& status);
  void OnAnswer(uint64_t id, Result<std::string> answer);
  // The call came to nothing.
  void OnFailure(uint64_t id, const Error& error);
  void Retry(Item& item, bool maybe_done);
  void Expire(Item& item);

  MembershipHost& host_;
  std::map<uint64_t, Item> items_;  // in the order of their coming
  uint64_t next_id_ = 1;
  uint64_t now_ns_ = 0;
};

}  // namespace arima::node
