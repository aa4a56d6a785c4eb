// What GET /raft/stats and /raft/members show. Stats: names and forms of hashicorp/raft, which
// users of this API know, and Arima's own after them (docs/design/http-api.md 1.2). Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "node/identity.h"
#include "raft/core.h"
#include "service/cluster_service.h"

namespace arima::node {

struct StatsInput {
  const raft::CoreStatus& core;
  const Identity& identity;
  uint64_t now_ns = 0;
  uint64_t store_revision = 0;
  uint64_t durable_applied_index = 0;
  uint64_t compact_revision = 0;
  uint64_t log_bytes = 0;
  std::string snapshot_state = "idle";
  std::string database_state = "ok";
  uint64_t disk_free_bytes = 0;
};

service::Stats BuildStats(const StatsInput& input);

// What GET /raft/members shows (docs/design/http-api.md 2.8). `conf`: the newest configuration this
// node knows of, which while it joins is not yet the one of its log.
service::Members BuildMembers(const raft::CoreStatus& core, const raft::ConfState& conf,
                              uint64_t now_ns);

// "Leader", "Follower", "Candidate", "Shutdown".
std::string StateName(const raft::SoftState& soft);
// As Go prints durations: "0s", "850ns", "12.5ms", "1.25s", "2m3.5s".
std::string GoDuration(uint64_t ns);
// "[{Suffrage:Voter ID:n1 Address:127.0.0.1:1111} {Suffrage:Nonvoter ...}]"
std::string ConfigurationText(const raft::ConfState& conf);

}  // namespace arima::node
