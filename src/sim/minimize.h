// Minimize: the smallest run that still fails in the same way.
//
// Delta debugging over what the command line can take away from a run: fault classes, voters,
// clients, and the events before everything heals. The seed stays, so each attempt is a run that
// anybody can repeat.
#pragma once

#include <cstdint>

#include "sim/simulator.h"

namespace arima::sim {

struct Minimized {
  SimOptions options;  // of the smallest failing run
  SimResult result;    // of it
  uint64_t runs = 0;   // that it took
};

// `failing` fails on `level`. A run counts as failing in the same way if the same invariant is
// broken.
Minimized Minimize(const SimOptions& failing, const Level& level);

}  // namespace arima::sim
