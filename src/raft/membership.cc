// Membership inside the core: Conf entries become active in the event that commits them
// (docs/design/raft.md 1.9; Raft thesis chapter 4).
//
// Not at append time: an active configuration would have to be rolled back by truncation. Not when
// the state machine applies it: a candidate could count votes by a configuration older than its own
// commit index (etcd-io/etcd#7280). What a change may be is conf_change.h; when it may be proposed
// is CheckConfProposal.

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/conf_payload.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

bool Contains(const std::vector<MemberId>& ids, MemberId id) {
  return std::binary_search(ids.begin(), ids.end(), id);
}

std::string Ids(const std::vector<MemberId>& ids) {
  std::string text;
  for (MemberId id : ids) {
    if (!text.empty()) text += ' ';
    text += std::to_string(id.value);
  }
  return text;
}

std::string Describe(const ConfState& conf) {
  std::string text = "voters (" + Ids(conf.voters) + ")";
  if (conf.joint()) text += " and (" + Ids(conf.voters_outgoing) + ")";
  if (!conf.learners.empty()) text += " learners (" + Ids(conf.learners) + ")";
  if (!conf.learners_next.empty()) text += " next learners (" + Ids(conf.learners_next) + ")";
  return text;
}

}  // namespace

bool CoreImpl::IsVoter(MemberId id) const {
  return Contains(conf_->voters, id) || Contains(conf_->voters_outgoing, id);
}

void CoreImpl::ActivateConfs() {
  while (!pending_confs_.empty() && pending_confs_.begin()->first <= log_.commit()) {
    auto node = pending_confs_.extract(pending_confs_.begin());
    // Without a state machine the first configuration is the newest one ever seen committed, which
    // may be ahead of the log (InitialState::needs_snapshot): it holds this change already.
    if (node.key() <= conf_->index) continue;
    ActivateConf(node.key(), node.mapped());
  }
}

void CoreImpl::ActivateConf(Index index, const Entry& entry) {
  Result<ConfChange> change = DecodeConfPayload(entry.payload.view());
  Result<ConfState> next = change ? ApplyConfChange(*conf_, *change, index)
                                  : Result<ConfState>(std::unexpected(change.error()));
  if (!next) {
    // Every node refuses it alike: the result depends on nothing but the log.
    AddEvent(EventKind::kConfRefused, MemberId(0),
             "entry " + std::to_string(index.value) + ": " + next.error().message);
    unapplied_confs_.emplace(index, conf_);
    return;
  }
  std::shared_ptr<const ConfState> before = std::move(conf_);
  conf_ = std::make_shared<const ConfState>(std::move(*next));
  unapplied_confs_.emplace(index, conf_);
  out_.conf_changed = conf_;
  AddEvent(EventKind::kConfActive, MemberId(0),
           "entry " + std::to_string(index.value) + ": " + Describe(*conf_));
  OnConfActive(*before);
}

// Ids are handed out in order and never again: one that was handed out and is no member was taken
// out. A joining node that reads old configurations finds its id not handed out yet.
void CoreImpl::NoteRemoval() {
  if (IsRemoved() || !config_.id || conf_->members.empty()) return;
  if (config_.id >= conf_->next_member_id || conf_->members.contains(config_.id)) return;
  removal_ = Removal::kKnown;
  AddEvent(EventKind::kRemovedSelf, MemberId(0), "this node is no longer a member");
}

// A leader tells its peers before it goes.
void CoreImpl::ActOnRemoval() {
  if (removal_ != Removal::kDurable || role_ == Role::kLeader) return;
  if (disabled_ == Disabled::kNone) disabled_ = Disabled::kRemoved;
}

void CoreImpl::OnConfActive(const ConfState& before) {
  NoteRemoval();
  std::erase_if(seen_forwards_,
                [&](const auto& seen) { return !conf_->members.contains(seen.first); });
  if (role_ == Role::kPreCandidate || role_ == Role::kCandidate) {
    BecomeFollower(term_, MemberId(0), "the configuration changed during the election");
    return;
  }
  if (role_ != Role::kLeader) return;
  SyncPeers(before);
  ConfirmRemoval(before);
  if (transferee_ && !IsVoter(transferee_)) AbortTransfer("the target is no longer a voter");
  if (!IsVoter(config_.id) && config_.step_down_on_removal) step_down_due_ = true;
}

// That an entry is committed is news that spreads lazily. Voters that have not heard it count with
// the old configuration, and if those it took out are switched off they may wait for them for ever.
// The Noop is committed by the new configuration, and a log that holds it holds the news before it.
void CoreImpl::ConfirmRemoval(const ConfState& before) {
  if (!config_.confirm_removals) return;
  auto stays = [this](MemberId id) { return IsVoter(id); };
  if (std::all_of(before.voters.begin(), before.voters.end(), stays) &&
      std::all_of(before.voters_outgoing.begin(), before.voters_outgoing.end(), stays)) {
    return;
  }
  AppendOwn(EntryKind::kNoop, SharedBytes());
  confirm_index_ = log_.last();
}

void CoreImpl::AddPeer(MemberId id) {
  Progress p(id, log_.last() + 1, config_);
  p.learner = !IsVoter(id);
  p.StartCatchUp(log_.last(), now_ns_);
  auto at = std::lower_bound(peers_.begin(), peers_.end(), id,
                             [](const Progress& a, MemberId b) { return a.id < b; });
  peers_.insert(at, std::move(p));
}

