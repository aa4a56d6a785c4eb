#include "sim/event_heap.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "sim/swarm.h"

namespace arima::sim {
namespace {

TEST(EventHeap, PopsByTimeAndThenByInsertion) {
  EventHeap<int> heap;
  heap.Push(5, 1);
  heap.Push(3, 2);
  heap.Push(5, 3);
  heap.Push(3, 4);
  std::vector<int> order;
  while (!heap.empty()) order.push_back(heap.Pop().second);
  EXPECT_EQ(order, (std::vector<int>{2, 4, 1, 3}));
}

TEST(EventHeap, RandomPushesComeOutSorted) {
  SeededRandom random(7);
  EventHeap<uint64_t> heap;
  for (uint64_t i = 0; i < 1000; ++i) heap.Push(random.Below(50), i);
  uint64_t last_time = 0;
  uint64_t last = 0;
  while (!heap.empty()) {
    auto [time, value] = heap.Pop();
    ASSERT_GE(time, last_time);
    ASSERT_TRUE(time > last_time || value >= last);
    last_time = time;
    last = value;
  }
}

TEST(SlotPool, ReusesSlots) {
  SlotPool<int> pool;
  const uint32_t a = pool.Put(1);
  const uint32_t b = pool.Put(2);
  EXPECT_NE(a, b);
  EXPECT_EQ(pool.Take(a), 1);
  EXPECT_EQ(pool.used(), 1u);
  EXPECT_EQ(pool.Put(3), a);
  EXPECT_EQ(pool.Take(b), 2);
}

TEST(Swarm, EverySeedGivesAValidConfiguration) {
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SeededRandom random(seed);
    const Swarm swarm = DrawSwarm(&random);
    ASSERT_TRUE(swarm.config.Validate()) << "seed " << seed;
    ASSERT_GE(swarm.voters, 1u);
    ASSERT_LE(swarm.voters, 7u);
    ASSERT_LT(swarm.members_max, 64u) << "partitions are drawn as 64 bits";
  }
}

TEST(Swarm, DelaysAreAboutTheirMean) {
  SeededRandom random(3);
  uint64_t sum = 0;
  constexpr uint64_t kDraws = 20'000;
  for (uint64_t i = 0; i < kDraws; ++i) sum += DrawDelay(&random, 1000);
  EXPECT_GT(sum / kDraws, 500u);
  EXPECT_LT(sum / kDraws, 1500u);
  EXPECT_EQ(DrawDelay(&random, 0), 1u);
}

}  // namespace
}  // namespace arima::sim
