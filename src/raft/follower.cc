// The follower's side of replication (Raft paper 5.3, AppendEntries receiver rules).
//
// Log Matching does the work: an entry of equal (term, index) is the same entry with the same
// prefix, so the follower keeps what it has, drops only what contradicts, and never looks below its
// commit index again.

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {

void CoreImpl::NoteLeaderMessage(const Message& m) {
  election_elapsed_ = 0;
  if (short_timeout_) RedrawElectionTimeout();
  leader_contacted_ = true;
  leader_contact_ns_ = now_ns_;
  round_seen_ = std::max(round_seen_, m.round);
  // The echo must be a reading of this process life, or its distance from now means nothing.
  bool echo_valid = m.echo_peer_ns >= start_ns_ && m.echo_peer_ns <= now_ns_;
  bool newer = m.term > clocks_term_ || m.confirmed_ns >= confirmed_ns_;
  if (m.confirmed_ns == 0 || m.echo_received_ns == 0 || !echo_valid || !newer) return;
  clocks_term_ = m.term;
  confirmed_ns_ = m.confirmed_ns;
  confirmed_commit_ = m.confirmed_commit;
  echo_peer_ns_ = m.echo_peer_ns;
  echo_received_ns_ = m.echo_received_ns;
}

Message CoreImpl::MakeAppResp(const Message& m) const {
  Message answer = Make(MessageType::kAppResp, m.from);
  answer.round = round_seen_;
  answer.echo_ns = m.send_ns;
  answer.peer_ns = now_ns_;
  answer.apply_lag = log_.commit() - log_.applied();
  answer.window = ReceiveWindow();
  return answer;
}

// What waits for the state machine is in memory: a follower that falls behind asks for less.
uint32_t CoreImpl::ReceiveWindow() const {
  uint64_t waiting = log_.unapplied_bytes() + log_.uncommitted_bytes();
  uint64_t room = waiting < kApplyLagBytesMax ? kApplyLagBytesMax - waiting : 1;
  return static_cast<uint32_t>(std::min<uint64_t>(room, std::numeric_limits<uint32_t>::max()));
}

void CoreImpl::OnApp(Message&& m) {
  NoteLeaderMessage(m);
  if (disabled_ == Disabled::kDamaged || (installing_ && !ARIMA_MUTANT(60))) return;
  if (m.index < log_.commit() && !TrimCommitted(&m)) return;
  const bool fits = ARIMA_MUTANT(12) ? m.index <= log_.last() : log_.Has({m.log_term, m.index});
  if (!fits) {
    Message answer = MakeAppResp(m);
    answer.reject = true;
    answer.index = m.index;
    EntryId hint = log_.terms().FindAtMost(m.index, m.log_term);
    answer.hint_index = hint.index;
    answer.hint_term = hint.term;
    Gate(std::move(answer));
    return;
  }
  TakeEntries(std::move(m));
}

// Committed entries are equal everywhere, so the message begins behind them. False if that leaves
// nothing to do.
bool CoreImpl::TrimCommitted(Message* m) {
  uint64_t known = log_.commit() - m->index;
  if (m->entries.size() <= known) {
    Message answer = MakeAppResp(*m);
    answer.index = log_.commit();
    Gate(std::move(answer));
    return false;
  }
  const Entry& boundary = m->entries[known - 1];
  if (boundary.term != log_.commit_term()) {
    SafetyViolation(m->from, "entry " + std::to_string(boundary.index.value) +
                                 " is committed with term " +
                                 std::to_string(log_.commit_term().value) + ", sent with term " +
                                 std::to_string(boundary.term.value));
    return false;
  }
  m->index = boundary.index;
  m->log_term = boundary.term;
  m->entries.erase(m->entries.begin(), m->entries.begin() + static_cast<ptrdiff_t>(known));
  return true;
}

void CoreImpl::TakeEntries(Message&& m) {
  ARIMA_ASSERT(m.index >= log_.commit(), m.index, log_.commit());
  // What the log cannot take would stand before votes in its queue: as if it had been lost.
  if (disk_ == DiskLevel::kFull && !ARIMA_MUTANT(66)) m.entries.clear();
  Index end = m.index + m.entries.size();
  auto first_new = std::find_if(m.entries.begin(), m.entries.end(),
                                [this](const Entry& e) { return !log_.Has(e.id()); });
  if (first_new != m.entries.end()) {
    if (first_new->index <= log_.last()) {
      if (first_new->index <= log_.commit()) {
        SafetyViolation(m.from, "entry " + std::to_string(first_new->index.value) +
                                    " is committed and sent with another term");
        return;
      }
      TruncateFrom(first_new->index);
    }
    for (auto entry = first_new; entry != m.entries.end(); ++entry) AppendToLog(std::move(*entry));
  }
  if (ARIMA_MUTANT(11)) TruncateFrom(end + 1);
  // Not beyond what this message vouches for: what follows may be of another leader.
  CommitTo(std::min(m.commit, ARIMA_MUTANT(10) ? log_.last() : end));
  Message answer = MakeAppResp(m);
  answer.index = end;
  if (ARIMA_MUTANT(4)) return Send(std::move(answer));
  Gate(std::move(answer));
}

void CoreImpl::TruncateFrom(Index index) {
  log_.TruncateFrom(index);
  pending_confs_.erase(pending_confs_.lower_bound(index), pending_confs_.end());
  // Acknowledgements that no write has taken yet would speak for entries that are gone.
  std::erase_if(gated_, [&](const Message& m) {
    return m.type == MessageType::kAppResp && !m.reject && m.index >= index;
  });
}

void CoreImpl::AppendToLog(Entry&& entry) {
  if (entry.kind == EntryKind::kConf) pending_confs_.emplace(entry.index, entry);
  log_.Append(std::move(entry));
}

void CoreImpl::OnHeartbeat(const Message& m) {
  NoteLeaderMessage(m);
  if (m.match > log_.last()) {
    // The leader counts on entries that this node has acknowledged and does not have.
    if (disabled_ == Disabled::kNone) {
      disabled_ = Disabled::kDamaged;
      AddEvent(EventKind::kLogRegression, m.from,
               "acknowledged up to " + std::to_string(m.match.value) + ", the log ends at " +
                   std::to_string(log_.last().value));
    }
    Message answer = MakeAppResp(m);
    answer.reject = true;
    answer.index = m.match;
    answer.hint_index = log_.last();
    answer.hint_term = log_.last_term();
    Gate(std::move(answer));
    return;
  }
  if (disabled_ == Disabled::kDamaged) return;
  // If the entry at the leader's commit index has the term it states, the prefix is the same
  // (docs/design/raft.md A4).
  if (m.commit > log_.commit() && log_.Has({m.commit_term, m.commit})) CommitTo(m.commit);
  Message answer = Make(MessageType::kHeartbeatResp, m.from);
  answer.round = round_seen_;
  answer.echo_ns = m.send_ns;
  answer.peer_ns = now_ns_;
  answer.last_index = log_.last();
  answer.disk = disk_;
  answer.sync_us = sync_us_;
  Send(std::move(answer));
}

}  // namespace arima::raft
