#include "sim/overrides.h"

#include <algorithm>

namespace arima::sim {
namespace {

// Members of the operator and what only he can mend go together.
constexpr FaultClass<Swarm> kClasses[] = {
    {"membership", [](const Swarm& s) { return s.membership_ns_mean != 0; },
     [](Swarm* s) { s->membership_ns_mean = 0, s->disk.damage = false; }},
    {"power-loss", [](const Swarm& s) { return s.power_loss; },
     [](Swarm* s) { s->power_loss = false; }},
    {"crash", [](const Swarm& s) { return s.crash; }, [](Swarm* s) { s->crash = false; }},
    {"pause", [](const Swarm& s) { return s.pause; }, [](Swarm* s) { s->pause = false; }},
    {"partition", [](const Swarm& s) { return s.partition; },
     [](Swarm* s) { s->partition = false; }},
    {"compaction", [](const Swarm& s) { return s.compact_ns_mean != 0; },
     [](Swarm* s) { s->compact_ns_mean = 0; }},
    {"loss", [](const Swarm& s) { return s.loss_permille != 0; },
     [](Swarm* s) { s->loss_permille = 0; }},
    {"duplicate", [](const Swarm& s) { return s.duplicate_permille != 0; },
     [](Swarm* s) { s->duplicate_permille = 0; }},
    {"spike", [](const Swarm& s) { return s.spike_permille != 0; },
     [](Swarm* s) { s->spike_permille = 0; }},
    {"reorder", [](const Swarm& s) { return !s.ordered_links; },
     [](Swarm* s) { s->ordered_links = true; }},
    {"slow-sync", [](const Swarm& s) { return s.slow_sync_permille != 0; },
     [](Swarm* s) { s->slow_sync_permille = 0; }},
    {"late-drain", [](const Swarm& s) { return s.drain_late_percent != 0; },
     [](Swarm* s) { s->drain_late_percent = 0; }},
    {"leader-lost", [](const Swarm& s) { return s.leader_lost; },
     [](Swarm* s) { s->leader_lost = false; }},
    {"unreachable", [](const Swarm& s) { return s.unreachable; },
     [](Swarm* s) { s->unreachable = false; }},
    {"transfer", [](const Swarm& s) { return s.transfer; }, [](Swarm* s) { s->transfer = false; }},
    {"forget-leader", [](const Swarm& s) { return s.forget_leader; },
     [](Swarm* s) { s->forget_leader = false; }},
    {"disk-low", [](const Swarm& s) { return s.disk_low; }, [](Swarm* s) { s->disk_low = false; }},
    {"snapshot-failure", [](const Swarm& s) { return s.snapshot_failure; },
     [](Swarm* s) { s->snapshot_failure = false; }},
    {"disk-full", [](const Swarm& s) { return s.disk.disk_full; },
     [](Swarm* s) { s->disk.disk_full = false; }},
    {"io-error", [](const Swarm& s) { return s.disk.io_error; },
     [](Swarm* s) { s->disk.io_error = false; }},
    {"start-failure", [](const Swarm& s) { return s.disk.start_failure; },
     [](Swarm* s) { s->disk.start_failure = false; }},
    {"damage", [](const Swarm& s) { return s.disk.damage; },
     [](Swarm* s) { s->disk.damage = false; }},
    {"learners", [](const Swarm& s) { return s.learners != 0; }, [](Swarm* s) { s->learners = 0; }},
};

}  // namespace

std::span<const FaultClass<Swarm>> FaultClasses() { return kClasses; }

void Apply(const Overrides& overrides, Swarm* swarm) {
  DropFrom(swarm, FaultClasses(), overrides.without);
  if (overrides.events != 0) swarm->events_max = overrides.events;
  if (overrides.clients != 0) swarm->clients = std::min(swarm->clients, overrides.clients);
  if (overrides.voters != 0) swarm->voters = std::min(swarm->voters, overrides.voters);
}

std::string ToFlags(const Overrides& overrides) {
  std::string flags;
  for (const std::string& name : overrides.without) {
    flags += (flags.empty() ? " --without " : ",") + name;
  }
  if (overrides.clients != 0) flags += " --clients " + std::to_string(overrides.clients);
  if (overrides.voters != 0) flags += " --voters " + std::to_string(overrides.voters);
  if (overrides.events != 0) flags += " --events " + std::to_string(overrides.events);
  return flags;
}

}  // namespace arima::sim
