// Swarm: what one seed draws before the run starts. Each run enables only some classes of faults
// and some extremes, because a run with everything on never gets deep anywhere (swarm testing:
// Groce et al., 2012).
#pragma once

#include <cstdint>

#include "base/random.h"
#include "raft/config.h"

namespace arima::sim {

inline constexpr uint64_t kMicrosecond = 1'000;
inline constexpr uint64_t kMillisecond = 1'000'000;
inline constexpr uint64_t kSecond = 1'000'000'000;

// Level 1: the log on disk.
struct DiskSwarm {
  uint64_t segment_bytes = 64 << 10;
  uint32_t free_segments_min = 1;
  uint32_t free_segments_max = 4;
  uint64_t tail_bytes = 1 << 20;
  uint64_t prepare_ns_mean = 0;
  uint32_t clone_check_permille = 0;  // per append

  bool disk_full = false;
  bool io_error = false;
  bool start_failure = false;  // the recovering process dies, or is told errors
  bool damage = false;         // of durable bytes, within the budget of simulation_disk.cc
};

struct Swarm {
  uint32_t voters = 3;  // 1 to 7
  uint32_t learners = 0;
  uint32_t members_max = 12;  // that ever exist
  raft::Config config;        // of every node, but id and seed

  uint64_t events_max = 4000;
  uint32_t drain_late_percent = 0;  // how often several inputs share one TakeOutput

  // Network, per message.
  uint64_t delay_ns_min = 0;
  uint64_t delay_ns_mean = 0;
  uint32_t loss_permille = 0;
  uint32_t duplicate_permille = 0;
  uint32_t spike_permille = 0;  // a delay of up to a second
  bool ordered_links = false;   // as a TCP connection; else anything overtakes anything

  // Disk and state machine.
  uint64_t sync_ns_mean = 0;
  uint32_t slow_sync_permille = 0;
  uint64_t apply_ns_mean = 0;
  uint64_t flush_ns_mean = 0;
  uint64_t compact_ns_mean = 0;  // 0 = never
  uint64_t install_ns_mean = 0;  // of a snapshot that lies here whole
  uint64_t stream_ns_mean = 0;   // of a snapshot from node to node
  uint64_t compact_keep = 0;     // entries kept behind the durable state, at most

  // Faults; the interval is between two of any class.
  uint64_t fault_ns_mean = 0;  // 0 = none
  bool crash = false;
  uint64_t restart_ns_mean = 0;  // how long a crashed node stays down
  bool power_loss = false;
  bool pause = false;
  bool partition = false;
  bool leader_lost = false;
  bool unreachable = false;
  bool transfer = false;
  bool forget_leader = false;
  bool disk_low = false;
  bool snapshot_failure = false;
  uint64_t membership_ns_mean = 0;  // 0 = none
  DiskSwarm disk;

  // Clients, each with one operation at a time.
  uint32_t clients = 4;
  uint32_t read_percent = 30;
  uint64_t think_ns_mean = 0;
  uint64_t payload_bytes_max = 64;
};

Swarm DrawSwarm(SeededRandom* random);
// What only level 1 has; the rest stays as drawn, but that damage comes with an operator.
void DrawDiskSwarm(SeededRandom* random, Swarm* swarm);

// Between low and high, each order of magnitude as likely as the others.
uint64_t DrawLog(SeededRandom* random, uint64_t low, uint64_t high);

// An exponential-like delay with the given mean, at least 1; integer arithmetic only, so that it is
// the same on every platform.
uint64_t DrawDelay(SeededRandom* random, uint64_t mean);

}  // namespace arima::sim
