// Elections: timers, campaigns, votes, roles (Raft paper 5.2 and 5.4.1; pre-vote thesis 9.6).
//
// Both the vote and the *request* for votes wait until (term, vote) is durable. Otherwise a
// candidate could win by the others' votes, lead, crash before its own term is on disk, start again
// in the old term, be granted the same votes once more, and lead one term twice with different
// entries under equal (term, index). See docs/design/raft.md 1.6 and A9.

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {

bool CoreImpl::IsPromotable() const {
  return config_.id && disabled_ == Disabled::kNone && !IsRemoved() &&
         (!installing_ || ARIMA_MUTANT(64)) && IsVoter(config_.id);
}

bool CoreImpl::IsSoleVoter() const {
  return !conf_->joint() && conf_->voters.size() == 1 && conf_->voters.front() == config_.id;
}

// Whose disk is low or stalled leads badly: it leaves the others time to win first.
uint32_t CoreImpl::CampaignTicks() const {
  const bool better_off = disk_ == DiskLevel::kOk && !sync_stalled_;
  return election_timeout_ + (better_off || IsSoleVoter() ? 0 : 2 * config_.election_ticks);
}

void CoreImpl::ResetElectionTimer() {
  election_elapsed_ = 0;
  RedrawElectionTimeout();
}

void CoreImpl::RedrawElectionTimeout() {
  short_timeout_ = false;
  election_timeout_ =
      config_.election_ticks + static_cast<uint32_t>(random_.Below(config_.election_ticks));
}

void CoreImpl::SetRandomizedElectionTimeout(uint32_t ticks) { election_timeout_ = ticks; }

void CoreImpl::StartCampaign(CampaignKind kind) {
  ARIMA_ASSERT(IsPromotable() && role_ != Role::kLeader);
  bool pre = kind == CampaignKind::kPre;
  if (!pre) {
    term_ = term_ + 1;
    vote_ = config_.id;
    round_seen_ = 0;
  }
  role_ = pre ? Role::kPreCandidate : Role::kCandidate;
  votes_.clear();
  SetLeader(MemberId(0));
  if (!pre) {
    AnswerTags(forwarded_reads_.TakeSent(), RejectReason::kTermChanged, Index(0));
  }
  ResetElectionTimer();
  AddEvent(EventKind::kCampaign, MemberId(0),
           pre ? "asks whether it could win"
               : (kind == CampaignKind::kForce ? "takes over leadership" : "asks for votes"));
  RequestVotes(kind);
}

void CoreImpl::RequestVotes(CampaignKind kind) {
  bool pre = kind == CampaignKind::kPre;
  Term term = pre ? term_ + 1 : term_;
  Message self = Make(pre ? MessageType::kPreVoteResp : MessageType::kVoteResp, config_.id);
  self.term = term;
  ARIMA_MUTANT(3) ? OnVoteResponse(self) : Gate(std::move(self));
  for (const auto& [id, info] : conf_->members) {
    if (id == config_.id || !IsVoter(id)) continue;
    Message m = Make(pre ? MessageType::kPreVote : MessageType::kVote, id);
    m.term = term;
    m.last_index = log_.last();
    m.last_term = log_.last_term();
    m.commit = log_.commit();
    m.commit_term = log_.commit_term();
    m.force = kind == CampaignKind::kForce;
    if (pre || ARIMA_MUTANT(51)) {
      Send(std::move(m));
    } else {
      Gate(std::move(m));
    }
  }
}

void CoreImpl::OnVoteRequest(const Message& m) {
  LearnCommit(m);
  if (!MayVote() && !ARIMA_MUTANT(75)) return TellRemoval(m);  // that was in what it learned
  bool pre = m.type == MessageType::kPreVote;
  bool can = vote_ == m.from || (!vote_ && !leader_) || (pre && m.term > term_) || ARIMA_MUTANT(6);
  bool grant = can && log_.IsUpToDate({m.last_term, m.last_index});
  if (grant && !pre) {
    vote_ = m.from;
    election_elapsed_ = 0;
  }
  Message answer = Make(pre ? MessageType::kPreVoteResp : MessageType::kVoteResp, m.from);
  // A granted pre-vote is about the term that was asked for; a refusal tells the own one.
  if (grant) answer.term = m.term;
  answer.reject = !grant;
  answer.commit = log_.commit();
  answer.commit_term = log_.commit_term();
  if (ARIMA_MUTANT(2)) return Send(std::move(answer));
  Gate(std::move(answer));
}

void CoreImpl::OnVoteResponse(const Message& m) {
  if (m.reject) LearnCommit(m);
  bool pre = m.type == MessageType::kPreVoteResp;
  if (role_ != (pre ? Role::kPreCandidate : Role::kCandidate)) return;
  if (m.term != (pre && !m.reject ? term_ + 1 : term_)) return;  // of an earlier campaign

  auto voted = std::find_if(votes_.begin(), votes_.end(),
                            [&](const auto& vote) { return vote.first == m.from; });
  if (voted == votes_.end()) {
    votes_.emplace_back(m.from, m.reject ? Ballot::kRejected : Ballot::kGranted);
  }
  VoteResult result = JointVote(conf_->voters, conf_->voters_outgoing, [this](MemberId id) {
    for (const auto& [from, ballot] : votes_) {
      if (from == id) return ballot;
    }
    return Ballot::kMissing;
  });
  if (result == VoteResult::kLost) {
    BecomeFollower(term_, MemberId(0), "lost the election");
  } else if (result == VoteResult::kWon && pre) {
    StartCampaign(CampaignKind::kReal);
  } else if (result == VoteResult::kWon) {
    BecomeLeader();
  }
}

// A voter that does not know yet that it is one may hold the longest log and never be asked by
// those who know; votes carry the commit so that everybody learns it (etcd-io/etcd#12359).
void CoreImpl::LearnCommit(const Message& m) {
  if (leader_ || m.commit <= log_.commit()) return;
  if (ARIMA_MUTANT(48) ? m.commit > log_.last() : !log_.Has({m.commit_term, m.commit})) return;
  CommitTo(m.commit);
}

void CoreImpl::SetLeader(MemberId leader) {
  if (leader_ == leader) return;
  leader_ = leader;
  // What was asked from another leader is asked anew by whoever waits (etcd-io/etcd#21375).
  AnswerTags(forwarded_reads_.TakeSent(), RejectReason::kTermChanged, Index(0));
  if (leader && leader != config_.id) AddEvent(EventKind::kNewLeader, leader, "");
}

void CoreImpl::BecomeFollower(Term term, MemberId leader, std::string_view why) {
  ARIMA_ASSERT(term >= term_, term, term_);
  if (role_ == Role::kLeader) LeaveLeader(why);
  role_ = Role::kFollower;
  votes_.clear();
  if (term != term_) {
    term_ = term;
    if (!ARIMA_MUTANT(5)) vote_ = MemberId(0);
    round_seen_ = 0;
    leader_ = MemberId(0);
    AnswerTags(forwarded_reads_.TakeSent(), RejectReason::kTermChanged, Index(0));
  }
  SetLeader(leader);
  ResetElectionTimer();
}

void CoreImpl::LeaveLeader(std::string_view why) {
  AddEvent(EventKind::kSteppedDown, MemberId(0), std::string(why));
  role_ = Role::kFollower;
  for (const WaitingRead& read : rounds_.TakeAll()) AnswerRead(read, RejectReason::kTermChanged);
  rounds_.Clear();
  peers_.clear();
  transferee_ = MemberId(0);
  timeout_now_sent_ = false;
  pending_conf_index_ = Index(0);
  confirm_index_ = Index(0);
  step_down_due_ = false;
  heartbeat_due_ = false;
  ActOnRemoval();
}

void CoreImpl::BecomeLeader() {
  ARIMA_ASSERT(role_ == Role::kCandidate && vote_ == config_.id, term_, vote_);
  role_ = Role::kLeader;
  votes_.clear();
  SetLeader(config_.id);
  ResetElectionTimer();
  heartbeat_elapsed_ = 0;
  rounds_.Clear();
  for (const auto& [id, info] : conf_->members) {
    if (id != config_.id) AddPeer(id);
  }
  // Whatever was inherited may hold a membership change.
  pending_conf_index_ = ARIMA_MUTANT(21) ? Index(0) : log_.last();
  AddEvent(
      EventKind::kBecameLeader, MemberId(0),
      "after " + std::to_string(log_.last_term().value) + "/" + std::to_string(log_.last().value));
  if (!ARIMA_MUTANT(13)) AppendOwn(EntryKind::kNoop, SharedBytes());
}

void CoreImpl::CheckQuorumOrStepDown() {
  if (!config_.check_quorum) return;
  bool quorum = IsQuorum([this](MemberId id) {
    if (id == config_.id) return true;
    const Progress* p = FindPeer(id);
    return p != nullptr && p->recent_active;
  });
  for (Progress& p : peers_) p.recent_active = ARIMA_MUTANT(46) && p.recent_active;
  if (!quorum)
    BecomeFollower(term_, MemberId(0), "no answer from a quorum for an election timeout");
}

void CoreImpl::OnTimeoutNow(const Message& m) {
  if (role_ != Role::kFollower || leader_ != m.from || !IsPromotable() || needs_snapshot_) return;
  // A late one, of a transfer that was given up, meets another end of the log.
  if (log_.last_id() != EntryId{m.last_term, m.last_index}) return;
  StartCampaign(CampaignKind::kForce);
}

}  // namespace arima::raft
