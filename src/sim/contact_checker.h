// ContactChecker: a leader that does not hear a quorum steps down in time (docs/design/raft.md 1.8,
// pitfall 8): no longer than two election timeouts, by its own ticks, after what it heard last.
//
// It has as long after each thing that starts its clock anew: its election, a change of the
// configuration (new members are given time), a transfer. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "raft/types.h"
#include "sim/majority.h"
#include "sim/verdict.h"

namespace arima::sim {

class ContactChecker {
 public:
  explicit ContactChecker(Verdict* verdict) : verdict_(verdict) {}

  void Restart(raft::MemberId leader) {
    Contacts& contacts = Of(leader);
    contacts.since = contacts.ticks;
    contacts.heard.clear();
  }
  // An answer to the leader has come in, in its term.
  void OnHeard(raft::MemberId leader, raft::MemberId from) {
    Contacts& contacts = Of(leader);
    if (from.value >= contacts.heard.size()) contacts.heard.resize(from.value + 1);
    contacts.heard[from.value] = contacts.ticks;
  }
  // The leader, whose configuration is `conf`, gets its next tick.
  void OnTick(raft::MemberId leader, const raft::ConfState& conf, uint32_t election_ticks) {
    Contacts& contacts = Of(leader);
    const uint64_t limit = 2 * uint64_t{election_ticks} + 2;
    if (++contacts.ticks - contacts.since <= limit) return;
    const bool quorum = HasQuorum(conf, [&](raft::MemberId id) {
      if (id == leader) return true;
      return id.value < contacts.heard.size() && contacts.heard[id.value] > contacts.since &&
             contacts.ticks - contacts.heard[id.value] <= limit;
    });
    if (quorum) return;
    verdict_->Fail("check-quorum", "node " + std::to_string(leader.value) + " still leads after " +
                                       std::to_string(limit) +
                                       " ticks without an answer from a quorum");
  }

 private:
  struct Contacts {
    uint64_t ticks = 0;
    uint64_t since = 0;
    std::vector<uint64_t> heard;  // by member id; its tick
  };
  Contacts& Of(raft::MemberId leader) {
    if (leader.value >= contacts_.size()) contacts_.resize(leader.value + 1);
    return contacts_[leader.value];
  }

  Verdict* const verdict_;
  std::vector<Contacts> contacts_;
};

}  // namespace arima::sim
