// Dispatch: one input at a time changes the state; nothing is sent before TakeOutput, so that a
// batch of inputs costs one message per peer and one write. The order of the steps inside one input
// is the order of the rules in docs/design/raft.md section 1.

#include "raft/core.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

// Election timeouts for which a node without a state machine waits for another one to campaign.
constexpr uint64_t kPatience = 4;

Index InitialCommit(const InitialState& initial) {
  Index commit = std::max({initial.hard_state.commit, initial.snapshot_index, initial.applied});
  return std::min(commit, initial.last);
}

}  // namespace

CoreImpl::CoreImpl(const Config& config, const InitialState& initial, uint64_t now_ns)
    : config_(config),
      election_ns_(config.tick_ns * config.election_ticks),
      random_(config.seed),
      start_ns_(now_ns),
      now_ns_(now_ns),
      start_term_(initial.hard_state.term),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      written_(initial.hard_state),
      disabled_(initial.disabled),
      log_(initial, InitialCommit(initial), config.entry_cache_bytes),
      conf_(std::make_shared<const ConfState>(initial.conf)),
      needs_snapshot_(initial.needs_snapshot) {
  ARIMA_ASSERT(config.Validate().has_value());
  ARIMA_ASSERT(CheckConfState(initial.conf).has_value());
  ARIMA_ASSERT(term_ >= log_.last_term(), term_, log_.last_term());
  ARIMA_ASSERT(!needs_snapshot_ || initial.applied == initial.snapshot_index, initial.applied);
  // Ids of forwarded proposals differ between the lives of a process.
  if (config.life != 0) next_forward_id_ = (SeededRandom(config.life).Next() >> 1) + 1;
  if (initial.hard_state.commit > initial.last && disabled_ == Disabled::kNone) {
    disabled_ = Disabled::kDamaged;
    AddEvent(EventKind::kLogRegression, MemberId(0),
             "commit " + std::to_string(initial.hard_state.commit.value) +
                 " is beyond the end of the log at " + std::to_string(initial.last.value));
  }
  RedrawElectionTimeout();
  NoteRemoval();
  if (IsRemoved()) removal_ = Removal::kDurable;  // the state machine has it
  ActOnRemoval();
  for (const Entry& entry : initial.conf_entries) {
    ARIMA_ASSERT(entry.kind == EntryKind::kConf && entry.index > log_.applied(), entry.index);
    ARIMA_ASSERT(log_.Has(entry.id()), entry.index, entry.term);
    pending_confs_.emplace(entry.index, entry);
  }
  ActivateConfs();
  soft_told_ = CurrentSoft();
}

void CoreImpl::Step(Input&& input, uint64_t now_ns) {
  now_ns_ = std::max(now_ns_, now_ns);
  if (disabled_ == Disabled::kDead) {
    RefuseWhenDead(input);
    return;
  }
  std::visit([this](auto&& in) { On(std::forward<decltype(in)>(in)); }, std::move(input));
  if (role_ == Role::kLeader) LeaderUpkeep();
#ifdef ARIMA_CHECK_INVARIANTS
  if (auto ok = CheckInvariants(); !ok) ARIMA_ASSERT(ok.has_value(), ok.error().message);
#endif
}

void CoreImpl::On(Tick) {
  ++ticks_;
  own_load_failed_ = false;
  AnswerTags(forwarded_reads_.Expire(ticks_ - std::min<uint64_t>(ticks_, config_.election_ticks)),
             RejectReason::kTermChanged, Index(0));
  // Nobody waits that long for the answer to a forwarded proposal; its fate stays unknown.
  while (!forwarded_.empty() &&
         forwarded_.front().sent_tick + 10 * uint64_t{config_.election_ticks} < ticks_) {
    forwarded_.pop_front();
  }
  if (election_elapsed_ < std::numeric_limits<uint32_t>::max()) ++election_elapsed_;
  if (role_ == Role::kLeader) {
    UpdateLeavingPeers();
    if (election_elapsed_ >= config_.election_ticks) {
      election_elapsed_ = 0;
      CheckQuorumOrStepDown();
      if (role_ != Role::kLeader) return;
      confirm_index_ = Index(0);  // a leader that was removed does not wait longer
      if (transferee_) AbortTransfer("no new leader within one election timeout");
    }
    if (++heartbeat_elapsed_ >= config_.heartbeat_ticks) {
      heartbeat_elapsed_ = 0;
      heartbeat_due_ = true;
    }
    return;
  }
  // A node that is alone has nobody to wait for. One that can serve nothing lets the others go
  // first; but if its log is the longest of a majority, nobody else can win.
  bool at_once = ticks_ == 1 && IsSoleVoter() && !needs_snapshot_;
  const uint64_t timeout = uint64_t{CampaignTicks()} * (needs_snapshot_ ? kPatience : 1);
  if (IsPromotable() && (at_once || election_elapsed_ >= timeout)) {
    // A lost connection is no proof that the leader is gone, so it is always asked about first.
    bool pre = config_.pre_vote || short_timeout_;
    StartCampaign(pre ? CampaignKind::kPre : CampaignKind::kReal);
  }
}

