// The command line of level 2: `arima sim --level 2`.
//
//   --seed S             one run
//   --seeds A..B         runs for each seed of [A, B]
//   --trace              one line per event worth seeing, before the summary; with --seed only
//
// Prints one line per run that is the same on every machine. A failing run also prints the command
// that repeats it. Returns 0 if all runs passed, 1 if one failed, 2 if the arguments are wrong.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace arima::simserver {

// True if `args`, those behind `arima sim`, ask for this level.
bool AsksForLevel2(const std::vector<std::string>& args);

int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace arima::simserver
