#include "base/clock.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace arima {
namespace {

TEST(SystemClock, NeverGoesBack) {
  SystemClock clock;
  uint64_t last = clock.NowNs();
  for (int i = 0; i < 10'000; ++i) {
    uint64_t now = clock.NowNs();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock;
  uint64_t start = clock.NowNs();
  EXPECT_EQ(clock.NowNs(), start);
  clock.Advance(5);
  EXPECT_EQ(clock.NowNs(), start + 5);
  clock.Set(77);
  EXPECT_EQ(clock.NowNs(), 77u);
}

}  // namespace
}  // namespace arima
