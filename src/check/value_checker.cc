#include "check/value_checker.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace arima::check {
namespace {

bool Writes(const Operation& operation) {
  return operation.kind == Kind::kPut || operation.kind == Kind::kCompareAndSet;
}

// The value that an answer shows, if any.
const std::string* SeenBy(const Operation& operation) {
  if (operation.outcome != Outcome::kOk) return nullptr;
  if (operation.kind == Kind::kRead && operation.value) return &*operation.value;
  if (operation.kind == Kind::kCompareAndSet && operation.expected) return &*operation.expected;
  return nullptr;
}

// Writes of `value` that cannot be where it came from, but tell more: those that were not applied
// to this key, and the first one to another key.
std::vector<size_t> Suspects(std::span<const Operation> history, const Operation& seen,
                             std::string_view value) {
  constexpr size_t kSuspectsMax = 5;
  std::vector<size_t> suspects;
  bool elsewhere = false;
  for (size_t at = 0; at < history.size() && suspects.size() < kSuspectsMax; ++at) {
    const Operation& operation = history[at];
    if (!Writes(operation) || *operation.value != value) continue;
    const bool same_key = operation.key == seen.key;
    if (!same_key && elsewhere) continue;
    elsewhere = elsewhere || !same_key;
    suspects.push_back(at);
  }
  return suspects;
}

}  // namespace

bool CheckValues(std::span<const Operation> history, std::span<const size_t> operations,
                 Findings* findings) {
  std::unordered_map<std::string_view, size_t> first_writes;  // by value
  for (size_t at : operations) {
    const Operation& operation = history[at];
    if (!Writes(operation)) continue;
    if (operation.outcome == Outcome::kFailed || operation.outcome == Outcome::kMismatch) continue;
    const auto [it, added] = first_writes.try_emplace(*operation.value, at);
    if (!added && operation.start_ns < history[it->second].start_ns) it->second = at;
  }
  bool good = true;
  for (size_t at : operations) {
    const Operation& operation = history[at];
    const std::string* value = SeenBy(operation);
    if (value == nullptr) continue;
    const auto write = first_writes.find(*value);
    if (write == first_writes.end()) {
      std::vector<size_t> shown;
      if (!findings->full()) shown = Suspects(history, operation, *value);
      shown.push_back(at);
      findings->Add("value never written", operation.key,
                    "a value was seen that no write left there", shown);
    } else if (history[write->second].start_ns > operation.end_ns) {
      findings->Add("value never written", operation.key, "a value was seen before its write began",
                    {at, write->second});
    } else {
      continue;
    }
    good = false;
  }
  return good;
}

}  // namespace arima::check
