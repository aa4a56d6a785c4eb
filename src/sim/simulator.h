// The deterministic simulator, level L0: several consensus cores, and nothing else that is real.
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
#include <string>

namespace arima::sim {

struct SimOptions {
  uint64_t seed = 1;
  // Core events before everything heals; 0 = drawn from the seed.
  uint64_t events_max = 0;
  // Gets one line per event worth seeing; null = none.
  std::function<void(const std::string&)> trace;
};

struct SimResult {
  bool ok = false;
  std::string failure;  // "invariant: what", empty if ok
  uint64_t digest = 0;  // of all states at the end and on the way
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
};

SimResult Run(const SimOptions& options);

// One line without the seed: "ok digest=... events=..." or "FAILED ...".
std::string Summary(const SimResult& result);

}  // namespace arima::sim
