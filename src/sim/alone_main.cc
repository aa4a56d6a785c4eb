// `arima sim` as a program of its own, for the build with planted bugs.

#include <iostream>
#include <string>
#include <vector>

#include "sim/sim_main.h"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  return arima::sim::Main(args, std::cout, std::cerr);
}
