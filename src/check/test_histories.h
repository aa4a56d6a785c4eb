// For tests and benchmarks: histories made by hand in a few words, and random ones that are
// linearizable because of how they are made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check/history.h"

namespace arima::check {

// Builds a history: one call per operation, e.g.
//   history.Put("a", 0, 10).Read("a", 20, 30).Unknown().Cas(nullopt, "b", ...)
class HistoryBuilder {
 public:
  using Text = std::optional<std::string>;

  HistoryBuilder& Put(std::string value, uint64_t start, uint64_t end) {
    return Add(Kind::kPut, std::move(value), start, end);
  }
  HistoryBuilder& Delete(uint64_t start, uint64_t end) {
    return Add(Kind::kDelete, std::nullopt, start, end);
  }
  HistoryBuilder& Read(Text value, uint64_t start, uint64_t end) {
    return Add(Kind::kRead, std::move(value), start, end);
  }
  HistoryBuilder& Cas(Text expected, std::string value, uint64_t start, uint64_t end) {
    Add(Kind::kCompareAndSet, std::move(value), start, end);
    last().expected = std::move(expected);
    return *this;
  }
  // What follows changes the last operation.
  HistoryBuilder& Unknown() {
    last().outcome = Outcome::kUnknown;
    last().end_ns = kNever;
    return *this;
  }
  HistoryBuilder& Failed() { return With(Outcome::kFailed); }
  HistoryBuilder& Mismatch() { return With(Outcome::kMismatch); }
  HistoryBuilder& Stale() {
    last().stale = true;
    return *this;
  }
  HistoryBuilder& Deleted(bool deleted) {
    last().deleted = deleted;
    return *this;
  }
  HistoryBuilder& Key(std::string key) {
    last().key = std::move(key);
    return *this;
  }
  HistoryBuilder& At(uint64_t revision) {
    last().revision = revision;
    return *this;
  }
  HistoryBuilder& Store(uint64_t revision) {
    last().store_revision = revision;
    return *this;
  }

  const std::vector<Operation>& operations() const { return operations_; }

 private:
  Operation& last() { return operations_.back(); }
  HistoryBuilder& With(Outcome outcome) {
    last().outcome = outcome;
    return *this;
  }
  HistoryBuilder& Add(Kind kind, Text value, uint64_t start, uint64_t end) {
    Operation operation;
    operation.id = operations_.size() + 1;
    operation.client = operation.id;
    operation.kind = kind;
    operation.outcome = Outcome::kOk;
    operation.key = "k";
    operation.value = std::move(value);
    operation.start_ns = start;
    operation.end_ns = end;
    operations_.push_back(std::move(operation));
    return *this;
  }

  std::vector<Operation> operations_;
};

struct RandomHistoryOptions {
  uint64_t operations = 100;
  uint64_t keys = 1;
  uint64_t clients = 4;
  uint64_t unknown_percent = 10;  // of writes
  bool unique_values = true;      // else few values, written again and again
  bool revisions = true;
};

// Executes operations one after the other at moments 1000 apart, and lets each be under way from
// some time before its moment to some time behind it, one per client at a time. So the order of the
// moments is one that all answers agree with.
class RandomHistory {
 public:
  RandomHistory(const RandomHistoryOptions& options, SeededRandom* random)
      : options_(options), random_(*random), states_(options.keys) {}

  std::vector<Operation> Make() {
    std::vector<uint64_t> free_from(options_.clients, 0);
    std::vector<uint64_t> client_of;
    for (uint64_t i = 0; i < options_.operations; ++i) {
      client_of.push_back(random_.Below(options_.clients));
    }
    for (uint64_t i = 0; i < options_.operations; ++i) {
      const uint64_t moment = (i + 1) * kMomentNs;
      const uint64_t client = client_of[i];
      // Up to the moment of the client's next operation.
      const auto next = std::ranges::find(client_of.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                          client_of.end(), client);
      const uint64_t next_moment = static_cast<uint64_t>(next - client_of.begin() + 1) * kMomentNs;
      Operation operation = Execute();
      operation.id = i + 1;
      operation.client = client;
      operation.start_ns = random_.Between(free_from[client], moment);
      if (operation.outcome == Outcome::kUnknown) {
        free_from[client] = moment;  // the client has given up and goes on
      } else {
        operation.end_ns = random_.Between(moment, next_moment - 1);
        free_from[client] = operation.end_ns + 1;
      }
      history_.push_back(std::move(operation));
    }
    return std::move(history_);
  }

 private:
  static constexpr uint64_t kMomentNs = 1000;

  struct State {
    std::optional<std::string> value;
    uint64_t revision = 0;
  };

  std::string NewValue() {
    if (!options_.unique_values) return std::string(1, static_cast<char>('a' + random_.Below(3)));
    return "v" + std::to_string(++values_);
  }

  Operation Execute() {
    if (!late_.empty() && random_.Percent(30)) ApplyLate();
    const uint64_t key = random_.Below(options_.keys);
    State& state = states_[key];
    Operation operation;
    operation.key = "key" + std::to_string(key);
    operation.outcome = Outcome::kOk;
    const uint64_t kind = random_.Below(10);
    if (kind < 5) {
      operation.value = state.value;
      if (options_.revisions) {
        operation.store_revision = revision_;
        if (state.value) operation.revision = state.revision;
      }
      return operation;
    }
    const bool unknown = random_.Percent(options_.unknown_percent);
    const bool applied = !unknown || random_.Percent(50);
    if (kind < 8) {
      operation.kind = Kind::kPut;
      operation.value = NewValue();
      if (applied) Set(&state, operation.value, &operation);
    } else if (kind == 8) {
      operation.kind = Kind::kDelete;
      const bool there = state.value.has_value();
      if (options_.revisions || random_.Percent(50)) operation.deleted = there;
      if (applied && there) Set(&state, std::nullopt, &operation);
      if (!there && options_.revisions) operation.revision = revision_;
    } else {
      operation.kind = Kind::kCompareAndSet;
      operation.value = NewValue();
      if (random_.Percent(70)) {
        operation.expected = state.value;
      } else if (random_.Percent(70)) {
        operation.expected = NewValue();
      }
      if (operation.expected != state.value) {
        operation.outcome = Outcome::kMismatch;
      } else if (applied) {
        Set(&state, operation.value, &operation);
      }
    }
    if (unknown) {
      if (!applied) late_.push_back({key, operation});
      operation.outcome = Outcome::kUnknown;
      operation.end_ns = kNever;
      operation.deleted.reset();
      operation.revision.reset();
    }
    return operation;
  }

  // A write whose client has given up takes effect after all.
  void ApplyLate() {
    const size_t at = random_.Below(late_.size());
    auto [key, operation] = late_[at];
    late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(at));
    State& state = states_[key];
    const bool cas = operation.kind == Kind::kCompareAndSet;
    if (cas && operation.expected != state.value) return;
    if (operation.kind == Kind::kDelete && !state.value) return;
    Set(&state, operation.value, &operation);
  }

  void Set(State* state, const std::optional<std::string>& value, Operation* operation) {
    state->value = value;
    state->revision = ++revision_;
    if (options_.revisions) operation->revision = revision_;
  }

  const RandomHistoryOptions options_;
  SeededRandom& random_;
  std::vector<State> states_;
  std::vector<Operation> history_;
  std::vector<std::pair<uint64_t, Operation>> late_;  // of a key, not applied so far
  uint64_t revision_ = 1;
  uint64_t values_ = 0;
};

}  // namespace arima::check
