// LogCutter: about once a second, looks how much of the raft log nobody needs any more and has it
// cut: first the log itself is told, through the log writer's queue, then the core. What the core
// still asks for in between is answered with kCompacted, which it handles.
//
// What is kept is decided by node/log_retention.h. Thread rule: the core thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/state_machine.h"
#include "node/log_retention.h"
#include "node/log_writer.h"
#include "node/logger.h"
#include "node/raft_loop.h"
#include "wal/wal.h"

namespace arima::node {

// Since the replica was opened.
struct LogCutterStats {
  uint64_t cuts = 0;            // each lets at least one segment go
  uint64_t peers_given_up = 0;  // members that will need a snapshot because of --log-retain-bytes
};

class LogCutter {
 public:
  // All of them outlive it.
  struct Parts {
    RaftLoop* loop;
    const kv::StateMachine* machine;
    const wal::Wal* wal;
    LogWriter* writer;
    Logger* logger;
  };
  LogCutter(const Parts& parts, const LogRetentionLimits& limits)
      : parts_(parts), limits_(limits) {}

  // Does nothing within a second of the last time. Returns the peers whose transfer is given up
  // because what has to be kept for it passes LogRetentionLimits::retain_max_bytes: nothing is kept
  // for it any more, and the caller ends it.
  std::vector<raft::MemberId> Poll(uint64_t now_ns,
                                   std::span<const SnapshotTransfer> transfers = {});

  // While the disk is low, of what other members may need at most so much is kept, and the newest
  // two segments.
  void SetDiskLow(bool low, uint64_t retain_bytes) {
    disk_low_ = low;
    low_retain_bytes_ = retain_bytes;
  }

  const LogCutterStats& stats() const { return stats_; }

 private:
  void Cut(raft::Index to, const raft::CoreStatus& status, uint64_t now_ns);
  void ReportPeer(raft::MemberId peer, const raft::CoreStatus& status, uint64_t now_ns);

  const Parts parts_;
  const LogRetentionLimits limits_;
  bool disk_low_ = false;
  uint64_t low_retain_bytes_ = 0;
  uint64_t next_ns_ = 0;
  LogCutterStats stats_;
};

}  // namespace arima::node
