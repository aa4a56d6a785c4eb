#include "sim/sim_main.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

#include "base/assert.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/mutants.h"
#include "sim/history_command.h"
#include "sim/minimize.h"
#include "sim/mix.h"

namespace arima::sim {
namespace {

struct Arguments {
  uint64_t first = 0;
  uint64_t last = 0;
  SimOptions options;  // but seed and trace
  bool trace = false;
  bool quiet = false;
  bool minimize = false;
  std::string mutant;  // empty = none
};

Status Plant(const std::string& mutant) {
#ifdef ARIMA_MUTANTS
  if (ChooseMutant(mutant)) return {};
  return Fail(Code::kInvalidArgument, "--mutant " + mutant + " names no planted bug");
#else
  return Fail(Code::kNotSupported,
              "--mutant " + mutant + ": this build has no planted bugs; script/build mutants");
#endif
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

template <class T>
bool Positive(std::string_view text, uint64_t max, T* out) {
  const std::optional<uint64_t> number = Number(text);
  if (!number || *number == 0 || *number > max) return false;
  *out = static_cast<T>(*number);
  return true;
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

Status Without(std::string_view text, Overrides* overrides) {
  while (true) {
    const std::string name(text.substr(0, text.find(',')));
    if (!IsFaultClass(name)) {
      std::string known;
      for (const std::string& one : FaultClassNames()) known += " " + one;
      return Fail(Code::kInvalidArgument, "--without cannot be " + name + "; there are:" + known);
    }
    overrides->without.push_back(name);
    if (text.size() == name.size()) return {};
    text.remove_prefix(name.size() + 1);
  }
}

// One flag with a value. kNotFound: there is no such flag.
Status TakeValue(const std::string& flag, const std::string& value, Arguments* arguments) {
  SimOptions& options = arguments->options;
  constexpr uint64_t kMany = 1'000'000'000'000;
  bool good = true;
  if (flag == "--seed") {
    good = Range(value, arguments) && arguments->first == arguments->last;
  } else if (flag == "--seeds") {
    good = Range(value, arguments);
  } else if (flag == "--level") {
    const std::optional<uint64_t> level = Number(value);
    good = level && *level <= kLevelMax;
    options.level = static_cast<uint32_t>(level.value_or(0));
  } else if (flag == "--until") {
    good = Positive(value, kMany, &options.until_ms);
  } else if (flag == "--events") {
    good = Positive(value, kMany, &options.overrides.events);
  } else if (flag == "--clients") {
    good = Positive(value, UINT32_MAX, &options.overrides.clients);
  } else if (flag == "--voters") {
    good = Positive(value, UINT32_MAX, &options.overrides.voters);
  } else if (flag == "--mutant") {
    if (Status done = Plant(value); !done) return done;
    arguments->mutant = value;
  } else if (flag == "--without") {
    return Without(value, &options.overrides);
  }
  if (!good) return Fail(Code::kInvalidArgument, flag + " cannot be " + value);
  return {};
}

Result<Arguments> Parse(const std::vector<std::string>& args) {
  constexpr std::string_view kWithValue[] = {"--seed",   "--seeds",   "--level",
                                             "--until",  "--events",  "--clients",
                                             "--voters", "--without", "--mutant"};
  Arguments arguments;
  bool seeded = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& flag = args[i];
    if (flag == "--trace") {
      arguments.trace = true;
    } else if (flag == "--quiet") {
      arguments.quiet = true;
    } else if (flag == "--minimize") {
      arguments.minimize = true;
    } else if (std::ranges::find(kWithValue, flag) == std::end(kWithValue)) {
      return Fail(Code::kInvalidArgument, "unknown argument " + flag);
    } else if (++i == args.size()) {
      return Fail(Code::kInvalidArgument, flag + " needs a value");
    } else {
      if (Status taken = TakeValue(flag, args[i], &arguments); !taken) {
        return std::unexpected(taken.error());
      }
      seeded = seeded || flag.starts_with("--seed");
    }
  }
  if (!seeded) return Fail(Code::kInvalidArgument, "--seed S or --seeds A..B is missing");
  if (arguments.trace && arguments.first != arguments.last) {
    return Fail(Code::kInvalidArgument, "--trace goes with one seed");
  }
  return arguments;
}

std::string planted;  // --mutant, as it was given

std::string ReplayCommand(const SimOptions& options) {
  std::string command = "arima sim --seed " + std::to_string(options.seed);
  if (options.level != 0) command += " --level " + std::to_string(options.level);
  if (options.until_ms != 0) command += " --until " + std::to_string(options.until_ms);
  if (!planted.empty()) command += " --mutant " + planted;
  return command + ToFlags(options.overrides);
}

// An assertion in the core ends the process; the hook has no arguments, so the run lies here.
const SimOptions* running = nullptr;

void PrintRunningSeed() {
  if (running == nullptr) return;
  std::fprintf(stderr, "simulated run of seed %llu failed (arima %s); repeat it with: %s --trace\n",
               static_cast<unsigned long long>(running->seed), ARIMA_VERSION,
               ReplayCommand(*running).c_str());
}

class Runner {
 public:
  Runner(const Arguments& arguments, std::ostream& out, std::ostream& err,
         const std::function<SimResult(const SimOptions&)>& run)
      : arguments_(arguments), out_(out), err_(err), run_(run) {}

  int Run() {
    uint64_t seeds = 0;
    for (uint64_t seed = arguments_.first;; ++seed) {
      RunSeed(seed);
      ++seeds;
      if (seed == arguments_.last) break;
    }
    out_ << (failed_ == 0 ? "ok" : "FAILED") << " level=" << arguments_.options.level
         << " seeds=" << seeds << " failed=" << failed_ << " events=" << events_
         << " digest=" << ToHex(digest_) << "\n";
    return failed_ == 0 ? 0 : 1;
  }

 private:
  SimResult Watched(const SimOptions& options) {
    running = &options;
    SimResult result = run_(options);
    running = nullptr;
    return result;
  }

  void RunSeed(uint64_t seed) {
    SimOptions options = arguments_.options;
    options.seed = seed;
    if (arguments_.trace) options.trace = [this](const std::string& line) { out_ << line << "\n"; };
    const SimResult result = Watched(options);
    digest_ = Mix(digest_, result.digest);
    events_ += result.events;
    if (!arguments_.quiet || !result.ok) {
      out_ << "seed " << seed << " " << Summary(options, result) << "\n";
    }
    if (result.ok) return;
    err_ << "seed " << seed << " failed (arima " << ARIMA_VERSION << "): " << result.failure
         << "\nrepeat it with: " << ReplayCommand(options) << " --trace\n";
    if (++failed_ == 1 && arguments_.minimize) Shrink(options);
  }

  void Shrink(SimOptions options) {
    options.trace = nullptr;
    const Minimized smallest =
        Minimize(options, [this](const SimOptions& smaller) { return Watched(smaller); });
    err_ << "smallest of " << smallest.runs << " runs: " << smallest.result.failure
         << "\nrepeat it with: " << ReplayCommand(smallest.options) << " --trace\n";
  }

  const Arguments& arguments_;
  std::ostream& out_;
  std::ostream& err_;
  const std::function<SimResult(const SimOptions&)>& run_;
  uint64_t failed_ = 0;
  uint64_t events_ = 0;
  uint64_t digest_ = 1;
};

}  // namespace

int MainWith(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
             const std::function<SimResult(const SimOptions&)>& run) {
  if (!args.empty() && args.front() == "--check-history") {
    return CheckHistoryFile({args.begin() + 1, args.end()}, out, err);
  }
  const Result<Arguments> arguments = Parse(args);
  if (!arguments) {
    err << "arima sim: " << arguments.error().message
        << "\nusage: arima sim --seed S | --seeds A..B [--level 0|1] [--until MS] [--trace]"
           " [--quiet]\n                 [--minimize] [--without FAULT,...] [--clients N]"
           " [--voters N] [--events N] [--mutant M7]\n       arima sim --check-history FILE\n";
    return 2;
  }
  planted = arguments->mutant;
  SetAssertHook(PrintRunningSeed);
  const int code = Runner(*arguments, out, err, run).Run();
  SetAssertHook(nullptr);
  return code;
}

int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return MainWith(args, out, err, Run);
}

}  // namespace arima::sim
