#include "simserver/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sim/minimize.h"
#include "sim/sim_main.h"

namespace arima::simserver {
namespace {

sim::SimOptions Seed(uint64_t seed) {
  sim::SimOptions options;
  options.level = 2;
  options.seed = seed;
  return options;
}

Outcome RunSeed(uint64_t seed) { return Simulation(Seed(seed)).Run(); }

class ServerSimulationSeeds : public ::testing::TestWithParam<uint64_t> {};

TEST_P(ServerSimulationSeeds, HoldsItsPromises) {
  const Outcome outcome = RunSeed(GetParam());
  EXPECT_TRUE(outcome.ok) << "arima sim --level 2 --seed " << GetParam() << " --trace\n"
                          << outcome.failure;
}

INSTANTIATE_TEST_SUITE_P(First, ServerSimulationSeeds, ::testing::Range<uint64_t>(1, 13));

// A simulator in which nothing happens finds nothing. The bounds are about half of what these seeds
// do.
TEST(ServerSimulation, ALotHappens) {
  Outcome sum;
  for (uint64_t seed = 200; seed < 240; ++seed) {
    const Outcome outcome = RunSeed(seed);
    EXPECT_TRUE(outcome.ok) << "arima sim --level 2 --seed " << seed << " --trace\n"
                            << outcome.failure;
    sum.leaders += outcome.leaders;
    sum.kills += outcome.kills;
    sum.joins += outcome.joins;
    sum.snapshots += outcome.snapshots;
    sum.damages += outcome.damages;
    sum.damages_found += outcome.damages_found;
    sum.configurations += outcome.configurations;
    sum.writes += outcome.writes;
    sum.reads += outcome.reads;
    sum.states_compared += outcome.states_compared;
    for (const auto& [fault, times] : outcome.happened) sum.happened[fault] += times;
  }
  EXPECT_GT(sum.leaders, 24u);
  EXPECT_GT(sum.kills, 29u);
  EXPECT_GT(sum.joins, 18u);
  EXPECT_GT(sum.snapshots, 3u);
  EXPECT_GT(sum.damages, 2u);
  EXPECT_GT(sum.damages_found, 0u);
  EXPECT_GT(sum.configurations, 48u);
  EXPECT_GT(sum.writes, 1900u);
  EXPECT_GT(sum.reads, 1700u);
  EXPECT_GT(sum.states_compared, 700u);
  for (const std::string_view fault :
       {"power-loss", "kill", "stop", "wipe", "damage", "partition", "pause", "reset", "removal",
        "transfer", "address-change", "stray", "sync-error", "disk-full", "stall"}) {
    EXPECT_GT(sum.happened[fault], 0u) << fault;
  }
}

TEST(ServerSimulation, TheSameSeedGivesTheSameRun) {
  for (uint64_t seed = 100; seed < 103; ++seed) {
    const Outcome first = RunSeed(seed);
    const Outcome second = RunSeed(seed);
    EXPECT_EQ(Figures(first), Figures(second)) << "seed " << seed;
    EXPECT_EQ(first.digests, second.digests) << "seed " << seed << ", every 10,000 events";
    EXPECT_EQ(first.digests.size(), first.events / sim::kDigestEvery);
  }
}

// As at the other levels (src/sim/sim_test.cc).
TEST(ServerSimulation, EveryBuildGivesTheDigestsOfTestdata) {
  std::ifstream golden(ARIMA_SOURCE_DIR "/testdata/digests.txt");
  std::string level;
  std::string seeds;
  std::string digest;
  ASSERT_TRUE(golden >> level >> seeds >> digest);
  std::ostringstream out;
  std::ostringstream err;
  const int code = sim::MainWith({"--quiet", "--level", level, "--seeds", seeds}, out, err,
                                 {sim::CoreLevel(), sim::CoreLevel(), NodeLevel()});
  EXPECT_EQ(code, 0) << err.str();
  EXPECT_THAT(out.str(), ::testing::EndsWith(" digest=" + digest + "\n"))
      << "if the change is meant: script/sim_digests";
}

TEST(ServerSimulation, TraceDoesNotChangeTheRun) {
  sim::SimOptions options = Seed(3);
  uint64_t lines = 0;
  options.trace = [&](const std::string&) { ++lines; };
  EXPECT_EQ(Simulation(options).Run().digest, RunSeed(3).digest);
  EXPECT_GT(lines, 100u);
}

TEST(ServerSimulation, UntilEndsTheRun) {
  for (const uint64_t until_ms : {1u, 700u, 3000u}) {
    sim::SimOptions options = Seed(6);
    options.until_ms = until_ms;
    const Outcome outcome = Simulation(options).Run();
    EXPECT_TRUE(outcome.ok) << outcome.failure;
    EXPECT_EQ(outcome.virtual_ms, until_ms);
  }
}

TEST(ServerSimulation, OverridesTakeAwayWhatTheyName) {
  sim::SimOptions options = Seed(5);
  options.overrides = {sim::NamesOf(FaultClasses()), 5000, 1, 1};
  const Outcome outcome = Simulation(options).Run();
  EXPECT_TRUE(outcome.ok) << outcome.failure;
  EXPECT_EQ(outcome.kills, 0u);
  EXPECT_EQ(outcome.machines, 1u);
  EXPECT_TRUE(NodeLevel().extent(options).faults.empty());
  EXPECT_EQ(NodeLevel().extent(options).clients, 1u);
}

// A product that fails whenever a machine is killed, two are there, and two clients.
TEST(ServerSimulation, MinimizeFindsTheSmallestFailingRun) {
  sim::Level faulty = NodeLevel();
  faulty.run = [](const sim::SimOptions& options) {
    const Swarm swarm = NodeSwarmOf(options);
    sim::SimResult result;
    result.events = swarm.events_max;
    result.ok = !swarm.kill || swarm.machines < 2 || swarm.clients < 2 || result.events < 900;
    if (!result.ok) result.failure = "I99 gravity: n1 floats";
    return result;
  };
  sim::SimOptions options = Seed(1);
  while (faulty.run(options).ok) ++options.seed;
  const sim::Minimized smallest = sim::Minimize(options, faulty);
  EXPECT_EQ(sim::ToFlags(smallest.options.overrides),
            sim::ToFlags({smallest.options.overrides.without, 900, 2, 2}));
  EXPECT_EQ(faulty.extent(smallest.options).faults, std::vector<std::string>{"kill"});
}

TEST(ServerSimulation, DifferentSeedsGiveDifferentRuns) {
  EXPECT_NE(RunSeed(1).digest, RunSeed(2).digest);
}

}  // namespace
}  // namespace arima::simserver
