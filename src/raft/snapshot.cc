// Snapshots, as far as the core decides about them, and entries that must come from disk
// (docs/design/raft.md 1.13, 1.2).
//
// The bytes of a snapshot travel beside the messages and never pass through here. A follower
// installs in this order: state machine first, then the log, then the acknowledgement; a crash in
// between finds a database that is ahead of the log and can say so, never a log that claims a
// prefix nobody has.

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {

// ---------------------------------------------------------------- leader

void CoreImpl::RequestSnapshot(Progress& p) {
  // A disk that is low has no room for one: it would be made for nothing.
  if (!p.recent_active || p.leaving_at || p.disk != DiskLevel::kOk) {
    p.paused = true;  // until it answers a heartbeat
    return;
  }
  p.BecomeSnapshot();
  Index at_least = std::max(log_.snapshot().index, p.match + 1);
  out_.snapshot_requests.push_back({p.id, at_least});
  if (std::exchange(p.snapshot_reported, true)) return;
  AddEvent(EventKind::kSnapshotNeeded, p.id,
           "needs entry " + std::to_string(p.match.value + 1) + ", the log begins at " +
               std::to_string(log_.first().value));
}

// The peer goes on by the log meanwhile: its acknowledgements count as before. What it gets must
// not be older than the log it has, and its log begins at or below what it has acknowledged and is
// committed.
void CoreImpl::RequestRepair(Progress& p) {
  if (p.repairing || p.damaged || p.leaving_at || !p.match) return;
  if (p.state == ProgressState::kSnapshot) return;  // it gets one anyway
  p.repairing = true;
  p.repair_id = 0;
  if (needs_snapshot_) return;  // all this node can do is not to hand leadership to it
  Index at_least = std::max(log_.snapshot().index, std::min(p.match, log_.commit()));
  out_.snapshot_requests.push_back({p.id, at_least});
  if (std::exchange(p.snapshot_reported, true)) return;
  AddEvent(EventKind::kSnapshotNeeded, p.id, "lost its state machine, but not its log");
}

void CoreImpl::OfferRepair(Progress& p, SnapshotReady&& in) {
  if (!in.ok || !in.meta.index || in.meta.index > log_.applying()) {
    p.repairing = false;  // it asks again
    return;
  }
  p.repair_id = in.meta.snapshot_id;
  Message m = Make(MessageType::kSnap, p.id);
  m.snapshot = std::move(in.meta);
  Send(std::move(m));
}

void CoreImpl::On(SnapshotReady&& in) {
  Progress* p = FindPeer(in.to);
  if (p != nullptr && p->repairing) return OfferRepair(*p, std::move(in));
  if (p == nullptr || p->state != ProgressState::kSnapshot || p->pending_snapshot) return;
  if (!in.ok || !in.meta.index || in.meta.index > log_.applying()) {
    SnapshotEnded(*p, false);
    return;
  }
  p->pending_snapshot = in.meta.index;
  p->snapshot_id = in.meta.snapshot_id;
  Message m = Make(MessageType::kSnap, p->id);
  m.snapshot = std::move(in.meta);
  Send(std::move(m));
}

void CoreImpl::On(SnapshotSent in) {
  Progress* p = FindPeer(in.to);
  if (p != nullptr && p->repairing && p->repair_id == in.snapshot_id) p->repairing = false;
  if (p == nullptr || p->state != ProgressState::kSnapshot || p->snapshot_id != in.snapshot_id) {
    return;
  }
  SnapshotEnded(*p, in.ok);
}

void CoreImpl::OnSnapProgress(const Message& m) {
  Progress* p = FindPeer(m.from);
  if (role_ != Role::kLeader || p == nullptr) return;
  p->contacted = true;
  p->last_contact_ns = now_ns_;
  if (!p->damaged) p->recent_active = true;
  if (!m.reject && m.snapshot.snapshot_id == 0) return RequestRepair(*p);
  if (m.reject && p->repairing && p->repair_id == m.snapshot.snapshot_id) p->repairing = false;
  if (m.reject && p->state == ProgressState::kSnapshot &&
      p->snapshot_id == m.snapshot.snapshot_id) {
    SnapshotEnded(*p, false);
  }
}

void CoreImpl::SnapshotEnded(Progress& p, bool ok) {
  if (!ok) p.pending_snapshot = Index(0);
  p.BecomeProbe();
  p.paused = true;  // until it answers anything
}

void CoreImpl::RequestLoad(Progress& p) {
  p.loading = true;
  Index high = std::min(log_.last() + 1, std::max(log_.cache().first(), p.next + 1));
  out_.load.push_back({p.id, p.next, high, config_.max_msg_bytes});
}

void CoreImpl::On(EntriesLoaded&& in) {
  if (in.to == config_.id) return OnOwnLoad(std::move(in));
  Progress* p = FindPeer(in.to);
  if (p == nullptr || !p->loading) return;
  OnPeerLoad(*p, std::move(in));
}

void CoreImpl::OnPeerLoad(Progress& p, EntriesLoaded&& in) {
  p.loading = false;
  if (p.damaged || p.state == ProgressState::kSnapshot || in.low != p.next) return;
  // A snapshot stands for what is applied. What is not, nobody may have but this node, which cannot
  // send it: were it to lead on, nothing would ever be committed again.
  if (in.status == LoadStatus::kDamaged && in.low > log_.applying()) return LoseLog(in.low);
  if (in.status == LoadStatus::kCompacted || in.status == LoadStatus::kDamaged) {
    return RequestSnapshot(p);
  }
  bool usable = in.status == LoadStatus::kOk && IsOwnLog(in.low, in.entries);
  bool full = p.state == ProgressState::kReplicate && p.inflights.Full();
  if (!usable || full || p.paused || p.next - 1 < log_.snapshot().index) {
    // Asked for again after the next answer.
    if (!usable) p.paused = true;
    return;
  }
  Message m = Make(MessageType::kApp, p.id);
  uint64_t bytes = 0;
  for (Entry& entry : in.entries) {
    if (!m.entries.empty() && bytes + EntryBytes(entry) > config_.max_msg_bytes) break;
    bytes += EntryBytes(entry);
    m.entries.push_back(std::move(entry));
  }
  uint64_t count = m.entries.size();
  FillApp(p, &m);
  Send(std::move(m));
  p.sent_commit = std::max(p.sent_commit, std::min(log_.commit(), p.next - 1 + count));
  p.SentEntries(count, bytes);
}

// A contiguous piece of the log as it is now; (term, index) names one entry for ever.
bool CoreImpl::IsOwnLog(Index low, const std::vector<Entry>& entries) const {
  if (entries.empty()) return false;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].index != low + i || !log_.Has(entries[i].id())) return false;
  }
  return true;
}

