// Settings of the core. Times are in ticks; the driver decides how long a tick is (10 ms in
// production). Check with Validate() before use.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "raft/types.h"

namespace arima::raft {

struct Config {
  MemberId id;  // own member id; 0 while joining and not yet told
  GroupId group;
  uint64_t seed = 0;  // of the core's own generator
  uint64_t life = 0;  // names this process life in ReadId; random in production

  uint32_t election_ticks = 40;  // timeouts are drawn from [election_ticks, 2 * election_ticks)
  uint32_t heartbeat_ticks = 5;
  uint64_t tick_ns = 10'000'000;

  bool pre_vote = true;
  bool check_quorum = true;
  // Off only in conformance scripts that replay what other implementations allow.
  bool check_conf_proposals = true;
  // A voter is added only from a learner that has caught up; on in the server.
  bool require_caught_up_learner = true;
  bool forward_proposals = true;  // followers send proposals to the leader
  bool step_down_on_removal = true;
  // After a change that takes a vote away the leader appends a Noop. Once that is committed, a
  // quorum of the new configuration knows on disk that the change is, and the nodes it took out may
  // be switched off: whoever answers an operator waits for it.
  bool confirm_removals = false;

  uint32_t max_inflight_msgs = 256;
  uint64_t max_inflight_bytes = 8 << 20;
  uint64_t max_msg_bytes = 1 << 20;
  uint64_t max_uncommitted_bytes = 64 << 20;
  uint64_t max_apply_bytes = 1 << 20;  // of one hand-over to the applier
  uint64_t entry_cache_bytes = 64 << 20;
  uint64_t promote_lag = 4096;  // entries a learner may lack when it is promoted
  uint32_t max_pending_reads = 65536;

  Status Validate() const;
};

}  // namespace arima::raft
