// The leader's side of replication and the commit rule (Raft paper 5.3, 5.4.2; thesis 10.2).
//
// Messages are built once per TakeOutput from each peer's Progress, so whatever a batch of inputs
// changed costs one App per peer. The leader's own copy counts when it is durable, no earlier:
// its disk and the network work in parallel (docs/design/raft.md A1).

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {

const Progress* CoreImpl::FindPeer(MemberId id) const {
  for (const Progress& p : peers_) {
    if (p.id == id) return &p;
  }
  return nullptr;
}

Progress* CoreImpl::FindPeer(MemberId id) {
  return const_cast<Progress*>(std::as_const(*this).FindPeer(id));
}

bool CoreImpl::IsLive(const Progress& p) const {
  return p.contacted && !p.damaged && now_ns_ - p.last_contact_ns <= election_ns_;
}

void CoreImpl::NotePeer(Progress& p, const Message& m) {
  p.contacted = true;
  p.last_contact_ns = now_ns_;
  p.echo_peer_ns = m.peer_ns;
  p.echo_received_ns = now_ns_;
  if (p.damaged) return;  // what it forgot may include the promise that an echo stands for
  p.recent_active = true;
  if (m.round <= rounds_.round()) p.acked_round = std::max(p.acked_round, m.round);
}

void CoreImpl::OnAppResp(const Message& m) {
  Progress* p = FindPeer(m.from);
  if (role_ != Role::kLeader || p == nullptr) return;
  NotePeer(*p, m);
  if (p->damaged) return;
  p->apply_lag = m.apply_lag;
  if (m.window != 0) p->inflights.LimitBytes(m.window);
  if (m.reject) return OnRejection(*p, m);
  if (m.index > log_.last()) return;

  bool news = p->Acked(m.index);
  switch (p->state) {
    case ProgressState::kProbe:
      if (m.index == p->match) p->BecomeReplicate();
      break;
    case ProgressState::kSnapshot:
      // However it came by it: as soon as the log connects, the snapshot is not needed.
      if (p->match + 1 >= log_.first()) p->BecomeReplicate();
      break;
    case ProgressState::kReplicate:
      p->inflights.FreeTo(m.index);
      p->paused = p->inflights.Full();
      break;
  }
  p->UpdateCatchUp(log_.last(), now_ns_, election_ns_);
  if (news) MaybeCommit();  // may change the peers
  if (role_ == Role::kLeader && transferee_ == m.from) MaybeSendTimeoutNow();
}

void CoreImpl::OnRejection(Progress& p, const Message& m) {
  // An answer to the newest heartbeat comes from a log that had acknowledged heartbeat_match.
  if (p.heartbeat_round != 0 && m.round >= p.heartbeat_round && m.round <= rounds_.round() &&
      m.index && m.index <= p.heartbeat_match && m.hint_index < m.index) {
    MarkDamaged(p);
    return;
  }
  // The largest index at which the logs can still agree: one probe per term on either side.
  EntryId hint = log_.terms().FindAtMost(m.hint_index, m.hint_term);
  p.Rejected(m.index, hint.index);
}

void CoreImpl::MarkDamaged(Progress& p) {
  AddEvent(EventKind::kLogRegression, p.id,
           "member lost acknowledged log: had " + std::to_string(p.match.value) +
               "; replace it under a new id");
  p.damaged = true;
  p.lost_match = p.match;
  p.match = Index(0);
  p.acked_round = 0;
  p.recent_active = false;
  p.inflights.Reset();
}

void CoreImpl::OnHeartbeatResp(const Message& m) {
  Progress* p = FindPeer(m.from);
  if (role_ != Role::kLeader || p == nullptr) return;
  NotePeer(*p, m);
  if (p->damaged) return;
  p->disk = m.disk;
  p->sync_us = m.sync_us;
  p->UpdateCatchUp(log_.last(), now_ns_, election_ns_);
  if (p->state == ProgressState::kSnapshot) return;
  p->paused = false;
  // Answers may have been lost: an empty message finds out.
  if (p->match < log_.last() || p->state == ProgressState::kProbe) p->want_empty = true;
}

bool CoreImpl::WantsAppend(const Progress& p) const {
  if (p.IsPaused() || (ARIMA_MUTANT(45) && p.inflights.Full())) return false;
  if (p.want_empty) return true;
  bool full = p.state == ProgressState::kReplicate && p.inflights.Full();
  if (!full && p.disk != DiskLevel::kFull && p.next <= log_.last()) return true;
  // Commit news go out even if there is nothing to carry them.
  return p.state == ProgressState::kReplicate &&
         p.sent_commit < std::min(log_.commit(), p.next - 1);
}

bool CoreImpl::SendAppend(Progress& p, bool allow_empty) {
  if (p.IsPaused()) return false;
  Index prev = p.next - 1;
  if (prev + (ARIMA_MUTANT(49) ? 1 : 0) < log_.snapshot().index) {
    RequestSnapshot(p);
    return false;
  }
  Message m = Make(MessageType::kApp, p.id);
  uint64_t bytes = 0;
  bool replicate = p.state == ProgressState::kReplicate;
  if (p.next <= log_.last() && p.disk != DiskLevel::kFull && !(replicate && p.inflights.Full())) {
    if (!log_.cache().Has(p.next)) {
      RequestLoad(p);
      return false;
    }
    bytes = log_.cache().Copy(p.next, log_.last() + 1, config_.max_msg_bytes, &m.entries);
  }
  if (m.entries.empty() && !allow_empty) return false;
  uint64_t count = m.entries.size();
  ARIMA_ASSERT(count == 0 || m.entries.front().index == p.next, p.id, p.next);
  FillApp(p, &m);
  Send(std::move(m));
  p.sent_commit = std::max(p.sent_commit, std::min(log_.commit(), prev + count));
  if (count > 0) {
    p.SentEntries(count, bytes);
  } else if (replicate) {
    p.paused = p.inflights.Full();
  }
  return count > 0;
}

void CoreImpl::FillApp(const Progress& p, Message* m) const {
  m->index = p.next - 1;
  auto term = log_.TermAt(m->index);
  ARIMA_ASSERT(term.has_value(), p.id, m->index, log_.snapshot().index, log_.last());
  m->log_term = *term;
  m->commit = log_.commit();
  m->round = rounds_.round();
  FillClocks(p, m);
}

void CoreImpl::FillClocks(const Progress& p, Message* m) const {
  m->send_ns = now_ns_;
  m->confirmed_ns = rounds_.confirmed_ns();
  m->confirmed_commit = rounds_.confirmed_commit();
  m->echo_peer_ns = p.echo_peer_ns;
  m->echo_received_ns = p.echo_received_ns;
}

void CoreImpl::SendHeartbeats() {
  if (!heartbeat_due_ && !rounds_.wanted()) return;
  uint64_t round = rounds_.Start(now_ns_, log_.commit(), OwnTermCommitted());
  for (Progress& p : peers_) {
    if (!heartbeat_due_ && !IsVoter(p.id)) continue;
    Message m = Make(MessageType::kHeartbeat, p.id);
    m.commit = log_.commit();
    m.commit_term = log_.commit_term();
    m.match = p.damaged ? p.lost_match : p.match;
    m.round = round;
    FillClocks(p, &m);
    Send(std::move(m));
    p.heartbeat_round = round;
    p.heartbeat_match = p.match;
    if (p.leaving_at && p.match >= p.leaving_at && p.leaving_round == 0) p.leaving_round = round;
  }
  heartbeat_due_ = false;
}

void CoreImpl::FlushPeers() {
  for (Progress& p : peers_) {
    if (!WantsAppend(p)) continue;
    // Either something is there to send or an empty message is wanted.
    bool allow_empty = true;
    p.want_empty = false;
    while (SendAppend(p, allow_empty)) allow_empty = false;
  }
}

Entry CoreImpl::MakeEntry(EntryKind kind, uint32_t checksum, SharedBytes payload) const {
  return {term_, log_.last() + 1, kind, checksum, std::move(payload)};
}

void CoreImpl::AppendOwn(EntryKind kind, SharedBytes payload) {
  uint32_t checksum = EntryChecksum(kind, payload.view());
  AppendToLog(MakeEntry(kind, checksum, std::move(payload)));
}

// Entries of older terms are never committed by counting; they follow from one of this term.
void CoreImpl::MaybeCommit() {
  while (role_ == Role::kLeader) {
    Index quorum = QuorumValue([this](MemberId id) {
      if (id == config_.id) return log_.stable();
      const bool stand_in = ARIMA_MUTANT(23) && !IsVoter(config_.id) && id == conf_->voters.front();
      const Progress* p = FindPeer(id);
      return stand_in ? log_.stable() : (p != nullptr ? p->match : Index(0));
    });
    if (ARIMA_MUTANT(22)) {
      for (const Progress& p : peers_) {
        if (p.learner) quorum = std::max(quorum, std::min(p.match, log_.stable()));
      }
    }
    if (quorum <= log_.commit()) return;
    if (log_.TermAt(quorum) != term_ && !ARIMA_MUTANT(1)) return;
    // A committed Conf entry changes what a quorum is, so ask again.
    CommitTo(quorum);
  }
}

void CoreImpl::CommitTo(Index index) {
  // The log is about to be replaced by a snapshot of a later commit.
  if (installing_ || index <= log_.commit()) return;
  log_.CommitTo(index);
  ActivateConfs();
}

void CoreImpl::LeaderUpkeep() {
  ARIMA_ASSERT(role_ == Role::kLeader);
  if (OwnTermCommitted()) rounds_.ReleaseEarly(log_.commit());
  ConfirmRounds();
  MaybeAutoLeave();
}

}  // namespace arima::raft
