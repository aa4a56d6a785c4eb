// Two steps. First, the earliest moment is found at which the history so far has no order: a
// history with an order has one at every moment, so that bisection works. Then operations are taken
// away as long as the rest has none, in large pieces first (Zeller's delta debugging).
//
// What may be taken away? Whatever an order of the whole history can do without, so that "the rest
// has no order" says something of the whole: reads and what else writes nothing; what a write asks
// of the value it meets, so that a compare-and-set counts as a put; and a write that nobody left
// can have seen, be it by its value or by the absence of another one.

#include "check/evidence.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/assert.h"
#include "base/hex.h"
#include "check/order_search.h"

namespace arima::check {
namespace {

class Shrinker {
 public:
  Shrinker(std::span<const Access> accesses, uint64_t configurations_max)
      : left_(accesses.begin(), accesses.end()), budget_(configurations_max) {}

  std::vector<Access> Run() {
    StopEarly();
    for (size_t before = 0; before != left_.size();) {
      before = left_.size();
      Cut(Part::kReads);
      Cut(Part::kDemands);
      Cut(Part::kWrites);
    }
    return std::move(left_);
  }

 private:
  enum class Part : uint8_t {
    kReads,    // what writes nothing
    kDemands,  // what writes ask of the value they meet: a compare-and-set becomes a put
    kWrites,
  };

  // False if it is not known.
  bool HasNoOrder(std::span<const Access> accesses, uint64_t until) {
    const SearchResult result = FindOrder(MakeKeyHistory(accesses, until), budget_);
    budget_ -= std::min(budget_, result.configurations + accesses.size());
    return result.end == SearchEnd::kNoOrder;
  }

  void StopEarly() {
    std::vector<uint64_t> ends;
    for (const Access& access : left_) {
      if (!access.open) ends.push_back(access.end);
    }
    std::ranges::sort(ends);
    const auto repeated = std::ranges::unique(ends);
    ends.erase(repeated.begin(), repeated.end());
    // The earliest of `ends` without an order is in [low, high].
    size_t low = 0;
    size_t high = ends.size() - 1;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (HasNoOrder(left_, ends[middle])) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    until_ = ends[high];
    std::erase_if(left_, [&](const Access& access) {
      return access.start > until_ || (access.end > until_ && access.writes == kNoValue);
    });
  }

  void Cut(Part part) {
    for (size_t size = std::max<size_t>(left_.size() / 2, 1);; size /= 2) {
      for (size_t from = 0; from < left_.size();) {
        if (!CutPiece(from, size, part)) from += size;
      }
      if (size == 1) return;
    }
  }

  // Tries it with the accesses of [from, from + size).
  bool CutPiece(size_t from, size_t size, Part part) {
    const size_t to = std::min(from + size, left_.size());
    std::vector<Access> rest;
    std::vector<Access> away;
    bool asks_less = false;
    for (size_t i = 0; i < left_.size(); ++i) {
      Access access = left_[i];
      const bool writes = access.writes != kNoValue;
      const bool in_piece = i >= from && i < to && writes == (part != Part::kReads);
      if (in_piece && part != Part::kDemands) {
        away.push_back(access);
        continue;
      }
      if (in_piece && (access.needs != kNoValue || access.forbids != kNoValue)) {
        access.needs = access.forbids = kNoValue;
        asks_less = true;
      }
      rest.push_back(access);
    }
    if (away.empty() && !asks_less) return false;
    if (part == Part::kWrites) {
      for (const Access& write : away) {
        if (MayBeSeen(write, rest)) return false;
      }
    }
    if (!HasNoOrder(rest, until_)) return false;
    left_ = std::move(rest);
    return true;
  }

  static bool MayBeSeen(const Access& write, std::span<const Access> by) {
    return std::ranges::any_of(by, [&](const Access& access) {
      if (access.end < write.start) return false;
      return access.needs == write.writes ||
             (access.forbids != kNoValue && access.forbids != write.writes);
    });
  }

  std::vector<Access> left_;
  uint64_t until_ = kNever;
  uint64_t budget_;
};

std::string Value(const std::optional<std::string>& value) {
  return value ? Printable(*value) : "absent";
}

std::string What(const Operation& operation) {
  switch (operation.kind) {
    case Kind::kRead:
      return std::string(operation.stale ? "stale read" : "read") +
             (operation.outcome == Outcome::kOk ? ": " + Value(operation.value) : "");
    case Kind::kPut:
      return "put " + Value(operation.value);
    case Kind::kDelete:
      return "delete";
    case Kind::kCompareAndSet:
      return "cas " + Value(operation.expected) + " -> " + Value(operation.value);
  }
  return "?";
}

std::string_view Answer(const Operation& operation) {
  switch (operation.outcome) {
    case Outcome::kOk:
      if (operation.deleted) return *operation.deleted ? ", ok, deleted" : ", ok, no such key";
      return operation.kind == Kind::kRead ? "" : ", ok";
    case Outcome::kMismatch:
      return ", refused: other value";
    case Outcome::kFailed:
      return ", answered: not applied";
    case Outcome::kUnknown:
      return ", outcome unknown";
  }
  return "";
}

// Milliseconds since `zero`, 12 columns.
std::string Time(uint64_t ns, uint64_t zero) {
  constexpr double kMillisecond = 1e6;
  if (ns == kNever) return "       never";
  char text[40];
  std::snprintf(text, sizeof(text), "%12.6f", static_cast<double>(ns - zero) / kMillisecond);
  return text;
}

std::string Line(const Operation& operation, uint64_t zero) {
  std::string line = "  #" + std::to_string(operation.id);
  line.resize(std::max<size_t>(line.size(), 9), ' ');
  line += " " + Time(operation.start_ns, zero) + " .. " + Time(operation.end_ns, zero) + " ms";
  line += "  client " + std::to_string(operation.client) + ": ";
  line += What(operation);
  line += Answer(operation);
  if (operation.revision) line += ", revision " + std::to_string(*operation.revision);
  if (operation.store_revision) {
    line += ", store at revision " + std::to_string(*operation.store_revision);
  }
  if (!operation.note.empty()) line += "  (" + operation.note + ")";
  return line;
}

}  // namespace

std::vector<size_t> FindContradiction(std::span<const Access> accesses,
                                      uint64_t configurations_max) {
  std::vector<size_t> operations;
  for (const Access& access : Shrinker(accesses, configurations_max).Run()) {
    operations.push_back(access.operation);
  }
  return operations;
}

std::string DescribeOperations(std::string_view headline, std::span<const Operation> history,
                               std::vector<size_t> operations) {
  constexpr size_t kLinesMax = 60;
  std::ranges::stable_sort(operations, {}, [&](size_t at) { return history[at].start_ns; });
  std::string text(headline);
  if (operations.empty()) return text + "\n";
  const uint64_t zero = history[operations.front()].start_ns;
  text += ":\n";
  for (size_t i = 0; i < operations.size(); ++i) {
    if (i == kLinesMax) {
      text += "  and " + std::to_string(operations.size() - i) + " more\n";
      break;
    }
    text += Line(history[operations[i]], zero) + "\n";
  }
  return text;
}

}  // namespace arima::check
