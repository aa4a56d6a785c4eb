#include "sim/simulator.h"

#include "base/hex.h"
#include "sim/simulation.h"

namespace arima::sim {

SimResult Run(const SimOptions& options) { return Simulation(options).Run(); }

std::string Summary(const SimResult& result) {
  const auto field = [](const char* name, uint64_t value) {
    return std::string(" ") + name + "=" + std::to_string(value);
  };
  std::string text = result.ok ? "ok" : "FAILED";
  text += " digest=" + ToHex(result.digest) + field("events", result.events) +
          field("virtual_ms", result.virtual_ms) + field("nodes", result.nodes) +
          field("leaders", result.leaders) + field("committed", result.committed) +
          field("crashes", result.crashes) + field("writes", result.writes_acknowledged) +
          field("reads", result.reads_served) + field("configurations", result.configurations) +
          field("snapshots", result.snapshots_installed);
  if (!result.ok) text += " " + result.failure;
  return text;
}

}  // namespace arima::sim
