// BoundedQueue<T>: the hand-over between two threads, drained in batches.
//
// Many producers, one consumer. Push never blocks: a full queue says no and the producer has a
// defined answer for that (429, 503, drop). The consumer takes all that is there at once, so
// batches grow by themselves while it is busy; nobody is woken unless the consumer sleeps.
// Cost is what the producer says an item weighs (bytes, or 1 to count items).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace arima {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(uint64_t cost_max) : cost_max_(cost_max) {}

  // False when full or closed; `item` is then untouched. One oversize item passes an empty queue.
  [[nodiscard]] bool Push(T&& item, uint64_t cost = 1) EXCLUDES(mutex_) {
    bool wake = false;
    {
      MutexLock lock(&mutex_);
      if (closed_ || (cost_ != 0 && cost_ + cost > cost_max_)) {
        ++refused_;
        return false;
      }
      cost_ += cost;
      items_.push_back(std::move(item));
      wake = std::exchange(sleeping_, false);
    }
    if (wake) filled_.NotifyOne();
    return true;
  }

  // Takes everything, waiting while the queue is empty. Empty result: closed and drained.
  std::vector<T> PopAll() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (items_.empty() && !closed_) {
      sleeping_ = true;
      filled_.Wait(&mutex_);
    }
    return TakeLocked();
  }

  // As PopAll, but gives up after `timeout` (result empty).
  template <class Duration>
  std::vector<T> PopAllFor(Duration timeout) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (items_.empty() && !closed_) {
      sleeping_ = true;
      filled_.WaitFor(&mutex_, timeout);
      sleeping_ = false;
    }
    return TakeLocked();
  }

  // Takes everything without waiting.
  std::vector<T> TryPopAll() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return TakeLocked();
  }

  // For a consumer that cannot take anything for a while. Returns when the queue is closed, or
  // after `timeout` or a little earlier: whether it is closed.
  template <class Duration>
  bool WaitClosed(Duration timeout) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (!closed_) filled_.WaitFor(&mutex_, timeout);
    return closed_;
  }

  // Refuses further items; what is queued is still handed out.
  void Close() EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      closed_ = true;
    }
    filled_.NotifyAll();
  }

  bool closed() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return closed_;
  }
  uint64_t cost() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return cost_;
  }
  // How often Push said no, for the metric.
  uint64_t refused() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return refused_;
  }

 private:
  std::vector<T> TakeLocked() REQUIRES(mutex_) {
    cost_ = 0;
    return std::exchange(items_, {});
  }

  const uint64_t cost_max_;
  Mutex mutex_;
  CondVar filled_;
  std::vector<T> items_ GUARDED_BY(mutex_);
  uint64_t cost_ GUARDED_BY(mutex_) = 0;
  uint64_t refused_ GUARDED_BY(mutex_) = 0;
  bool sleeping_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace arima
