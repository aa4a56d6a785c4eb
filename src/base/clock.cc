#include "base/clock.h"

#include <ctime>

#include "base/assert.h"

namespace arima {

uint64_t SystemClock::NowNs() {
  timespec now{};
  int failed = clock_gettime(CLOCK_BOOTTIME, &now);
  ARIMA_ASSERT(failed == 0);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace arima