void CoreImpl::SyncPeers(const ConfState& before) {
  for (const auto& [id, info] : conf_->members) {
    if (id == config_.id) continue;
    if (Progress* p = FindPeer(id)) {
      p->learner = !IsVoter(id);
      p->leaving_at = Index(0);
      continue;
    }
    AddPeer(id);
    Progress* p = FindPeer(id);
    // Nobody has heard of it yet; that must not depose the leader.
    p->recent_active = true;
    p->want_empty = true;
  }
  for (Progress& p : peers_) {
    if (conf_->members.contains(p.id) || p.leaving_at) continue;
    ARIMA_ASSERT(before.members.contains(p.id), p.id);
    // It is told of its removal before it is forgotten.
    p.leaving_at = conf_->index;
    p.leaving_round = 0;
    p.leaving_ticks = 0;
  }
}

bool CoreImpl::HasLeft(const Progress& p) const {
  if (!p.leaving_at) return false;
  // A heartbeat that carried the commit was answered by a log that holds the entry.
  bool knows = p.leaving_round != 0 && p.acked_round >= p.leaving_round;
  return knows || p.damaged || p.state == ProgressState::kSnapshot ||
         p.leaving_ticks > 10 * config_.election_ticks;
}

void CoreImpl::UpdateLeavingPeers() {
  for (Progress& p : peers_) {
    if (p.leaving_at) ++p.leaving_ticks;
  }
  std::erase_if(peers_, [this](const Progress& p) { return HasLeft(p); });
}

void CoreImpl::MaybeAutoLeave() {
  if (!conf_->joint() || !conf_->auto_leave || transferee_) return;
  // Proposed once: its own index is pending until it is committed.
  if (pending_conf_index_ > log_.commit() || !OwnTermCommitted()) return;
  if (ARIMA_MUTANT(47) && log_.TermAt(conf_->index) != term_) return;
  AppendOwn(EntryKind::kConf, SharedBytes::Take(EncodeConfPayload(ConfChange{})));
  if (!ARIMA_MUTANT(71)) pending_conf_index_ = log_.last();
}

// The peers have just been told the commit index; who is ahead of the others takes over at once.
void CoreImpl::StepDownRemoved() {
  step_down_due_ = false;
  if (MemberId target = MostCaughtUpVoter()) SendTimeoutNow(target);
  BecomeFollower(term_, MemberId(0), "no longer a voter");
}

void CoreImpl::On(ProposeConf&& in) {
  if (auto refusal = CheckConfProposal(in)) {
    refusal->tag = in.tag;
    refusal->leader = leader_;
    out_.rejected.push_back(std::move(*refusal));
    return;
  }
  AppendOwn(EntryKind::kConf, SharedBytes::Take(EncodeConfPayload(in.change)));
  pending_conf_index_ = log_.last();
  out_.accepted.push_back({in.tag, log_.last(), term_});
}

std::optional<ProposalRejected> CoreImpl::CheckConfProposal(const ProposeConf& in) const {
  auto refuse = [](RejectReason reason, std::string text = {}) {
    return ProposalRejected{0, reason, std::move(text), MemberId(0)};
  };
  if (disabled_ != Disabled::kNone) return refuse(RejectReason::kDisabled);
  if (role_ != Role::kLeader) return refuse(RejectReason::kNoLeader);
  if (transferee_) return refuse(RejectReason::kTransferring);
  if (!IsVoter(config_.id)) return refuse(RejectReason::kNotMember);
  if (in.change.changes.size() > kConfItemsMax || in.change.context.size() > kConfContextMax) {
    return refuse(RejectReason::kConfInvalid, "membership change is too large");
  }
  if (!config_.check_conf_proposals) return std::nullopt;
  // Without an entry of the own term two leaders could each take one step from the same
  // configuration, to disjoint majorities (Ongaro, raft-dev, 2015).
  if (!OwnTermCommitted() && !ARIMA_MUTANT(21)) {
    return refuse(RejectReason::kConfPending, "nothing of this leader's term is committed yet");
  }
  if (pending_conf_index_ > log_.commit() && !ARIMA_MUTANT(20)) {
    return refuse(RejectReason::kConfPending,
                  "entry " + std::to_string(pending_conf_index_.value) + " is not committed yet");
  }
  Result<ConfState> next = ApplyConfChange(*conf_, in.change, log_.last() + 1);
  if (!next) return refuse(RejectReason::kConfInvalid, next.error().message);
  if (auto why = WhyNotPromotable(*next)) return refuse(RejectReason::kNotReady, std::move(*why));
  if (!in.force && !KeepsLiveQuorum(*next)) {
    return refuse(RejectReason::kNotReady, "too few of " + Describe(*next) + " are reachable");
  }
  return std::nullopt;
}

std::optional<std::string> CoreImpl::WhyNotPromotable(const ConfState& next) const {
  if (!config_.require_caught_up_learner) return std::nullopt;
  for (MemberId id : next.voters) {
    if (IsVoter(id)) continue;
    std::string member = "member " + std::to_string(id.value);
    const Progress* p = FindPeer(id);
    if (p == nullptr || !p->learner) return member + " must be a learner before it can vote";
    if (p->repairing) return member + " has lost its state machine and waits for a snapshot";
    if (p->match + config_.promote_lag < log_.commit() || !p->CaughtUp(now_ns_, election_ns_)) {
      return member + " has not caught up: it has " + std::to_string(p->match.value) + " of " +
             std::to_string(log_.commit().value);
    }
  }
  return std::nullopt;
}

bool CoreImpl::KeepsLiveQuorum(const ConfState& next) const {
  return HasQuorum(next.voters, next.voters_outgoing, [this](MemberId id) {
    if (id == config_.id) return true;
    const Progress* p = FindPeer(id);
    return p != nullptr && IsLive(*p);
  });
}

}  // namespace arima::raft
