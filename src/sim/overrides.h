// Overrides: what the command line takes away from the run that a seed has drawn.
//
// Everything else stays as it was, because each subject has its own stream of chance; that is what
// makes it possible to shrink a failing run (minimize.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/swarm.h"

namespace arima::sim {

struct Overrides {
  std::vector<std::string> without;  // names of fault classes
  uint64_t events = 0;               // before everything heals; 0 = as drawn
  uint32_t clients = 0;              // 0 = as drawn, else no more than drawn
  uint32_t voters = 0;               // at the beginning; likewise

  friend bool operator==(const Overrides&, const Overrides&) = default;
};

// All fault classes, in the order in which they are worth trying to leave out.
std::vector<std::string> FaultClassNames();
bool IsFaultClass(std::string_view name);

// Of these, the ones that a run has.
std::vector<std::string> FaultClassesOf(const Swarm& swarm);

// Names in `overrides` must be fault classes.
void Apply(const Overrides& overrides, Swarm* swarm);

// As flags of `arima sim`, each with a space before it: " --without crash,loss --events 300".
std::string ToFlags(const Overrides& overrides);

}  // namespace arima::sim
