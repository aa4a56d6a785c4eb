// KeyHistory: what the operations of one key demand of an order, reduced to what the search needs.
// Plain values and pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "check/history.h"

namespace arima::check {

// Values of one key as numbers.
using ValueId = uint32_t;
inline constexpr ValueId kAbsent = 0;  // how every key starts
inline constexpr ValueId kOther = 1;   // any value that nobody asks for
inline constexpr ValueId kNoValue = UINT32_MAX;

// What one operation says of its key. It may stand in an order where the value is `needs`, if it
// needs one, and is not `forbids`, if it forbids one; behind it the value is `writes`, if it
// writes.
struct Access {
  size_t operation = 0;  // position in the history
  ValueId needs = kNoValue;
  ValueId forbids = kNoValue;
  ValueId writes = kNoValue;
  uint64_t start = 0;
  uint64_t end = kNever;
  bool open = false;  // unknown outcome: anywhere behind its start, or nowhere
};

// The accesses of `operations` (positions in `history`, all of one key), in the same order, without
// what says nothing: stale reads, what failed, reads without an answer.
std::vector<Access> AccessesOf(std::span<const Operation> history,
                               std::span<const size_t> operations);

// Asks for less: without those who only ask for absence, or that a value be not there, and without
// what writes ask of the value they meet. Then hardly any unknown write matters (key_history.cc),
// so that the search is short. If there is no order for these, there is none for `accesses`.
std::vector<Access> AskForValuesOnly(std::span<const Access> accesses);

// An access that stands in every order. start <= end.
struct Step {
  ValueId needs = kNoValue;
  ValueId forbids = kNoValue;
  ValueId writes = kNoValue;
  uint64_t start = 0;
  uint64_t end = 0;
};

// Open accesses that do the same; each may stand in an order once, behind its start.
struct OpenWrites {
  ValueId needs = kNoValue;
  ValueId writes = kNoValue;
  std::vector<uint64_t> starts;  // ascending
};

struct KeyHistory {
  std::vector<Step> steps;  // ascending by start
  std::vector<OpenWrites> open;
  ValueId values = 0;  // every ValueId in it is less
};

// Reduces `accesses` as if time had stopped at `until`: what started later is left out, what ended
// later is open. An order exists for the result if and only if one exists for the accesses.
KeyHistory MakeKeyHistory(std::span<const Access> accesses, uint64_t until = kNever);

}  // namespace arima::check
