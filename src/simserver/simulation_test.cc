#include "simserver/simulation.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace arima::simserver {
namespace {

Outcome RunSeed(uint64_t seed) {
  Options options;
  options.seed = seed;
  Simulation simulation(options);
  return simulation.Run();
}

class ServerSimulationSeeds : public ::testing::TestWithParam<uint64_t> {};

TEST_P(ServerSimulationSeeds, HoldsItsPromises) {
  const Outcome outcome = RunSeed(GetParam());
  EXPECT_TRUE(outcome.ok) << "arima sim --level 2 --seed " << GetParam() << " --trace\n"
                          << outcome.failure;
}

INSTANTIATE_TEST_SUITE_P(First, ServerSimulationSeeds, ::testing::Range<uint64_t>(1, 25));

TEST(ServerSimulation, TheSameSeedGivesTheSameRun) {
  for (uint64_t seed = 100; seed < 108; ++seed) {
    EXPECT_EQ(Summary(RunSeed(seed)), Summary(RunSeed(seed))) << "seed " << seed;
  }
}

TEST(ServerSimulation, DifferentSeedsGiveDifferentRuns) {
  EXPECT_NE(RunSeed(1).digest, RunSeed(2).digest);
}

}  // namespace
}  // namespace arima::simserver
