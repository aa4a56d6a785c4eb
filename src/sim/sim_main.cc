#include "sim/sim_main.h"

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

#include "base/assert.h"
#include "base/error.h"
#include "sim/history_command.h"
#include "sim/simulator.h"

namespace arima::sim {
namespace {

struct Arguments {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t events_max = 0;
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
  size_t dots = text.find("..");
  std::optional<uint64_t> first = Number(text.substr(0, dots));
  std::optional<uint64_t> last =
      dots == std::string_view::npos ? first : Number(text.substr(dots + 2));
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
    if (flag != "--seed" && flag != "--seeds" && flag != "--level" && flag != "--events") {
      return Fail(Code::kInvalidArgument, "unknown argument " + flag);
    }
    if (++i == args.size()) return Fail(Code::kInvalidArgument, flag + " needs a value");
    const std::string& value = args[i];
    bool good = true;
    if (flag == "--level") {
      good = value == "0";
    } else if (flag == "--events") {
      std::optional<uint64_t> events = Number(value);
      good = events && *events > 0;
      arguments.events_max = events.value_or(0);
    } else {
      good = Range(value, &arguments) && (flag == "--seeds" || arguments.first == arguments.last);
      seeded = true;
    }
    if (!good) return Fail(Code::kInvalidArgument, flag + " cannot be " + value);
  }
  if (!seeded) return Fail(Code::kInvalidArgument, "--seed S or --seeds A..B is missing");
  if (arguments.trace && arguments.first != arguments.last) {
    return Fail(Code::kInvalidArgument, "--trace goes with one seed");
  }
  return arguments;
}

std::string ReplayCommand(uint64_t seed, uint64_t events_max) {
  std::string command = "arima sim --seed " + std::to_string(seed);
  if (events_max != 0) command += " --events " + std::to_string(events_max);
  return command;
}

// An assertion in the core ends the process; the hook has no arguments, so the seed lies here.
uint64_t running_seed = 0;
uint64_t running_events_max = 0;

void PrintRunningSeed() {
  std::fprintf(stderr, "simulated run of seed %llu failed; repeat it with: %s --trace\n",
               static_cast<unsigned long long>(running_seed),
               ReplayCommand(running_seed, running_events_max).c_str());
}

bool RunSeed(uint64_t seed, const Arguments& arguments, std::ostream& out, std::ostream& err) {
  running_seed = seed;
  SimOptions options;
  options.seed = seed;
  options.events_max = arguments.events_max;
  if (arguments.trace) options.trace = [&](const std::string& line) { out << line << "\n"; };
  const SimResult result = Run(options);
  out << "seed " << seed << " " << Summary(result) << "\n";
  if (!result.ok) {
    err << "seed " << seed << " failed: " << result.failure
        << "\nrepeat it with: " << ReplayCommand(seed, arguments.events_max) << " --trace\n";
  }
  return result.ok;
}

}  // namespace

int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (!args.empty() && args.front() == "--check-history") {
    return CheckHistoryFile({args.begin() + 1, args.end()}, out, err);
  }
  const Result<Arguments> arguments = Parse(args);
  if (!arguments) {
    err << "arima sim: " << arguments.error().message
        << "\nusage: arima sim --seed S | --seeds A..B [--level 0] [--events N] [--trace]\n"
           "       arima sim --check-history FILE\n";
    return 2;
  }
  running_events_max = arguments->events_max;
  SetAssertHook(PrintRunningSeed);
  bool ok = true;
  for (uint64_t seed = arguments->first;; ++seed) {
    ok = RunSeed(seed, *arguments, out, err) && ok;
    if (seed == arguments->last) break;
  }
  SetAssertHook(nullptr);
  return ok ? 0 : 1;
}

}  // namespace arima::sim
