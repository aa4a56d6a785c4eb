#include "raft/term_map.h"

#include <algorithm>

#include "base/assert.h"

namespace arima::raft {

void TermMap::Reset(EntryId snapshot) {
  snapshot_ = snapshot;
  last_ = snapshot.index;
  runs_.clear();
}

void TermMap::Append(EntryId id) { AppendRun(id, id.index); }

void TermMap::AppendRun(EntryId first, Index last) {
  ARIMA_ASSERT(first.index == last_ + 1, first.index, last_);
  ARIMA_ASSERT(last >= first.index, first.index, last);
  ARIMA_ASSERT(first.term >= last_term(), first.term, last_term());
  if (runs_.empty() || runs_.back().term != first.term) runs_.push_back(first);
  last_ = last;
}

void TermMap::TruncateFrom(Index index) {
  ARIMA_ASSERT(index > snapshot_.index, index, snapshot_.index);
  if (index > last_) return;
  while (!runs_.empty() && runs_.back().index >= index) runs_.pop_back();
  last_ = index - 1;
}

void TermMap::CompactTo(Index index) {
  ARIMA_ASSERT(index <= last_, index, last_);
  if (index <= snapshot_.index) return;
  snapshot_ = {*At(index), index};
  auto next = std::upper_bound(runs_.begin(), runs_.end(), index,
                               [](Index i, const EntryId& run) { return i < run.index; });
  // The run that holds `index` stays if it goes on above it.
  Index run_end = next == runs_.end() ? last_ : next->index - 1;
  if (next != runs_.begin() && run_end > index) {
    --next;
    next->index = index + 1;
  }
  runs_.erase(runs_.begin(), next);
}

std::optional<Term> TermMap::At(Index index) const {
  if (index < snapshot_.index || index > last_) return std::nullopt;
  if (index == snapshot_.index) return snapshot_.term;
  // Most questions are about the newest entries.
  if (index >= runs_.back().index) return runs_.back().term;
  auto next = std::upper_bound(runs_.begin(), runs_.end(), index,
                               [](Index i, const EntryId& run) { return i < run.index; });
  ARIMA_ASSERT(next != runs_.begin(), index);
  return std::prev(next)->term;
}

EntryId TermMap::FindAtMost(Index limit, Term term) const {
  Index found = std::min(limit, last_);
  if (found < snapshot_.index) return {Term(0), found};
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->index > found) continue;
    if (run->term <= term) return {run->term, found};
    found = run->index - 1;
  }
  if (snapshot_.term <= term) return {snapshot_.term, snapshot_.index};
  return {Term(0), snapshot_.index == Index(0) ? Index(0) : snapshot_.index - 1};
}

}  // namespace arima::raft
