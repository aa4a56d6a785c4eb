// Overrides: what the command line takes away from the run that a seed has drawn.
//
// Everything else stays as it was, because each subject has its own stream of chance; that is what
// makes it possible to shrink a failing run (minimize.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/fault_class.h"
#include "sim/swarm.h"

namespace arima::sim {

struct Overrides {
  std::vector<std::string> without;  // names of fault classes
  uint64_t events = 0;               // before everything heals; 0 = as drawn
  uint32_t clients = 0;              // 0 = as drawn, else no more than drawn
  uint32_t voters = 0;               // at the beginning; likewise

  friend bool operator==(const Overrides&, const Overrides&) = default;
};

// Of levels 0 and 1.
std::span<const FaultClass<Swarm>> FaultClasses();

// Names in `overrides` must be fault classes.
void Apply(const Overrides& overrides, Swarm* swarm);

// As flags of `arima sim`, each with a space before it: " --without crash,loss --events 300".
std::string ToFlags(const Overrides& overrides);

}  // namespace arima::sim
