#include "snapshot/rate_limiter.h"

#include <algorithm>
#include <chrono>

#include "base/assert.h"

namespace arima::snapshot {

bool CancellableWaiter::Wait(uint64_t ns) {
  MutexLock lock(&mutex_);
  // A wake without a reason ends the wait early; the limiter's sums come out right all the same.
  if (!cancelled_) cancelled_changed_.WaitFor(&mutex_, std::chrono::nanoseconds(ns));
  return !cancelled_;
}

void CancellableWaiter::Cancel() {
  {
    MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  cancelled_changed_.NotifyAll();
}

RateLimiter::RateLimiter(Clock& clock, uint64_t bytes_per_s, uint64_t burst_bytes)
    : clock_(clock),
      bytes_per_ns_(static_cast<double>(bytes_per_s) / 1e9),
      burst_bytes_(static_cast<double>(burst_bytes)),
      tokens_(burst_bytes_),
      filled_at_ns_(clock.NowNs()) {
  ARIMA_ASSERT(bytes_per_s > 0 && burst_bytes > 0, bytes_per_s, burst_bytes);
}

Status RateLimiter::Take(uint64_t bytes, Waiter& waiter) {
  // Who has waited has paid: a debt is turned into time once, not looked at again.
  const uint64_t wait_ns = TakeNow(bytes);
  if (wait_ns == 0 || waiter.Wait(wait_ns)) return {};
  return Fail(Code::kUnavailable, "wait for the rate limit of snapshots: cancelled");
}

uint64_t RateLimiter::TakeNow(uint64_t bytes) {
  MutexLock lock(&mutex_);
  const uint64_t now_ns = clock_.NowNs();
  if (now_ns > filled_at_ns_) {
    tokens_ = std::min(burst_bytes_,
                       tokens_ + static_cast<double>(now_ns - filled_at_ns_) * bytes_per_ns_);
    filled_at_ns_ = now_ns;
  }
  tokens_ -= static_cast<double>(bytes);
  return tokens_ >= 0 ? 0 : static_cast<uint64_t>(-tokens_ / bytes_per_ns_) + 1;
}

}  // namespace arima::snapshot
