#include "raft/log_view.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace arima::raft {

LogView::LogView(const InitialState& initial, Index commit, uint64_t cache_bytes)
    : terms_({initial.snapshot_term, initial.snapshot_index}),
      cache_(initial.last + 1),
      ledger_(initial.last),
      cache_bytes_(cache_bytes),
      commit_(commit),
      stable_(initial.last),
      applying_(initial.applied -
                (ARIMA_MUTANT(50) && initial.applied > initial.snapshot_index ? 1 : 0)),
      applied_(initial.applied),
      next_write_(initial.last + 1) {
  ARIMA_ASSERT(initial.snapshot_index <= initial.applied, initial.snapshot_index, initial.applied);
  ARIMA_ASSERT(initial.applied <= commit, initial.applied, commit);
  ARIMA_ASSERT(commit <= initial.last, commit, initial.last);
  for (size_t i = 0; i < initial.term_runs.size(); ++i) {
    bool newest = i + 1 == initial.term_runs.size();
    terms_.AppendRun(initial.term_runs[i],
                     newest ? initial.last : initial.term_runs[i + 1].index - 1);
  }
  ARIMA_ASSERT(terms_.last() == initial.last, terms_.last(), initial.last);
  if (initial.tail.empty()) return;
  ARIMA_ASSERT(initial.tail.back().index == initial.last, initial.last);
  ARIMA_ASSERT(initial.tail.front().index > initial.snapshot_index, initial.tail.front().index);
  cache_.Reset(initial.tail.front().index);
  ledger_ = ByteLedger(initial.tail.front().index - 1);
  for (const Entry& entry : initial.tail) {
    ARIMA_ASSERT(Has(entry.id()), entry.index, entry.term);
    cache_.Append(entry);
    ledger_.Append(entry.payload.size());
  }
  cache_.EvictTo(cache_bytes_, last());
}

void LogView::Append(Entry entry) {
  terms_.Append(entry.id());
  ledger_.Append(entry.payload.size());
  cache_.Append(std::move(entry));
  if (cache_.bytes() > cache_bytes_) {
    cache_.EvictTo(cache_bytes_, std::min(stable_, applying_));
    // A state machine that is far behind is fed from disk instead of from ever more memory; what is
    // not on disk yet always stays.
    cache_.EvictTo(2 * cache_bytes_, stable_);
  }
}

void LogView::TruncateFrom(Index index) {
  ARIMA_ASSERT(index > commit_, index, commit_);
  if (index > last()) return;
  terms_.TruncateFrom(index);
  cache_.TruncateFrom(index);
  ledger_.TruncateFrom(index);
  stable_ = std::min(stable_, index - 1);
  next_write_ = std::min(next_write_, index);
  for (InflightWrite& write : writes_) {
    if (!ARIMA_MUTANT(24)) write.clipped_last = std::min(write.clipped_last, index - 1);
  }
  ARIMA_ASSERT(applying_ <= stable_, applying_, stable_);
}

void LogView::CommitTo(Index index) {
  ARIMA_ASSERT(index >= commit_ && index <= last(), index, commit_, last());
  commit_ = index;
}

void LogView::AcceptApplying(Index index) {
  ARIMA_ASSERT(index >= applying_, index, applying_);
  ARIMA_ASSERT(index <= appliable(), index, commit_, stable_);
  applying_ = index;
}

void LogView::AppliedTo(Index index) {
  ARIMA_ASSERT(index >= applied_ && index <= applying_, index, applied_, applying_);
  applied_ = index;
  ledger_.DropTo(index);
}

void LogView::CompactTo(Index index) {
  ARIMA_ASSERT(index <= applied_, index, applied_);
  terms_.CompactTo(index);
  cache_.DropBelow(first());
}

void LogView::Reset(EntryId snapshot) {
  ARIMA_ASSERT(snapshot.index > commit_, snapshot.index, commit_);
  terms_.Reset(snapshot);
  cache_.Reset(snapshot.index + 1);
  ledger_ = ByteLedger(snapshot.index);
  commit_ = stable_ = applying_ = applied_ = snapshot.index;
  next_write_ = snapshot.index + 1;
  reset_pending_ = true;
  for (InflightWrite& write : writes_) {
    write.clipped_last = std::min(write.clipped_last, snapshot.index);
  }
}

void LogView::StartWrite(bool sync, Write* write) {
  write->seq = ++last_seq_;
  if (reset_pending_) write->reset = LogReset{snapshot().index, snapshot().term};
  reset_pending_ = false;
  InflightWrite inflight{last_seq_, Index(0), sync};
  if (next_write_ <= last()) {
    ARIMA_ASSERT(cache_.Has(next_write_), next_write_, cache_.first(), cache_.next());
    ARIMA_ASSERT(sync);
    write->entries.reserve(last() + 1 - next_write_);
    cache_.Copy(next_write_, last() + 1, UINT64_MAX, &write->entries);
    inflight.clipped_last = last();
    next_write_ = last() + 1;
  }
  writes_.push_back(inflight);
}

bool LogView::FinishWrite(uint64_t seq) {
  ARIMA_ASSERT(seq <= last_seq_, seq, last_seq_);
  bool any = false;
  while (!writes_.empty() && writes_.front().seq <= seq) {
    stable_ = ARIMA_MUTANT(25) ? last() : std::max(stable_, writes_.front().clipped_last);
    writes_.pop_front();
    any = true;
  }
  ARIMA_ASSERT(stable_ <= last(), stable_, last());
  return any;
}

uint64_t LogView::newest_sync_write() const {
  for (auto write = writes_.rbegin(); write != writes_.rend(); ++write) {
    if (write->sync) return write->seq;
  }
  return 0;
}

}  // namespace arima::raft
