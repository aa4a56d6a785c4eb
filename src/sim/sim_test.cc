// Whole runs of the simulator: many seeds must pass, and a seed must give the same run every time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "base/assert.h"
#include "sim/minimize.h"
#include "sim/sim_main.h"
#include "sim/simulator.h"

namespace arima::sim {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

// Sized for about ten seconds in an optimised build and a minute in a checked one.
#ifdef ARIMA_CHECK_INVARIANTS
constexpr uint64_t kSeeds = 600;
constexpr uint64_t kLogSeeds = 150;
#else
constexpr uint64_t kSeeds = 3000;
constexpr uint64_t kLogSeeds = 1000;
#endif

SimOptions running;

void PrintSeed() {
  std::fprintf(stderr, "repeat it with: arima sim --seed %llu --level %u --trace\n",
               static_cast<unsigned long long>(running.seed), running.level);
}

SimResult RunSeed(uint64_t seed, uint32_t level = 0) {
  running.seed = seed;
  running.level = level;
  return sim::Run(running);
}

// The counters of all runs; every hundredth run is repeated.
SimResult RunSeeds(uint64_t seeds, uint32_t level) {
  SetAssertHook(PrintSeed);
  SimResult sum;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const SimResult result = RunSeed(seed, level);
    EXPECT_TRUE(result.ok) << "seed " << seed << ": " << result.failure
                           << "\nrepeat it with: arima sim --seed " << seed << " --level " << level
                           << " --trace";
    if (!result.ok) break;
    if (seed % 100 == 0) {
      EXPECT_EQ(RunSeed(seed, level).digest, result.digest) << "seed " << seed;
    }
    sum.crashes += result.crashes;
    sum.leaders += result.leaders;
    sum.configurations += result.configurations;
    sum.snapshots_installed += result.snapshots_installed;
    sum.reads_served += result.reads_served;
    sum.lost_members += result.lost_members;
    sum.log += result.log;
    for (const auto& [fault, times] : result.happened) sum.happened[fault] += times;
  }
  SetAssertHook(nullptr);
  for (const std::string_view fault :
       {"power-loss", "crash", "pause", "partition", "compaction", "leader-lost", "transfer",
        "forget-leader", "disk-low", "snapshot-failure", "stays-down"}) {
    EXPECT_GT(sum.happened[fault], seeds / 10) << fault;
  }
  return sum;
}

// A simulator in which nothing happens passes every check.
TEST(Sim, ManySeedsAreSafeAndConvergeAndReplay) {
  const SimResult sum = RunSeeds(kSeeds, 0);
  EXPECT_GT(sum.crashes, kSeeds);
  EXPECT_GT(sum.leaders, kSeeds);
  EXPECT_GT(sum.configurations, 2 * kSeeds);
  EXPECT_GT(sum.snapshots_installed, kSeeds / 2);
  EXPECT_GT(sum.reads_served, kSeeds);
}

TEST(Sim, ManySeedsOnLogsAreSafeAndConvergeAndReplay) {
  const SimResult sum = RunSeeds(kLogSeeds, 1);
  EXPECT_GT(sum.crashes, kLogSeeds);
  EXPECT_GT(sum.log.rolls, 5 * kLogSeeds);
  EXPECT_GT(sum.log.recoveries, 5 * kLogSeeds);
  EXPECT_GT(sum.log.torn, kLogSeeds / 20);
  EXPECT_GT(sum.log.clone_checks, kLogSeeds);
  EXPECT_GT(sum.log.damages, kLogSeeds / 20);
  EXPECT_GT(sum.log.corruptions, kLogSeeds / 100);
  EXPECT_GT(sum.log.salvaged, 0u);
  EXPECT_GT(sum.log.io_errors, kLogSeeds / 10);
  EXPECT_GT(sum.log.full_disks, 0u);
  EXPECT_GT(sum.log.killed_starts, kLogSeeds / 20);
  // Rare: the fewer seeds of slow builds have none.
  if (kLogSeeds >= 1000) {
    EXPECT_GT(sum.lost_members, 0u);
  }
}

