// `arima sim` with whole nodes as a program of its own, for the build with planted bugs.

#include <iostream>
#include <string>
#include <vector>

#include "sim/sim_main.h"
#include "simserver/simulation.h"

int main(int argc, char** argv) {
  using arima::sim::CoreLevel;
  const std::vector<std::string> args(argv + 1, argv + argc);
  return arima::sim::MainWith(args, std::cout, std::cerr,
                              {CoreLevel(), CoreLevel(), arima::simserver::NodeLevel()});
}
