// RateLimiter: a token bucket that several senders share, so that all snapshots together stay below
// a rate. Who takes more than there is goes into debt and waits until it is paid; so one that asks
// for much does not starve the others, and the order of asking is the order of going on.
//
// Time and waiting come in through interfaces: tests move a ManualClock instead of waiting.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/error.h"
#include "base/mutex.h"

namespace arima::snapshot {

// How one sender waits.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Returns when about `ns` have passed, or false as soon as the wait is cancelled.
  virtual bool Wait(uint64_t ns) = 0;
};

// Waits for real. Cancel, from any thread, ends a wait and all later ones.
class CancellableWaiter final : public Waiter {
 public:
  bool Wait(uint64_t ns) override EXCLUDES(mutex_);
  void Cancel() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  CondVar cancelled_changed_;
  bool cancelled_ GUARDED_BY(mutex_) = false;
};

// Any thread.
class RateLimiter {
 public:
  // `bytes_per_s` and `burst_bytes` (what may go at once after a pause) are above 0. `clock` must
  // outlive this.
  RateLimiter(Clock& clock, uint64_t bytes_per_s, uint64_t burst_bytes);

  // Takes `bytes` and waits until they may go. kUnavailable: `waiter` was cancelled.
  Status Take(uint64_t bytes, Waiter& waiter) EXCLUDES(mutex_);

 private:
  // Takes at once; how long to wait for it, in nanoseconds.
  uint64_t TakeNow(uint64_t bytes) EXCLUDES(mutex_);

  Clock& clock_;
  const double bytes_per_ns_;
  const double burst_bytes_;
  Mutex mutex_;
  double tokens_ GUARDED_BY(mutex_);  // <= burst_bytes_; below 0 is debt
  uint64_t filled_at_ns_ GUARDED_BY(mutex_);
};

}  // namespace arima::snapshot
