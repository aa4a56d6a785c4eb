// Joining and removing nodes: steps J0 to J7 and 8.5 of docs/design/raft.md. Who is to lead is
// decided in leader_transfer.h; requests for it come in here.
//
// A join is a task on the leader that looks at facts (what the probe said, what the committed
// configuration says, how far the learner is) and takes the one step they call for; nothing but the
// configuration is remembered. So a task can start over at any point: a repeated request attaches
// to the running task, a new leader finds learners that were promised promotion and goes on.
//
// Thread rule: the core thread.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/damage_watch.h"
#include "node/forward_queue.h"
#include "node/leader_transfer.h"
#include "node/membership_host.h"
#include "service/cluster_service.h"
#include "transport/control.h"

namespace arima::node {

class Membership {
 public:
  explicit Membership(MembershipHost* host);
  ~Membership();

  // On any node; `done` is called exactly once, at the latest by FailAll.
  void Join(service::JoinRequest request, service::Done<service::JoinResponse> done,
            uint64_t now_ns);
  void Remove(service::RemoveRequest request, service::Done<service::RemoveResponse> done,
              uint64_t now_ns);
  void Transfer(service::TransferRequest request, service::Done<service::TransferResponse> done,
                uint64_t now_ns);

  // Takes every step that the facts allow now; called at each tick.
  void Poll(uint64_t now_ns);
  void OnConfChanged(const raft::ConfState& conf);
  void FailAll(const Error& error);

  // True while a join that this node leads has not reached the configuration: the node is then not
  // pristine for anybody else (two nodes joining each other).
  bool HasOutboundJoin() const { return !joins_.empty(); }

  // Leader: members known to have lost acknowledged log.
  size_t CountDamaged(const raft::CoreStatus& status) const {
    return damage_watch_.CountDamaged(status);
  }

 private:
  struct JoinWaiter {
    uint64_t deadline_ns = 0;
    service::Done<service::JoinResponse> done;
  };
  // Callbacks hold a weak reference: a task that is gone ignores late answers.
  struct JoinTask {
    std::string name;
    std::string address;
    // A request that waits named the address; else it is the one in the configuration.
    bool address_asked = false;
    std::optional<transport::ProbeAnswer> probe;
    std::optional<Error> no_answer;  // why there is none, if it was tried last
    bool busy = false;               // a call is under way
    bool absorbed = false;
    bool proposed = false;            // something may have changed
    uint64_t not_before_ns = 0;       // pause after a failed attempt
    uint64_t unsettled_since_ns = 0;  // the target was about to become joinable since then; 0: no
    std::vector<JoinWaiter> waiters;
    std::string last_error;  // of a task that nobody waits for, as logged
    bool healing = false;    // begun for a damaged member, not for a request
    bool finished = false;
  };
  struct RemoveTask {
    std::string name;
    bool force = false;
    uint32_t open_proposals = 0;      // taken, or not answered yet
    uint64_t not_ready_since_ns = 0;  // 0: not refused for want of a live quorum
    uint64_t not_before_ns = 0;
    uint64_t deadline_ns = 0;
    service::Done<service::RemoveResponse> done;
    bool finished = false;
  };
  using JoinPtr = std::shared_ptr<JoinTask>;
  using RemovePtr = std::shared_ptr<RemoveTask>;

  // Here if this node leads, else by way of the leader.
  void Submit(MembershipRequest request, uint64_t now_ns);
  void Start(MembershipRequest request, const raft::CoreStatus& status, uint64_t now_ns);
  void StartJoin(JoinCall call, uint64_t deadline_ns, const raft::CoreStatus& status,
                 uint64_t now_ns);
  void StartRemove(RemoveCall call, uint64_t deadline_ns, const raft::CoreStatus& status,
                   uint64_t now_ns);
  void Redirect(uint64_t now_ns);  // leadership is gone: tasks go to the new leader

  bool IsLeaving(const std::string& name) const;
  void AdoptLearners(const raft::CoreStatus& status);
  void AdoptDamaged(const raft::CoreStatus& status);
  void Adopt(const raft::MemberInfo& member, bool healing);
  void Advance(const JoinPtr& task, const raft::CoreStatus& status, uint64_t now_ns);
  void Probe(const JoinPtr& task, bool known_member);
  void AdvanceOurs(const JoinPtr& task, const raft::CoreStatus& status);
  void RejoinRemoved(const JoinPtr& task, const raft::CoreStatus& status);
  void ReplaceDamaged(const JoinPtr& task, const raft::CoreStatus& status);
  void AdvanceForeign(const JoinPtr& task, const raft::CoreStatus& status);
  // True: probe again after a pause. False: it has been so for too long.
  bool AwaitSettled(JoinTask& task);
  void Admit(const JoinPtr& task, const raft::CoreStatus& status);
  void TakeOutLearner(const JoinPtr& task, const raft::MemberInfo& member);
  // `lost`: the member whose vote it is to take over; `dropped`: a learner that goes at once.
  // Either may be null.
  void AddLearner(const JoinPtr& task, const raft::ConfState& conf, const raft::MemberInfo* lost,
                  const raft::MemberInfo* dropped = nullptr);
  void Absorb(const JoinPtr& task, const raft::MemberInfo& member);
  void Promote(const JoinPtr& task, const raft::MemberInfo& member, const raft::ConfState& conf);
  void UpdateAddress(const JoinPtr& task, raft::MemberInfo member);
  void Propose(const JoinPtr& task, raft::ConfChange change);
  void Finish(JoinTask& task, Result<service::JoinResponse> result);
  void ExpireWaiters(JoinTask& task, const raft::ConfState& conf, uint64_t now_ns);
  // False: there is nothing to do for it any more.
  bool FollowConf(JoinTask& task, const raft::ConfState& conf);

  void Finish(RemoveTask& task, Result<service::RemoveResponse> result);
  Error WhyNotRemoved(const RemoveTask& task, bool own, bool gone) const;
  void ProposeRemoval(const RemovePtr& task, const std::vector<const raft::MemberInfo*>& members);
  void Advance(const RemovePtr& task, const raft::CoreStatus& status, uint64_t now_ns);

  MembershipHost& host_;
  std::list<JoinPtr> joins_;
  std::list<RemovePtr> removes_;
  DamageWatch damage_watch_;
  LeaderTransfer transfer_;
  ForwardQueue forward_;                         // requests while another node leads, or nobody
  std::map<raft::MemberId, std::string> names_;  // of the last configuration seen
  std::deque<std::string> removed_names_;        // newest last, bounded
  uint64_t leading_since_ns_ = 0;                // of this term of leadership; 0: not leading
  uint64_t now_ns_ = 0;
};

}  // namespace arima::node
