// The program: which commands there are.
#include <iostream>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/run_command.h"
#include "cli/wal_command.h"
#include "sim/sim_main.h"
#include "simserver/simulation.h"

namespace {

int RunSim(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  using arima::sim::CoreLevel;
  return arima::sim::MainWith(args, out, err,
                              {CoreLevel(), CoreLevel(), arima::simserver::NodeLevel()});
}

}  // namespace

int main(int argc, char** argv) {
  using arima::cli::Command;
  const std::vector<Command> commands = {
      {"run", "r", "Run the server", arima::cli::RunServer},
      {"wal", "", "Look at the raft log of a stopped node", arima::cli::RunWal},
      {"sim", "", "Run the deterministic simulator, of cores or of whole nodes", RunSim},
  };
  return arima::cli::RunCommandLine(commands, {argv + 1, argv + argc}, std::cout, std::cerr);
}
