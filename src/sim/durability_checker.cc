#include "sim/durability_checker.h"

#include <string>

#include "raft/describe.h"
#include "sim/majority.h"

namespace arima::sim {

using raft::ConfState;
using raft::EntryId;
using raft::Index;
using raft::MemberId;
using raft::MessageType;

namespace {

std::string Who(MemberId node) { return "node " + std::to_string(node.value); }

}  // namespace

const SimDisk* DurabilityChecker::Disk(MemberId id) const {
  if (id == MemberId(0) || id.value > disks_.size()) return nullptr;
  return disks_[id.value - 1];
}

bool DurabilityChecker::OnQuorum(const ConfState& conf, EntryId position) const {
  auto holds = [&](MemberId id) {
    const SimDisk* disk = Disk(id);
    return disk != nullptr && disk->Covers(position);
  };
  return HasQuorum(conf, holds);
}

void DurabilityChecker::OnCommit(MemberId node, const ConfState& conf, EntryId commit) {
  if (OnQuorum(conf, commit)) return;
  // The commit may have jumped over Conf entries: the later configurations count as well.
  const auto& history = membership_->history();
  for (auto next = history.upper_bound(conf.index);
       next != history.end() && next->first <= commit.index; ++next) {
    if (OnQuorum(*next->second, commit)) return;
  }
  verdict_->Fail("I7 committed is durable", Who(node) + " commits " + Describe(commit) +
                                                " which no quorum of " + Describe(conf) +
                                                " has on disk");
}

void DurabilityChecker::OnLeader(MemberId node, const ConfState& conf, raft::Term term) {
  auto voted = [&](MemberId id) {
    const SimDisk* disk = Disk(id);
    if (disk == nullptr) return false;
    const raft::HardState& state = disk->hard_state();
    // Who is in a later term by now has left no trace of this one.
    return state.term > term || (state.term == term && state.vote == node);
  };
  if (!HasQuorum(conf, voted) || !voted(node)) {
    verdict_->Fail("I10 durable before released",
                   Who(node) + " leads term " + std::to_string(term.value) +
                       " without durable votes of a quorum of " + Describe(conf));
  }
}

void DurabilityChecker::OnRelease(const raft::Message& message, std::optional<raft::Term> acked) {
  const SimDisk* disk = Disk(message.from);
  if (disk == nullptr) return;
  const raft::HardState& state = disk->hard_state();
  bool durable = true;
  switch (message.type) {
    case MessageType::kVote:
      durable =
          state.term > message.term || (state.term == message.term && state.vote == message.from);
      break;
    case MessageType::kVoteResp:
      durable = message.reject || state.term > message.term ||
                (state.term == message.term && state.vote == message.to);
      break;
    case MessageType::kAppResp:
      // An acknowledgement of an older term may outlive the entries it speaks of.
      durable = message.reject || state.term > message.term ||
                (state.term == message.term &&
                 (acked ? disk->Covers({*acked, message.index}) : disk->last() >= message.index));
      break;
    default:
      break;
  }
  if (!durable) {
    verdict_->Fail("I10 durable before released", Describe(message) + " while the disk has " +
                                                      Describe(state) + " and entries up to " +
                                                      std::to_string(disk->last().value));
  }
}

void DurabilityChecker::OnDurable(MemberId node, const raft::Write& write, Index known) {
  const SimDisk* disk = Disk(node);
  const std::vector<Index>& confs = disk->conf_indexes();
  if (write.entries.empty() || confs.size() < 2 || confs.back() < write.entries.front().index) {
    return;
  }
  const Index before = confs[confs.size() - 2];
  if (known < before) {
    verdict_->Fail("I20 configurations one step apart",
                   Who(node) + " holds the Conf entry at " + std::to_string(confs.back().value) +
                       " but durably knows only " + std::to_string(known.value) +
                       " as committed, the one before is at " + std::to_string(before.value));
  }
}

}  // namespace arima::sim
