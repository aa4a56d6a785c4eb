// Random histories: those made by an execution are accepted, and small ones, good or spoilt, are
// judged as by a search through all permutations. ARIMA_CHECK_SEED=n runs one seed again.

#include "check/order_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check/history_file.h"
#include "check/key_history.h"
#include "check/linearizability.h"
#include "check/test_histories.h"

namespace arima::check {
namespace {

uint64_t TestSeed() {
  const char* given =
      std::getenv("ARIMA_CHECK_SEED");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return given != nullptr ? std::strtoull(given, nullptr, 10) : SystemRandom64();
}

std::string SeedTrace(uint64_t seed) { return "ARIMA_CHECK_SEED=" + std::to_string(seed); }

// The definition itself, by trying every order. One key, few operations.
class Permutations {
 public:
  explicit Permutations(std::vector<Operation> operations)
      : operations_(std::move(operations)), placed_(operations_.size(), false) {}

  bool AnyAgrees() { return Place(std::nullopt); }

 private:
  using State = std::optional<std::string>;

  static bool MustStand(const Operation& operation) {
    return !operation.stale &&
           (operation.outcome == Outcome::kOk || operation.outcome == Outcome::kMismatch);
  }

  bool MayComeNext(size_t at) const {
    for (size_t other = 0; other < operations_.size(); ++other) {
      if (other == at || placed_[other] || !MustStand(operations_[other])) continue;
      if (operations_[other].end_ns < operations_[at].start_ns) return false;
    }
    return true;
  }

  // False if the answer is not what `state` gives. An unknown write that finds no effect need not
  // stand at all.
  static bool Step(const Operation& operation, State* state) {
    const bool known = operation.outcome != Outcome::kUnknown;
    switch (operation.kind) {
      case Kind::kRead:
        return known && operation.value == *state;
      case Kind::kPut:
        *state = operation.value;
        return true;
      case Kind::kDelete:
        if (operation.deleted && *operation.deleted != state->has_value()) return false;
        state->reset();
        return true;
      case Kind::kCompareAndSet:
        if (operation.outcome == Outcome::kMismatch) return operation.expected != *state;
        if (operation.expected != *state) return false;
        *state = operation.value;
        return true;
    }
    return false;
  }

  bool Place(const State& state) {
    bool all = true;
    for (size_t at = 0; at < operations_.size(); ++at) {
      all = all && (placed_[at] || !MustStand(operations_[at]));
    }
    if (all) return true;
    for (size_t at = 0; at < operations_.size(); ++at) {
      const Operation& operation = operations_[at];
      if (placed_[at] || operation.outcome == Outcome::kFailed || operation.stale) continue;
      State next = state;
      if (!MayComeNext(at) || !Step(operation, &next)) continue;
      placed_[at] = true;
      const bool agrees = Place(next);
      placed_[at] = false;
      if (agrees) return true;
    }
    return false;
  }

