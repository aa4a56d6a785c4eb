// CoreImpl: the state of one consensus core and everything it does. See core.h for the contract.
//
// One class, because Raft's rules read one another's state; its parts lie in one file each:
//   core.cc        dispatch of inputs        output.cc      what TakeOutput builds
//   gate.cc        who may speak, terms      election.cc    timers, campaigns, votes, roles
//   follower.cc    App and Heartbeat         leader.cc      replication, commit
//   membership.cc  activation of Conf entries, peers of the leader
//   proposals.cc   local and forwarded       read_index.cc  reads, local and forwarded
//   transfer.cc    leadership transfer       snapshot.cc    snapshot control, log loads
//   invariants.cc  whole-state checks        digest.cc      hash of the whole state
//
// Owner: Core; core thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/conf_change.h"
#include "raft/core.h"
#include "raft/log_view.h"
#include "raft/message.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/reads.h"

namespace arima::raft {

// Largest term and index that is believed of a message: room for arithmetic, out of reach in use.
inline constexpr uint64_t kPositionMax = uint64_t{1} << 62;
// Committed bytes that the state machine may lack before a leader refuses proposals and a follower
// asks to be sent less.
inline constexpr uint64_t kApplyLagBytesMax = 256 << 20;
// Apply hand-overs of max_apply_bytes that may be under way at once.
inline constexpr uint64_t kApplyWindow = 4;
// Proposals on their way to the leader.
inline constexpr size_t kForwardedMax = 65536;

// Whether the fields of a message that came from outside fit together (gate.cc). Nothing that
// passes can make index or term arithmetic wrap.
bool IsWellFormed(const Message& m);

enum class CampaignKind : uint8_t { kPre, kReal, kForce };

class CoreImpl {
 public:
  CoreImpl(const Config& config, const InitialState& initial, uint64_t now_ns);

  void Step(Input&& input, uint64_t now_ns);
  Output TakeOutput();
  bool HasOutput() const;

  CoreStatus GetStatus() const;
  uint64_t Digest() const;
  arima::Status CheckInvariants() const;

  void SetRandomizedElectionTimeout(uint32_t ticks);
  const LogView& log() const { return log_; }

 private:
  // ---- core.cc: inputs
  void On(Tick);
  void On(PeerMessage&& in);
  void On(Propose&& in);
  void On(ProposeConf&& in);
  void On(Read in);
  void On(WriteDone in);
  void On(WriteFailed in);
  void On(Applied in);
  void On(EntriesLoaded&& in);
  void On(SnapshotReady&& in);
  void On(SnapshotSent in);
  void On(SnapshotReceived&& in);
  void On(SnapshotInstalled&& in);
  void On(Unreachable in);
  void On(LeaderLost in);
  void On(Transfer in);
  void On(CompactTo in);
  void On(DiskLow in);
  void On(SyncLatency in);
  void On(MoveLeadership);
  void On(Campaign);
  void On(ForgetLeader);
  void StepMessage(Message&& m);
  void RefuseWhenDead(const Input& input);
  void AddEvent(EventKind kind, MemberId member, std::string text);
  void SafetyViolation(MemberId peer, const std::string& what);

  // ---- gate.cc
  bool Acceptable(const Message& m) const;
  bool PassTermGate(const Message& m);
  bool PassHigherTerm(const Message& m);
  void AnswerLowerTerm(const Message& m);
  void TellRemoval(const Message& m);
  bool Sticky() const;

  // ---- output.cc
  Message Make(MessageType type, MemberId to) const;
  void Send(Message&& m);  // no durability needed
  void Gate(Message&& m);  // only after everything decided so far is durable
  void ReleaseHeld(uint64_t seq);
  void SettleGated();
  void BuildWrite();
  void BuildApply();
  void HandOver(std::vector<Entry>&& entries);
  bool NeedsSync() const;
  bool NeedsWrite() const;
  bool CanApply() const;
  SoftState CurrentSoft() const;
  HardState CurrentHardState() const { return {term_, vote_, log_.commit()}; }

  // ---- election.cc
  bool IsPromotable() const;
  bool IsSoleVoter() const;
  uint32_t CampaignTicks() const;
  void ResetElectionTimer();
  void RedrawElectionTimeout();
  void StartCampaign(CampaignKind kind);
  void RequestVotes(CampaignKind kind);
  void OnVoteRequest(const Message& m);
  void OnVoteResponse(const Message& m);
  void LearnCommit(const Message& m);
  void BecomeFollower(Term term, MemberId leader, std::string_view why);
  void BecomeLeader();
  void LeaveLeader(std::string_view why);
  void SetLeader(MemberId leader);
  void CheckQuorumOrStepDown();
  void OnTimeoutNow(const Message& m);