void CoreImpl::On(PeerMessage&& in) { StepMessage(std::move(in.message)); }

void CoreImpl::StepMessage(Message&& m) {
  if (!Acceptable(m)) return TellRemoval(m);
  switch (m.type) {  // these carry no term
    case MessageType::kPropose:
      return OnProposeMessage(std::move(m));
    case MessageType::kProposeResp:
      return OnProposeResp(m);
    case MessageType::kReadIndex:
      return OnReadIndex(m);
    case MessageType::kReadIndexResp:
      return OnReadIndexResp(m);
    default:
      break;
  }
  if (!PassTermGate(m)) return;
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote:
      return OnVoteRequest(m);
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp:
      return OnVoteResponse(m);
    case MessageType::kApp:
      return OnApp(std::move(m));
    case MessageType::kAppResp:
      return OnAppResp(m);
    case MessageType::kHeartbeat:
      return OnHeartbeat(m);
    case MessageType::kHeartbeatResp:
      return OnHeartbeatResp(m);
    case MessageType::kSnap:
      return OnSnap(m);
    case MessageType::kSnapProgress:
      return OnSnapProgress(m);
    case MessageType::kTimeoutNow:
      return OnTimeoutNow(m);
    case MessageType::kTransferReq:
      return StartTransfer(m.target);
    default:
      return;
  }
}

void CoreImpl::On(WriteDone in) {
  if (!log_.FinishWrite(in.seq)) return;
  ReleaseHeld(in.seq);
  if (removal_ == Removal::kWritten && in.seq >= removal_seq_) {
    removal_ = Removal::kDurable;
    ActOnRemoval();
  }
  if (role_ == Role::kLeader) MaybeCommit();
}

void CoreImpl::On(WriteFailed) {
  if (role_ == Role::kLeader) LeaveLeader("the log write failed");
  role_ = Role::kFollower;
  leader_ = MemberId(0);
  disabled_ = Disabled::kDead;
  votes_.clear();
  gated_.clear();
  held_.clear();
  AnswerTags(forwarded_reads_.TakeSent(), RejectReason::kDisabled, Index(0));
  AnswerTags(forwarded_reads_.TakeUnsent(), RejectReason::kDisabled, Index(0));
  for (const Proposal& proposal : std::exchange(unsent_proposals_, {})) {
    Reject(proposal.tag, RejectReason::kDisabled);
  }
  // Nothing that was decided on top of the failed write may leave this node.
  out_.send_now.clear();
  out_.apply.clear();
  out_.install.reset();
}

void CoreImpl::RefuseWhenDead(const Input& input) {
  if (const auto* propose = std::get_if<Propose>(&input)) {
    for (const Proposal& p : propose->proposals) Reject(p.tag, RejectReason::kDisabled);
  } else if (const auto* conf = std::get_if<ProposeConf>(&input)) {
    Reject(conf->tag, RejectReason::kDisabled);
  } else if (const auto* read = std::get_if<Read>(&input)) {
    out_.reads.push_back({read->tag, RejectReason::kDisabled, Index(0)});
  }
}

void CoreImpl::On(Applied in) {
  if (in.index <= log_.applied()) return;
  log_.AppliedTo(in.index);
  while (!handed_over_.empty() && handed_over_.front().last <= in.index) {
    handed_over_bytes_ -= handed_over_.front().bytes;
    handed_over_.pop_front();
  }
}

void CoreImpl::On(Unreachable in) {
  Progress* p = FindPeer(in.peer);
  // What was sent ahead is probably lost.
  if (p != nullptr && p->state == ProgressState::kReplicate) p->BecomeProbe();
}

void CoreImpl::On(LeaderLost in) {
  if (role_ != Role::kFollower || !leader_ || leader_ != in.leader) return;
  SetLeader(MemberId(0));
  // Ask the others soon, and not all at once: a majority that still hears the leader says no.
  uint64_t spread = std::max<uint64_t>(1, config_.heartbeat_ticks - 1);
  election_elapsed_ = 0;
  election_timeout_ = 1 + static_cast<uint32_t>(random_.Below(spread));
  short_timeout_ = true;
}

void CoreImpl::On(CompactTo in) { log_.CompactTo(in.index); }

void CoreImpl::On(DiskLow in) { disk_ = in.level; }

void CoreImpl::On(SyncLatency in) {
  sync_us_ = in.us;
  sync_stalled_ = in.stalled;
}

