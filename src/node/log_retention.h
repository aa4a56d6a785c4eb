// Log retention: how much of the raft log a node keeps (docs/design/raft.md 4.8).
//
//   always      everything above what the database has on disk
//   a leader    also what any other member still needs from it, while the log is then no larger
//               than retain_bytes; whether that member is reachable makes no difference: one that
//               was down for a while comes back to a log that still holds what it missed
//   the others  also their newest entries, retain_bytes / 2 of them. They cannot know what the
//               others need, and each of them may lead next, also while a member is down. It costs
//               next to nothing: between two flushes the log grows by as much anyway
//   a running   also everything behind its snapshot, while the log is then no larger than
//   transfer    retain_max_bytes; beyond that the transfer is given up
//
// Whole segments go or stay, so the newest one stays in any case. Pure functions of values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "raft/types.h"
#include "wal/wal.h"

namespace arima::node {

struct LogRetentionLimits {
  uint64_t retain_bytes = 1ull << 30;
  uint64_t retain_max_bytes = 8ull << 30;
};

// A member that a leader sends its log to.
struct PeerNeed {
  raft::MemberId peer;
  // What it is known to have on disk; 0 = not known yet, as in the first moments of a leader.
  raft::Index match;
};

// A snapshot on its way to `peer`, which will need the log from snapshot_index + 1 on. To be listed
// from the moment on when its database is fixed until the peer is back to receiving the log.
struct SnapshotTransfer {
  raft::MemberId peer;
  raft::Index snapshot_index;
};

struct RetentionFacts {
  raft::Index durable;  // what is applied and would survive a crash; at most what the core applied
  raft::Index cut;      // the log holds nothing up to here
  std::span<const wal::SegmentSpan> segments;  // Wal::Segments()
  bool leads = false;
  std::span<const PeerNeed> peers;  // without this node; ignored if it does not lead
  std::span<const SnapshotTransfer> transfers;
};

struct RetentionDecision {
  raft::Index cut;  // == facts.cut: nothing goes
  // Members that had everything from `facts.cut` on at their disposal and lose it now. Each shows
  // up once: afterwards its match lies below the cut.
  std::vector<raft::MemberId> peers_given_up;
  // Transfers that nothing is kept for any more; whoever runs them ends them.
  std::vector<raft::MemberId> transfers_given_up;
};

RetentionDecision DecideCut(const RetentionFacts& facts, const LogRetentionLimits& limits);

}  // namespace arima::node
