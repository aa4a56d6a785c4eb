#include "sim/swarm.h"

#include <algorithm>
#include <bit>

namespace arima::sim {
namespace {

void DrawConfig(SeededRandom* random, raft::Config* config) {
  config->election_ticks = static_cast<uint32_t>(random->Between(4, 30));
  config->heartbeat_ticks = static_cast<uint32_t>(random->Between(1, config->election_ticks / 3));
  config->pre_vote = random->Percent(75);
  config->check_quorum = random->Percent(75);
  config->require_caught_up_learner = random->Percent(30);
  config->forward_proposals = random->Percent(75);
  config->step_down_on_removal = random->Percent(80);
  config->confirm_removals = random->Percent(50);
  config->promote_lag = DrawLog(random, 1, 4096);
  config->max_inflight_msgs = static_cast<uint32_t>(DrawLog(random, 1, 256));
  config->max_msg_bytes = DrawLog(random, 1, 64 << 10);
  config->max_inflight_bytes = config->max_msg_bytes * random->Between(1, 64);
  config->max_uncommitted_bytes = DrawLog(random, 64, 1 << 20);
  config->max_apply_bytes = DrawLog(random, 1, 64 << 10);
  config->entry_cache_bytes = DrawLog(random, 64, 1 << 20);
}

void DrawNetwork(SeededRandom* random, Swarm* swarm) {
  swarm->delay_ns_min = DrawLog(random, 10 * kMicrosecond, 5 * kMillisecond);
  swarm->delay_ns_mean = DrawLog(random, 10 * kMicrosecond, 20 * kMillisecond);
  swarm->loss_permille = random->Percent(60) ? static_cast<uint32_t>(random->Below(250)) : 0;
  swarm->duplicate_permille = random->Percent(50) ? static_cast<uint32_t>(random->Below(300)) : 0;
  swarm->spike_permille = random->Percent(40) ? static_cast<uint32_t>(random->Below(50)) : 0;
  swarm->ordered_links = random->Percent(40);
}

void DrawStorage(SeededRandom* random, Swarm* swarm) {
  swarm->sync_ns_mean = DrawLog(random, 50 * kMicrosecond, 30 * kMillisecond);
  swarm->slow_sync_permille = random->Percent(30) ? static_cast<uint32_t>(random->Below(100)) : 0;
  swarm->apply_ns_mean = DrawLog(random, 10 * kMicrosecond, 10 * kMillisecond);
  swarm->flush_ns_mean = DrawLog(random, 10 * kMillisecond, kSecond);
  swarm->compact_ns_mean =
      random->Percent(60) ? DrawLog(random, 20 * kMillisecond, 2 * kSecond) : 0;
  swarm->install_ns_mean = DrawLog(random, 10 * kMicrosecond, 200 * kMillisecond);
  swarm->stream_ns_mean = DrawLog(random, kMillisecond, 200 * kMillisecond);
  swarm->compact_keep = DrawLog(random, 1, 64);
}

void DrawFaults(SeededRandom* random, Swarm* swarm) {
  swarm->fault_ns_mean = random->Percent(90) ? DrawLog(random, 50 * kMillisecond, 2 * kSecond) : 0;
  swarm->crash = random->Percent(60);
  swarm->restart_ns_mean = DrawLog(random, kMillisecond, kSecond);
  swarm->power_loss = random->Percent(30);
  swarm->pause = random->Percent(30);
  swarm->partition = random->Percent(50);
  swarm->leader_lost = random->Percent(40);
  swarm->unreachable = random->Percent(40);
  swarm->transfer = random->Percent(40);
  swarm->forget_leader = random->Percent(20);
  swarm->disk_low = random->Percent(30);
  swarm->snapshot_failure = random->Percent(40);
  swarm->membership_ns_mean =
      random->Percent(50) ? DrawLog(random, 20 * kMillisecond, 2 * kSecond) : 0;
}

}  // namespace

uint64_t DrawLog(SeededRandom* random, uint64_t low, uint64_t high) {
  const uint64_t low_bits = static_cast<uint64_t>(std::bit_width(low));
  const uint64_t high_bits = static_cast<uint64_t>(std::bit_width(high));
  const uint64_t bits = random->Between(low_bits, high_bits);
  const uint64_t base = bits == 0 ? 0 : uint64_t{1} << (bits - 1);
  return std::clamp(base + random->Below(std::max<uint64_t>(base, 1)), low, high);
}

Swarm DrawSwarm(SeededRandom* random) {
  Swarm swarm;
  swarm.voters = static_cast<uint32_t>(random->Between(1, 7));
  if (swarm.voters > 5 && random->Percent(50)) swarm.voters = 3;
  swarm.learners = random->Percent(25) ? static_cast<uint32_t>(random->Between(1, 2)) : 0;
  swarm.members_max = swarm.voters + swarm.learners + static_cast<uint32_t>(random->Between(1, 6));
  swarm.events_max = random->Between(1500, 5000);
  swarm.drain_late_percent = random->Percent(50) ? static_cast<uint32_t>(random->Below(90)) : 0;
  DrawConfig(random, &swarm.config);
  DrawNetwork(random, &swarm);
  DrawStorage(random, &swarm);
  DrawFaults(random, &swarm);
  swarm.clients = static_cast<uint32_t>(random->Between(1, 12));
  swarm.read_percent = static_cast<uint32_t>(random->Between(0, 60));
  swarm.think_ns_mean = DrawLog(random, 100 * kMicrosecond, 100 * kMillisecond);
  swarm.payload_bytes_max = DrawLog(random, 8, 1024);
  return swarm;
}

void DrawDiskSwarm(SeededRandom* random, Swarm* swarm) {
  DiskSwarm& disk = swarm->disk;
  disk.segment_bytes = uint64_t{64 << 10} << random->Below(3);
  if (random->Percent(50)) disk.segment_bytes = 64 << 10;
  disk.free_segments_min = static_cast<uint32_t>(random->Below(3));
  disk.free_segments_max = static_cast<uint32_t>(random->Between(1, 4));
  disk.tail_bytes = DrawLog(random, 1, 1 << 20);
  disk.prepare_ns_mean = DrawLog(random, kMillisecond, 200 * kMillisecond);
  disk.clone_check_permille = random->Percent(25) ? 20 : 2;
  // Writes of several blocks, which tear; and reads from the log, because the cache is too small.
  if (random->Percent(50)) swarm->payload_bytes_max = DrawLog(random, 1 << 10, 8 << 10);
  disk.disk_full = random->Percent(30);
  disk.io_error = random->Percent(30);
  disk.start_failure = random->Percent(40);
  disk.damage = random->Percent(30);
  // Somebody has to replace the members that are lost.
  if (disk.damage && swarm->membership_ns_mean == 0) {
    swarm->membership_ns_mean = DrawLog(random, 20 * kMillisecond, kSecond);
  }
}

uint64_t DrawDelay(SeededRandom* random, uint64_t mean) {
  // Each doubling of the delay is half as likely: mean/2 * 2^k with probability 2^-(k+1), k < 5,
  // spread evenly within the step.
  if (mean == 0) return 1;
  const uint64_t step =
      std::min<uint64_t>(static_cast<uint64_t>(std::countr_zero(random->Next() | 32)), 5);
  const uint64_t scale = std::max<uint64_t>((mean / 4) << step, 1);
  return scale / 2 + random->Below(scale) + 1;
}

}  // namespace arima::sim