  const std::vector<Operation> operations_;
  std::vector<bool> placed_;
};

// Changes one thing, so that the history may be wrong.
void Spoil(std::vector<Operation>* history, SeededRandom* random) {
  Operation& operation = (*history)[random->Below(history->size())];
  const Operation& other = (*history)[random->Below(history->size())];
  switch (random->Below(8)) {
    case 0:
      if (operation.kind == Kind::kRead) operation.value = other.value;
      break;
    case 1:
      if (operation.kind == Kind::kRead) operation.value.reset();
      break;
    case 2:
      if (operation.kind == Kind::kCompareAndSet) operation.expected = other.value;
      break;
    case 3:
      if (operation.kind == Kind::kCompareAndSet && operation.outcome != Outcome::kUnknown) {
        operation.outcome = operation.outcome == Outcome::kOk ? Outcome::kMismatch : Outcome::kOk;
      }
      break;
    case 4:
      if (operation.outcome == Outcome::kUnknown) {
        operation.outcome = Outcome::kOk;
        operation.end_ns = operation.start_ns + random->Below(4000);
      }
      break;
    case 5:
      if (operation.outcome == Outcome::kOk) operation.outcome = Outcome::kFailed;
      operation.deleted.reset();
      break;
    case 6:
      if (operation.deleted) operation.deleted = !*operation.deleted;
      break;
    default:
      operation.start_ns = random->Below(operation.start_ns + 3000);
      if (operation.end_ns != kNever) {
        operation.end_ns = operation.start_ns + random->Below(4000);
      }
      break;
  }
}

std::vector<Operation> SmallHistory(SeededRandom* random) {
  RandomHistoryOptions options;
  options.operations = random->Between(2, 7);
  options.clients = random->Between(1, 5);
  options.unknown_percent = random->Below(60);
  options.unique_values = random->Percent(40);
  options.revisions = false;
  std::vector<Operation> history = RandomHistory(options, random).Make();
  for (uint64_t spoilt = random->Below(6); spoilt > 0; --spoilt) Spoil(&history, random);
  return history;
}

std::vector<Operation> Only(const std::vector<Operation>& history, std::span<const size_t> at) {
  std::vector<Operation> some;
  for (size_t operation : at) some.push_back(history[operation]);
  return some;
}

bool HasOrderWithLessAsked(const std::vector<Operation>& history) {
  std::vector<size_t> all(history.size());
  std::iota(all.begin(), all.end(), size_t{0});
  const std::vector<Access> less = AskForValuesOnly(AccessesOf(history, all));
  return FindOrder(MakeKeyHistory(less), 1'000'000).end == SearchEnd::kOrder;
}

TEST(OrderSearch, AgreesWithAllPermutations) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  uint64_t good = 0;
  uint64_t no_order = 0;
  uint64_t by_less = 0;
#ifdef ARIMA_CHECK_INVARIANTS
  constexpr uint64_t kHistories = 5'000;
#else
  constexpr uint64_t kHistories = 50'000;
#endif
  for (uint64_t i = 0; i < kHistories; ++i) {
    const std::vector<Operation> history = SmallHistory(&random);
    const bool agrees = Permutations(history).AnyAgrees();
    const Report report = CheckHistory(history);
    ASSERT_EQ(report.judgement, agrees ? Judgement::kLinearizable : Judgement::kViolated)
        << report.Text() << FormatHistory(history);
    // Who asks for less may overlook a violation, and never sees one that is none.
    if (!HasOrderWithLessAsked(history)) {
      ASSERT_FALSE(agrees) << FormatHistory(history);
      ++by_less;
    }
    if (agrees) {
      ++good;
      continue;
    }
    // What is shown is enough to prove it.
    ASSERT_EQ(report.violations.size(), report.violations_found);
    for (const Violation& violation : report.violations) {
      ASSERT_FALSE(Permutations(Only(history, violation.operations)).AnyAgrees())
          << report.Text() << FormatHistory(history);
      if (violation.rule == "no order") ++no_order;
    }
  }
  // Neither side of the comparison may have been idle.
  EXPECT_GT(good, kHistories / 5);
  EXPECT_GT(no_order, kHistories / 50);
  EXPECT_GT(by_less, kHistories / 50);
}

TEST(OrderSearch, AcceptsWhatAnExecutionMade) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  for (uint64_t i = 0; i < 60; ++i) {
    RandomHistoryOptions options;
    options.operations = random.Between(1, 1500);
    options.keys = random.Between(1, 8);
    options.clients = random.Between(1, 16);
    options.unknown_percent = random.Below(30);
    options.unique_values = random.Percent(80);
    const std::vector<Operation> history = RandomHistory(options, &random).Make();
    const Report report = CheckHistory(history);
    ASSERT_EQ(report.judgement, Judgement::kLinearizable)
        << report.Text() << "operations " << options.operations << ", keys " << options.keys
        << ", clients " << options.clients << ", unique " << options.unique_values;
  }
}

