#include "base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace arima {
namespace {

// A seed printed by a failed run must give the same run on any machine and in any later version.
TEST(SeededRandom, GivesTheKnownSequenceOfSplitmix64) {
  SeededRandom random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);
  EXPECT_EQ(random.Next(), 3203168211198807973u);
  EXPECT_EQ(random.Next(), 9817491932198370423u);
}

TEST(SeededRandom, IsDeterminedByItsState) {
  SeededRandom a(7);
  for (int i = 0; i < 100; ++i) a.Next();
  SeededRandom b(a.state());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(a.Next(), b.Next()) << i;
}

TEST(SeededRandom, DiffersBetweenNeighbouringSeeds) {
  EXPECT_NE(SeededRandom(1).Next(), SeededRandom(2).Next());
}

TEST(SeededRandom, StaysInItsBoundsAndReachesBothEnds) {
  SeededRandom random(99);
  std::array<int, 6> seen{};
  for (int i = 0; i < 6000; ++i) {
    uint64_t v = random.Between(10, 15);
    ASSERT_GE(v, 10u);
    ASSERT_LE(v, 15u);
    ++seen[v - 10];
  }
  for (int count : seen) EXPECT_GT(count, 800) << "should be about 1000 each";
  EXPECT_EQ(random.Between(3, 3), 3u);
  EXPECT_EQ(random.Below(1), 0u);
}

TEST(SeededRandom, PercentCoversNeverToAlways) {
  SeededRandom random(5);
  int half = 0;
  for (int i = 0; i < 2000; ++i) {
    ASSERT_FALSE(random.Percent(0));
    ASSERT_TRUE(random.Percent(100));
    half += random.Percent(50);
  }
  EXPECT_GT(half, 850);
  EXPECT_LT(half, 1150);
}

TEST(SystemRandom, MakesDistinctIdentities) {
  Uuid a = SystemRandomUuid();
  Uuid b = SystemRandomUuid();
  EXPECT_NE(a, b);
  EXPECT_FALSE(a.IsZero());
  EXPECT_TRUE(Uuid{}.IsZero());
  EXPECT_NE(SystemRandom64(), SystemRandom64());
}

}  // namespace
}  // namespace arima
