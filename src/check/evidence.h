// Evidence: from a key whose operations have no order to few of them that have none either, and
// operations as text for people. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check/history.h"
#include "check/key_history.h"

namespace arima::check {

// Positions in the history of accesses that already contradict each other, whatever the others did:
// none of them can be spared. `accesses` have no order. More than necessary are left if the
// searches for fewer look at more than `configurations_max` configurations and accesses together.
std::vector<size_t> FindContradiction(std::span<const Access> accesses,
                                      uint64_t configurations_max);

// `headline`, then one line per operation in order of start, with times relative to the first.
std::string DescribeOperations(std::string_view headline, std::span<const Operation> history,
                               std::vector<size_t> operations);

}  // namespace arima::check
