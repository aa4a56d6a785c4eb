// Notification: something that happens once, and whoever waits for it. Any thread.
//
// Whoever notifies must be sure that it still exists while Notify runs: share it (shared_ptr) with
// whoever waits.
#pragma once

#include <chrono>

#include "base/mutex.h"

namespace arima {

class Notification {
 public:
  void Notify() EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      notified_ = true;
    }
    changed_.NotifyAll();
  }

  void Wait() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (!notified_) changed_.Wait(&mutex_);
  }

  // False: it has not happened within `timeout`. One wait may end a little early or late.
  bool WaitFor(std::chrono::nanoseconds timeout) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (!notified_) {
      if (!changed_.WaitFor(&mutex_, timeout)) return notified_;
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool notified_ GUARDED_BY(mutex_) = false;
};

}  // namespace arima
