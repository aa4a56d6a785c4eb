// The consensus core: a pure function of (state, input, now).
//
// Core is single-threaded and never blocks. It has no clock, socket, file, thread or logger; it
// owns one seeded generator. The same inputs give the same outputs, byte for byte, which is what
// the simulator, the golden scripts and replay rest on. The driver (node/raft_loop.h, sim/) does:
//
//   for each input of a batch: core.Step(input, now_ns);
//   Output out = core.TakeOutput();
//   send out.send_now; hand out.write to the log; hand out.apply to the state machine; ...
//
// Driver obligations (docs/design/raft.md 1.1):
//   D1 writes are performed, and WriteDone delivered, in seq order; none is dropped.
//   D2 after_durable messages are released only after that write (and all before it) is durable.
//   D3 send_now may go at any time, be lost, doubled, reordered.
//   D4 apply batches are applied in order, exactly once per process life.
//   D5 payload blocks are reference-counted; the driver keeps what it uses.
//   D6 a write with need_sync=false may be made durable lazily (only commit changed).
//   D7 one TakeOutput after each batch; no timers besides Tick.
//
// Follows the Raft paper (Ongaro and Ousterhout, 2014) and thesis (Ongaro, 2014): pre-vote and
// check-quorum from thesis 9.6 and 6.2, ReadIndex from 6.4, transfer from 3.10, joint consensus
// from 4.3, parallel leader write from 10.2.1.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "raft/conf_change.h"
#include "raft/config.h"
#include "raft/message.h"
#include "raft/types.h"

