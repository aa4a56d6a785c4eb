// What one command costs the applier, and one read a reader, on the RocksDB engine.
//
// Time is CPU time of the calling thread: flushes and compactions in the background are not in it
// (the counter `process_us` has them). Rows say keys / commands per batch.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "kv/command.h"
#include "kv/rocks_engine.h"
#include "kv/state_machine.h"

namespace arima::kv {
namespace {

constexpr size_t kValueBytes = 256;

double ProcessCpuMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

[[noreturn]] void Die(const Error& error) {
  std::fprintf(stderr, "%s\n", error.ToString().c_str());
  std::exit(1);
}

class Store {
 public:
  explicit Store(uint64_t recent_keys_bytes) {
    std::string path = std::filesystem::temp_directory_path() / "arima-bench-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) std::exit(1);
    directory_ = path;
    RocksEngineOptions options;
    options.path = directory_ / "db";
    Result<std::unique_ptr<Engine>> engine = OpenRocksEngine(options);
    if (!engine) Die(engine.error());
    auto machine =
        StateMachine::Open(std::move(*engine), {}, {.recent_keys_bytes = recent_keys_bytes});
    if (!machine) Die(machine.error());
    machine_ = std::move(*machine);
  }
  ~Store() {
    machine_.reset();
    std::filesystem::remove_all(directory_);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  StateMachine& machine() { return *machine_; }

  void Apply(const std::vector<std::string>& commands) {
    records_.clear();
    uint64_t index = machine_->applied_index();
    for (const std::string& command : commands) {
      records_.push_back({.index = ++index,
                          .term = 1,
                          .kind = RecordKind::kCommand,
                          .bytes = command,
                          .conf = {}});
    }
    if (Status status = machine_->Apply(records_, &results_); !status) Die(status.error());
  }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<StateMachine> machine_;
  std::vector<Record> records_;
  std::vector<ApplyResult> results_;
};

std::string Key(uint64_t n) { return "user/" + std::to_string(1'000'000'000 + n); }

std::string PutOf(uint64_t n, const std::string& value) {
  return EncodeCommand(PutCommand{.key = Key(n), .value = value});
}

void Fill(Store* store, uint64_t key_count, const std::string& value) {
  std::vector<std::string> commands;
  for (uint64_t n = 0; n < key_count; ++n) {
    commands.push_back(PutOf(n, value));
    if (commands.size() == 1000 || n + 1 == key_count) {
      store->Apply(commands);
      commands.clear();
    }
  }
}

// Puts of existing keys; `recent_keys_bytes` decides whether the table knows them.
void ApplyPuts(benchmark::State& state, uint64_t recent_keys_bytes) {
  const uint64_t key_count = static_cast<uint64_t>(state.range(0));
  const size_t batch = static_cast<size_t>(state.range(1));
  SeededRandom random(1);
  std::string value(kValueBytes, 'v');
  Store store(recent_keys_bytes);
  Fill(&store, key_count, value);
  std::vector<std::string> commands(batch);
  const double before = ProcessCpuMicroseconds();
  for (auto _ : state) {
    state.PauseTiming();
    for (std::string& command : commands) command = PutOf(random.Below(key_count), value);
    state.ResumeTiming();
    store.Apply(commands);
  }
  const double commands_done = static_cast<double>(state.iterations()) * static_cast<double>(batch);
  state.SetItemsProcessed(static_cast<int64_t>(commands_done));
  state.counters["process_us"] = (ProcessCpuMicroseconds() - before) / commands_done;
}

void ApplyKnownKeys(benchmark::State& state) { ApplyPuts(state, 256 << 20); }
void ApplyForgottenKeys(benchmark::State& state) { ApplyPuts(state, 0); }

void ApplyNewKeys(benchmark::State& state) {
  const size_t batch = static_cast<size_t>(state.range(0));
  std::string value(kValueBytes, 'v');
  Store store(256 << 20);
  std::vector<std::string> commands(batch);
  SeededRandom random(1);
  for (auto _ : state) {
    state.PauseTiming();
    for (std::string& command : commands) command = PutOf(random.Next() >> 20, value);
    state.ResumeTiming();
    store.Apply(commands);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
}

void Get(benchmark::State& state, bool flushed, bool present) {
  constexpr uint64_t kKeyCount = 50'000;
  SeededRandom random(1);
  Store store(0);
  Fill(&store, kKeyCount, std::string(kValueBytes, 'v'));
  if (flushed) {
    if (Status status = store.machine().Flush(true); !status) Die(status.error());
  }
  for (auto _ : state) {
    std::string key = Key(random.Below(kKeyCount));
    if (!present) key += "x";
    auto result = store.machine().Get(key);
    if (!result || result->found != present) std::abort();
    benchmark::DoNotOptimize(result->value);
  }
}
void GetFromMemory(benchmark::State& state) { Get(state, false, true); }
void GetFromTables(benchmark::State& state) { Get(state, true, true); }
void GetMissingFromMemory(benchmark::State& state) { Get(state, false, false); }
void GetMissingFromTables(benchmark::State& state) { Get(state, true, false); }

BENCHMARK(ApplyKnownKeys)->Args({100'000, 1})->Args({100'000, 64});
BENCHMARK(ApplyForgottenKeys)->Args({100'000, 64});
BENCHMARK(ApplyNewKeys)->Arg(64);
BENCHMARK(GetFromMemory);
BENCHMARK(GetFromTables);
BENCHMARK(GetMissingFromMemory);
BENCHMARK(GetMissingFromTables);

}  // namespace
}  // namespace arima::kv
