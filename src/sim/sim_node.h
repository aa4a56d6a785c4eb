// SimNode: one simulated process and what it owns: a core while it runs, a disk and a state machine
// that outlive it. Plain data; simulation.cc drives it. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "raft/core.h"
#include "sim/sim_disk.h"
#include "sim/sim_log.h"
#include "sim/sim_machine.h"

namespace arima::sim {

// What the applier is handed, in order.
struct ApplyWork {
  std::vector<raft::ApplyItem> items;
  std::optional<raft::SnapshotMeta> install;
};

// A client's proposal that stands in the log, to be answered when its index is applied.
struct WaitingWrite {
  uint64_t tag = 0;
  raft::EntryId at;
};

// A confirmed read, to be served when the state machine has reached its index.
struct WaitingRead {
  uint64_t tag = 0;
  raft::Index index;
};

struct SimNode {
  raft::Config config;
  std::unique_ptr<raft::Core> core;  // null while down
  uint32_t life = 0;                 // counts starts; events of an older life are void
  bool gone = false;                 // switched off for good
  bool lost = false;                 // because it lost acknowledged entries; else after its removal
  bool stays_down = false;           // nobody repairs it when all else heals
  raft::Disabled disabled = raft::Disabled::kNone;  // as the identity file has it
  uint64_t paused_until_ns = 0;
  uint64_t tick_ns = 0;  // own idea of how long a tick is
  uint64_t clock_offset_ns = 0;

  SimDisk disk;  // what is certain to be found in the log after a crash now
  std::unique_ptr<SimLog> log;
  SimMachine machine;

  // In the order of seq; the first `syncing` of them are on their way to the disk.
  std::deque<raft::Write> writes;
  size_t syncing = 0;
  std::deque<ApplyWork> applies;
  bool applying = false;
  bool drain_planned = false;
  bool attest_planned = false;
  bool log_full = false;  // as the core was told

  std::vector<WaitingWrite> waiting_writes;
  std::vector<WaitingRead> waiting_reads;

  // As of the last output.
  raft::SoftState soft;
  raft::Index commit;
  std::shared_ptr<const raft::ConfState> conf;

  raft::MemberId id() const { return config.id; }
  bool up() const { return core != nullptr; }
};

}  // namespace arima::sim
