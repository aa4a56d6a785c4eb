#include "sim/sim_log.h"

namespace arima::sim {

LogCounters& LogCounters::operator+=(const LogCounters& other) {
  rolls += other.rolls;
  recoveries += other.recoveries;
  torn += other.torn;
  clone_checks += other.clone_checks;
  damages += other.damages;
  corruptions += other.corruptions;
  salvaged += other.salvaged;
  io_errors += other.io_errors;
  full_disks += other.full_disks;
  killed_starts += other.killed_starts;
  return *this;
}

}  // namespace arima::sim
