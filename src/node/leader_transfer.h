// POST /raft/transfer on the leader: choose a voter that can take over at once, hand over, answer
// when it leads (docs/design/raft.md 1.12).
//
// While an attempt runs the core takes no writes; it ends within one election timeout, and there
// are at most kAttemptsMax of them, so a target that cannot take over costs a bounded pause. After
// its deadline a request begins no further attempt. Every request is answered exactly once: at the
// latest kLeaderWaitNs after its deadline and the attempt that was under way then, or by FailAll.
//
// Thread rule: the core thread.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "node/forward_queue.h"
#include "node/membership_host.h"
#include "service/cluster_service.h"

namespace arima::node {

class LeaderTransfer {
 public:
  explicit LeaderTransfer(MembershipHost* host) : host_(*host) {}

  // On the leader. kOverloaded is answered when there are too many.
  void Start(TransferCall call, uint64_t deadline_ns, const raft::CoreStatus& status,
             uint64_t now_ns);
  // At each tick. Returns what another node must do, because it leads and is not the one asked for.
  std::vector<MembershipRequest> Poll(const raft::CoreStatus& status, uint64_t now_ns);
  void FailAll(const Error& error);

  static constexpr uint32_t kAttemptsMax = 3;
  static constexpr size_t kTasksMax = 64;
  // A voter that lacks more could not make up for it within one election timeout.
  static constexpr uint64_t kLagMax = 10'000;

 private:
  struct Task {
    TransferCall call;
    uint64_t deadline_ns = 0;
    raft::MemberId target;    // of the attempt under way; 0: none
    std::string target_name;  // of the last attempt
    uint32_t attempts = 0;
    uint64_t not_before_ns = 0;
    uint64_t leaderless_since_ns = 0;  // 0: a leader is known
    bool finished = false;
    bool elsewhere = false;  // another node must go on
  };

  // Sets `*transferring` when it begins an attempt.
  void AdvanceLeading(Task& task, const raft::CoreStatus& status, uint64_t now_ns,
                      bool* transferring);
  void AdvanceFollowing(Task& task, const raft::CoreStatus& status, uint64_t now_ns);
  void Finish(Task& task, Result<service::TransferResponse> result);

  MembershipHost& host_;
  std::list<Task> tasks_;
  uint64_t leading_since_ns_ = 0;  // 0: not leading
};

}  // namespace arima::node
