// What can be saved of a damaged log: a new one, beside it, that goes on from a point which the
// state machine holds durably (docs/design/raft.md 4.6, Corrupt policy).
//
// Reads the damaged directory and changes nothing in it. Used at start by one thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "env/env.h"
#include "raft/types.h"
#include "wal/wal.h"

namespace arima::wal {

enum class SalvageMode : uint8_t {
  // Nothing may be lost: all entries behind `base` up to the end, and the newest hard state, stand
  // in frames behind the last damaged place.
  kTail,
  // What follows `base` up to the first damaged place; the rest is given up. The vote is forgotten
  // and the term raised beyond any that was lost: only for a node without other voters.
  kPrefix,
};

struct Salvaged {
  raft::EntryId base;
  raft::Index last;
  raft::HardState hard_state;
};

// Makes a log in the directory `target`, which is empty or does not exist, durable and closed;
// with an empty `target` only says what it would hold. `options` are those of the damaged log.
// kCorruption: kTail is not possible, and why.
Result<Salvaged> SalvageLog(env::Env& env, const WalOptions& options, raft::EntryId base,
                            SalvageMode mode, const std::string& target);

}  // namespace arima::wal
