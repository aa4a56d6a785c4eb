// Operation: what one client asked of the store, when, and what it heard. A history is any number
// of them, in any order; the checker (check/linearizability.h) judges it, and history_file.h
// reads it from a file. Plain values, no thread rule.
//
// Times are nanoseconds of one clock that all clients share and that never goes back (virtual
// time in the simulator). start_ns is taken before the request is sent, end_ns after the answer
// has come; equal times count as overlapping.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace arima::check {

enum class Kind : uint8_t {
  kRead,
  kPut,
  kDelete,
  kCompareAndSet,  // writes `value` if the key holds `expected`
};

enum class Outcome : uint8_t {
  kOk,        // done: the write took effect, the read returned `value`
  kMismatch,  // compare-and-set only: it looked, and the key did not hold `expected`
  kFailed,    // answered as "not applied": took no effect and never will; says nothing of the state
  kUnknown,   // no answer, or one that leaves it open: took effect at any time from start, or never
};

inline constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

struct Operation {
  uint64_t id = 0;  // how evidence calls it: "#7"; the line in a file, any number elsewhere
  uint64_t client = 0;
  Kind kind = Kind::kRead;
  Outcome outcome = Outcome::kUnknown;
  // Read only: asked for a stale answer. It must show a state that existed, not the newest.
  bool stale = false;
  std::string key;
  // Read: what came back. Put, compare-and-set: what is written, and then there is one. No value
  // means that the key is absent.
  std::optional<std::string> value;
  std::optional<std::string> expected;  // compare-and-set only
  std::optional<bool> deleted;          // delete only, if the answer says it: was there a key?
  uint64_t start_ns = 0;
  uint64_t end_ns = kNever;  // >= start_ns; a time for kOk and kMismatch, else of no meaning
  // Of the answer, where it has them. Writes: the revision that the write made (a delete that
  // found no key: the revision of the store it looked at). Reads: the mod revision of the value.
  std::optional<uint64_t> revision;
  // Reads only: the revision of the whole store in the state that was read.
  std::optional<uint64_t> store_revision;
  std::string note;  // shown with the operation: node, status, ...
};

// What of the rules above `operation` breaks, in words; empty if nothing.
std::string Misfit(const Operation& operation);

}  // namespace arima::check
