// Replay: rebuilds the state of the log from frames, oldest first.
//
// It may begin at any segment: the Checkpoint there tells of entries that lie in older ones. Those
// count as missing until later records show that they are not needed (the log was cut above them or
// replaced). Everything is checked; contradictions are errors, never asserts. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.h"
#include "raft/types.h"
#include "wal/entry_index.h"
#include "wal/frame.h"
#include "wal/log_state.h"

namespace arima::wal {

class Replay {
 public:
  // The first frame of a segment: a Checkpoint, which must agree with what came before, if
  // anything.
  Status StartSegment(const Frame& frame);
  // Any other frame. Offsets of entries are taken from frame.offset.
  Status Apply(const Frame& frame);
  // Forgets everything: the next frame is a StartSegment from which the log is rebuilt.
  void Restart();

  bool started() const { return started_; }
  const LogState& state() const { return state_; }
  // What a Checkpoint here has to say.
  Checkpoint checkpoint() const;
  // The highest entry that should be in the log and was not seen.
  std::optional<raft::Index> missing() const;
  // Whether the last record was the Attest of a clean shutdown.
  bool closed() const { return closed_; }
  const std::vector<raft::Entry>& conf_entries() const { return conf_entries_; }
  // Changes for the EntryIndex since the last call.
  std::vector<IndexChange> TakeChanges();

 private:
  Status ApplyRecord(const Record& record, uint64_t offset);
  Status ApplyEntry(const Record& record, uint64_t offset);
  bool TermFitsAmongMissing(raft::EntryId to) const;
  Status ApplyTruncatePrefix(raft::EntryId to);
  void ApplyReset(raft::EntryId snapshot);
  Status ApplyCheckpoint(const Checkpoint& checkpoint);

  bool started_ = false;
  bool closed_ = false;
  // While entries are missing, state_ begins behind them; the log's own snapshot point is here.
  raft::EntryId snapshot_;
  bool incomplete_ = false;  // entries (snapshot_.index, state_.snapshot().index] are missing
  LogState state_;
  std::vector<raft::Entry> conf_entries_;
  std::vector<IndexChange> changes_;
};

}  // namespace arima::wal
