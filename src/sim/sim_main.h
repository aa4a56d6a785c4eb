// The command line of the simulator: `arima sim`.
//
//   --seed S             one run
//   --seeds A..B         runs for each seed of [A, B]
//   --level L            0 (the core alone, the default), 1 (core and raft log), 2 (whole nodes)
//   --until T            ends each run at T ms of virtual time
//   --mutant M7          with that planted bug; in the build `mutants` only (base/mutants.h)
//   --trace              one line per event, before the summary; with --seed only
//   --quiet              no line per run that passes
//   --minimize           shrinks the first failing run, and prints the command of the smallest
//   --twice              each run a second time, which must be the same
//   --without F,G        without these classes of faults; a wrong name lists those of the level
//   --clients N          no more clients than this
//   --voters N           no more voters than this at the beginning; at level 2 machines
//   --events N           events before everything heals, instead of a number from the seed
//   --check-history FILE no run: judges a recorded history (sim/history_command.h)
//
// Prints one line per run and one for all of them, which are the same on every machine. A failing
// run also prints the version and the command that repeats it. Returns 0 if all runs passed, 1 if
// one failed, 2 if the arguments are wrong.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "sim/simulator.h"

namespace arima::sim {

// levels[n] is level n: whole nodes, which this folder does not know, and what tests have. `args`
// are those behind `arima sim`.
int MainWith(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
             const std::vector<Level>& levels);
// Levels 0 and 1.
int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace arima::sim
