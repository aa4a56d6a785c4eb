#include "base/mutants.h"

#include <gtest/gtest.h>

namespace arima {
namespace {

#ifdef ARIMA_MUTANTS

TEST(Mutants, OneIsChosenByItsName) {
  EXPECT_TRUE(ChooseMutant("M7"));
  EXPECT_TRUE(ARIMA_MUTANT(7));
  EXPECT_FALSE(ARIMA_MUTANT(8));
  EXPECT_TRUE(ChooseMutant("8"));
  EXPECT_FALSE(ARIMA_MUTANT(7));
  EXPECT_TRUE(ARIMA_MUTANT(8));
}

TEST(Mutants, WhatIsNoMutantChoosesNone) {
  for (const char* name : {"", "M", "M0", "M17", "M999", "M7x", "7M", "-7"}) {
    EXPECT_FALSE(ChooseMutant(name)) << name;
    EXPECT_FALSE(ARIMA_MUTANT(17));
  }
}

#else

TEST(Mutants, OutsideOfTheirBuildThereAreNone) {
  static_assert(!ARIMA_MUTANT(1), "a constant: nothing of a point reaches the program");
}

#endif

}  // namespace
}  // namespace arima
