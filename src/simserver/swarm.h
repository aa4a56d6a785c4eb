// Swarm of level 2: what one seed draws before the run starts (sim/swarm.h says why).
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"
#include "node/node.h"
#include "sim/fault_class.h"
#include "sim/overrides.h"
#include "simserver/database.h"
#include "simserver/disk.h"
#include "simserver/network.h"
#include "simserver/scheduler.h"

namespace arima::simserver {

struct Swarm {
  uint32_t machines = 3;  // 1 to 7
  SchedulerOptions scheduler;
  NetworkOptions network;
  DiskOptions disk;
  DatabaseOptions database;
  node::NodeOptions node;         // of every machine, but names and addresses
  int64_t clock_ppm_max = 0;      // clocks run faster or slower by up to this
  uint64_t faults_ns = 0;         // how long things go wrong
  uint64_t events_max = 0;        // of the scheduler, while things go wrong
  uint64_t fault_ns_mean = 0;     // between two faults of any kind; 0: none
  uint64_t operator_ns_mean = 0;  // between two orders of the operator; 0: none

  bool kill = false;
  bool power_loss = false;
  bool stop = false;  // in good order
  bool pause = false;
  bool partition = false;
  bool reset = false;
  bool stall = false;
  bool sync_error = false;
  bool disk_full = false;
  bool wipe = false;
  bool damage = false;  // of the log, while the machine is down
  bool transfer = false;
  bool removal = false;
  bool address_change = false;
  bool stray = false;  // one machine holds a write of its own when it is to join

  uint32_t clients = 4;
  uint32_t keys = 8;
  uint64_t think_ns_mean = 0;
  uint32_t read_percent = 40;
  uint32_t stale_percent = 10;   // of reads
  uint32_t delete_percent = 15;  // of writes
  uint64_t value_bytes_max = 64;
  uint64_t timeout_ms = 5000;
};

Swarm DrawSwarm(SeededRandom* random);

// What can be left out (sim/fault_class.h).
std::span<const sim::FaultClass<Swarm>> FaultClasses();
// Voters are machines here.
void Apply(const sim::Overrides& overrides, Swarm* swarm);

}  // namespace arima::simserver
