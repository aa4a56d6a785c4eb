// StateChecker: the state machines (docs/design/raft.md 7.3).
//
//   I8  entries are applied in order without gaps; the applied index never goes back within a life
//   I14 two state machines that have applied the same index are equal
//
// A state machine is one hash over everything that it has applied. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "raft/types.h"
#include "sim/verdict.h"

namespace arima::sim {

class StateChecker {
 public:
  explicit StateChecker(Verdict* verdict) : verdict_(verdict) {}

  void OnStart(raft::MemberId node, raft::Index applied, uint64_t state);
  // The node has applied the entry at `index`; `state` is its hash afterwards.
  void OnApply(raft::MemberId node, raft::Index index, uint64_t state);
  // The node has switched to a snapshot.
  void OnInstall(raft::MemberId node, raft::Index index, uint64_t state);

 private:
  void Compare(raft::MemberId node, raft::Index index, uint64_t state);
  raft::Index& Applied(raft::MemberId node);

  Verdict* const verdict_;
  std::vector<raft::Index> applied_;  // by member id
  std::vector<uint64_t> states_;      // by index; 0 = nobody was there
};

}  // namespace arima::sim