  // ---- follower.cc
  void NoteLeaderMessage(const Message& m);
  void OnApp(Message&& m);
  bool TrimCommitted(Message* m);
  void TakeEntries(Message&& m);
  void TruncateFrom(Index index);
  void AppendToLog(Entry&& entry);
  void OnHeartbeat(const Message& m);
  Message MakeAppResp(const Message& m) const;
  uint32_t ReceiveWindow() const;

  // ---- leader.cc
  Progress* FindPeer(MemberId id);
  const Progress* FindPeer(MemberId id) const;
  void OnAppResp(const Message& m);
  void OnRejection(Progress& p, const Message& m);
  void OnHeartbeatResp(const Message& m);
  void NotePeer(Progress& p, const Message& m);
  void MarkDamaged(Progress& p);
  bool WantsAppend(const Progress& p) const;
  bool SendAppend(Progress& p, bool allow_empty);
  void FillApp(const Progress& p, Message* m) const;
  void FillClocks(const Progress& p, Message* m) const;
  void SendHeartbeats();
  void FlushPeers();
  Entry MakeEntry(EntryKind kind, uint32_t checksum, SharedBytes payload) const;
  void AppendOwn(EntryKind kind, SharedBytes payload);
  void MaybeCommit();
  void CommitTo(Index index);
  void LeaderUpkeep();
  bool OwnTermCommitted() const { return log_.commit_term() == term_; }
  // Greatest value that a quorum of the active configuration has reached; never asked while the
  // configuration is empty.
  template <class ValueOf>
  auto QuorumValue(ValueOf&& value_of) const {
    return JointValue(conf_->voters, conf_->voters_outgoing, value_of);
  }
  template <class InSet>
  bool IsQuorum(InSet&& in_set) const {
    return HasQuorum(conf_->voters, conf_->voters_outgoing, in_set);
  }
  bool IsLive(const Progress& p) const;

  // ---- membership.cc
  bool IsVoter(MemberId id) const;
  void ActivateConfs();
  void ActivateConf(Index index, const Entry& entry);
  void NoteRemoval();
  void ActOnRemoval();
  bool IsRemoved() const { return removal_ != Removal::kNone; }
  // Who lost its log may have lost a vote, and who was removed has none.
  bool MayVote() const {
    return disabled_ == Disabled::kNone && (!IsRemoved() || role_ == Role::kLeader);
  }
  void OnConfActive(const ConfState& before);
  void SyncPeers(const ConfState& before);
  void AddPeer(MemberId id);
  void UpdateLeavingPeers();
  bool HasLeft(const Progress& p) const;
  void MaybeAutoLeave();
  void ConfirmRemoval(const ConfState& before);
  bool CanStepDown() const { return step_down_due_ && log_.commit() >= confirm_index_; }
  void StepDownRemoved();
  std::optional<ProposalRejected> CheckConfProposal(const ProposeConf& in) const;
  std::optional<std::string> WhyNotPromotable(const ConfState& next) const;
  bool KeepsLiveQuorum(const ConfState& next) const;

  // ---- proposals.cc
  RejectReason WhyNotPropose(uint64_t bytes, bool from_reserve) const;
  bool DisksTake(bool from_reserve) const;
  RejectReason TryAppend(EntryKind kind, uint32_t checksum, SharedBytes&& payload,
                         bool from_reserve);
  void ProposeLocal(Proposal&& proposal);
  void Reject(uint64_t tag, RejectReason reason, std::string text = {});
  void FlushForwards();
  void OnProposeMessage(Message&& m);
  bool SeenBefore(const Message& m);
  void OnProposeResp(const Message& m);

  // ---- read_index.cc
  void AddRead(WaitingRead read);
  void AnswerRead(const WaitingRead& read, RejectReason reason);
  void AnswerTags(const std::vector<uint64_t>& tags, RejectReason reason, Index index);
  void FlushReads();
  void ConfirmRounds();
  void OnReadIndex(const Message& m);
  void OnReadIndexResp(const Message& m);

  // ---- transfer.cc
  void StartTransfer(MemberId target, std::string_view why = "");
  void MaybeSendTimeoutNow();
  void SendTimeoutNow(MemberId to);
  void AbortTransfer(std::string_view why);
  bool MayLead(const Progress& p) const;
  MemberId MostCaughtUpVoter() const;
  MemberId BetterVoter() const;