namespace arima::raft {

// ---------------------------------------------------------------- inputs

struct Tick {};
struct PeerMessage {
  Message message;
};
// `tag` comes back in Output::accepted or Output::rejected.
struct Proposal {
  uint64_t tag = 0;
  EntryKind kind = EntryKind::kCommand;
  uint32_t checksum = 0;  // EntryChecksum(kind, payload)
  SharedBytes payload;
  // Makes the data no larger, so it is taken while disks are low.
  bool from_reserve = false;
};
struct Propose {
  std::vector<Proposal> proposals;
};
struct ProposeConf {
  uint64_t tag = 0;
  ConfChange change;
  bool force = false;  // skip the live-quorum check (rule 5 of 1.9)
};
struct Read {
  uint64_t tag = 0;
};
struct WriteDone {
  uint64_t seq = 0;
};
struct WriteFailed {
  uint64_t seq = 0;
};
struct Applied {
  Index index;
  uint64_t bytes = 0;
};
// kDamaged: what was written cannot be read back; asking again is of no use.
enum class LoadStatus : uint8_t { kOk, kCompacted, kUnavailable, kDamaged };
// Answer to Output::load. `to` is the peer the entries are for, or this node for its applier.
// May hold fewer entries than asked for, never a gap.
struct EntriesLoaded {
  MemberId to;
  Index low;
  std::vector<Entry> entries;
  LoadStatus status = LoadStatus::kOk;
};
struct SnapshotReady {
  MemberId to;
  SnapshotMeta meta;
  bool ok = false;
};
struct SnapshotSent {
  MemberId to;
  uint64_t snapshot_id = 0;
  bool ok = false;
};
// A complete, verified snapshot lies on the local disk.
struct SnapshotReceived {
  SnapshotMeta meta;
  MemberId from;
  Term term;
};
// The state machine has durably switched to it.
struct SnapshotInstalled {
  SnapshotMeta meta;
};
struct Unreachable {
  MemberId peer;
};
// The transport saw the connection to the leader closed by its host (as after kill -9).
struct LeaderLost {
  MemberId leader;
};
struct Transfer {
  MemberId target;  // 0 = the most caught-up voter
};
struct CompactTo {
  Index index;  // <= durable applied; the driver has decided that nobody needs it
};
// What the own disk takes from now on. A leader refuses proposals accordingly (kDiskLow), a
// follower entries; the leader is told with each answer to a heartbeat.
struct DiskLow {
  DiskLevel level = DiskLevel::kOk;
};
// How long syncs of the own log take now, the one under way included; `stalled`: too long for a
// leader, by the driver's judgement. The leader is told as above.
struct SyncLatency {
  uint32_t us = 0;
  bool stalled = false;
};
// A leader whose own disk is low or stalled hands over to a voter that is better off, if there is
// one; else nothing happens. SoftState::transferring tells.
struct MoveLeadership {};
struct Campaign {};
struct ForgetLeader {};

using Input = std::variant<Tick, PeerMessage, Propose, ProposeConf, Read, WriteDone, WriteFailed,
                           Applied, EntriesLoaded, SnapshotReady, SnapshotSent, SnapshotReceived,
                           SnapshotInstalled, Unreachable, LeaderLost, Transfer, CompactTo, DiskLow,
                           SyncLatency, MoveLeadership, Campaign, ForgetLeader>;

// ---------------------------------------------------------------- outputs

// The log is replaced by a snapshot point: empty at (index, term).
struct LogReset {
  Index index;
  Term term;
  friend bool operator==(const LogReset&, const LogReset&) = default;
};

struct Write {
  uint64_t seq = 0;
  std::optional<HardState> hard_state;
  std::optional<LogReset> reset;  // before the entries
  std::vector<Entry> entries;     // contiguous; the first may overwrite a suffix
  bool need_sync = false;
  std::vector<Message> after_durable;  // may be addressed to this node itself: step them back in
};

struct ApplyItem {
  Entry entry;
  // For kConf: the configuration that this entry made active (unchanged if it was refused).
  std::shared_ptr<const ConfState> conf;
};

struct ProposalAccepted {
  uint64_t tag = 0;
  Index index;  // where it stands in the log; decided when an entry is applied at that index:
  Term term;    // equal term = this proposal, other term = it will never be applied
};
struct ProposalRejected {
  uint64_t tag = 0;
  RejectReason reason = RejectReason::kNone;
  std::string text;  // details for kConfInvalid and kNotReady
  MemberId leader;   // hint, may be 0
};
struct ReadResult {
  uint64_t tag = 0;
  RejectReason reason = RejectReason::kNone;
  Index index;  // with kNone: serve when applied >= index
};
struct LoadEntries {
  MemberId to;
  Index low;
  Index high;  // exclusive
  uint64_t bytes_max = 0;
};
struct SnapshotRequest {
  MemberId to;
  Index at_least;
};
struct InstallSnapshot {
  SnapshotMeta meta;
};
struct SoftState {
  Role role = Role::kFollower;
  Disabled disabled = Disabled::kNone;
  MemberId leader;
  Term term;
  bool transferring = false;
  friend bool operator==(const SoftState&, const SoftState&) = default;
};
// Something an operator cares about; the driver logs it with node and term.
enum class EventKind : uint8_t {
  kCampaign,
  kBecameLeader,
  kSteppedDown,
  kNewLeader,
  kConfActive,
  kConfRefused,
  kLogRegression,
  kSafetyViolation,
  kRemovedSelf,
  kTransferStarted,
  kTransferAborted,
  kSnapshotNeeded,
};
struct Event {
  EventKind kind = EventKind::kCampaign;
  Term term;
  MemberId member;   // the other node concerned, if any
  std::string text;  // reason, in words
};

struct Output {
  std::vector<Message> send_now;
  std::optional<Write> write;
  std::vector<ApplyItem> apply;  // contiguous, all <= min(commit, stable)
  std::vector<ProposalAccepted> accepted;
  std::vector<ProposalRejected> rejected;
  std::vector<ReadResult> reads;
  std::vector<LoadEntries> load;
  std::vector<SnapshotRequest> snapshot_requests;
  std::optional<InstallSnapshot> install;
  std::shared_ptr<const ConfState> conf_changed;  // null = unchanged
  std::optional<SoftState> soft;                  // set when it changed
  std::vector<Event> events;
  Index commit;  // current, for progress and metrics

