#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace arima {
namespace {

TEST(BoundedQueue, HandsOutEverythingInOrderAtOnce) {
  BoundedQueue<int> queue(10);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(queue.Push(int{i}));
  EXPECT_EQ(queue.PopAll(), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(queue.TryPopAll().empty());
}

TEST(BoundedQueue, SaysNoWhenTheCostIsReachedAndLeavesTheItemAlone) {
  BoundedQueue<std::unique_ptr<int>> queue(100);
  ASSERT_TRUE(queue.Push(std::make_unique<int>(1), 60));
  auto item = std::make_unique<int>(2);
  auto& untouched = item;
  EXPECT_FALSE(queue.Push(std::move(item), 41));
  ASSERT_NE(untouched, nullptr);
  EXPECT_EQ(*untouched, 2);
  EXPECT_TRUE(queue.Push(std::move(untouched), 40));
  EXPECT_EQ(queue.cost(), 100u);
  EXPECT_EQ(queue.refused(), 1u);
}

TEST(BoundedQueue, LetsOneOversizeItemPassWhenEmpty) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.Push(1, 1000));
  EXPECT_FALSE(queue.Push(2, 1));
  EXPECT_EQ(queue.TryPopAll().size(), 1u);
  EXPECT_TRUE(queue.Push(3, 1000));
}

TEST(BoundedQueue, TakesItsCostBackWithTheItems) {
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.Push(1, 10));
  ASSERT_FALSE(queue.Push(2, 1));
  queue.TryPopAll();
  EXPECT_EQ(queue.cost(), 0u);
  EXPECT_TRUE(queue.Push(2, 10));
}

TEST(BoundedQueue, ClosedRefusesButHandsOutWhatIsQueued) {
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.Push(7));
  EXPECT_FALSE(queue.closed());
  queue.Close();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.Push(8));
  EXPECT_EQ(queue.PopAll(), std::vector<int>{7});
  EXPECT_TRUE(queue.PopAll().empty()) << "closed and drained: must not wait";
}

TEST(BoundedQueue, PopAllForGivesUpWhenNothingComes) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.PopAllFor(std::chrono::milliseconds(1)).empty());
  ASSERT_TRUE(queue.Push(1));
  EXPECT_EQ(queue.PopAllFor(std::chrono::hours(1)).size(), 1u);
}

TEST(BoundedQueue, WaitClosedEndsWithTheTimeOrWithTheQueueAndTakesNothing) {
  BoundedQueue<int> queue(10);
  ASSERT_TRUE(queue.Push(1));
  EXPECT_FALSE(queue.WaitClosed(std::chrono::milliseconds(1)));
  std::thread closer([&] { queue.Close(); });
  while (!queue.WaitClosed(std::chrono::hours(1))) {
  }
  closer.join();
  EXPECT_EQ(queue.PopAll().size(), 1u);
}

TEST(BoundedQueue, CloseWakesASleepingConsumer) {
  BoundedQueue<int> queue(10);
  std::thread consumer([&] { EXPECT_TRUE(queue.PopAll().empty()); });
  queue.Close();
  consumer.join();
}

// Every item that Push took arrives exactly once, and the items of one producer in its order.
TEST(BoundedQueue, LosesAndDoublesNothingBetweenThreads) {
  constexpr uint64_t kProducers = 3;
  constexpr uint64_t kItems = 20'000;
  BoundedQueue<uint64_t> queue(64);
  std::vector<std::thread> producers;
  for (uint64_t p = 0; p < kProducers; ++p) {
    producers.emplace_back([&queue, p] {
      for (uint64_t i = 0; i < kItems; ++i) {
        while (!queue.Push(p * kItems + i)) std::this_thread::yield();
      }
    });
  }
  std::vector<uint64_t> next(kProducers, 0);
  uint64_t received = 0;
  while (received < kProducers * kItems) {
    for (uint64_t item : queue.PopAll()) {
      uint64_t p = item / kItems;
      ASSERT_EQ(item % kItems, next[p]) << "producer " << p;
      ++next[p];
      ++received;
    }
  }
  for (auto& producer : producers) producer.join();
  EXPECT_TRUE(queue.TryPopAll().empty());
}

}  // namespace
}  // namespace arima
