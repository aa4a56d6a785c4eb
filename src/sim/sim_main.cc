#include "sim/sim_main.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string_view>

#include "base/assert.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/mutants.h"
#include "base/units.h"
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
  bool twice = false;
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

template <class T>
bool Positive(std::string_view text, uint64_t max, T* out) {
  const Result<uint64_t> number = ParseNumber(text);
  if (!number || *number == 0 || *number > max) return false;
  *out = static_cast<T>(*number);
  return true;
}

// "A..B" or one number.
bool Range(std::string_view text, Arguments* arguments) {
  const size_t dots = text.find("..");
  const Result<uint64_t> first = ParseNumber(text.substr(0, dots));
  const Result<uint64_t> last =
      dots == std::string_view::npos ? first : ParseNumber(text.substr(dots + 2));
  if (!first || !last || *first > *last) return false;
  arguments->first = *first;
  arguments->last = *last;
  return true;
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// One flag with a value. kNotFound: there is no such flag.
Status TakeValue(const std::string& flag, const std::string& value, size_t levels,
                 Arguments* arguments) {
  SimOptions& options = arguments->options;
  constexpr uint64_t kMany = 1'000'000'000'000;
  bool good = true;
  if (flag == "--seed") {
    good = Range(value, arguments) && arguments->first == arguments->last;
  } else if (flag == "--seeds") {
    good = Range(value, arguments);
  } else if (flag == "--level") {
    const Result<uint64_t> level = ParseNumber(value);
    good = level && *level < levels;
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
    options.overrides.without = Split(value, ',');
  }
  if (!good) return Fail(Code::kInvalidArgument, flag + " cannot be " + value);
  return {};
}

// Each level has classes of its own.
Status CheckFaults(const std::vector<std::string>& given, const std::vector<std::string>& known) {
  for (const std::string& name : given) {
    if (std::ranges::find(known, name) != known.end()) continue;
    std::string all;
    for (const std::string& one : known) all += " " + one;
    return Fail(Code::kInvalidArgument, "--without cannot be " + name + "; there are:" + all);
  }
  return {};
}

Result<Arguments> Parse(const std::vector<std::string>& args, std::span<const Level> levels) {
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
    } else if (flag == "--twice") {
      arguments.twice = true;
    } else if (std::ranges::find(kWithValue, flag) == std::end(kWithValue)) {
      return Fail(Code::kInvalidArgument, "unknown argument " + flag);
    } else if (++i == args.size()) {
      return Fail(Code::kInvalidArgument, flag + " needs a value");
    } else {
      if (Status taken = TakeValue(flag, args[i], levels.size(), &arguments); !taken) {
        return std::unexpected(taken.error());
      }
      seeded = seeded || flag.starts_with("--seed");
    }
  }
  if (!seeded) return Fail(Code::kInvalidArgument, "--seed S or --seeds A..B is missing");
  if (arguments.trace && arguments.first != arguments.last) {
    return Fail(Code::kInvalidArgument, "--trace goes with one seed");
  }
  const SimOptions& options = arguments.options;
  if (Status known = CheckFaults(options.overrides.without, levels[options.level].faults); !known) {
    return std::unexpected(known.error());
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
  Runner(const Arguments& arguments, std::ostream& out, std::ostream& err, const Level& level)
      : arguments_(arguments), out_(out), err_(err), level_(level) {}

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
    SimResult result = level_.run(options);
    running = nullptr;
    return result;
  }

  void RunSeed(uint64_t seed) {
    SimOptions options = arguments_.options;
    options.seed = seed;
    if (arguments_.trace) options.trace = [this](const std::string& line) { out_ << line << "\n"; };
    SimResult result = Watched(options);
    if (arguments_.twice && result.ok) RunAgain(options, &result);
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

  void RunAgain(SimOptions options, SimResult* first) {
    options.trace = nullptr;
    const SimResult second = Watched(options);
    if (second.digest == first->digest && second.digests == first->digests) return;
    const auto parted = std::ranges::mismatch(first->digests, second.digests).in1;
    const auto alike = static_cast<uint64_t>(parted - first->digests.begin());
    first->ok = false;
    first->failure = "determinism: a second run of the seed is another one after event " +
                     std::to_string(alike * kDigestEvery);
  }

  void Shrink(SimOptions options) {
    options.trace = nullptr;
    Level watched = level_;
    watched.run = [this](const SimOptions& smaller) { return Watched(smaller); };
    const Minimized smallest = Minimize(options, watched);
    err_ << "smallest of " << smallest.runs << " runs: " << smallest.result.failure
         << "\nrepeat it with: " << ReplayCommand(smallest.options) << " --trace\n";
  }

  const Arguments& arguments_;
  std::ostream& out_;
  std::ostream& err_;
  const Level& level_;
  uint64_t failed_ = 0;
  uint64_t events_ = 0;
  uint64_t digest_ = 1;
};

}  // namespace

int MainWith(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
             const std::vector<Level>& levels) {
  if (!args.empty() && args.front() == "--check-history") {
    return CheckHistoryFile({args.begin() + 1, args.end()}, out, err);
  }
  const Result<Arguments> arguments = Parse(args, levels);
  if (!arguments) {
    err << "arima sim: " << arguments.error().message
        << "\nusage: arima sim --seed S | --seeds A..B [--level 0|1"
        << (levels.size() > kLevelMax + 1 ? "|2" : "")
        << "] [--until MS] [--trace] [--quiet]\n                 [--minimize] [--twice]"
           " [--without FAULT,...] [--clients N] [--voters N]\n                 [--events N]"
           " [--mutant M7]\n       arima sim --check-history FILE\n";
    return 2;
  }
  planted = arguments->mutant;
  SetAssertHook(PrintRunningSeed);
  const int code = Runner(*arguments, out, err, levels[arguments->options.level]).Run();
  SetAssertHook(nullptr);
  return code;
}

int Main(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return MainWith(args, out, err, {CoreLevel(), CoreLevel()});
}

}  // namespace arima::sim
