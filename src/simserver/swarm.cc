#include "simserver/swarm.h"

#include <algorithm>
#include <string_view>

#include "sim/swarm.h"

namespace arima::simserver {
namespace {

using sim::DrawLog;
using sim::kMicrosecond;
using sim::kMillisecond;
using sim::kSecond;

void DrawScheduler(SeededRandom* random, SchedulerOptions* options) {
  options->seed = random->Next();
  options->preempt_permille =
      random->Percent(60) ? static_cast<uint32_t>(DrawLog(random, 1, 200)) : 0;
  options->late_permille = random->Percent(40) ? static_cast<uint32_t>(DrawLog(random, 1, 50)) : 0;
  options->late_ns_max = DrawLog(random, 10 * kMicrosecond, 20 * kMillisecond);
  options->weight_max = static_cast<uint32_t>(DrawLog(random, 1, 32));
}

void DrawNode(SeededRandom* random, node::NodeOptions* node) {
  node->value_bytes_max = 1 << 20;
  node->disk_reserve_bytes = random->Percent(50) ? 4 << 20 : 0;
  node::ReplicaOptions& replica = node->replica;
  replica.storage.wal_segment_bytes = 4096 * random->Between(16, 64);
  replica.storage.block_cache_bytes = 1 << 20;
  replica.storage.recent_keys_bytes = random->Percent(30) ? 4 << 10 : 256 << 10;
  replica.election_ticks = static_cast<uint32_t>(random->Between(15, 60));
  replica.heartbeat_ticks =
      static_cast<uint32_t>(random->Between(1, std::max(1u, replica.election_ticks / 6)));
  replica.flusher.flush_bytes = DrawLog(random, 4 << 10, 1 << 20);
  replica.flusher.flush_interval_ns = DrawLog(random, 500 * kMillisecond, 20 * kSecond);
  replica.retention.retain_bytes = DrawLog(random, 64 << 10, 4 << 20);
  replica.retention.retain_max_bytes = replica.retention.retain_bytes * random->Between(1, 8);
  replica.snapshots.free_bytes_min = 1 << 20;
  replica.snapshots.rate_bytes_per_s = DrawLog(random, 256 << 10, 100 << 20);
  replica.snapshots.keep_ns = DrawLog(random, kSecond, 60 * kSecond);
  node->history.max_age_ns = DrawLog(random, kSecond, 60 * kSecond);
  node->history.min_revisions = DrawLog(random, 1, 200);
  if (random->Percent(20)) {
    replica.inbox.write_bytes_max = DrawLog(random, 512, 64 << 10);
    replica.loop.held_write_bytes_max = DrawLog(random, 512, 64 << 10);
  }
}

void DrawWorld(SeededRandom* random, Swarm* swarm) {
  swarm->network.delay_ns_min = DrawLog(random, 10 * kMicrosecond, 2 * kMillisecond);
  swarm->network.delay_ns_mean = DrawLog(random, 10 * kMicrosecond, 5 * kMillisecond);
  swarm->network.spike_permille =
      random->Percent(40) ? static_cast<uint32_t>(random->Below(20)) : 0;
  swarm->network.window_bytes = DrawLog(random, 4 << 10, 1 << 20);
  swarm->disk.sync_ns_mean = DrawLog(random, 20 * kMicrosecond, 10 * kMillisecond);
  swarm->disk.slow_sync_permille =
      random->Percent(30) ? static_cast<uint32_t>(random->Below(50)) : 0;
  swarm->database.flush_ns_mean =
      random->Percent(70) ? DrawLog(random, 50 * kMillisecond, 10 * kSecond) : 0;
  swarm->clock_ppm_max = static_cast<int64_t>(random->Percent(50) ? random->Below(500) : 0);
}

void DrawFaults(SeededRandom* random, Swarm* swarm) {
  swarm->faults_ns = random->Between(5, 25) * kSecond;
  swarm->events_max = random->Between(20'000, 80'000);
  swarm->fault_ns_mean = random->Percent(90) ? DrawLog(random, 200 * kMillisecond, 4 * kSecond) : 0;
  swarm->operator_ns_mean =
      random->Percent(60) ? DrawLog(random, 500 * kMillisecond, 5 * kSecond) : 0;
  swarm->kill = random->Percent(60);
  swarm->power_loss = random->Percent(50);
  swarm->stop = random->Percent(30);
  swarm->pause = random->Percent(30);
  swarm->partition = random->Percent(50);
  swarm->reset = random->Percent(40);
  swarm->stall = random->Percent(30);
  swarm->sync_error = random->Percent(20);
  swarm->disk_full = random->Percent(20);
  swarm->wipe = random->Percent(30);
  swarm->transfer = random->Percent(50);
  swarm->removal = random->Percent(40);
  swarm->address_change = random->Percent(40);
  swarm->damage = random->Percent(30);
  swarm->stray = random->Percent(15);
}

template <bool Swarm::* kFlag>
constexpr sim::FaultClass<Swarm> Flag(std::string_view name) {
  return {name, [](const Swarm& s) { return s.*kFlag; }, [](Swarm* s) { s->*kFlag = false; }};
}

constexpr sim::FaultClass<Swarm> kClasses[] = {
    {"operator", [](const Swarm& s) { return s.operator_ns_mean != 0; },
     [](Swarm* s) { s->operator_ns_mean = 0; }},
    Flag<&Swarm::power_loss>("power-loss"),
    Flag<&Swarm::kill>("kill"),
    Flag<&Swarm::stop>("stop"),
    Flag<&Swarm::wipe>("wipe"),
    Flag<&Swarm::damage>("damage"),
    Flag<&Swarm::partition>("partition"),
    Flag<&Swarm::pause>("pause"),
    Flag<&Swarm::reset>("reset"),
    Flag<&Swarm::removal>("removal"),
    Flag<&Swarm::transfer>("transfer"),
    Flag<&Swarm::address_change>("address-change"),
    Flag<&Swarm::stray>("stray"),
    Flag<&Swarm::sync_error>("sync-error"),
    Flag<&Swarm::disk_full>("disk-full"),
    Flag<&Swarm::stall>("stall"),
    {"slow-sync", [](const Swarm& s) { return s.disk.slow_sync_permille != 0; },
     [](Swarm* s) { s->disk.slow_sync_permille = 0; }},
    {"spike", [](const Swarm& s) { return s.network.spike_permille != 0; },
     [](Swarm* s) { s->network.spike_permille = 0; }},
    {"drift", [](const Swarm& s) { return s.clock_ppm_max != 0; },
     [](Swarm* s) { s->clock_ppm_max = 0; }},
    {"preempt", [](const Swarm& s) { return s.scheduler.preempt_permille != 0; },
     [](Swarm* s) { s->scheduler.preempt_permille = 0; }},
    {"late-wake", [](const Swarm& s) { return s.scheduler.late_permille != 0; },
     [](Swarm* s) { s->scheduler.late_permille = 0; }},
};

}  // namespace

std::span<const sim::FaultClass<Swarm>> FaultClasses() { return kClasses; }

void Apply(const sim::Overrides& overrides, Swarm* swarm) {
  sim::DropFrom(swarm, FaultClasses(), overrides.without);
  if (overrides.events != 0) swarm->events_max = overrides.events;
  if (overrides.clients != 0) swarm->clients = std::min(swarm->clients, overrides.clients);
  if (overrides.voters != 0) swarm->machines = std::min(swarm->machines, overrides.voters);
}

Swarm DrawSwarm(SeededRandom* random) {
  Swarm swarm;
  swarm.machines = static_cast<uint32_t>(random->Between(1, 5));
  if (swarm.machines < 3 && random->Percent(70)) swarm.machines = 3;
  if (random->Percent(5)) swarm.machines = 7;
  DrawScheduler(random, &swarm.scheduler);
  DrawWorld(random, &swarm);
  DrawNode(random, &swarm.node);
  DrawFaults(random, &swarm);
  swarm.clients = static_cast<uint32_t>(random->Between(1, 12));
  swarm.keys = static_cast<uint32_t>(DrawLog(random, 1, 32));
  swarm.think_ns_mean = DrawLog(random, 200 * kMicrosecond, 100 * kMillisecond);
  swarm.read_percent = static_cast<uint32_t>(random->Between(5, 70));
  swarm.stale_percent = random->Percent(50) ? static_cast<uint32_t>(random->Below(60)) : 0;
  swarm.delete_percent = static_cast<uint32_t>(random->Between(0, 40));
  swarm.value_bytes_max = DrawLog(random, 16, 8 << 10);
  swarm.timeout_ms = DrawLog(random, 200, 10'000);
  return swarm;
}

}  // namespace arima::simserver
