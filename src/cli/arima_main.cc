// The program: which commands there are.
#include <iostream>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/run_command.h"
#include "cli/wal_command.h"
#include "sim/sim_main.h"
#include "simserver/server_main.h"

namespace {

int RunSim(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (arima::simserver::AsksForLevel2(args)) return arima::simserver::Main(args, out, err);
  return arima::sim::Main(args, out, err);
}

}  // namespace

int main(int argc, char** argv) {
  using arima::cli::Command;
  const std::vector<Command> commands = {
      {"run", "r", "Run the server", arima::cli::RunServer},
      {"wal", "", "Look at the raft log of a stopped node", arima::cli::RunWal},
      {"sim", "", "Run the deterministic simulator of the consensus core", RunSim},
  };
  return arima::cli::RunCommandLine(commands, {argv + 1, argv + argc}, std::cout, std::cerr);
}
