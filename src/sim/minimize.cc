#include "sim/minimize.h"

#include <algorithm>
#include <string>
#include <utility>

#include "sim/overrides.h"

namespace arima::sim {
namespace {

class Minimizer {
 public:
  Minimizer(const SimOptions& failing, const Level& level) : level_(level) {
    best_.options = failing;
    best_.result = level_.run(failing);
    best_.runs = 1;
    invariant_ = Invariant(best_.result);
  }

  Minimized Run() {
    // Leaving out one thing may make another unnecessary, so all over until nothing goes.
    while (true) {
      const Overrides before = best_.options.overrides;
      DropFaults();
      Lower(&Overrides::voters, Present().voters);
      Lower(&Overrides::clients, Present().clients);
      LowerEvents();
      if (best_.options.overrides == before) return std::move(best_);
    }
  }

 private:
  static std::string Invariant(const SimResult& result) {
    return result.failure.substr(0, result.failure.find(':'));
  }

  Extent Present() const { return level_.extent(best_.options); }

  bool Try(const Overrides& overrides) {
    SimOptions options = best_.options;
    options.overrides = overrides;
    SimResult result = level_.run(options);
    ++best_.runs;
    if (result.ok || Invariant(result) != invariant_) return false;
    best_.options = std::move(options);
    best_.result = std::move(result);
    return true;
  }

  // Halves first, then one by one: most runs need few of their faults.
  void DropFaults() {
    std::vector<std::string> present = Present().faults;
    for (size_t step = std::max<size_t>(present.size() / 2, 1);; step /= 2) {
      for (size_t at = 0; at < present.size();) {
        const size_t end = std::min(at + step, present.size());
        const auto from = present.begin() + static_cast<std::ptrdiff_t>(at);
        const auto to = present.begin() + static_cast<std::ptrdiff_t>(end);
        Overrides smaller = best_.options.overrides;
        smaller.without.insert(smaller.without.end(), from, to);
        if (Try(smaller)) {
          present.erase(from, to);
        } else {
          at = end;
        }
      }
      if (step == 1) return;
    }
  }

  void Lower(uint32_t Overrides::* field, uint32_t present) {
    for (uint32_t fewer = 1; fewer < present; ++fewer) {
      Overrides smaller = best_.options.overrides;
      smaller.*field = fewer;
      if (Try(smaller)) return;
    }
  }

  // The run may end with the failure long before; what it did not reach is no matter.
  void LowerEvents() {
    uint64_t present = std::min(best_.result.events, Present().events);
    for (uint64_t step = present / 2; step > 0;) {
      Overrides smaller = best_.options.overrides;
      smaller.events = present - step;
      if (smaller.events > 0 && Try(smaller)) {
        present = std::min(smaller.events, best_.result.events);
        step = std::min(step, present / 2);
      } else {
        step /= 2;
      }
    }
  }

  const Level& level_;
  std::string invariant_;
  Minimized best_;
};

}  // namespace

Minimized Minimize(const SimOptions& failing, const Level& level) {
  return Minimizer(failing, level).Run();
}

}  // namespace arima::sim
