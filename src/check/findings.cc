#include "check/findings.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "check/evidence.h"

namespace arima::check {

void Findings::Add(std::string_view rule, std::string_view key, std::string_view what,
                   std::vector<size_t> operations) {
  ++count_;
  if (full()) return;
  std::ranges::stable_sort(operations, {}, [&](size_t at) { return history_[at].start_ns; });
  Violation violation;
  violation.rule = rule;
  violation.key = key;
  const std::string headline =
      violation.rule + ": key " + Printable(key) + ": " + std::string(what);
  violation.text = DescribeOperations(headline, history_, operations);
  violation.operations = std::move(operations);
  violations_.push_back(std::move(violation));
}

}  // namespace arima::check
