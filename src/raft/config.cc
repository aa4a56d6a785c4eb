#include "raft/config.h"

#include <limits>
#include <string>

namespace arima::raft {

Status Config::Validate() const {
  auto refuse = [](std::string why) { return Fail(Code::kInvalidArgument, std::move(why)); };
  if (heartbeat_ticks == 0) return refuse("heartbeat_ticks must be at least 1");
  if (election_ticks <= heartbeat_ticks) {
    return refuse("election_ticks " + std::to_string(election_ticks) +
                  " must be greater than heartbeat_ticks " + std::to_string(heartbeat_ticks));
  }
  if (election_ticks > std::numeric_limits<uint32_t>::max() / 4) {
    return refuse("election_ticks " + std::to_string(election_ticks) + " is out of range");
  }
  if (tick_ns == 0) return refuse("tick_ns must be at least 1");
  if (tick_ns > std::numeric_limits<uint64_t>::max() / 4 / election_ticks) {
    return refuse("tick_ns " + std::to_string(tick_ns) + " is out of range");
  }
  if (max_inflight_msgs == 0) return refuse("max_inflight_msgs must be at least 1");
  if (max_msg_bytes == 0) return refuse("max_msg_bytes must be at least 1");
  if (max_inflight_bytes < max_msg_bytes) {
    return refuse("max_inflight_bytes " + std::to_string(max_inflight_bytes) +
                  " must not be less than max_msg_bytes " + std::to_string(max_msg_bytes));
  }
  if (max_apply_bytes == 0) return refuse("max_apply_bytes must be at least 1");
  if (max_pending_reads == 0) return refuse("max_pending_reads must be at least 1");
  return {};
}

}  // namespace arima::raft
