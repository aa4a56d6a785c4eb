#include "check/configuration_set.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace arima::check {
namespace {

TEST(ConfigurationSet, TellsNewRowsFromKnownOnes) {
  ConfigurationSet set(2);
  EXPECT_TRUE(set.Insert(std::array<uint64_t, 2>{1, 2}));
  EXPECT_TRUE(set.Insert(std::array<uint64_t, 2>{2, 1}));
  EXPECT_FALSE(set.Insert(std::array<uint64_t, 2>{1, 2}));
  EXPECT_EQ(set.size(), 2u);
}

TEST(ConfigurationSet, KeepsRowsWhileItGrows) {
  ConfigurationSet set(3);
  constexpr uint64_t kRows = 10'000;
  for (uint64_t i = 0; i < kRows; ++i) {
    ASSERT_TRUE(set.Insert(std::array<uint64_t, 3>{i, 0, i % 7})) << i;
  }
  for (uint64_t i = 0; i < kRows; ++i) {
    ASSERT_FALSE(set.Insert(std::array<uint64_t, 3>{i, 0, i % 7})) << i;
  }
  EXPECT_TRUE(set.Insert(std::array<uint64_t, 3>{0, 1, 0}));
  EXPECT_EQ(set.size(), kRows + 1);
}

}  // namespace
}  // namespace arima::check
