#include "simserver/server_main.h"

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

#include "base/assert.h"
#include "base/error.h"
#include "simserver/simulation.h"

namespace arima::simserver {
namespace {

struct Arguments {
  uint64_t first = 0;
  uint64_t last = 0;
  bool trace = false;
};

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "A..B" or one number.
bool Range(std::string_view text, Arguments* arguments) {
  const size_t dots = text.find("..");
  const auto first = Number(text.substr(0, dots));
  const auto last = dots == std::string_view::npos ? first : Number(text.substr(dots + 2));
  if (!first || !last || *first > *last) return false;
  arguments->first = *first;
  arguments->last = *last;
  return true;
}

Result<Arguments> Parse(const std::vector<std::string>& args) {
  Arguments arguments;
  bool seeded = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& flag = args[i];
    if (flag == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (flag != "--seed" && flag != "--seeds" && flag != "--level") {
      return Fail(Code::kInvalidArgument, "unknown argument " + flag + " at level 2");
    }
    if (++i == args.size()) return Fail(Code::kInvalidArgument, flag + " needs a value");
    if (flag == "--level") continue;
    const bool good =
        Range(args[i], &arguments) && (flag == "--seeds" || arguments.first == arguments.last);
    if (!good) return Fail(Code::kInvalidArgument, flag + " cannot be " + args[i]);
    seeded = true;
  }
  if (!seeded) return Fail(Code::kInvalidArgument, "--seed S or --seeds A..B is missing");
  if (arguments.trace && arguments.first != arguments.last) {
    return Fail(Code::kInvalidArgument, "--trace goes with one seed");
  }
  return arguments;
}

std::string ReplayCommand(uint64_t seed) {
  return "arima sim --level 2 --seed " + std::to_string(seed) + " --trace";
}

// An assertion ends the process; the hook has no arguments, so the seed lies here.
uint64_t running_seed = 0;

void PrintRunningSeed() {
  std::fprintf(stderr, "simulated run of seed %llu failed; repeat it with: %s\n",
               static_cast<unsigned long long>(running_seed), ReplayCommand(running_seed).c_str());
}

bool RunSeed(uint64_t seed, bool trace, std::ostream& out, std::ostream& err) {
  running_seed = seed;
  Options options;
  options.seed = seed;
  if (trace) options.trace = [&](const std::string& line) { out << line << "\n"; };
  Simulation simulation(options);
  const Outcome outcome = simulation.Run();
  out << "seed " << seed << " " << Summary(outcome) << "\n";
  if (!outcome.ok) {
    err << "seed " << seed << " failed: " << outcome.failure
        << "\nrepeat it with: " << ReplayCommand(seed) << "\n";
  }
  return outcome.ok;
}

}  // namespace

bool AsksForLevel2(const std::vector<std::string>& args) {
  for (size_t i = 0; i + 1 < args.size(); ++i) {
    if (args[i] == "--level" && args[i + 1] == "2") return true;
  }
  return false;
}

int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  const Result<Arguments> arguments = Parse(args);
  if (!arguments) {
    err << "arima sim: " << arguments.error().message
        << "\nusage: arima sim --level 2 --seed S | --seeds A..B [--trace]\n";
    return 2;
  }
  SetAssertHook(PrintRunningSeed);
  bool ok = true;
  for (uint64_t seed = arguments->first;; ++seed) {
    ok = RunSeed(seed, arguments->trace, out, err) && ok;
    if (seed == arguments->last) break;
  }
  SetAssertHook(nullptr);
  return ok ? 0 : 1;
}

}  // namespace arima::simserver
