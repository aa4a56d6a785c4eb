// EventHeap<T>: events in the order of (virtual time, insertion). One thread.
//
// The insertion counter makes the order total, so that equal times never depend on how the heap is
// laid out: the same pushes give the same pops on every platform.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace arima::sim {

template <class T>
class EventHeap {
 public:
  void Push(uint64_t time_ns, T event) {
    items_.push_back({time_ns, next_order_++, std::move(event)});
    std::push_heap(items_.begin(), items_.end(), Later);
  }

  bool empty() const { return items_.empty(); }
  size_t size() const { return items_.size(); }
  uint64_t NextTime() const {
    ARIMA_ASSERT(!items_.empty());
    return items_.front().time_ns;
  }

  // The next event and its time.
  std::pair<uint64_t, T> Pop() {
    ARIMA_ASSERT(!items_.empty());
    std::pop_heap(items_.begin(), items_.end(), Later);
    std::pair<uint64_t, T> next(items_.back().time_ns, std::move(items_.back().event));
    items_.pop_back();
    return next;
  }

 private:
  struct Item {
    uint64_t time_ns;
    uint64_t order;
    T event;
  };
  static bool Later(const Item& a, const Item& b) {
    return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : a.order > b.order;
  }

  std::vector<Item> items_;
  uint64_t next_order_ = 0;
};

// Values that events refer to by number, so that events stay small. One thread.
template <class T>
class SlotPool {
 public:
  uint32_t Put(T value) {
    if (free_.empty()) {
      slots_.push_back(std::move(value));
      return static_cast<uint32_t>(slots_.size() - 1);
    }
    uint32_t slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::move(value);
    return slot;
  }

  T Take(uint32_t slot) {
    ARIMA_ASSERT(slot < slots_.size(), slot, slots_.size());
    free_.push_back(slot);
    return std::move(slots_[slot]);
  }

  size_t used() const { return slots_.size() - free_.size(); }

 private:
  std::vector<T> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace arima::sim
