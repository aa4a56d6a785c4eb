#include "raft/entry_cache.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace arima::raft {

void EntryCache::Reset(Index next) {
  entries_.clear();
  bytes_ = 0;
  first_ = next;
}

void EntryCache::Append(Entry entry) {
  ARIMA_ASSERT(entry.index == next(), entry.index, next());
  bytes_ += EntryBytes(entry);
  entries_.push_back(std::move(entry));
}

void EntryCache::TruncateFrom(Index index) {
  if (index <= first_) {
    Reset(index);
    return;
  }
  while (next() > index) {
    bytes_ -= EntryBytes(entries_.back());
    entries_.pop_back();
  }
}

void EntryCache::DropBelow(Index index) {
  while (first_ < index && !entries_.empty()) {
    bytes_ -= EntryBytes(entries_.front());
    entries_.pop_front();
    ++first_;
  }
}

void EntryCache::EvictTo(uint64_t limit, Index keep_above) {
  while (bytes_ > limit && !entries_.empty() && first_ <= keep_above) {
    bytes_ -= EntryBytes(entries_.front());
    entries_.pop_front();
    ++first_;
  }
}

const Entry& EntryCache::At(Index index) const {
  ARIMA_ASSERT(Has(index), index, first_, next());
  return entries_[index - first_];
}

uint64_t EntryCache::Copy(Index low, Index high, uint64_t bytes_max,
                          std::vector<Entry>* out) const {
  ARIMA_ASSERT(low >= first_ && high <= next() && low < high, low, high, first_, next());
  uint64_t bytes = 0;
  for (Index i = low; i < high; ++i) {
    const Entry& entry = entries_[i - first_];
    if (i > low && bytes + EntryBytes(entry) > bytes_max) break;
    bytes += EntryBytes(entry);
    out->push_back(entry);
  }
  return bytes;
}

void ByteLedger::TruncateFrom(Index index) {
  if (index <= base_) {
    // Nothing known is left; what comes next has the index `index`.
    *this = ByteLedger(index - 1);
    return;
  }
  uint64_t keep = index - base_;  // sums of base_ .. index - 1
  while (sums_.size() > keep) sums_.pop_back();
}

void ByteLedger::DropTo(Index index) {
  while (base_ < index && sums_.size() > 1) {
    sums_.pop_front();
    ++base_;
  }
}

uint64_t ByteLedger::Between(Index low, Index high) const {
  Index end = base_ + (sums_.size() - 1);
  auto sum = [&](Index i) { return sums_[std::clamp(i, base_, end) - base_]; };
  return high > low ? sum(high) - sum(low) : 0;
}

}  // namespace arima::raft
