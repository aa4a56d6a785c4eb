// Membership changes as pure functions: what a Conf entry says and what it makes of a ConfState.
//
// Rules and their reasons: docs/design/raft.md section 1.9. A change is proposed by the leader,
// becomes active in the same core event in which its entry is committed, and is never rolled back.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "raft/types.h"

namespace arima::raft {

// On disk and wire: never renumber.
enum class ConfTransition : uint8_t {
  kAuto = 0,           // one voter changes: simple; more: joint with auto-leave
  kJointImplicit = 1,  // joint, left automatically
  kJointExplicit = 2,  // joint until an empty change leaves it
};
enum class ConfOp : uint8_t { kAddVoter = 1, kAddLearner = 2, kRemove = 3, kUpdate = 4 };

struct ConfChangeItem {
  ConfOp op = ConfOp::kAddLearner;
  // kAddLearner / kAddVoter with info.id 0: a new member; the id is next_member_id when the entry
  // commits. kRemove uses info.id only. kUpdate replaces addresses and attributes, never the id.
  MemberInfo info;
  friend bool operator==(const ConfChangeItem&, const ConfChangeItem&) = default;
};

struct ConfChange {
  ConfTransition transition = ConfTransition::kAuto;
  std::vector<ConfChangeItem> changes;  // empty = leave the joint configuration
  std::string context;                  // opaque, echoed to whoever proposed it
  friend bool operator==(const ConfChange&, const ConfChange&) = default;
};

// The configuration after `change`, or why it is not allowed. Pure and total: any input is safe.
Result<ConfState> ApplyConfChange(const ConfState& conf, const ConfChange& change, Index index);

// Ok, or which invariant of ConfState does not hold.
Status CheckConfState(const ConfState& conf);

}  // namespace arima::raft
