// Verdict: the first thing that went wrong in a simulated run. Checkers report, the simulator
// stops. One thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace arima::sim {

class Verdict {
 public:
  // `invariant` names the rule of docs/design/raft.md 7.3, e.g. "I4 log matching".
  void Fail(std::string_view invariant, const std::string& what) {
    if (ok()) text_ = std::string(invariant) + ": " + what;
  }

  bool ok() const { return text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace arima::sim