  bool empty() const;
};

// ---------------------------------------------------------------- state

// What recovery found (wal/, kv/). The core starts as a follower of hard_state.term.
struct InitialState {
  HardState hard_state;
  Index snapshot_index;  // first retained index - 1
  Term snapshot_term;
  Index last;  // == snapshot_index when the log is empty
  // Runs (term, first index of the term) of (snapshot_index, last], ascending.
  std::vector<EntryId> term_runs;
  // The configuration in force at `applied`, and every Conf entry of (applied, last].
  ConfState conf;
  std::vector<Entry> conf_entries;
  Index applied;
  // The newest entries, contiguous and ending at `last`, to warm the cache; may be empty.
  std::vector<Entry> tail;
  Disabled disabled = Disabled::kNone;
  // The state machine was lost, log and votes were not: `applied` is snapshot_index, `conf` the
  // newest configuration that is known. Nothing is applied; it votes and acknowledges as before,
  // and takes any snapshot from which its log goes on. Then it is closed: SnapshotInstalled is not
  // for it. It campaigns only if nobody else does for a while; its driver hands leadership on.
  bool needs_snapshot = false;
};

enum class ProgressState : uint8_t { kProbe, kReplicate, kSnapshot };

struct PeerStatus {
  MemberId id;
  ProgressState state = ProgressState::kProbe;
  Index match;
  Index next;
  bool learner = false;
  bool recent_active = false;
  bool paused = false;
  uint32_t inflight_msgs = 0;
  uint64_t inflight_bytes = 0;
  Index pending_snapshot;
  uint64_t last_contact_ns = 0;
  uint64_t apply_lag = 0;
  // The last complete catch-up round (raft thesis 4.2.1) ended within one election timeout, and it
  // is not repairing.
  bool caught_up = false;
  bool damaged = false;             // it lost acknowledged log; must be replaced under a new id
  bool repairing = false;           // it lost its state machine and is to get a snapshot
  DiskLevel disk = DiskLevel::kOk;  // as it last said
  uint32_t sync_us = 0;
};

// A read-only picture for APIs, metrics and tests.
struct CoreStatus {
  MemberId id;
  SoftState soft;
  HardState hard_state;
  Index snapshot_index;
  Term snapshot_term;
  Index last;
  Term last_term;
  Index stable;
  Index applying;
  Index applied;
  uint64_t uncommitted_bytes = 0;
  DiskLevel disk = DiskLevel::kOk;  // own
  bool sync_stalled = false;
  bool takes_growth = false;  // leader: the disks have space for more data (raft.md 4.7)
  uint64_t pending_reads = 0;
  uint64_t last_leader_contact_ns = 0;  // 0 = never
  uint64_t confirmed_ns = 0;            // staleness inputs, docs/design/http-api.md 2.5
  Index confirmed_commit;
  uint64_t echo_peer_ns = 0;
  uint64_t echo_received_ns = 0;
  // Leader: a quorum of the configuration in force knows on disk that it is; whom it left out may
  // be switched off (Config::confirm_removals).
  bool removals_confirmed = false;
  bool needs_snapshot = false;  // InitialState::needs_snapshot
  std::shared_ptr<const ConfState> conf;
  std::vector<PeerStatus> peers;  // leader only; without this node
};

class CoreImpl;

class Core {
 public:
  // `now_ns` is the driver's monotonic clock. config.Validate() must hold.
  Core(const Config& config, const InitialState& initial, uint64_t now_ns);
  ~Core();
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;

  void Step(const Input& input, uint64_t now_ns);
  void Step(Input&& input, uint64_t now_ns);
  // Everything that the inputs since the last call produced.
  Output TakeOutput();
  bool HasOutput() const;

  CoreStatus Status() const;
  // Hash of the whole state: equal digests, equal futures (simulator, determinism tests).
  uint64_t Digest() const;
  // Ok, or which invariant of docs/design/raft.md 1.2 does not hold. Called by tests and, with
  // ARIMA_CHECK_INVARIANTS, by Step itself.
  arima::Status CheckInvariants() const;

  // White-box doors for scripts and paper tests.
  void SetRandomizedElectionTimeout(uint32_t ticks);
  Result<Entry> EntryAt(Index index) const;  // from the cache
  Result<Term> TermAt(Index index) const;

 private:
  std::unique_ptr<CoreImpl> impl_;
};

}  // namespace arima::raft
