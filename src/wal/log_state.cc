#include "wal/log_state.h"

#include <algorithm>
#include <string>

#include "base/assert.h"

namespace arima::wal {

using raft::EntryId;
using raft::Index;
using raft::Term;

Term TermRuns::TermAt(Index index) const {
  ARIMA_ASSERT(index >= snapshot_.index && index <= last_, index, snapshot_.index, last_);
  auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                [](Index i, const EntryId& run) { return i < run.index; });
  return after == runs_.begin() ? snapshot_.term : std::prev(after)->term;
}

void TermRuns::Append(EntryId id) {
  ARIMA_ASSERT(id.index > snapshot_.index && id.index <= last_ + 1, id.index, snapshot_.index,
               last_);
  TruncateSuffix(id.index - 1);
  ARIMA_ASSERT(id.term >= last_term(), id.index, id.term, last_term());
  if (runs_.empty() || runs_.back().term != id.term) runs_.push_back(id);
  last_ = id.index;
}

void TermRuns::TruncateSuffix(Index index) {
  ARIMA_ASSERT(index >= snapshot_.index, index, snapshot_.index);
  if (index >= last_) return;
  while (!runs_.empty() && runs_.back().index > index) runs_.pop_back();
  last_ = index;
}

void TermRuns::TruncatePrefix(EntryId snapshot) {
  ARIMA_ASSERT(snapshot.index >= snapshot_.index, snapshot.index, snapshot_.index);
  if (snapshot.index >= last_) {
    *this = TermRuns(snapshot);
    return;
  }
  auto first_kept = std::upper_bound(runs_.begin(), runs_.end(), snapshot.index + 1,
                                     [](Index i, const EntryId& run) { return i < run.index; });
  ARIMA_ASSERT(first_kept != runs_.begin(), snapshot.index);
  --first_kept;
  runs_.erase(runs_.begin(), first_kept);
  runs_.front().index = std::max(runs_.front().index, snapshot.index + 1);
  snapshot_ = snapshot;
}

Checkpoint LogState::ToCheckpoint() const {
  return {terms_.snapshot(), {terms_.last_term(), terms_.last()}, hard_state_};
}

Status LogState::CheckAppend(EntryId id) const {
  if (id.index <= snapshot().index || id.index > last() + 1) {
    return Fail(Code::kCorruption, "entry " + std::to_string(id.index.value) +
                                       " does not continue a log of (" +
                                       std::to_string(snapshot().index.value) + ", " +
                                       std::to_string(last().value) + "]");
  }
  if (id.term < terms_.TermAt(id.index - 1)) {
    return Fail(Code::kCorruption, "entry " + std::to_string(id.index.value) + " has term " +
                                       std::to_string(id.term.value) +
                                       ", below that of the entry before");
  }
  return {};
}

Status LogState::CheckTruncatePrefix(EntryId to) const {
  const bool known = to.index >= snapshot().index && to.index <= last();
  if (!known || terms_.TermAt(to.index) != to.term) {
    return Fail(Code::kCorruption, "log is cut at " + std::to_string(to.index.value) + " of term " +
                                       std::to_string(to.term.value) + ", which it does not hold");
  }
  return {};
}

Status LogState::CheckFrameEnd() const {
  if (hard_state_.commit > last()) {
    return Fail(Code::kCorruption, "commit " + std::to_string(hard_state_.commit.value) +
                                       " is beyond the last entry " + std::to_string(last().value));
  }
  if (hard_state_.term < terms_.last_term()) {
    return Fail(Code::kCorruption, "hard state of term " + std::to_string(hard_state_.term.value) +
                                       " is below the last entry's term " +
                                       std::to_string(terms_.last_term().value));
  }
  return {};
}

}  // namespace arima::wal
