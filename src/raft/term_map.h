// TermMap: the term of every index of the retained log, as a short list of runs.
//
// A log of millions of entries has a handful of terms, so the list answers term(i) by a binary
// search in memory and never needs the disk. Covers [snapshot.index, last]; the snapshot point
// itself has a known term. Terms never decrease with the index (Raft paper 5.3, Log Matching).
// Owner: LogView, core thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "raft/types.h"

namespace arima::raft {

class TermMap {
 public:
  // Empty log above `snapshot`.
  explicit TermMap(EntryId snapshot = {}) { Reset(snapshot); }

  void Reset(EntryId snapshot);
  // The next entry; its index must be last() + 1 and its term not less than the last one.
  void Append(EntryId id);
  // A whole run, from recovery: `first.index` is last() + 1, the run ends at `last`.
  void AppendRun(EntryId first, Index last);
  // Drops `index` and everything above it; index > snapshot().index.
  void TruncateFrom(Index index);
  // Moves the snapshot point up to `index` <= last().
  void CompactTo(Index index);

  EntryId snapshot() const { return snapshot_; }
  Index last() const { return last_; }
  Term last_term() const { return runs_.empty() ? snapshot_.term : runs_.back().term; }
  // Nothing outside of [snapshot().index, last()].
  std::optional<Term> At(Index index) const;

  // The largest index <= `limit` whose term is <= `term`. If even the snapshot point has a greater
  // term, the answer lies below what is retained: (snapshot().index - 1, 0).
  EntryId FindAtMost(Index limit, Term term) const;

  // Runs (term, first index) of (snapshot().index, last()], ascending.
  std::span<const EntryId> runs() const { return runs_; }

 private:
  EntryId snapshot_;
  Index last_;
  // Runs of (snapshot_.index, last_]; a run ends where the next one begins.
  std::vector<EntryId> runs_;
};

}  // namespace arima::raft
