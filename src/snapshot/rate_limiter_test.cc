// The token bucket over a clock that moves when told to.
#include "snapshot/rate_limiter.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace arima::snapshot {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

// Notes how long it was asked to wait, and waits by moving the clock.
class NotingWaiter final : public Waiter {
 public:
  explicit NotingWaiter(ManualClock& clock) : clock_(clock) {}
  bool Wait(uint64_t ns) override {
    waited.push_back(ns);
    if (!cancelled) clock_.Advance(ns);
    return !cancelled;
  }
  std::vector<uint64_t> waited;
  bool cancelled = false;

 private:
  ManualClock& clock_;
};

// Waits for nothing: others go on at the same time.
class HeldWaiter final : public Waiter {
 public:
  bool Wait(uint64_t ns) override {
    waited_ns += ns;
    return true;
  }
  uint64_t waited_ns = 0;
};

class RateLimiterTest : public ::testing::Test {
 protected:
  ManualClock clock_;
  RateLimiter limiter_{clock_, 1000, 500};  // bytes a second, bytes at once
  NotingWaiter waiter_{clock_};
};

TEST_F(RateLimiterTest, TheBurstGoesAtOnceAndThenEachByteCostsItsTime) {
  ASSERT_TRUE(limiter_.Take(500, waiter_));
  EXPECT_TRUE(waiter_.waited.empty());
  ASSERT_TRUE(limiter_.Take(250, waiter_));
  ASSERT_EQ(waiter_.waited.size(), 1u);
  EXPECT_NEAR(static_cast<double>(waiter_.waited[0]), 0.25e9, 10);
}

TEST_F(RateLimiterTest, APauseFillsUpToTheBurstAndNoFurther) {
  ASSERT_TRUE(limiter_.Take(500, waiter_));
  clock_.Advance(kSecondNs / 10);
  ASSERT_TRUE(limiter_.Take(100, waiter_));
  EXPECT_TRUE(waiter_.waited.empty()) << "100 came back in a tenth of a second";
  clock_.Advance(1000 * kSecondNs);
  ASSERT_TRUE(limiter_.Take(500, waiter_));
  EXPECT_TRUE(waiter_.waited.empty());
  ASSERT_TRUE(limiter_.Take(1, waiter_));
  EXPECT_EQ(waiter_.waited.size(), 1u) << "not more than the burst was saved";
}

TEST_F(RateLimiterTest, OverALongTimeItIsTheRate) {
  const uint64_t begin_ns = clock_.NowNs();
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(limiter_.Take(i % 97 + 1, waiter_));
    bytes += i % 97 + 1;
  }
  const double seconds = static_cast<double>(clock_.NowNs() - begin_ns) / 1e9;
  EXPECT_NEAR(seconds, static_cast<double>(bytes - 500) / 1000, 0.001);
}

TEST_F(RateLimiterTest, MoreThanTheBurstIsADebtThatLaterOnesWaitFor) {
  HeldWaiter first;
  HeldWaiter second;
  ASSERT_TRUE(limiter_.Take(2500, first));
  EXPECT_NEAR(static_cast<double>(first.waited_ns), 2e9, 10);
  ASSERT_TRUE(limiter_.Take(1, second));
  EXPECT_NEAR(static_cast<double>(second.waited_ns), 2.001e9, 10) << "behind the first";
}

TEST_F(RateLimiterTest, ACancelledWaitIsAnError) {
  waiter_.cancelled = true;
  ASSERT_TRUE(limiter_.Take(500, waiter_)) << "nothing to wait for";
  EXPECT_EQ(limiter_.Take(1, waiter_).error().code, Code::kUnavailable);
}

TEST_F(RateLimiterTest, AClockThatStandsOrGoesBackGivesNothing) {
  ASSERT_TRUE(limiter_.Take(500, waiter_));
  clock_.Set(clock_.NowNs() - kSecondNs);
  HeldWaiter held;
  ASSERT_TRUE(limiter_.Take(100, held));
  EXPECT_NEAR(static_cast<double>(held.waited_ns), 0.1e9, 10);
}

TEST(CancellableWaiter, CancelEndsAWaitAndAllLaterOnes) {
  CancellableWaiter waiter;
  std::thread waiting([&] {
    // Wakes without a reason are allowed; the end is Cancel.
    while (waiter.Wait(3600 * kSecondNs)) {
    }
  });
  waiter.Cancel();
  waiting.join();
  EXPECT_FALSE(waiter.Wait(3600 * kSecondNs));
}

TEST(CancellableWaiter, WaitsAboutAsLongAsItShould) {
  CancellableWaiter waiter;
  SystemClock clock;
  const uint64_t begin_ns = clock.NowNs();
  while (clock.NowNs() < begin_ns + 1'000'000) ASSERT_TRUE(waiter.Wait(1'000'000));
}

}  // namespace
}  // namespace arima::snapshot
