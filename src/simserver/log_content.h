// LogContent: the entries that lie in a raft log, as a checker compares them.
#pragma once

#include <cstdint>
#include <map>

#include "raft/types.h"

namespace arima::simserver {

struct FoundEntry {
  raft::Term term;
  uint32_t checksum = 0;  // of kind and payload
  friend bool operator==(const FoundEntry&, const FoundEntry&) = default;
};

using LogContent = std::map<raft::Index, FoundEntry>;

}  // namespace arima::simserver