// The digests of these runs are the same in every build type and from every compiler. They change
// with each change of the core or of the simulator: script/sim_digests writes them anew.
TEST(Sim, EveryBuildGivesTheDigestsOfTestdata) {
  std::ifstream golden(ARIMA_SOURCE_DIR "/testdata/digests.txt");
  uint64_t lines = 0;
  for (std::string level, seeds, digest; golden >> level >> seeds >> digest; ++lines) {
    const MainResult result = RunMain({"--quiet", "--level", level, "--seeds", seeds});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, EndsWith(" digest=" + digest + "\n"))
        << "if the change is meant: script/sim_digests";
  }
  EXPECT_EQ(lines, kLevelMax + 1);
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
  options.overrides.events = 10'000;
  const SimResult result = sim::Run(options);
  EXPECT_TRUE(result.ok) << result.failure;
  EXPECT_GE(result.events, 10'000u);
}

TEST(SimMain, PrintsOneStableLinePerSeed) {
  const MainResult first = RunMain({"--seeds", "1..3"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("seed 1 ok digest="));
  EXPECT_THAT(first.out, HasSubstr("\nseed 3 ok digest="));
  EXPECT_EQ(RunMain({"--seeds", "1..3", "--level", "0"}).out, first.out);
}

TEST(SimMain, TheLastLineSumsUpAllSeeds) {
  const MainResult result = RunMain({"--seeds", "1..3", "--quiet"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("ok level=0 seeds=3 failed=0 events="));
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1);
  const MainResult other = RunMain({"--seeds", "1..4", "--quiet"});
  EXPECT_NE(other.out.substr(other.out.find("digest=")),
            result.out.substr(result.out.find("digest=")));
}

TEST(SimMain, OverridesTakeAwayWhatTheyName) {
  SimOptions options;
  options.seed = 5;
  options.overrides.without = NamesOf(FaultClasses());
  options.overrides.clients = 1;
  options.overrides.voters = 1;
  const SimResult result = sim::Run(options);
  EXPECT_TRUE(result.ok) << result.failure;
  EXPECT_EQ(result.crashes, 0u);
  EXPECT_EQ(result.nodes, 1u);
  EXPECT_TRUE(ExtentOf(options).faults.empty());
}

TEST(SimMain, UntilEndsTheRun) {
  SimOptions options;
  options.seed = 6;
  options.until_ms = 300;
  EXPECT_LT(sim::Run(options).virtual_ms, 300u);
}

// A product that fails whenever a node crashes and two clients are there, from event 700 on.
SimResult Faulty(const SimOptions& options) {
  const Swarm swarm = SwarmOf(options);
  SimResult result;
  result.events = std::min<uint64_t>(swarm.events_max, 1'000);
  const bool fails = swarm.crash && swarm.clients >= 2 && result.events >= 700;
  result.ok = !fails;
  if (fails) result.failure = "I99 gravity: node 1 floats";
  return result;
}

std::vector<Level> FaultyLevels() { return {{NamesOf(FaultClasses()), Faulty, ExtentOf}}; }

uint64_t FaultySeed() {
  SimOptions options;
  while (Faulty(options).ok) ++options.seed;
  return options.seed;
}

TEST(SimMain, AFailureSaysVersionAndCommand) {
  const std::string seed = std::to_string(FaultySeed());
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(MainWith({"--seed", seed, "--without", "pause"}, out, err, FaultyLevels()), 1);
  EXPECT_THAT(out.str(), HasSubstr("FAILED level=0 seeds=1 failed=1"));
  EXPECT_THAT(err.str(), HasSubstr("failed (arima "));
  EXPECT_THAT(err.str(), HasSubstr("I99 gravity: node 1 floats"));
  EXPECT_THAT(err.str(),
              HasSubstr("repeat it with: arima sim --seed " + seed + " --without pause --trace\n"));
}

TEST(SimMain, MinimizeFindsTheSmallestFailingRun) {
  SimOptions options;
  options.seed = FaultySeed();
  const Minimized smallest = Minimize(options, FaultyLevels()[0]);
  EXPECT_EQ(ExtentOf(smallest.options).faults, std::vector<std::string>{"crash"});
  EXPECT_EQ(SwarmOf(smallest.options).clients, 2u);
  EXPECT_EQ(SwarmOf(smallest.options).voters, 1u);
  EXPECT_EQ(SwarmOf(smallest.options).events_max, 700u);
  EXPECT_FALSE(Faulty(smallest.options).ok);
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(
      MainWith({"--seed", std::to_string(options.seed), "--minimize"}, out, err, FaultyLevels()),
      1);
  EXPECT_THAT(err.str(), HasSubstr(ToFlags(smallest.options.overrides) + " --trace\n"));
}

// A level that this folder does not know: it breaks when its machines are magnetic.
Level MagneticLevel() {
  Level level;
  level.faults = {"wind", "magnetism"};
  level.extent = [](const SimOptions& options) {
    Extent extent;
    for (const std::string fault : {"wind", "magnetism"}) {
      const bool dropped = std::ranges::count(options.overrides.without, fault) > 0;
      if (!dropped) extent.faults.push_back(fault);
    }
    extent.voters = options.overrides.voters == 0 ? 3 : options.overrides.voters;
    extent.clients = 1;
    extent.events = 1;
    return extent;
  };
  level.run = [extent = level.extent](const SimOptions& options) {
    const std::vector<std::string> faults = extent(options).faults;
    SimResult result;
    result.ok = options.seed != 2 || std::ranges::count(faults, "magnetism") == 0;
    if (!result.ok) result.failure = "I98 magnetism: n1 sticks";
    result.digest = options.seed;
    result.events = 7;
    result.figures = " sticks=9";
    return result;
  };
  return level;
}

TEST(SimMain, AHigherLevelIsThatOfItsRunner) {
  const std::vector<Level> levels = {CoreLevel(), CoreLevel(), MagneticLevel()};
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(MainWith({"--seeds", "1..2", "--level", "2", "--minimize"}, out, err, levels), 1);
  EXPECT_THAT(out.str(),
              StartsWith("seed 1 ok sticks=9\nseed 2 FAILED sticks=9 I98 magnetism: "
                         "n1 sticks\nFAILED level=2 seeds=2 failed=1 events=14 digest="));
  EXPECT_THAT(err.str(), HasSubstr("I98 magnetism: n1 sticks\nrepeat it with: arima sim --seed 2 "
                                   "--level 2 --trace\n"));
  EXPECT_THAT(err.str(), HasSubstr(" --seed 2 --level 2 --without wind --voters 1 --trace\n"));
  EXPECT_EQ(MainWith({"--seed", "1", "--level", "3"}, out, err, levels), 2);
}

TEST(SimMain, FaultsAreThoseOfTheLevel) {
  const std::vector<Level> levels = {CoreLevel(), CoreLevel(), MagneticLevel()};
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(MainWith({"--seed", "1", "--without", "crash", "--level", "2"}, out, err, levels), 2);
  EXPECT_THAT(err.str(), HasSubstr("--without cannot be crash; there are: wind magnetism"));
  EXPECT_EQ(MainWith({"--seed", "2", "--without", "magnetism", "--level", "2"}, out, err, levels),
            0);
}

TEST(SimMain, TwiceSaysWhereARunParts) {
  uint64_t runs = 0;
  const auto aging = [&](const SimOptions& options) {
    SimResult result;
    result.ok = true;
    result.digests = {1, 2, options.seed == 2 ? ++runs : 3};
    return result;
  };
  const std::vector<Level> levels = {{{}, aging, ExtentOf}};
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(MainWith({"--seeds", "1..2"}, out, err, levels), 0);
  EXPECT_EQ(MainWith({"--seeds", "1..3", "--twice"}, out, err, levels), 1);
  EXPECT_THAT(out.str(), HasSubstr("FAILED level=0 seeds=3 failed=1"));
  EXPECT_THAT(err.str(), HasSubstr("determinism: a second run of the seed is another one after "
                                   "event 20000\nrepeat it with: arima sim --seed 2 --trace\n"));
  EXPECT_EQ(RunMain({"--seeds", "1..3", "--twice"}).code, 0);
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
                                             {"--seed", "1", "--level", "2"},
                                             {"--seed", "1", "--without", "crash,gravity"},
                                             {"--seed", "1", "--clients", "0"},
                                             {"--seed", "1", "--until", ""},
                                             {"--seed", "1", "--events", "0"},
                                             {"--seeds", "1..2", "--trace"},
                                             {"--seed", "1", "--mutant", "M17"},
                                             {"--sed", "1"}}) {
    const MainResult result = RunMain(args);
    EXPECT_EQ(result.code, 2);
    EXPECT_THAT(result.err, HasSubstr("usage"));
  }
}

}  // namespace
}  // namespace arima::sim