void CoreImpl::On(Campaign) {
  if (role_ == Role::kLeader || !IsPromotable() || needs_snapshot_) return;
  StartCampaign(config_.pre_vote ? CampaignKind::kPre : CampaignKind::kReal);
}

void CoreImpl::On(ForgetLeader) {
  if (role_ == Role::kFollower) SetLeader(MemberId(0));
}

void CoreImpl::AddEvent(EventKind kind, MemberId member, std::string text) {
  out_.events.push_back({kind, term_, member, std::move(text)});
}

void CoreImpl::SafetyViolation(MemberId peer, const std::string& what) {
  if (disabled_ == Disabled::kDamaged) return;  // it has been said
#ifdef ARIMA_CHECK_INVARIANTS
  ARIMA_ASSERT(what.empty(), what, peer, config_.id, term_);
#endif
  AddEvent(EventKind::kSafetyViolation, peer, what);
  if (role_ != Role::kFollower) BecomeFollower(term_, MemberId(0), what);
  disabled_ = Disabled::kDamaged;
}

CoreStatus CoreImpl::GetStatus() const {
  CoreStatus s;
  s.id = config_.id;
  s.soft = CurrentSoft();
  s.hard_state = CurrentHardState();
  s.snapshot_index = log_.snapshot().index;
  s.snapshot_term = log_.snapshot().term;
  s.last = log_.last();
  s.last_term = log_.last_term();
  s.stable = log_.stable();
  s.applying = log_.applying();
  s.applied = log_.applied();
  s.uncommitted_bytes = log_.uncommitted_bytes();
  s.disk = disk_;
  s.sync_stalled = sync_stalled_;
  s.takes_growth = role_ == Role::kLeader && DisksTake(false);
  s.pending_reads = rounds_.size() + forwarded_reads_.size();
  s.last_leader_contact_ns = leader_contacted_ ? leader_contact_ns_ : 0;
  bool leader = role_ == Role::kLeader;
  s.confirmed_ns = leader ? rounds_.confirmed_ns() : confirmed_ns_;
  s.removals_confirmed = leader && OwnTermCommitted() && log_.commit() >= confirm_index_;
  s.confirmed_commit = leader ? rounds_.confirmed_commit() : confirmed_commit_;
  s.echo_peer_ns = leader ? 0 : echo_peer_ns_;
  s.echo_received_ns = leader ? 0 : echo_received_ns_;
  s.needs_snapshot = needs_snapshot_;
  s.conf = conf_;
  for (const Progress& p : peers_) {
    if (p.leaving_at) continue;
    PeerStatus& peer = s.peers.emplace_back();
    peer.id = p.id;
    peer.state = p.state;
    peer.match = p.match;
    peer.next = p.next;
    peer.learner = p.learner;
    peer.recent_active = p.recent_active;
    peer.paused = p.IsPaused();
    peer.inflight_msgs = p.inflights.count();
    peer.inflight_bytes = p.inflights.bytes();
    peer.pending_snapshot = p.pending_snapshot;
    peer.last_contact_ns = p.contacted ? p.last_contact_ns : 0;
    peer.apply_lag = p.apply_lag;
    peer.damaged = p.damaged;
    peer.repairing = p.repairing;
    peer.disk = p.disk;
    peer.sync_us = p.sync_us;
    peer.caught_up = !p.repairing && p.CaughtUp(now_ns_, election_ns_);
  }
  return s;
}

// ---------------------------------------------------------------- public face

Core::Core(const Config& config, const InitialState& initial, uint64_t now_ns)
    : impl_(std::make_unique<CoreImpl>(config, initial, now_ns)) {}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

void Core::Step(const Input& input, uint64_t now_ns) { impl_->Step(Input(input), now_ns); }
void Core::Step(Input&& input, uint64_t now_ns) { impl_->Step(std::move(input), now_ns); }
Output Core::TakeOutput() { return impl_->TakeOutput(); }
bool Core::HasOutput() const { return impl_->HasOutput(); }
CoreStatus Core::Status() const { return impl_->GetStatus(); }
uint64_t Core::Digest() const { return impl_->Digest(); }
arima::Status Core::CheckInvariants() const { return impl_->CheckInvariants(); }

void Core::SetRandomizedElectionTimeout(uint32_t ticks) {
  impl_->SetRandomizedElectionTimeout(ticks);
}

Result<Entry> Core::EntryAt(Index index) const {
  const EntryCache& cache = impl_->log().cache();
  if (cache.Has(index)) return cache.At(index);
  return Fail(Code::kNotFound, "entry " + std::to_string(index.value) + " is not in the cache");
}

Result<Term> Core::TermAt(Index index) const {
  if (auto term = impl_->log().TermAt(index)) return *term;
  return Fail(Code::kNotFound,
              "index " + std::to_string(index.value) + " is outside of the retained log");
}

}  // namespace arima::raft
