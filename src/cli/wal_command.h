// `arima wal dump|verify DIR`: what lies in a raft log, and whether a start would accept it.
//
// Reads only. Exit codes: 0 sound (an unfinished write at the end is sound); 1 damaged, in use by a
// running node, or not readable; 2 the command line is wrong (command_line.h).
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace arima::cli {

int RunWal(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace arima::cli
