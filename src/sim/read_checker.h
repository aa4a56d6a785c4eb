// ReadChecker: linearizability of one counter, the log position (docs/design/raft.md 7.3, I11).
//
// A write is acknowledged at its index; a linearizable read answers with the state at some index.
// In a linear history a read that begins after an acknowledgement, or after another read has ended,
// sees at least that index. One number, the floor, says it all. One thread; call in the order of
// true (virtual) time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "raft/types.h"
#include "sim/verdict.h"

namespace arima::sim {

class ReadChecker {
 public:
  explicit ReadChecker(Verdict* verdict) : verdict_(verdict) {}

  void OnWriteAcknowledged(raft::Index index) { floor_ = std::max(floor_, index); }
  // What a read that begins now must at least see.
  raft::Index OnReadBegin() const { return floor_; }
  // The core has confirmed the read: the state at `index` or later will do.
  void OnReadIndex(raft::Index index, raft::Index floor) {
    if (index < floor) {
      verdict_->Fail("linearizable reads",
                     "a read may be served at " + std::to_string(index.value) + " though " +
                         std::to_string(floor.value) + " was acknowledged before it began");
    }
  }
  // The state machine has served it, being at `applied`.
  void OnReadServed(raft::Index applied) { floor_ = std::max(floor_, applied); }

 private:
  Verdict* const verdict_;
  raft::Index floor_;
};

}  // namespace arima::sim
