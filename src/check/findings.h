// Findings: collects what is wrong with a history: counts all, explains the first few. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/history.h"
#include "check/linearizability.h"

namespace arima::check {

class Findings {
 public:
  Findings(std::span<const Operation> history, uint64_t explained_max)
      : history_(history), explained_max_(explained_max) {}

  // `rule` and `what` as in Violation; `what` is a sentence without its end. `operations` are
  // positions in the history.
  void Add(std::string_view rule, std::string_view key, std::string_view what,
           std::vector<size_t> operations);

  bool full() const { return violations_.size() == explained_max_; }
  uint64_t count() const { return count_; }
  std::vector<Violation> Take() { return std::move(violations_); }

 private:
  const std::span<const Operation> history_;
  const uint64_t explained_max_;
  uint64_t count_ = 0;
  std::vector<Violation> violations_;
};

}  // namespace arima::check
