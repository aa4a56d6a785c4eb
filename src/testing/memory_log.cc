#include "testing/memory_log.h"

#include <algorithm>

#include "base/assert.h"

namespace arima::testing {

using raft::Entry;
using raft::EntryId;
using raft::Index;
using raft::Term;

MemoryLog::MemoryLog(raft::HardState hard_state, EntryId snapshot)
    : hard_state_(hard_state), snapshot_(snapshot) {}

void MemoryLog::Append(const raft::Write& write) {
  if (write.hard_state) hard_state_ = *write.hard_state;
  if (write.reset) {
    snapshot_ = EntryId{write.reset->term, write.reset->index};
    entries_.clear();
  }
  for (const Entry& entry : write.entries) {
    ARIMA_ASSERT(entry.index > snapshot_.index && entry.index <= last() + 1, entry.index, last());
    ARIMA_ASSERT(entry.checksum == raft::EntryChecksum(entry.kind, entry.payload.view()),
                 entry.index);
    entries_.resize(entry.index - snapshot_.index - 1);
    entries_.push_back(entry);
  }
}

void MemoryLog::CompactTo(Index index) {
  if (index <= snapshot_.index) return;
  Term term = TermAt(index);
  entries_.erase(entries_.begin(),
                 entries_.begin() + static_cast<std::ptrdiff_t>(index - snapshot_.index));
  snapshot_ = EntryId{term, index};
}

void MemoryLog::LoseAfter(Index index) {
  ARIMA_ASSERT(index >= snapshot_.index && index <= last(), index, last());
  entries_.resize(index - snapshot_.index);
  hard_state_.commit = std::min(hard_state_.commit, index);
}

Term MemoryLog::TermAt(Index index) const {
  if (index == snapshot_.index) return snapshot_.term;
  ARIMA_ASSERT(Has(index), index, snapshot_.index, last());
  return entries_[index - snapshot_.index - 1].term;
}

std::vector<Entry> MemoryLog::Read(Index low, Index high, uint64_t bytes_max) const {
  ARIMA_ASSERT(Has(low), low, snapshot_.index, last());
  std::vector<Entry> found;
  uint64_t bytes = 0;
  for (Index i = low; i < high && i <= last(); ++i) {
    const Entry& entry = entries_[i - snapshot_.index - 1];
    bytes += entry.payload.size();
    if (!found.empty() && bytes > bytes_max) break;
    found.push_back(entry);
  }
  return found;
}

raft::InitialState MemoryLog::Recover(Index applied, const raft::ConfState& conf) const {
  raft::InitialState initial;
  initial.hard_state = hard_state_;
  initial.snapshot_index = snapshot_.index;
  initial.snapshot_term = snapshot_.term;
  initial.last = last();
  initial.applied = applied;
  initial.conf = conf;
  Term previous;
  for (const Entry& entry : entries_) {
    if (initial.term_runs.empty() || entry.term != previous) {
      initial.term_runs.push_back(entry.id());
    }
    previous = entry.term;
    if (entry.kind == raft::EntryKind::kConf && entry.index > applied) {
      initial.conf_entries.push_back(entry);
    }
  }
  initial.tail = entries_;
  return initial;
}

}  // namespace arima::testing
