// Reading entries back from segment files through the index, each one verified.
//
// Any thread; no lock is held while files are read.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "raft/types.h"
#include "wal/entry_index.h"

namespace arima::wal {

// See Wal::Read.
Result<std::vector<raft::Entry>> ReadEntries(const EntryIndex& index, raft::Index low,
                                             raft::Index high, uint64_t bytes_max);

}  // namespace arima::wal
