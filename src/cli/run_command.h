// `arima run`: one node until SIGTERM or SIGINT. Blocks; returns the exit code (command_line.h).
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "node/options.h"

namespace arima::cli {

// Resolves flags, environment and file, then runs the node.
int RunServer(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

// Prints one line on stderr and returns 1 when the node cannot start.
int RunNode(const node::Options& options);

}  // namespace arima::cli
