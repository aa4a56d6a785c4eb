// Joining and removing nodes: steps J0 to J7 and 8.5 of docs/design/raft.md.
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
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/identity.h"
#include "node/raft_loop.h"
#include "service/cluster_service.h"
#include "transport/control.h"

namespace arima::node {

// What membership needs of the node around it.
class MembershipHost {
 public:
  virtual ~MembershipHost() = default;
  virtual raft::CoreStatus Status() = 0;
  virtual const Identity& identity() = 0;
  virtual service::Stats CurrentStats() = 0;
  virtual void ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) = 0;
  // Hands leadership to the most caught-up voter.
  virtual void TransferLeadership() = 0;
  // A control call to the node that listens at `address`; `done` runs on the core thread.
  using CallDone = std::move_only_function<void(Result<std::string>)>;
  virtual void Call(const std::string& address, transport::ControlKind kind, std::string body,
                    uint64_t timeout_ms, CallDone done) = 0;
  virtual void LogEvent(std::string_view event, std::string_view message) = 0;
};

class Membership {
 public:
  explicit Membership(MembershipHost* host);
  ~Membership();

  void Join(service::JoinRequest request, service::Done<service::JoinResponse> done,
            uint64_t now_ns);
  void Remove(service::RemoveRequest request, service::Done<service::RemoveResponse> done,
              uint64_t now_ns);

  // Takes every step that the facts allow now; called after each batch of inputs.
  void Poll(uint64_t now_ns);
  void OnConfChanged(const raft::ConfState& conf);
  void FailAll(const Error& error);

  // True while a join that this node leads has not reached the configuration: the node is then not
  // pristine for anybody else (two nodes joining each other).
  bool HasOutboundJoin() const { return !joins_.empty(); }

 private:
  struct JoinWaiter {
    uint64_t deadline_ns = 0;
    service::Done<service::JoinResponse> done;
  };
  // Callbacks hold a weak reference: a task that is gone ignores late answers.
  struct JoinTask {
    std::string name;
    std::string address;
    std::optional<transport::ProbeAnswer> probe;
    bool busy = false;  // a call or proposal is under way
    bool absorbed = false;
    uint64_t not_before_ns = 0;       // pause after a failed attempt
    uint64_t unsettled_since_ns = 0;  // the target was about to become joinable since then; 0: no
    std::vector<JoinWaiter> waiters;
    bool finished = false;
  };
  struct RemoveTask {
    std::string name;
    raft::MemberId id;
    bool force = false;
    bool busy = false;
    uint64_t not_before_ns = 0;
    uint64_t deadline_ns = 0;
    service::Done<service::RemoveResponse> done;
    bool finished = false;
  };
  struct Waiting {  // no leader known yet
    uint64_t give_up_ns = 0;
    std::optional<service::JoinRequest> join;
    service::Done<service::JoinResponse> join_done;
    std::optional<service::RemoveRequest> remove;
    service::Done<service::RemoveResponse> remove_done;
  };
  using JoinPtr = std::shared_ptr<JoinTask>;
  using RemovePtr = std::shared_ptr<RemoveTask>;

  // A request on a node that does not lead: to the leader, or wait for one.
  void Forward(const raft::CoreStatus& status, service::JoinRequest request,
               service::Done<service::JoinResponse> done, uint64_t now_ns);
  void Forward(const raft::CoreStatus& status, service::RemoveRequest request,
               service::Done<service::RemoveResponse> done, uint64_t now_ns);
  void RetryWaiting(const raft::CoreStatus& status, uint64_t now_ns);
  void Redirect(uint64_t now_ns);  // leadership is gone: tasks go to the new leader

  void AdoptLearners(const raft::CoreStatus& status);
  void Advance(const JoinPtr& task, const raft::CoreStatus& status, uint64_t now_ns);
  void Probe(const JoinPtr& task, bool known_member);
  void AdvanceOurs(const JoinPtr& task, const raft::CoreStatus& status);
  void RejoinRemoved(const JoinPtr& task, const raft::CoreStatus& status);
  void AdvanceForeign(const JoinPtr& task, const raft::CoreStatus& status);
  // True: probe again after a pause. False: it has been so for too long.
  bool AwaitSettled(JoinTask& task);
  void AddLearner(const JoinPtr& task, const raft::ConfState& conf);
  void Absorb(const JoinPtr& task, const raft::MemberInfo& member);
  void Promote(const JoinPtr& task, const raft::MemberInfo& member);
  void UpdateAddress(const JoinPtr& task, raft::MemberInfo member);
  void Propose(const JoinPtr& task, raft::ConfChange change);
  void Finish(JoinTask& task, Result<service::JoinResponse> result);
  void ExpireWaiters(JoinTask& task, uint64_t now_ns);

  void Advance(const RemovePtr& task, const raft::CoreStatus& status, uint64_t now_ns);

  MembershipHost& host_;
  std::list<JoinPtr> joins_;
  std::list<RemovePtr> removes_;
  std::list<Waiting> waiting_;
  std::map<raft::MemberId, std::string> names_;  // of the last configuration seen
  std::deque<std::string> removed_names_;        // newest last, bounded
  uint64_t now_ns_ = 0;
};

}  // namespace arima::node