// Gives one read in the middle a value of the same key from long before. Its position.
size_t MakeOneReadStale(std::vector<Operation>* history) {
  std::vector<size_t> reads;
  for (size_t at = 0; at < history->size(); ++at) {
    if ((*history)[at].kind == Kind::kRead && (*history)[at].value) reads.push_back(at);
  }
  const size_t stale = reads[reads.size() / 2];
  std::optional<size_t> old;
  for (size_t at : reads) {
    if (at + 500 < stale && (*history)[at].key == (*history)[stale].key) old = at;
  }
  (*history)[stale].value = (*history)[old.value()].value;
  return stale;
}

TEST(OrderSearch, FindsOneStaleReadAmongThousands) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  // With one key and many unknown deletes, there are too many orders to try them all.
  for (const uint64_t keys : {5U, 1U}) {
    RandomHistoryOptions options;
    options.operations = 5000;
    options.keys = keys;
    options.clients = keys == 1 ? 16 : 8;
    options.revisions = false;
    std::vector<Operation> history = RandomHistory(options, &random).Make();
    const size_t stale = MakeOneReadStale(&history);
    CheckOptions check;
    check.configurations_max = 200'000;
    const Report report = CheckHistory(history, check);
    ASSERT_EQ(report.judgement, Judgement::kViolated) << keys << " keys\n" << report.Text();
    ASSERT_EQ(report.violations.size(), 1u);
    EXPECT_EQ(report.violations[0].key, history[stale].key);
    EXPECT_LE(report.violations[0].operations.size(), 8u) << report.Text();
  }
}

TEST(OrderSearch, CountsWhatItLooksAtAndStopsThere) {
  KeyHistory key;
  key.values = 12;
  for (ValueId value = 2; value < 12; ++value) {
    key.steps.push_back({.writes = value, .start = 0, .end = 100});
  }
  for (ValueId value = 2; value < 12; ++value) {
    key.steps.push_back({.needs = value, .start = 0, .end = 100});
  }
  // Two values want to be the last one.
  key.steps.push_back({.needs = 5, .start = 200, .end = 210});
  key.steps.push_back({.needs = 6, .start = 220, .end = 230});
  const SearchResult all = FindOrder(key, 1'000'000);
  EXPECT_EQ(all.end, SearchEnd::kNoOrder);
  ASSERT_GT(all.configurations, 10u);
  const SearchResult some = FindOrder(key, all.configurations - 1);
  EXPECT_EQ(some.end, SearchEnd::kLimit);
  EXPECT_EQ(some.configurations, all.configurations - 1);
  EXPECT_EQ(FindOrder(key, 0).end, SearchEnd::kLimit);
}

TEST(OrderSearch, MoreThanSixtyFourMayOverlap) {
  KeyHistory key;
  constexpr ValueId kWrites = 200;
  key.values = kWrites + 2;
  for (ValueId value = 2; value < kWrites + 2; ++value) {
    key.steps.push_back({.writes = value, .start = 0, .end = 1000});
  }
  // The values are seen in the opposite order of the writes' positions.
  for (ValueId i = 0; i < kWrites; ++i) {
    key.steps.push_back({.needs = kWrites + 1 - i, .start = 10 * i + 1, .end = 10 * i + 5});
  }
  std::ranges::stable_sort(key.steps, {}, &Step::start);
  for (Step& step : key.steps) {
    if (step.writes != kNoValue) step.end = 10 * kWrites;
  }
  EXPECT_EQ(FindOrder(key, 100'000).end, SearchEnd::kOrder);
  // The first one once more, when it is long gone.
  key.steps.push_back({.needs = kWrites + 1, .start = 20 * kWrites, .end = 20 * kWrites + 5});
  EXPECT_EQ(FindOrder(key, 100'000).end, SearchEnd::kNoOrder);
}

}  // namespace
}  // namespace arima::check
