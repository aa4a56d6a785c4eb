#include "check/linearizability.h"

#include <map>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/hex.h"
#include "check/evidence.h"
#include "check/findings.h"
#include "check/key_history.h"
#include "check/order_search.h"
#include "check/revision_checker.h"
#include "check/value_checker.h"

namespace arima::check {
namespace {

// The searches for a small contradiction may cost so many times what one search may.
constexpr uint64_t kEvidenceFactor = 10;

void CheckOrder(std::span<const Operation> history, std::span<const size_t> operations,
                const CheckOptions& options, Report* report, Findings* findings) {
  std::vector<Access> accesses = AccessesOf(history, operations);
  SearchResult result = FindOrder(MakeKeyHistory(accesses), options.configurations_max);
  report->configurations += result.configurations;
  if (result.end == SearchEnd::kLimit) {
    // Too many orders to try; if fewer demands are enough to exclude all, that is a judgement.
    accesses = AskForValuesOnly(accesses);
    result = FindOrder(MakeKeyHistory(accesses), options.configurations_max);
    report->configurations += result.configurations;
    if (result.end == SearchEnd::kOrder) result.end = SearchEnd::kLimit;
  }
  const std::string& key = history[operations.front()].key;
  if (result.end == SearchEnd::kLimit) report->undecided_keys.push_back(key);
  if (result.end != SearchEnd::kNoOrder) return;
  std::vector<size_t> shown;
  if (!findings->full()) {
    shown = FindContradiction(accesses, kEvidenceFactor * options.configurations_max);
  }
  const std::string what = "these " + std::to_string(shown.size()) + " of its " +
                           std::to_string(operations.size()) +
                           " operations contradict each other in every order";
  findings->Add("no order", key, what, std::move(shown));
}

std::string_view Word(Judgement judgement) {
  switch (judgement) {
    case Judgement::kLinearizable:
      return "linearizable";
    case Judgement::kViolated:
      return "VIOLATED";
    case Judgement::kUndecided:
      return "undecided";
  }
  return "?";
}

}  // namespace

std::string Report::Text() const {
  std::string text;
  for (const Violation& violation : violations) text += violation.text;
  if (violations_found > violations.size()) {
    text += "and " + std::to_string(violations_found - violations.size()) + " more violations\n";
  }
  for (const std::string& key : undecided_keys) {
    text += "undecided: key " + Printable(key) + ": the search for an order reached its bound\n";
  }
  text += std::string(Word(judgement)) + ": " + std::to_string(operations) + " operations, " +
          std::to_string(keys) + " keys, " + std::to_string(unknown) + " unknown outcomes, " +
          std::to_string(configurations) + " configurations searched\n";
  return text;
}

Report CheckHistory(std::span<const Operation> history, const CheckOptions& options) {
  ARIMA_ASSERT(options.violations_max >= 1);
  Report report;
  Findings findings(history, options.violations_max);
  std::map<std::string_view, std::vector<size_t>> keys;
  for (size_t at = 0; at < history.size(); ++at) {
    const std::string misfit = Misfit(history[at]);
    ARIMA_ASSERT(misfit.empty(), misfit, history[at].id);
    keys[history[at].key].push_back(at);
    if (history[at].outcome == Outcome::kUnknown) ++report.unknown;
  }
  report.operations = history.size();
  report.keys = keys.size();
  for (const auto& [key, operations] : keys) {
    if (!CheckValues(history, operations, &findings)) continue;
    CheckOrder(history, operations, options, &report, &findings);
  }
  CheckRevisions(history, &findings);
  report.violations_found = findings.count();
  report.violations = findings.Take();
  if (report.violations_found > 0) {
    report.judgement = Judgement::kViolated;
  } else if (!report.undecided_keys.empty()) {
    report.judgement = Judgement::kUndecided;
  }
  return report;
}

}  // namespace arima::check
