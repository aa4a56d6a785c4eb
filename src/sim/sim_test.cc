// Whole runs of the simulator: many seeds must pass, and a seed must give the same run every time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>

#include "base/assert.h"
#include "sim/sim_main.h"
#include "sim/simulator.h"

namespace arima::sim {
namespace {

using ::testing::HasSubstr;

// Sized for about ten seconds in an optimised build and a minute in a checked one.
#ifdef ARIMA_CHECK_INVARIANTS
constexpr uint64_t kSeeds = 600;
#else
constexpr uint64_t kSeeds = 3000;
#endif

uint64_t running_seed = 0;

void PrintSeed() {
  std::fprintf(stderr, "seed %llu; repeat it with: arima sim --seed %llu --trace\n",
               static_cast<unsigned long long>(running_seed),
               static_cast<unsigned long long>(running_seed));
}

SimResult RunSeed(uint64_t seed) {
  running_seed = seed;
  SimOptions options;
  options.seed = seed;
  return sim::Run(options);
}

TEST(Sim, ManySeedsAreSafeAndConvergeAndReplay) {
  SetAssertHook(PrintSeed);
  uint64_t crashes = 0;
  uint64_t leaders = 0;
  uint64_t configurations = 0;
  uint64_t snapshots = 0;
  uint64_t reads = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimResult result = RunSeed(seed);
    ASSERT_TRUE(result.ok) << "seed " << seed << ": " << result.failure
                           << "\nrepeat it with: arima sim --seed " << seed << " --trace";
    if (seed % 100 == 0) {
      ASSERT_EQ(RunSeed(seed).digest, result.digest) << "seed " << seed;
    }
    crashes += result.crashes;
    leaders += result.leaders;
    configurations += result.configurations;
    snapshots += result.snapshots_installed;
    reads += result.reads_served;
  }
  SetAssertHook(nullptr);
  // A simulator in which nothing happens passes every check.
  EXPECT_GT(crashes, kSeeds);
  EXPECT_GT(leaders, kSeeds);
  EXPECT_GT(configurations, 2 * kSeeds);
  EXPECT_GT(snapshots, kSeeds / 2);
  EXPECT_GT(reads, kSeeds);
}

TEST(Sim, SeedsDiffer) { EXPECT_NE(RunSeed(1).digest, RunSeed(2).digest); }

TEST(Sim, TraceDoesNotChangeTheRun) {
  SimOptions options;
  options.seed = 3;
  const uint64_t digest = sim::Run(options).digest;
  uint64_t lines = 0;
  options.trace = [&](const std::string&) { ++lines; };
  EXPECT_EQ(sim::Run(options).digest, digest);
  EXPECT_GT(lines, 100u);
}

TEST(Sim, EventsCanBeLimited) {
  SimOptions options;
  options.seed = 4;
  options.events_max = 10'000;
  const SimResult result = sim::Run(options);
  EXPECT_TRUE(result.ok) << result.failure;
  EXPECT_GE(result.events, 10'000u);
}

struct MainResult {
  int code = 0;
  std::string out;
  std::string err;
};

MainResult RunMain(const std::vector<std::string>& args) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = Main(args, out, err);
  return {code, out.str(), err.str()};
}

TEST(SimMain, PrintsOneStableLinePerSeed) {
  const MainResult first = RunMain({"--seeds", "1..3"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("seed 1 ok digest="));
  EXPECT_THAT(first.out, HasSubstr("\nseed 3 ok digest="));
  EXPECT_EQ(RunMain({"--seeds", "1..3", "--level", "0"}).out, first.out);
}

TEST(SimMain, TracesOneSeed) {
  const MainResult result = RunMain({"--seed", "2", "--trace"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("became-leader"));
}

TEST(SimMain, RefusesWrongArguments) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{},
                                             {"--seed"},
                                             {"--seed", "x"},
                                             {"--seed", "1..2"},
                                             {"--seeds", "5..2"},
                                             {"--seed", "1", "--level", "1"},
                                             {"--seed", "1", "--events", "0"},
                                             {"--seeds", "1..2", "--trace"},
                                             {"--sed", "1"}}) {
    const MainResult result = RunMain(args);
    EXPECT_EQ(result.code, 2);
    EXPECT_THAT(result.err, HasSubstr("usage"));
  }
}

}  // namespace
}  // namespace arima::sim