  // ---- snapshot.cc
  void RequestSnapshot(Progress& p);
  void RequestLoad(Progress& p);
  void OnOwnLoad(EntriesLoaded&& in);
  void LoseLog(Index index);
  void OnPeerLoad(Progress& p, EntriesLoaded&& in);
  bool IsOwnLog(Index low, const std::vector<Entry>& entries) const;
  void SnapshotEnded(Progress& p, bool ok);
  void RequestRepair(Progress& p);
  void OfferRepair(Progress& p, SnapshotReady&& in);
  bool IsUseful(const SnapshotMeta& meta) const;
  void OnSnap(const Message& m);
  void OnSnapProgress(const Message& m);
  void AckCommit();
  void Ack(Index index);

  Config config_;
  uint64_t election_ns_;  // one election timeout by the clock
  SeededRandom random_;
  uint64_t start_ns_;
  uint64_t now_ns_;
  uint64_t ticks_ = 0;

  const Term start_term_;  // this life leads later ones only (docs/design/raft.md A9)

  // Hard state (commit is in log_) and what the last write held of it.
  Term term_;
  MemberId vote_;
  HardState written_;

  Role role_ = Role::kFollower;
  MemberId leader_;
  Disabled disabled_ = Disabled::kNone;
  LogView log_;

  // Membership. Conf entries above commit are kept here, so that activation needs neither the
  // cache nor the disk; configurations that are active but not handed to the state machine, too.
  std::shared_ptr<const ConfState> conf_;
  std::map<Index, Entry> pending_confs_;
  std::map<Index, std::shared_ptr<const ConfState>> unapplied_confs_;
  Index pending_conf_index_;  // leader: no further change until this is committed
  // A committed configuration took this node out. It acts on that once a crash cannot make it
  // forget: others may have to hear it from this node.
  enum class Removal : uint8_t { kNone, kKnown, kWritten, kDurable };
  Removal removal_ = Removal::kNone;
  uint64_t removal_seq_ = 0;    // kWritten: the write that brings it to the disk
  Index confirm_index_;         // leader: Noop that confirms a removal; 0 = none is due
  bool step_down_due_ = false;  // leader without a vote: steps down once its peers are told

  // Timers.
  uint32_t election_elapsed_ = 0;
  uint32_t heartbeat_elapsed_ = 0;
  uint32_t election_timeout_ = 0;  // randomized
  bool short_timeout_ = false;     // the leader's host closed its connection
  bool heartbeat_due_ = false;

  // The own disk.
  DiskLevel disk_ = DiskLevel::kOk;
  uint32_t sync_us_ = 0;
  bool sync_stalled_ = false;

  // What the leader of this term has said.
  bool leader_contacted_ = false;
  uint64_t leader_contact_ns_ = 0;
  uint64_t round_seen_ = 0;
  Term clocks_term_;  // of the leader whose clock readings these are
  uint64_t confirmed_ns_ = 0;
  Index confirmed_commit_;
  uint64_t echo_peer_ns_ = 0;
  uint64_t echo_received_ns_ = 0;

  std::vector<std::pair<MemberId, Ballot>> votes_;  // of the running campaign

  // Leader.
  std::vector<Progress> peers_;  // ascending ids, without this node
  ReadRounds rounds_;
  MemberId transferee_;
  uint64_t transfer_id_ = 0;
  bool timeout_now_sent_ = false;

  // Requests on their way to the leader.
  struct Forwarded {
    uint64_t id = 0;
    uint64_t tag = 0;
    MemberId leader;
    uint64_t sent_tick = 0;
  };
  ForwardedReads forwarded_reads_;
  uint64_t next_forward_id_ = 1;
  std::vector<Proposal> unsent_proposals_;
  std::deque<Forwarded> forwarded_;  // ascending ids
  // Ids of forwarded proposals that came here, as ranges [first, second), by origin: the network
  // may double a message, a write must not be.
  std::map<MemberId, std::deque<std::pair<uint64_t, uint64_t>>> seen_forwards_;

  std::optional<SnapshotMeta> installing_;
  const bool needs_snapshot_;  // InitialState::needs_snapshot

  // Messages that wait for durability: of the write that will be built next, of one in flight.
  struct Held {
    uint64_t seq = 0;
    Message message;
  };
  std::vector<Message> gated_;
  std::deque<Held> held_;

  // Applier.
  struct HandedOver {
    Index last;
    uint64_t bytes = 0;
  };
  std::deque<HandedOver> handed_over_;
  uint64_t handed_over_bytes_ = 0;
  bool own_load_ = false;         // entries for the applier have been asked for
  bool own_load_failed_ = false;  // ... in vain: again at the next tick

  Output out_;
  SoftState soft_told_;
};

}  // namespace arima::raft
