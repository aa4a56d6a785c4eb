// SimDisk: the raft log and hard state of one simulated node, as a crash would leave them.
//
// Writes take effect here when they are durable, in the order of their seq. A write without
// need_sync only moves the commit; it may be lost in a crash although it was completed, unless a
// synced write came after it (obligation D6 of raft/core.h). One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "raft/core.h"

namespace arima::sim {

class SimDisk {
 public:
  void Format(raft::HardState hard_state, raft::EntryId snapshot);
  void Complete(const raft::Write& write);
  void CompactTo(raft::Index index);
  // What was completed without a sync is durable now, too.
  void SyncAll() { synced_ = newest_; }
  // Becomes what a recovery has found.
  void Load(const raft::HardState& hard_state, raft::EntryId snapshot,
            std::vector<raft::Entry> entries);
  // The process is gone: completed but unsynced commits may be, too.
  void Crash(SeededRandom* random);
  // Recovery found a state machine that has switched to a snapshot which this log does not know
  // (docs/design/raft.md 4.6 R7): start behind it.
  void ResetTo(raft::EntryId snapshot);

  // What is certain to be found after a crash.
  const raft::HardState& hard_state() const { return synced_; }
  // As completed; its commit may be lost in a crash.
  const raft::HardState& newest() const { return newest_; }
  raft::EntryId snapshot() const { return snapshot_; }
  raft::Index last() const { return snapshot_.index + entries_.size(); }
  std::span<const raft::Entry> entries() const { return entries_; }
  // Indexes of the Conf entries in the log, ascending.
  const std::vector<raft::Index>& conf_indexes() const { return conf_indexes_; }

  // True when the log, or the snapshot it starts from, holds (term, index).
  bool Covers(raft::EntryId position) const;
  raft::Term TermAt(raft::Index index) const;  // retained, or the snapshot point
  // Entries of [low, high), at least one, then as many as fit. Requires low to be retained.
  std::vector<raft::Entry> Read(raft::Index low, raft::Index high, uint64_t bytes_max) const;
  raft::InitialState Recover(raft::Index applied, const raft::ConfState& conf) const;

 private:
  raft::HardState synced_;
  raft::HardState newest_;  // synced_ or, in commit only, ahead of it
  raft::EntryId snapshot_;
  std::vector<raft::Entry> entries_;  // (snapshot_.index, last()]
  std::vector<raft::Index> conf_indexes_;
};

}  // namespace arima::sim
