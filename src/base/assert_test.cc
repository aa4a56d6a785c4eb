#include "base/assert.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

namespace arima {
namespace {

TEST(AssertDeathTest, NamesTheConditionThePlaceAndTheValues) {
  uint64_t commit = 9;
  uint64_t last = 7;
  EXPECT_DEATH(ARIMA_ASSERT(commit <= last, commit, last),
               "assertion failed: commit <= last at .*assert_test\\.cc:[0-9]+ "
               "with \\(commit, last\\) = \\(9, 7\\)");
}

TEST(AssertDeathTest, NeedsNoValues) {
  bool open = false;
  EXPECT_DEATH(ARIMA_ASSERT(open), "assertion failed: open at ");
}

TEST(AssertDeathTest, RunsTheHookBeforeItEnds) {
  EXPECT_DEATH(
      {
        SetAssertHook([] { std::fprintf(stderr, "seed 42\n"); });
        ARIMA_ASSERT(1 + 1 == 3);
      },
      "1 \\+ 1 == 3(.|\n)*seed 42");
}

TEST(AssertDeathTest, AFailureInsideTheHookDoesNotLoop) {
  EXPECT_DEATH(
      {
        SetAssertHook([] { ARIMA_ASSERT(false && "in the hook"); });
        ARIMA_ASSERT(false && "outside");
      },
      "outside(.|\n)*in the hook");
}

TEST(Assert, EvaluatesItsConditionOnceAndItsValuesOnlyOnFailure) {
  int conditions = 0;
  int values = 0;
  ARIMA_ASSERT(++conditions == 1, ++values);
  EXPECT_EQ(conditions, 1);
  EXPECT_EQ(values, 0);
}

#ifdef ARIMA_CHECK_INVARIANTS
TEST(AssertDeathTest, CostlyChecksRunInTestBuilds) {
  EXPECT_DEATH(ARIMA_DEBUG_ASSERT(2 < 1), "assertion failed: 2 < 1");
}
#else
TEST(Assert, CostlyChecksCostNothingInReleaseBuilds) {
  int evaluated = 0;
  ARIMA_DEBUG_ASSERT(++evaluated == 0);
  EXPECT_EQ(evaluated, 0);
}
#endif

}  // namespace
}  // namespace arima
