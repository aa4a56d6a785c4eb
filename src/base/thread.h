// Thread and SleepFor: the only way to a thread, and to a pause, in the folders that the simulator
// runs; base/runtime.h stands behind them there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

#include "base/runtime.h"

namespace arima {

// As std::thread. Thread rule: one owner.
class Thread {
 public:
  Thread() = default;
  explicit Thread(std::move_only_function<void()> body);
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;  // this one is not joinable (asserted)
  ~Thread();                                   // likewise

  // Started and not joined yet; false after its simulated process died.
  bool joinable() const;
  void Join();

 private:
  std::thread thread_;
  Runtime::ThreadId id_ = 0;  // of a runtime's thread
};

void SleepForNs(uint64_t ns);

template <class Duration>
void SleepFor(Duration duration) {
  SleepForNs(static_cast<uint64_t>(std::chrono::nanoseconds(duration).count()));
}

}  // namespace arima
