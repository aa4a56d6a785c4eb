// The raft log and hard state of one node as they would stand on its disk, in memory.
//
// Append() is called in the order of the writes' seq (obligation D1 of raft/core.h). One thread.
// Programmer errors (a gap between writes, reading what is not there) are asserts.
#pragma once

#include <cstdint>
#include <vector>

#include "raft/core.h"

namespace arima::testing {

class MemoryLog {
 public:
  // Empty behind the snapshot point `snapshot`.
  MemoryLog(raft::HardState hard_state, raft::EntryId snapshot);

  void Append(const raft::Write& write);
  // Drops entries up to and including `index`.
  void CompactTo(raft::Index index);
  // A disk that lies: entries behind `index` are gone although they were durable.
  void LoseAfter(raft::Index index);

  const raft::HardState& hard_state() const { return hard_state_; }
  raft::EntryId snapshot() const { return snapshot_; }
  raft::Index last() const { return snapshot_.index + entries_.size(); }
  const std::vector<raft::Entry>& entries() const { return entries_; }

  bool Has(raft::Index index) const { return index > snapshot_.index && index <= last(); }
  // `index` is retained or the snapshot point.
  raft::Term TermAt(raft::Index index) const;
  // Entries of [low, high), at least one, then as many as fit into bytes_max. Requires Has(low).
  std::vector<raft::Entry> Read(raft::Index low, raft::Index high, uint64_t bytes_max) const;

  // What recovery would find. `applied` and `conf` are the state machine's.
  raft::InitialState Recover(raft::Index applied, const raft::ConfState& conf) const;

 private:
  raft::HardState hard_state_;
  raft::EntryId snapshot_;
  std::vector<raft::Entry> entries_;  // (snapshot_.index, last()]
};

}  // namespace arima::testing
