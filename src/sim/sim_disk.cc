#include "sim/sim_disk.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace arima::sim {

using raft::Entry;
using raft::EntryId;
using raft::Index;
using raft::Term;

void SimDisk::Format(raft::HardState hard_state, EntryId snapshot) {
  synced_ = newest_ = hard_state;
  snapshot_ = snapshot;
  entries_.clear();
  conf_indexes_.clear();
}

void SimDisk::Complete(const raft::Write& write) {
  if (write.hard_state) newest_ = *write.hard_state;
  if (write.reset) {
    snapshot_ = EntryId{write.reset->term, write.reset->index};
    entries_.clear();
    conf_indexes_.clear();
  }
  for (const Entry& entry : write.entries) {
    ARIMA_ASSERT(entry.index > snapshot_.index && entry.index <= last() + 1, entry.index, last());
    entries_.resize(entry.index - snapshot_.index - 1);
    while (!conf_indexes_.empty() && conf_indexes_.back() >= entry.index) conf_indexes_.pop_back();
    entries_.push_back(entry);
    if (entry.kind == raft::EntryKind::kConf) conf_indexes_.push_back(entry.index);
  }
  if (write.need_sync) synced_ = newest_;
}

void SimDisk::CompactTo(Index index) {
  if (index <= snapshot_.index) return;
  Term term = TermAt(index);
  entries_.erase(entries_.begin(),
                 entries_.begin() + static_cast<std::ptrdiff_t>(index - snapshot_.index));
  snapshot_ = EntryId{term, index};
  std::erase_if(conf_indexes_, [&](Index i) { return i <= index; });
}

void SimDisk::Load(const raft::HardState& hard_state, EntryId snapshot,
                   std::vector<Entry> entries) {
  Format(hard_state, snapshot);
  entries_ = std::move(entries);
  for (const Entry& entry : entries_) {
    if (entry.kind == raft::EntryKind::kConf) conf_indexes_.push_back(entry.index);
  }
}

void SimDisk::Crash(SeededRandom* random) {
  if (random->Percent(50)) newest_ = synced_;
  synced_ = newest_;
}

void SimDisk::ResetTo(EntryId snapshot) {
  raft::HardState state = newest_;
  // A vote belongs to its term; raising the term without one is always safe.
  if (state.term < snapshot.term) state = {snapshot.term, raft::MemberId(0), state.commit};
  state.commit = std::max(state.commit, snapshot.index);
  Format(state, snapshot);
}

bool SimDisk::Covers(EntryId position) const {
  if (position.index <= snapshot_.index) return true;
  return position.index <= last() && TermAt(position.index) == position.term;
}

Term SimDisk::TermAt(Index index) const {
  if (index == snapshot_.index) return snapshot_.term;
  ARIMA_ASSERT(index > snapshot_.index && index <= last(), index, snapshot_.index, last());
  return entries_[index - snapshot_.index - 1].term;
}

std::vector<Entry> SimDisk::Read(Index low, Index high, uint64_t bytes_max) const {
  ARIMA_ASSERT(low > snapshot_.index && low <= last(), low, snapshot_.index, last());
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

raft::InitialState SimDisk::Recover(Index applied, const raft::ConfState& conf) const {
  ARIMA_ASSERT(applied >= snapshot_.index && applied <= last(), applied, snapshot_.index, last());
  raft::InitialState initial;
  initial.hard_state = newest_;
  initial.hard_state.commit = std::max(newest_.commit, applied);
  initial.snapshot_index = snapshot_.index;
  initial.snapshot_term = snapshot_.term;
  initial.last = last();
  initial.applied = applied;
  initial.conf = conf;
  Term previous;
  for (const Entry& entry : entries_) {
    if (initial.term_runs.empty() || entry.term != previous) {
      initial.term_runs.push_back(entry.id());
      previous = entry.term;
    }
  }
  for (Index i : conf_indexes_) {
    if (i > applied) initial.conf_entries.push_back(entries_[i - snapshot_.index - 1]);
  }
  constexpr size_t kTailMax = 64;
  const size_t tail = std::min(entries_.size(), kTailMax);
  initial.tail.assign(entries_.end() - static_cast<std::ptrdiff_t>(tail), entries_.end());
  return initial;
}

}  // namespace arima::sim
