// FindOrder: is there an order of the steps of one key? The search of Wing and Gong (1993) with
// the memory of configurations of Lowe (2017); its design is told in order_search.cc. Pure
// function, any thread.
#pragma once

#include <cstdint>

#include "check/key_history.h"

namespace arima::check {

enum class SearchEnd : uint8_t {
  kOrder,    // there is one
  kNoOrder,  // there is none
  kLimit,    // not known: `configurations_max` were looked at
};

struct SearchResult {
  SearchEnd end = SearchEnd::kOrder;
  uint64_t configurations = 0;  // looked at; at most configurations_max
};

// Needs memory for up to `configurations_max` configurations, of 24 bytes each where up to 64
// operations overlap and none is open.
SearchResult FindOrder(const KeyHistory& key, uint64_t configurations_max);

}  // namespace arima::check
