// The command line of the simulator: `arima sim`.
//
//   --seed S             one run
//   --seeds A..B         runs for each seed of [A, B]
//   --level 0            the core alone; the only level so far
//   --events N           core events before everything heals, instead of a number from the seed
//   --trace              one line per event, before the summary; with --seed only
//   --check-history FILE no run: judges a recorded history (sim/history_command.h)
//
// Prints one line per run that is the same on every machine. A failing run also prints the command
// that repeats it. Returns 0 if all runs passed, 1 if one failed, 2 if the arguments are wrong.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace arima::sim {

// `args` are those behind `arima sim`.
int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace arima::sim