// ---------------------------------------------------------------- applier

void CoreImpl::OnOwnLoad(EntriesLoaded&& in) {
  if (!std::exchange(own_load_, false)) return;
  if (installing_ || in.low != log_.applying() + 1) return;
  if (in.status == LoadStatus::kDamaged) return LoseLog(in.low);
  if (in.status != LoadStatus::kOk || !IsOwnLog(in.low, in.entries)) {
    own_load_failed_ = true;
    return;
  }
  Index high = log_.appliable();
  while (!in.entries.empty() && in.entries.back().index > high) in.entries.pop_back();
  if (!in.entries.empty()) HandOver(std::move(in.entries));
}

// Acknowledged entries that the state machine does not have yet are gone from this disk: others
// have them if they were committed, and go on without this node.
void CoreImpl::LoseLog(Index index) {
  if (disabled_ != Disabled::kNone) return;
  std::string what = "entry " + std::to_string(index.value) +
                     " of the own log cannot be read back, and is not applied";
  if (role_ != Role::kFollower) BecomeFollower(term_, MemberId(0), what);
  disabled_ = Disabled::kDamaged;
  AddEvent(EventKind::kLogRegression, MemberId(0), std::move(what));
}

// ---------------------------------------------------------------- follower

void CoreImpl::OnSnap(const Message& m) {
  election_elapsed_ = 0;
  if (short_timeout_) RedrawElectionTimeout();
  leader_contacted_ = true;
  leader_contact_ns_ = now_ns_;
  if (disabled_ != Disabled::kNone || needs_snapshot_) return;
  if (m.snapshot.index <= log_.commit()) AckCommit();
}

