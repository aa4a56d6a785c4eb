// ConfigurationSet: which configurations a search has been in. Each is a row of words, all of one
// length; the rows lie in one block, so that a small one costs few bytes. Grows, never shrinks;
// its user bounds it. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/checksum.h"

namespace arima::check {

class ConfigurationSet {
 public:
  explicit ConfigurationSet(size_t words_per_row)
      : words_per_row_(words_per_row), slots_(kSlotsMin, 0) {}

  // False if it was there. `row` has words_per_row words.
  bool Insert(std::span<const uint64_t> row) {
    ARIMA_DEBUG_ASSERT(row.size() == words_per_row_, row.size(), words_per_row_);
    if ((count_ + 1) * 2 > slots_.size()) Grow();
    size_t& slot = slots_[SlotOf(row)];
    if (slot != 0) return false;
    rows_.insert(rows_.end(), row.begin(), row.end());
    slot = ++count_;
    return true;
  }

  size_t size() const { return count_; }

 private:
  static constexpr size_t kSlotsMin = 256;

  std::span<const uint64_t> Row(size_t number) const {
    return std::span(rows_).subspan((number - 1) * words_per_row_, words_per_row_);
  }

  // Where `row` is, or the free slot where it belongs. At least half of the slots are free.
  size_t SlotOf(std::span<const uint64_t> row) const {
    const std::string_view bytes(reinterpret_cast<const char*>(row.data()), row.size_bytes());
    const size_t mask = slots_.size() - 1;
    size_t slot = Checksum64(bytes) & mask;
    while (slots_[slot] != 0 && !std::ranges::equal(Row(slots_[slot]), row)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  void Grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (size_t number = 1; number <= count_; ++number) slots_[SlotOf(Row(number))] = number;
  }

  size_t words_per_row_;
  std::vector<uint64_t> rows_;
  std::vector<size_t> slots_;  // number of a row, from 1; 0 = free. A power of two many
  size_t count_ = 0;
};

}  // namespace arima::check
