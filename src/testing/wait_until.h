// Test-only: waits for a fact of other threads. A fact that does not come ends the test program, so
// that what hangs is named, by its line, long before the time limit of the whole.
//
// Thread rule: any. The condition is called on the calling thread, every millisecond or so: who
// waits leaves the processor to those it waits for.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <thread>

namespace arima {

// Longer than anything takes on the slowest build of a busy machine.
inline constexpr std::chrono::seconds kWaitMax{120};

template <class Condition>
void WaitUntil(Condition condition, std::source_location where = std::source_location::current()) {
  const auto deadline = std::chrono::steady_clock::now() + kWaitMax;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      std::fprintf(stderr, "%s:%u: what is waited for here did not come\n", where.file_name(),
                   static_cast<unsigned>(where.line()));
      std::abort();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace arima
