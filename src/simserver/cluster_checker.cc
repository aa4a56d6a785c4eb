#include "simserver/cluster_checker.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "raft/describe.h"

namespace arima::simserver {

using raft::CoreStatus;
using raft::EntryId;
using raft::Index;
using raft::MemberId;

namespace {

constexpr const char* kSnapshotRule = "I18 snapshots";

std::string Who(MemberId member) { return "member " + std::to_string(member.value); }

EntryId SnapshotOf(const CoreStatus& status) {
  return {status.snapshot_term, status.snapshot_index};
}

bool Holds(const LogContent& log, const raft::Entry& entry) {
  const auto found = log.find(entry.index);
  return found != log.end() && found->second == FoundEntry{entry.term, entry.checksum};
}

// A commit that is found may come from the database, or have been written without a sync.
bool IsFound(const sim::SimDisk& disk, const CoreStatus& status, const LogContent& log) {
  const raft::HardState& state = disk.newest();
  const Index commit_max = std::max(state.commit, status.applied);
  return disk.Covers(SnapshotOf(status)) && disk.last() == status.last &&
         disk.TermAt(disk.last()) == status.last_term && state.term == status.hard_state.term &&
         state.vote == status.hard_state.vote &&
         disk.hard_state().commit <= status.hard_state.commit &&
         status.hard_state.commit <= commit_max &&
         std::ranges::all_of(disk.entries(), [&](const auto& entry) {
           return entry.index <= status.snapshot_index || Holds(log, entry);
         });
}

std::string Text(const CoreStatus& status) {
  return raft::Describe(status.hard_state) + " and entries up to " +
         raft::Describe(EntryId{status.last_term, status.last});
}

}  // namespace

ClusterChecker::ClusterChecker(sim::Verdict* verdict)
    : verdict_(verdict),
      members_(verdict),
      logs_(verdict),
      elections_(verdict),
      durability_(verdict, &members_) {}

std::shared_ptr<const raft::ConfState> ClusterChecker::newest() const {
  return members_.history().empty() ? nullptr : members_.history().rbegin()->second;
}

ClusterChecker::Member& ClusterChecker::Known(MemberId member) {
  while (known_.size() < member.value) durability_.AddDisk(&known_.emplace_back().disk);
  return known_[Number(member)];
}

// ---------------------------------------------------------------- a core begins

void ClusterChecker::OnOpened(MemberId member, const CoreStatus& status, const LogContent& log) {
  Member& known = Known(member);
  const EntryId snapshot = SnapshotOf(status);
  if (known.life == 0) {
    Begin(member, status);
  } else if (!known.disk.Covers(snapshot)) {
    // The log was left for what a snapshot brought.
    if (!known.installs.contains(snapshot.index) || status.last != snapshot.index) {
      verdict_->Fail(kSnapshotRule, Who(member) + " begins with " + raft::Describe(snapshot) +
                                        ", which is no snapshot that it was to install");
    }
    logs_.OnReset(Number(member), snapshot);
    known.disk.ResetTo(snapshot);
  } else if (!Find(&known, status, log)) {
    verdict_->Fail("I9 stable is durable",
                   Who(member) + " finds " + Text(status) + "; the writer had said that " +
                       raft::Describe(known.disk.hard_state()) + " and entries up to " +
                       std::to_string(known.disk.last().value) +
                       " are durable, or the entries are others");
  }
  if (!verdict_->ok()) return;
  known.under_way.clear();
  ++known.life;
  logs_.OnStart(Number(member), known.disk.snapshot(), known.disk.entries());
  elections_.OnStart(member, status.hard_state.term);
  known.commit = status.hard_state.commit;
  known.soft = status.soft;
  known.conf = status.conf;
}

void ClusterChecker::Begin(MemberId member, const CoreStatus& status) {
  Known(member).disk.Format(status.hard_state, SnapshotOf(status));
  if (newest() == nullptr) {
    logs_.Bootstrap(SnapshotOf(status));
    members_.Bootstrap(*status.conf);
  }
  if (status.last == status.snapshot_index) return;
  verdict_->Fail("I9 stable is durable", Who(member) + " is new and has a log");
}

bool ClusterChecker::Find(Member* known, const CoreStatus& status, const LogContent& log) {
  sim::SimDisk disk = known->disk;
  for (auto next = known->under_way.begin();; ++next) {
    if (IsFound(disk, status, log)) {
      // What was found is durable, or it would not have been started with. A commit that was
      // written without a sync may be lost.
      raft::HardState state = status.hard_state;
      state.commit = std::min(state.commit, disk.newest().commit);
      const std::span<const raft::Entry> entries = disk.entries();
      known->disk.Load(state, disk.snapshot(), {entries.begin(), entries.end()});
      return true;
    }
    if (next == known->under_way.end()) return false;
    disk.Complete(*next);
  }
}

// ---------------------------------------------------------------- it decides

void ClusterChecker::OnOutput(MemberId member, const raft::Output& out) {
  Member& known = Known(member);
  const bool led = known.soft.role == raft::Role::kLeader;
  const raft::Term term_before = known.soft.term;
  const std::shared_ptr<const raft::ConfState> conf_before = known.conf;
  if (out.write && out.write->hard_state) {
    elections_.OnHardState(member, *out.write->hard_state, *conf_before);
  }
  if (out.soft) {
    known.soft = *out.soft;
    elections_.OnTerm(member, known.soft.term);
  }
  const bool leads = known.soft.role == raft::Role::kLeader;
  const bool still_leads = led && leads && known.soft.term == term_before;
  if (leads && !still_leads) elections_.OnLeader(member, known.life, known.soft.term);
  if (out.write) {
    const bool waits = !out.write->after_durable.empty() || !out.write->entries.empty();
    if (!out.write->need_sync && waits) {
      verdict_->Fail("D6 lazy writes", Who(member) + " lets something wait for a lazy write");
    }
    logs_.OnAppend(Number(member), out.write->entries, still_leads);
    known.under_way.push_back(*out.write);
    known.under_way.back().after_durable.clear();
  }
  if (leads && !still_leads && verdict_->ok()) {
    logs_.OnLeader(Number(member), known.soft.term);
    durability_.OnLeader(member, *conf_before, known.soft.term);
    members_.OnLeader(member, *conf_before, logs_.CommittedBefore(known.soft.term));
  }
  if (out.conf_changed != nullptr) {
    members_.OnActive(member, *out.conf_changed);
    known.conf = out.conf_changed;
  }
  OnCommit(member, out.commit, *conf_before, still_leads);
  for (const raft::ApplyItem& item : out.apply) {
    logs_.OnApply(Number(member), item.entry);
    if (item.entry.kind != raft::EntryKind::kConf || item.conf == nullptr) continue;
    const auto before = members_.history().lower_bound(item.entry.index);
    if (before == members_.history().begin()) continue;
    members_.OnApply(member, item.entry, *std::prev(before)->second, *item.conf);
  }
  if (out.install) known.installs.insert(out.install->meta.index);
  for (const raft::Message& message : out.send_now) OnReleased(message);
}

void ClusterChecker::OnCommit(MemberId member, Index commit, const raft::ConfState& counted_with,
                              bool leading) {
  Member& known = Known(member);
  if (commit < known.commit) {
    verdict_->Fail("I8 commit never goes back", Who(member) + " goes from " +
                                                    std::to_string(known.commit.value) + " to " +
                                                    std::to_string(commit.value));
  }
  if (commit <= known.commit || !verdict_->ok()) return;
  const bool first = commit > logs_.committed();
  known.commit = commit;
  logs_.OnCommit(Number(member), commit, known.soft.term, leading);
  if (!first || !verdict_->ok()) return;
  durability_.OnCommit(member, counted_with, {*logs_.TermAt(Number(member), commit), commit});
}

// ---------------------------------------------------------------- it is durable

void ClusterChecker::OnWritten(MemberId member, uint64_t seq, Index applied) {
  Member& known = Known(member);
  while (!known.under_way.empty() && known.under_way.front().seq <= seq) {
    const raft::Write write = std::move(known.under_way.front());
    known.under_way.pop_front();
    known.disk.Complete(write);
    durability_.OnDurable(member, write, std::max(known.disk.hard_state().commit, applied));
  }
}

void ClusterChecker::OnReleased(const raft::Message& message) {
  if (Known(message.from).wiped) {
    verdict_->Fail("I17 wiped members are gone",
                   Who(message.from) + " has lost its disk and sends " + raft::Describe(message));
  }
  const bool same_term = Known(message.from).soft.term == message.term;
  durability_.OnRelease(
      message, same_term ? logs_.TermAt(Number(message.from), message.index) : std::nullopt);
  if (message.type == raft::MessageType::kVote) {
    elections_.OnVoteRequest(message.from, message.term);
  }
  if (message.type == raft::MessageType::kVoteResp && !message.reject) {
    elections_.OnVote(message.from, message.term, message.to);
  }
}

}  // namespace arima::simserver
