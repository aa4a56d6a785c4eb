// MembershipChecker: configurations (docs/design/raft.md 7.3).
//
//   I12 one configuration per Conf entry, the same everywhere, derived from the one before by the
//       rules of raft/conf_change.h; a new leader is at most one step behind the newest committed
//       one (appendix A3), so that quorums in use intersect
//   any quorum of a configuration and any of the next one have a member in common
//   member ids are never handed out twice
//
// One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "raft/types.h"
#include "sim/verdict.h"

namespace arima::sim {

class MembershipChecker {
 public:
  using Conf = std::shared_ptr<const raft::ConfState>;

  explicit MembershipChecker(Verdict* verdict) : verdict_(verdict) {}

  // The configuration that the cluster starts with.
  void Bootstrap(const raft::ConfState& conf);
  // A core has switched to `conf`.
  void OnActive(raft::MemberId node, const raft::ConfState& conf);
  // A state machine applies a Conf entry in configuration `before`; `after` is what it was told.
  void OnApply(raft::MemberId node, const raft::Entry& entry, const raft::ConfState& before,
               const raft::ConfState& after);
  // A node leads with `own` as its active configuration; `committed` is everything committed in
  // earlier terms.
  void OnLeader(raft::MemberId node, const raft::ConfState& own, raft::Index committed);

  const std::map<raft::Index, Conf>& history() const { return history_; }
  const raft::ConfState& newest() const { return *history_.rbegin()->second; }

 private:
  // `next` is the newest one, `before` the one that it follows.
  void CheckStep(raft::MemberId node, const raft::ConfState& before, const raft::ConfState& next);
  void Remember(raft::MemberId node, const raft::ConfState& conf);

  Verdict* const verdict_;
  std::map<raft::Index, Conf> history_;  // by the index of the entry that made it active
};

}  // namespace arima::sim
