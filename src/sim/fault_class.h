// FaultClass: a name for `--without`, and what it stands for in what a seed has drawn. A list of
// them is in the order in which they are worth trying to leave out (minimize.h).
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"

namespace arima::sim {

template <class Swarm>
struct FaultClass {
  std::string_view name;
  bool (*has)(const Swarm&);
  void (*drop)(Swarm*);
};

template <class Swarm>
std::vector<std::string> NamesOf(std::span<const FaultClass<Swarm>> classes) {
  std::vector<std::string> names;
  for (const FaultClass<Swarm>& fault : classes) names.emplace_back(fault.name);
  return names;
}

// Of these, the ones that `swarm` has.
template <class Swarm>
std::vector<std::string> PresentIn(const Swarm& swarm, std::span<const FaultClass<Swarm>> classes) {
  std::vector<std::string> names;
  for (const FaultClass<Swarm>& fault : classes) {
    if (fault.has(swarm)) names.emplace_back(fault.name);
  }
  return names;
}

// Names that are not in `classes` are a bug of the caller.
template <class Swarm>
void DropFrom(Swarm* swarm, std::span<const FaultClass<Swarm>> classes,
              const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto fault = std::ranges::find(classes, name, &FaultClass<Swarm>::name);
    ARIMA_ASSERT(fault != classes.end(), name);
    fault->drop(swarm);
  }
}

}  // namespace arima::sim
