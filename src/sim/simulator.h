// The deterministic simulator: several consensus cores in virtual time (docs/testing/simulator.md).
//
//   level 0  the core alone; logs are lists that a crash cuts at a write
//   level 1  core and raft log: src/wal as in production, on disks that lose and damage bytes
//
// One seed decides everything: cluster, limits, faults, clients. Messages are lost, doubled,
// reordered and late; disks complete late; processes crash and lose what was not synced; nodes
// pause, links break; members come and go. After every event the invariants of
// docs/design/raft.md 7.3 that make sense at this level are checked. Then everything heals, and the
// cluster must elect a leader, answer its clients and converge.
//
// The same options give the same run, event by event, on every platform and build type; the digest
// proves it. Run() uses no thread, clock or file. One thread per call.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/overrides.h"
#include "sim/sim_log.h"

namespace arima::sim {

inline constexpr uint32_t kLevelMax = 1;  // of Run
inline constexpr uint64_t kDigestEvery = 10'000;

struct SimOptions {
  uint32_t level = 0;
  uint64_t seed = 1;
  Overrides overrides;
  // The run ends at this virtual time, whatever is still to be done; 0 = when it has converged.
  uint64_t until_ms = 0;
  // Gets one line per event worth seeing; null = none.
  std::function<void(const std::string&)> trace;
};

struct SimResult {
  bool ok = false;
  std::string failure;  // "invariant: what", empty if ok
  uint64_t digest = 0;  // of all states at the end and on the way
  // What it was after each kDigestEvery events: where two runs of a seed parted.
  std::vector<uint64_t> digests;
  uint64_t events = 0;  // inputs that cores were given
  uint64_t virtual_ms = 0;
  uint64_t nodes = 0;  // members that ever existed
  uint64_t leaders = 0;
  uint64_t committed = 0;  // last committed index
  uint64_t crashes = 0;
  uint64_t writes_acknowledged = 0;
  uint64_t reads_served = 0;
  uint64_t configurations = 0;
  uint64_t snapshots_installed = 0;
  uint64_t lost_members = 0;  // whose log was damaged beyond repair
  LogCounters log;            // level 1
  // Faults that took place, by their class.
  std::map<std::string_view, uint64_t> happened;
  std::string figures;  // of a run that has others than these, " name=number ..."
};

// What a run can be made smaller by (minimize.h), with the overrides that it has.
struct Extent {
  std::vector<std::string> faults;  // classes
  uint32_t voters = 0;
  uint32_t clients = 0;
  uint64_t events = 0;  // before everything heals, at most
};

// What the command line and minimize.h know of a level. Both functions are pure.
struct Level {
  std::vector<std::string> faults;  // the names of all its classes
  std::function<SimResult(const SimOptions&)> run;
  std::function<Extent(const SimOptions&)> extent;
};

// Levels 0 and 1.
Level CoreLevel();
SimResult Run(const SimOptions& options);
Extent ExtentOf(const SimOptions& options);

// What the seed has drawn, with the overrides.
Swarm SwarmOf(const SimOptions& options);

// One line without the seed: "ok digest=... events=..." or "FAILED ...".
std::string Summary(const SimOptions& options, const SimResult& result);

}  // namespace arima::sim
