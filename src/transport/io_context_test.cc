#include "transport/io_context.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace arima::transport {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kLongNs = 20'000 * kMs;  // never reached when things work

TEST(IoLoop, TimersRunInOrderOfTheirTimes) {
  IoLoop loop;
  std::vector<int> ran;
  loop.After(4 * kMs, [&] { ran.push_back(2); });
  loop.After(1 * kMs, [&] { ran.push_back(1); });
  loop.After(8 * kMs, [&] { ran.push_back(3); });
  uint64_t begin_ns = loop.NowNs();
  while (ran.size() < 3) loop.RunOnce(kLongNs);
  EXPECT_EQ(ran, (std::vector{1, 2, 3}));
  EXPECT_GE(loop.NowNs() - begin_ns, 7 * kMs);
}

TEST(IoLoop, ACancelledTimerDoesNotRunEvenWhenItsTimeHasCome) {
  IoLoop loop;
  bool first = false;
  bool second = false;
  IoLoop::TimerId two = 0;
  loop.After(0, [&] {
    first = true;
    loop.Cancel(two);
  });
  two = loop.After(0, [&] { second = true; });
  while (loop.RunOnce(5 * kMs) > 0) {
  }
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  loop.Cancel(two);
  loop.Cancel(0);
}

TEST(IoLoop, RunOnceWaitsNoLongerThanItIsTold) {
  IoLoop loop;
  uint64_t begin_ns = loop.NowNs();
  EXPECT_EQ(loop.RunOnce(0), 0u);
  EXPECT_EQ(loop.RunOnce(3 * kMs), 0u);
  EXPECT_GE(loop.NowNs() - begin_ns, 3 * kMs);
}

TEST(IoLoop, PostedTasksRunInOrderAndNotBeforeRunOnce) {
  IoLoop loop;
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) loop.Post([&ran, i] { ran.push_back(i); });
  EXPECT_TRUE(ran.empty());
  EXPECT_EQ(loop.RunOnce(kLongNs), 3u);
  EXPECT_EQ(ran, (std::vector{0, 1, 2}));
}

TEST(IoLoop, OneRunIsBoundedHoweverBusyItIs) {
  IoLoop loop;
  size_t ran = 0;
  for (size_t i = 0; i < 3 * IoLoop::kCallbacksPerRunMax; ++i) loop.Post([&] { ++ran; });
  loop.RunOnce(kLongNs);
  EXPECT_EQ(ran, IoLoop::kCallbacksPerRunMax);
}

// Each round's value must be visible when the round's wake has ended the wait.
TEST(IoLoop, AWakeFromAnotherThreadEndsTheWaitAndShowsWhatWasDoneBefore) {
  IoLoop loop;
  constexpr int kRounds = 2000;
  std::atomic<int> produced = 0;
  std::atomic<int> consumed = 0;
  std::thread producer([&] {
    for (int i = 1; i <= kRounds; ++i) {
      produced.store(i, std::memory_order_relaxed);
      loop.Wake();
      while (consumed.load(std::memory_order_acquire) < i) std::this_thread::yield();
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    while (produced.load(std::memory_order_relaxed) < i) {
      ASSERT_GT(loop.RunOnce(kLongNs), 0u) << "a wake was lost in round " << i;
    }
    consumed.store(i, std::memory_order_release);
  }
  producer.join();
}

TEST(IoLoop, ManyWakesCostOneCallback) {
  IoLoop loop;
  for (int i = 0; i < 100; ++i) loop.Wake();
  EXPECT_EQ(loop.RunOnce(kLongNs), 1u);
  EXPECT_EQ(loop.RunOnce(0), 0u);
}

TEST(IoLoop, DropsWhatItDidNotRun) {
  auto held = std::make_shared<int>(1);
  {
    IoLoop loop;
    loop.After(kLongNs, [held] {});
    loop.Post([held] {});
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace arima::transport
