// Inflights: the window of entry-bearing messages to one peer that are not acknowledged yet.
//
// A ring of (last index, bytes), oldest first. Bounded by count and, softly, by bytes: a message is
// refused only when the bytes already reached the limit, so a single message larger than the limit
// still goes out. Owner: Progress, core thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "raft/types.h"

namespace arima::raft {

class Inflights {
 public:
  Inflights(uint32_t count_max, uint64_t bytes_max) : count_max_(count_max), bytes_max_(bytes_max) {
    ARIMA_ASSERT(count_max > 0);
  }

  // The peer may ask for less than the own limit; 0 = no wish.
  void LimitBytes(uint64_t bytes) { bytes_wish_ = bytes; }

  bool Full() const { return count_ == count_max_ || (count_ > 0 && bytes_ >= ByteLimit()); }

  void Add(Index last, uint64_t bytes) {
    ARIMA_ASSERT(!Full(), count_, bytes_);
    ARIMA_ASSERT(count_ == 0 || At(count_ - 1).last < last, last);
    if (count_ == ring_.size()) Grow();
    ring_[(head_ + count_) % ring_.size()] = {last, bytes};
    ++count_;
    bytes_ += bytes;
  }

  // Frees everything up to `index`.
  void FreeTo(Index index) {
    while (count_ > 0 && ring_[head_].last <= index) {
      bytes_ -= ring_[head_].bytes;
      head_ = (head_ + 1) % ring_.size();
      --count_;
    }
  }

  void Reset() {
    head_ = 0;
    count_ = 0;
    bytes_ = 0;
  }

  uint32_t count() const { return count_; }
  uint64_t byte_limit() const { return ByteLimit(); }
  uint64_t bytes() const { return bytes_; }

  struct Item {
    Index last;
    uint64_t bytes = 0;
  };
  // 0 = oldest.
  const Item& At(uint32_t i) const { return ring_[(head_ + i) % ring_.size()]; }

 private:
  uint64_t ByteLimit() const {
    return bytes_wish_ != 0 && bytes_wish_ < bytes_max_ ? bytes_wish_ : bytes_max_;
  }

  void Grow() {
    size_t size = ring_.empty() ? 8 : ring_.size() * 2;
    std::vector<Item> larger(size < count_max_ ? size : count_max_);
    for (uint32_t i = 0; i < count_; ++i) larger[i] = At(i);
    ring_ = std::move(larger);
    head_ = 0;
  }

  uint32_t count_max_;
  uint64_t bytes_max_;
  uint64_t bytes_wish_ = 0;
  std::vector<Item> ring_;
  size_t head_ = 0;
  uint32_t count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace arima::raft
