// `arima sim --check-history FILE`: judges a history that clients of real processes have recorded
// (docs/testing/linearizability.md). The simulator judges its own in memory.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace arima::sim {

// `args` are those behind --check-history. Returns 0 if the history is linearizable, 1 if it is
// violated (the evidence goes to `out`), 2 if there is no judgement: wrong arguments, a file that
// cannot be read, or a search that reached its bound.
int CheckHistoryFile(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace arima::sim
