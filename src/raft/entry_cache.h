// EntryCache: the newest entries of the log, in memory, bounded by bytes.
//
// A contiguous run that ends at the last index of the log. Peers that keep up, the log writer and
// the applier are served from it; what was evicted is loaded from disk by the driver. Payloads are
// shared, so an entry costs its bookkeeping once and its bytes once.
//
// ByteLedger: how many payload bytes lie between two indexes, by subtraction of running sums, so
// that limits on uncommitted and unapplied bytes are exact.
//
// Owner: LogView, core thread.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "raft/types.h"

namespace arima::raft {

// What an entry counts against limits on messages, windows and memory.
inline constexpr uint64_t kEntryOverheadBytes = 48;
inline uint64_t EntryBytes(const Entry& entry) {
  return entry.payload.size() + kEntryOverheadBytes;
}

class EntryCache {
 public:
  // Empty; the next entry is `next`.
  explicit EntryCache(Index next = Index(1)) : first_(next) {}

  void Reset(Index next);
  // entry.index must be next().
  void Append(Entry entry);
  // Drops `index` and everything above it. Below first(): empty, and the next entry is `index`.
  void TruncateFrom(Index index);
  // Drops everything below `index`.
  void DropBelow(Index index);
  // Drops the oldest entries, none above `keep_above`, until at most `limit` bytes are left.
  void EvictTo(uint64_t limit, Index keep_above);

  Index first() const { return first_; }
  Index next() const { return first_ + entries_.size(); }
  bool Has(Index index) const { return index >= first_ && index < next(); }
  const Entry& At(Index index) const;
  uint64_t bytes() const { return bytes_; }

  // Appends entries from `low` on, at most up to `high` (exclusive), to `out`: at least one, then
  // as many as fit in `bytes_max` altogether. Returns their bytes. low and high - 1 are held.
  uint64_t Copy(Index low, Index high, uint64_t bytes_max, std::vector<Entry>* out) const;

 private:
  Index first_;
  std::deque<Entry> entries_;
  uint64_t bytes_ = 0;
};

class ByteLedger {
 public:
  // Sizes above `base` are known, at or below it they count as 0.
  explicit ByteLedger(Index base = {}) : base_(base), sums_{0} {}

  void Append(uint64_t bytes) { sums_.push_back(sums_.back() + bytes); }
  void TruncateFrom(Index index);
  void DropTo(Index index);
  // Bytes of (low, high].
  uint64_t Between(Index low, Index high) const;

 private:
  Index base_;
  std::deque<uint64_t> sums_;  // sums_[i] = bytes of (origin, base_ + i]; never empty
};

}  // namespace arima::raft
