// Any bytes as a recorded history: nothing crashes, what is accepted has one spelling that is read
// back the same, and it is judged without going beyond the bound.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

#include "base/assert.h"
#include "check/history_file.h"
#include "check/linearizability.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  const auto history = arima::check::ReadHistory(in);
  if (!history) {
    ARIMA_ASSERT(!history.error().message.empty());
    return 0;
  }
  const std::string text = arima::check::FormatHistory(*history);
  std::istringstream again_in(text);
  const auto again = arima::check::ReadHistory(again_in);
  ARIMA_ASSERT(again.has_value(), text);
  ARIMA_ASSERT(arima::check::FormatHistory(*again) == text, text);
  arima::check::CheckOptions options;
  options.configurations_max = 1000;
  const arima::check::Report report = arima::check::CheckHistory(*again, options);
  // A search that is given up is repeated once with less to ask for.
  ARIMA_ASSERT(report.configurations <= report.keys * 2 * options.configurations_max);
  ARIMA_ASSERT((report.judgement == arima::check::Judgement::kViolated) ==
               !report.violations.empty());
  ARIMA_ASSERT(!report.Text().empty());
  return 0;
}
