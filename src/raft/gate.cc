// Who may speak, and what its term means (Raft paper 5.1; docs/design/raft.md 1.4).
//
// Messages come from other processes, possibly of other versions. Everything here answers by
// dropping; nothing a peer sends reaches an assertion, except a proof that safety is already lost.

#include <algorithm>
#include <string>

#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

bool InRange(Term a) { return a.value <= kPositionMax; }
bool InRange(Index a) { return a.value <= kPositionMax; }

bool HasNoTerm(MessageType type) {
  return type == MessageType::kPropose || type == MessageType::kProposeResp ||
         type == MessageType::kReadIndex || type == MessageType::kReadIndexResp;
}

bool IsVoteRequest(MessageType type) {
  return type == MessageType::kPreVote || type == MessageType::kVote;
}

// Only the leader of a term sends these.
bool IsFromLeader(MessageType type) {
  return type == MessageType::kApp || type == MessageType::kHeartbeat || type == MessageType::kSnap;
}

bool IsProposable(EntryKind kind) {
  return kind == EntryKind::kCommand || kind == EntryKind::kClockTick;
}

bool IsKnown(EntryKind kind) {
  return IsProposable(kind) || kind == EntryKind::kNoop || kind == EntryKind::kConf;
}

// A leader once packed entries with a gap and corrupted its followers (LogCabin, issue 160).
bool AreEntriesWellFormed(const Message& m) {
  if (m.entries.size() > kPositionMax || m.log_term > m.term) return false;
  if ((m.index == Index(0)) != (m.log_term == Term(0))) return false;
  Index index = m.index;
  Term term = m.log_term;
  for (const Entry& entry : m.entries) {
    ++index;
    if (entry.index != index || entry.term < term || entry.term > m.term) return false;
    if (!entry.term || !IsKnown(entry.kind)) return false;
    term = entry.term;
  }
  return true;
}

}  // namespace

bool IsWellFormed(const Message& m) {
  if (!m.from || !InRange(m.term) || !InRange(m.index) || !InRange(m.log_term) ||
      !InRange(m.last_index) || !InRange(m.last_term) || !InRange(m.commit) ||
      !InRange(m.commit_term) || !InRange(m.hint_index) || !InRange(m.hint_term) ||
      !InRange(m.match)) {
    return false;
  }
  if (!m.term && !HasNoTerm(m.type)) return false;
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote:
      return m.last_term < m.term && m.commit_term <= m.term && m.commit <= m.last_index;
    case MessageType::kApp:
      return AreEntriesWellFormed(m);
    case MessageType::kHeartbeat:
      return m.commit_term <= m.term;
    case MessageType::kSnap:
      return m.snapshot.index && InRange(m.snapshot.index) && m.snapshot.term <= m.term &&
             CheckConfState(m.snapshot.conf).has_value();
    case MessageType::kPropose:
      return std::all_of(m.proposals.begin(), m.proposals.end(),
                         [](const ForwardedProposal& p) { return IsProposable(p.kind); });
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp:
    case MessageType::kAppResp:
    case MessageType::kHeartbeatResp:
    case MessageType::kSnapProgress:
    case MessageType::kTimeoutNow:
    case MessageType::kTransferReq:
    case MessageType::kProposeResp:
    case MessageType::kReadIndex:
    case MessageType::kReadIndexResp:
      return true;
  }
  return false;  // a type this version does not know
}

bool CoreImpl::Acceptable(const Message& m) const {
  if (m.group != config_.group || !config_.id || m.to != config_.id) return false;
  if (!IsWellFormed(m)) return false;
  // Only a vote for oneself, once durable, comes back to its sender.
  bool vote_response = m.type == MessageType::kVoteResp || m.type == MessageType::kPreVoteResp;
  if (m.from == config_.id && !vote_response) return false;
  bool vote = IsVoteRequest(m.type) || vote_response || m.type == MessageType::kTimeoutNow;
  return MayVote() || !vote || (ARIMA_MUTANT(75) && IsRemoved());
}

