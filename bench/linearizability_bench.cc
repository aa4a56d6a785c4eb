// How long the linearizability checker takes for a history of 10,000 operations on 10 keys by 16
// clients: a good one, and one with a single stale read, whose evidence is looked for too.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/assert.h"
#include "base/random.h"
#include "check/linearizability.h"
#include "check/test_histories.h"

namespace arima::check {
namespace {

std::vector<Operation> MakeHistory(uint64_t keys, uint64_t unknown_percent, bool stale) {
  SeededRandom random(1);
  RandomHistoryOptions options;
  options.operations = 10'000;
  options.keys = keys;
  options.clients = 16;
  options.unknown_percent = unknown_percent;
  options.revisions = false;
  std::vector<Operation> history = RandomHistory(options, &random).Make();
  const Operation* early = nullptr;
  for (size_t at = 0; stale && at < history.size(); ++at) {
    Operation& operation = history[at];
    if (operation.kind != Kind::kRead || !operation.value || operation.key != "key0") continue;
    if (at > 5000 && early != nullptr) {
      operation.value = early->value;
      break;
    }
    if (at < 2000) early = &operation;
  }
  return history;
}

void BM_CheckHistory(benchmark::State& state) {
  const bool stale = state.range(2) != 0;
  const std::vector<Operation> history = MakeHistory(static_cast<uint64_t>(state.range(0)),
                                                     static_cast<uint64_t>(state.range(1)), stale);
  uint64_t configurations = 0;
  for (auto _ : state) {
    const Report report = CheckHistory(history);
    ARIMA_ASSERT(report.judgement == (stale ? Judgement::kViolated : Judgement::kLinearizable));
    configurations = report.configurations;
  }
  state.counters["configurations"] = static_cast<double>(configurations);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(history.size()));
}
BENCHMARK(BM_CheckHistory)
    ->ArgNames({"keys", "unknown_percent", "stale"})
    ->Args({10, 0, 0})
    ->Args({10, 5, 0})
    ->Args({10, 30, 0})
    ->Args({1, 5, 0})
    ->Args({10, 5, 1})
    ->Args({1, 5, 1})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace arima::check