// Tells the leader where this node stands, so that it can go on from there.
void CoreImpl::AckCommit() { Ack(log_.commit()); }

void CoreImpl::Ack(Index index) {
  if (role_ != Role::kFollower || !leader_ || installing_) return;
  Message m = Make(MessageType::kAppResp, leader_);
  m.index = index;
  m.round = round_seen_;
  m.peer_ns = now_ns_;
  m.apply_lag = log_.commit() - log_.applied();
  m.window = ReceiveWindow();
  Gate(std::move(m));
}

void CoreImpl::On(SnapshotReceived&& in) {
  if (in.term > term_ && in.term.value <= kPositionMax && disabled_ == Disabled::kNone) {
    BecomeFollower(in.term, MemberId(0), "a snapshot of a higher term arrived");
  }
  const SnapshotMeta& meta = in.meta;
  if (role_ != Role::kFollower || disabled_ != Disabled::kNone || installing_) return;
  if (meta.index.value > kPositionMax || meta.term > term_ || !meta.term) return;
  if (!needs_snapshot_ && meta.index <= log_.commit()) return AckCommit();
  if (!IsUseful(meta)) return;
  if (!needs_snapshot_ && log_.Has({meta.term, meta.index}) && !ARIMA_MUTANT(31)) {
    CommitTo(meta.index);
    return AckCommit();
  }
  if (ARIMA_MUTANT(30)) Ack(meta.index);
  installing_ = meta;
  out_.install = InstallSnapshot{meta};
}

bool CoreImpl::IsUseful(const SnapshotMeta& meta) const {
  // A snapshot that does not know this node would take it out of the cluster by the back door.
  if (!CheckConfState(meta.conf) || !meta.conf.members.contains(config_.id)) return false;
  if (meta.conf.index > meta.index) return false;
  if (!needs_snapshot_) return meta.conf.index >= conf_->index;
  // The log must go on from it: from an entry that both have, or beyond its committed part.
  if (meta.index < log_.snapshot().index) return false;
  return log_.Has({meta.term, meta.index}) || meta.index > log_.commit();
}

void CoreImpl::On(SnapshotInstalled&& in) {
  if (needs_snapshot_ || !installing_ || installing_->index != in.meta.index ||
      installing_->term != in.meta.term) {
    return;
  }
  SnapshotMeta meta = std::move(*installing_);
  installing_.reset();
  log_.Reset({meta.term, meta.index});
  ARIMA_ASSERT(role_ == Role::kFollower && log_.commit() == meta.index, log_.commit());
  pending_confs_.clear();
  unapplied_confs_.clear();
  handed_over_.clear();
  handed_over_bytes_ = 0;
  own_load_ = false;
  std::erase_if(gated_, [](const Message& m) { return m.type == MessageType::kAppResp; });
  std::shared_ptr<const ConfState> before = std::move(conf_);
  conf_ = ARIMA_MUTANT(63) ? before : std::make_shared<const ConfState>(std::move(meta.conf));
  if (*conf_ != *before) {
    out_.conf_changed = conf_;
    AddEvent(EventKind::kConfActive, MemberId(0),
             "snapshot " + std::to_string(meta.index.value) + " was installed");
  }
  OnConfActive(*before);
  AckCommit();
}

}  // namespace arima::raft
