// Time comes in through this interface only, so that the simulator owns it.
#pragma once

#include <cstdint>

namespace arima {

class Clock {
 public:
  virtual ~Clock() = default;

  // Monotonic nanoseconds since an arbitrary start; counts time spent suspended. Any thread.
  virtual uint64_t NowNs() = 0;
};

// CLOCK_BOOTTIME of this machine.
class SystemClock final : public Clock {
 public:
  uint64_t NowNs() override;
};

// A clock that moves only when told to. For tests and the simulator.
class ManualClock final : public Clock {
 public:
  uint64_t NowNs() override { return now_ns_; }
  void Advance(uint64_t ns) { now_ns_ += ns; }
  void Set(uint64_t ns) { now_ns_ = ns; }

 private:
  uint64_t now_ns_ = 1'000'000'000;
};

}  // namespace arima
