#include "sim/simulator.h"

#include "base/hex.h"
#include "sim/mix.h"
#include "sim/simulation.h"

namespace arima::sim {

Level CoreLevel() { return {NamesOf(FaultClasses()), Run, ExtentOf}; }

SimResult Run(const SimOptions& options) { return Simulation(options).Run(); }

Swarm SwarmOf(const SimOptions& options) {
  SeededRandom random(Split(options.seed, 1));
  Swarm swarm = DrawSwarm(&random);
  if (options.level > 0) {
    SeededRandom disk_random(Split(options.seed, 9));
    DrawDiskSwarm(&disk_random, &swarm);
  }
  Apply(options.overrides, &swarm);
  return swarm;
}

Extent ExtentOf(const SimOptions& options) {
  const Swarm swarm = SwarmOf(options);
  return {PresentIn(swarm, FaultClasses()), swarm.voters, swarm.clients, swarm.events_max};
}

namespace {

std::string CoreFigures(const SimOptions& options, const SimResult& result) {
  const auto field = [](const char* name, uint64_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  std::string text =
      " digest=" + ToHex(result.digest) + field("events", result.events) +
      field("virtual_ms", result.virtual_ms) + field("nodes", result.nodes) +
      field("leaders", result.leaders) + field("committed", result.committed) +
      field("crashes", result.crashes) + field("writes", result.writes_acknowledged) +
      field("reads", result.reads_served) + field("configurations", result.configurations) +
      field("snapshots", result.snapshots_installed);
  if (options.level > 0) {
    const LogCounters& log = result.log;
    text += field("rolls", log.rolls) + field("recoveries", log.recoveries) +
            field("torn", log.torn) + field("damages", log.damages) +
            field("corruptions", log.corruptions) + field("salvaged", log.salvaged) +
            field("lost", result.lost_members);
  }
  return text;
}

}  // namespace

std::string Summary(const SimOptions& options, const SimResult& result) {
  std::string text = result.ok ? "ok" : "FAILED";
  text += result.figures.empty() ? CoreFigures(options, result) : result.figures;
  if (!result.ok) text += " " + result.failure;
  return text;
}

}  // namespace arima::sim
