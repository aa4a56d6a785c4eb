// The program: which commands there are.
#include <iostream>

#include "cli/command_line.h"
#include "cli/run_command.h"
#include "cli/wal_command.h"
#include "sim/sim_main.h"

int main(int argc, char** argv) {
  using arima::cli::Command;
  const std::vector<Command> commands = {
      {"run", "r", "Run the server", arima::cli::RunServer},
      {"wal", "", "Look at the raft log of a stopped node", arima::cli::RunWal},
      {"sim", "", "Run the deterministic simulator of the consensus core", arima::sim::Main},
  };
  return arima::cli::RunCommandLine(commands, {argv + 1, argv + argc}, std::cout, std::cerr);
}
