// DurabilityChecker: nothing is claimed before a disk holds it (docs/design/raft.md 7.3).
//
//   I7  what is committed is durable on a quorum of the configuration that committed it
//   I10 votes, vote requests and acknowledgements are released only when their state is durable; a
//       leader has durable votes of a quorum
//   I20 a log that durably holds Conf entry k+1 durably knows that entry k is committed
//
// Looks at the disks as a crash would leave them. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "raft/core.h"
#include "sim/membership_checker.h"
#include "sim/sim_disk.h"
#include "sim/verdict.h"

namespace arima::sim {

class DurabilityChecker {
 public:
  DurabilityChecker(Verdict* verdict, const MembershipChecker* membership)
      : verdict_(verdict), membership_(membership) {}

  // Disks outlive the checker; ids ascend from 1.
  void AddDisk(const SimDisk* disk) { disks_.push_back(disk); }

  // Everything up to `commit` became committed for the first time, by a node that counted with
  // `conf` before this event.
  void OnCommit(raft::MemberId node, const raft::ConfState& conf, raft::EntryId commit);
  void OnLeader(raft::MemberId node, const raft::ConfState& conf, raft::Term term);
  // A message leaves its node. `acked`: the term that the entry at message.index has in the node's
  // log, if it has one there and has not heard of a later leader, who may have put another there.
  void OnRelease(const raft::Message& message, std::optional<raft::Term> acked);
  // A write became durable on a node that after a crash would know everything up to `known` as
  // committed (from its log or its state machine).
  void OnDurable(raft::MemberId node, const raft::Write& write, raft::Index known);

 private:
  const SimDisk* Disk(raft::MemberId id) const;
  bool OnQuorum(const raft::ConfState& conf, raft::EntryId position) const;

  Verdict* const verdict_;
  const MembershipChecker* const membership_;
  std::vector<const SimDisk*> disks_;
};

}  // namespace arima::sim
