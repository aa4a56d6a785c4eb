// Majorities as the checkers count them: apart from raft/quorum.h on purpose. A checker that shared
// the arithmetic of what it checks would share its mistakes. Pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "raft/types.h"

namespace arima::sim {

// An empty list agrees with everything.
template <class InSet>
bool HasMajority(const std::vector<raft::MemberId>& voters, InSet&& in_set) {
  const auto count = static_cast<size_t>(std::count_if(voters.begin(), voters.end(), in_set));
  return voters.empty() || 2 * count > voters.size();
}

template <class InSet>
bool HasQuorum(const raft::ConfState& conf, InSet&& in_set) {
  return HasMajority(conf.voters, in_set) && HasMajority(conf.voters_outgoing, in_set);
}

}  // namespace arima::sim
