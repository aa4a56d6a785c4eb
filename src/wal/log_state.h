// LogState: what a prefix of the raft log amounts to - snapshot point, last entry, terms, hard
// state. The writer keeps one of what it has written, recovery rebuilds one from records.
//
// A plain value, not thread-safe. Changing calls assert that they are in order: foreign input is
// checked with Check* first.
#pragma once

#include <vector>

#include "base/error.h"
#include "raft/types.h"
#include "wal/format.h"

namespace arima::wal {

// Terms of the entries (snapshot, last], as runs (term, first index of the term), ascending in
// both.
class TermRuns {
 public:
  TermRuns() = default;
  explicit TermRuns(raft::EntryId snapshot) : snapshot_(snapshot), last_(snapshot.index) {}

  raft::EntryId snapshot() const { return snapshot_; }
  raft::Index last() const { return last_; }
  raft::Term last_term() const { return runs_.empty() ? snapshot_.term : runs_.back().term; }
  const std::vector<raft::EntryId>& runs() const { return runs_; }

  // Of any index in [snapshot, last].
  raft::Term TermAt(raft::Index index) const;

  // Drops all entries >= id.index, then adds id. snapshot < id.index <= last + 1; the term is not
  // below that of the entry before.
  void Append(raft::EntryId id);
  // Drops all entries > index; index >= snapshot.
  void TruncateSuffix(raft::Index index);
  // Drops all entries <= snapshot.index; not below the snapshot point. Beyond `last`: empty.
  void TruncatePrefix(raft::EntryId snapshot);

 private:
  raft::EntryId snapshot_;
  raft::Index last_;
  std::vector<raft::EntryId> runs_;
};

class LogState {
 public:
  LogState() = default;
  LogState(raft::EntryId snapshot, const raft::HardState& hard_state)
      : terms_(snapshot), hard_state_(hard_state) {}

  const TermRuns& terms() const { return terms_; }
  const raft::HardState& hard_state() const { return hard_state_; }
  raft::EntryId snapshot() const { return terms_.snapshot(); }
  raft::Index last() const { return terms_.last(); }
  Checkpoint ToCheckpoint() const;

  // Ok, or why the change cannot follow this state (kCorruption).
  Status CheckAppend(raft::EntryId id) const;
  Status CheckTruncatePrefix(raft::EntryId snapshot) const;
  // What must hold at the end of each frame.
  Status CheckFrameEnd() const;

  void Append(raft::EntryId id) { terms_.Append(id); }
  void Reset(raft::EntryId snapshot) { terms_ = TermRuns(snapshot); }
  void TruncatePrefix(raft::EntryId snapshot) { terms_.TruncatePrefix(snapshot); }
  void TruncateSuffix(raft::Index index) { terms_.TruncateSuffix(index); }
  void SetHardState(const raft::HardState& hard_state) { hard_state_ = hard_state; }

 private:
  TermRuns terms_;
  raft::HardState hard_state_;
};

}  // namespace arima::wal