// A removed node does not vote, but who still asks it acts on the configuration before its removal,
// and in that one a quorum without this node may be gone: {1, 2} becomes {1}, and 1 has not heard
// that this is committed. The refusal says so. It carries the asker's own term: nobody's term
// moves.
void CoreImpl::TellRemoval(const Message& m) {
  const bool out = disabled_ == Disabled::kRemoved || disabled_ == Disabled::kNone;
  if (!out || MayVote() || !IsVoteRequest(m.type) || m.from == config_.id) return;
  if (m.group != config_.group || m.to != config_.id || !IsWellFormed(m)) return;
  bool pre = m.type == MessageType::kPreVote;
  Message answer = Make(pre ? MessageType::kPreVoteResp : MessageType::kVoteResp, m.from);
  answer.term = pre ? m.term - 1 : m.term;
  answer.reject = true;
  answer.commit = log_.commit();
  answer.commit_term = log_.commit_term();
  if (answer.term) Send(std::move(answer));
}

bool CoreImpl::Sticky() const {
  if (!config_.check_quorum) return false;
  if (role_ == Role::kLeader) {
    return IsQuorum([this](MemberId id) {
      if (id == config_.id) return true;
      const Progress* p = FindPeer(id);
      return p != nullptr && IsLive(*p);
    });
  }
  return leader_ && leader_contacted_ && now_ns_ - leader_contact_ns_ < election_ns_;
}

bool CoreImpl::PassTermGate(const Message& m) {
  if (m.term > term_) return PassHigherTerm(m);
  if (m.term < term_) {
    AnswerLowerTerm(m);
    return false;
  }
  if (!IsFromLeader(m.type)) return true;
  if (role_ == Role::kLeader || (leader_ && leader_ != m.from)) {
    SafetyViolation(m.from, "two leaders in term " + std::to_string(term_.value) + ": " +
                                std::to_string(leader_.value) + " and " +
                                std::to_string(m.from.value));
    return false;
  }
  if (role_ != Role::kFollower) {
    BecomeFollower(term_, m.from, "another node won the election");
  } else {
    SetLeader(m.from);
  }
  return true;
}

bool CoreImpl::PassHigherTerm(const Message& m) {
  // A node that hears its leader does not help to depose it (thesis 4.2.3), unless that leader
  // itself hands over.
  if (IsVoteRequest(m.type) && !m.force && Sticky()) return false;
  // A member that was removed while it was away may have a higher term; it is told of its removal
  // by a leader that does not listen to it any more.
  bool answer = m.type == MessageType::kAppResp || m.type == MessageType::kHeartbeatResp;
  if (answer && role_ == Role::kLeader && !conf_->members.contains(m.from)) return false;
  // A pre-vote is a question about a term that may never be.
  if (m.type == MessageType::kPreVote && !ARIMA_MUTANT(44)) return true;
  if (m.type == MessageType::kPreVoteResp && !m.reject) return true;
  BecomeFollower(m.term, IsFromLeader(m.type) ? m.from : MemberId(0),
                 std::string(MessageTypeName(m.type)) + " from " + std::to_string(m.from.value) +
                     " has a higher term");
  return true;
}

void CoreImpl::AnswerLowerTerm(const Message& m) {
  if (IsFromLeader(m.type) && !ARIMA_MUTANT(43)) {
    // A leader that does not know this node's term would never hear of it otherwise, since
    // pre-vote and check-quorum keep this node from campaigning against it.
    Message answer = Make(MessageType::kAppResp, m.from);
    answer.reject = true;
    Gate(std::move(answer));
  } else if (IsVoteRequest(m.type)) {
    // A candidate that this node does not know, and so never asks, would run after its term.
    const bool asks_first = m.type == MessageType::kPreVote;
    Message answer = Make(asks_first ? MessageType::kPreVoteResp : MessageType::kVoteResp, m.from);
    answer.reject = true;
    answer.commit = log_.commit();
    answer.commit_term = log_.commit_term();
    Gate(std::move(answer));
  }
}

}  // namespace arima::raft
