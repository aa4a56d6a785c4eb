// Linearizability of a recorded history: is there one order of all operations that the answers
// agree with, in which every operation lies between its start and its end?
//
//   const Report report = CheckHistory(operations);
//   if (report.judgement != Judgement::kLinearizable) Fail(report.Text());
//
// Every key starts absent. Keys are judged one by one (linearizability is local: Herlihy, Wing
// 1990, 3.1); revisions, where answers carry them, are checked over all keys. The search has a
// bound: beyond it a key is undecided, which is not a pass. How it works and why what it leaves
// out does not matter: docs/testing/linearizability.md. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "check/history.h"

namespace arima::check {

struct CheckOptions {
  // Different configurations (operations done so far, value) that one search looks at. A key has
  // one search, or a second one that asks for less after the first was given up. One takes 24
  // bytes and up.
  uint64_t configurations_max = 2'000'000;
  // Violations that are explained; more are counted only. >= 1
  uint64_t violations_max = 10;
};

enum class Judgement : uint8_t { kLinearizable, kViolated, kUndecided };

struct Violation {
  std::string rule;  // "no order", "value never written", "revisions", ...
  std::string key;
  // Positions in the history, in order of start: few operations that contradict each other
  // whatever the others did.
  std::vector<size_t> operations;
  std::string text;  // rule, key and those operations, several lines, for people
};

struct Report {
  Judgement judgement = Judgement::kLinearizable;
  std::vector<Violation> violations;
  uint64_t violations_found = 0;            // explained or not
  std::vector<std::string> undecided_keys;  // in order of their names
  uint64_t operations = 0;
  uint64_t keys = 0;
  uint64_t unknown = 0;         // operations with an unknown outcome
  uint64_t configurations = 0;  // looked at, over all keys: the cost of the search

  // Violations and a last line with the figures: "linearizable: 812 operations, 5 keys, ...".
  std::string Text() const;
};

// Operations that break what history.h says of them (an end before its start, a put without a
// value) are a programmer's error.
Report CheckHistory(std::span<const Operation> history, const CheckOptions& options = {});

}  // namespace arima::check
