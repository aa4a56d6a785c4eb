// RaftLoop: the only owner of the consensus core. Inputs in, outputs out, in this order:
//
//   1 peers' messages are sent (their sync is the long pole of a commit),
//   2 the write goes to the log,
//   3 accepted proposals are registered with their waiters, committed entries go to the applier,
//   4 reads, log loads and everything an operator should know.
//
// It has no thread, socket, file or clock of its own: the production node drives it from the core
// thread, the simulator from its event heap. Thread rule: the core thread, except the members of
// inbox(), proposals() and reads().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/disk_watch.h"
#include "node/inbox.h"
#include "node/observer.h"
#include "node/proposal_table.h"
#include "node/read_queue.h"
#include "raft/core.h"

namespace arima::node {

// Takes writes in order and reports each through Inbox::AddLogCompletions. Never blocks the caller.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Submit(raft::Write write) = 0;
};

// Applies in order, resolves proposals and reads, reports through Inbox::AddInput(Applied).
class ApplySink {
 public:
  virtual ~ApplySink() = default;
  virtual void Submit(std::vector<raft::ApplyItem> items) = 0;
};

// Reads old log entries off the core thread; answers through Inbox::AddInput(EntriesLoaded).
class LoadSink {
 public:
  virtual ~LoadSink() = default;
  virtual void Submit(raft::LoadEntries load) = 0;
};

// Makes and installs snapshots off the core thread; never blocks.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  // Answers through Inbox::AddInput(SnapshotReady), then SnapshotSent.
  virtual void Request(const raft::SnapshotRequest& request) = 0;
  // The core waits for it and does nothing else. It never hears SnapshotInstalled: this loop is
  // closed and another one opened on the installed database.
  virtual void Install(const raft::InstallSnapshot& install) = 0;
};

// Sends to peers; never blocks, may drop.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  virtual void Send(std::vector<raft::Message> messages) = 0;
};

// Told of what changed; core thread.
class RaftLoopHost {
 public:
  virtual ~RaftLoopHost() = default;
  virtual void OnSoftState(const raft::SoftState& soft) = 0;
  virtual void OnConfChanged(std::shared_ptr<const raft::ConfState> conf) = 0;
  virtual void OnEvent(const raft::Event& event) = 0;
  // The core found that this node lost what it had acknowledged, and why. Called before anything of
  // that step leaves the node; durable when it returns.
  virtual void OnDamaged(const std::string& /*what*/) {}
};

struct RaftLoopOptions {
  uint64_t tick_ns = 10'000'000;
  // How long a request waits for a leader to appear before it is answered "not applied".
  uint64_t leader_wait_ns = 2'000'000'000;
  // Writes that wait for a leader, or for the leader's answer, and keep their bytes for a second
  // attempt; each counts kWriteOverheadBytes more. Beyond it new ones are refused (kOverloaded).
  uint64_t held_write_bytes_max = 64 << 20;
  // Reads that wait for their read index or for this node to reach it.
  uint64_t held_reads_max = 65536;
  Observer* observer = nullptr;
};

// Why a configuration change was not taken; an accepted one is seen through OnConfChanged.
using ConfRejected = std::move_only_function<void(const raft::ProposalRejected&)>;

class RaftLoop {
 public:
  RaftLoop(raft::Core core, const RaftLoopOptions& options, std::shared_ptr<Waker> waker,
           const InboxLimits& limits);
  ~RaftLoop();

  void Connect(LogSink* log, ApplySink* applier, LoadSink* loader, MessageSink* peers,
               RaftLoopHost* host);
  // Without it the core hears that no snapshot can be had.
  void ConnectSnapshots(SnapshotSink* snapshots) { snapshots_ = snapshots; }

  // What is said to whoever is refused for want of space; outlives this. May be left out.
  void ConnectDisk(const DiskWatch* disk) { disk_ = disk; }

  Inbox& inbox() { return inbox_; }
  ProposalTable& proposals() { return proposals_; }
  ReadQueue& reads() { return read_queue_; }

  // Buffers one input of the transport or of membership for the next Process.
  void Step(raft::Input input, uint64_t now_ns);
  void ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected, uint64_t now_ns);

  // Proposes a command of the node's own, which makes the data no larger; nobody waits for it, and
  // whether it is taken is seen in the state machine. Not a client's write in the sense of
  // last_write().
  void ProposeOwn(std::string command, uint64_t now_ns);

  // Takes the inbox, ticks when due, and hands everything out.
  void Process(uint64_t now_ns);
  // When Process must run even if nothing arrives; 0: now.
  uint64_t NextDeadlineNs() const { return core_.HasOutput() ? 0 : next_tick_ns_; }

  raft::CoreStatus Status() const { return core_.Status(); }
  const raft::SoftState& soft() const { return soft_; }
  raft::DiskLevel disk_level() const { return disk_level_; }
  // Client writes that are neither applied nor refused, as far as somebody waits for them.
  size_t pending_writes() { return undecided_.size() + waiting_writes_.size() + proposals_.size(); }
  // No client write stands in the log above this index; whether somebody waits for it or not.
  raft::Index last_write() const { return last_write_; }
  // Answers everything that waits; used when the node stops or gives up its data. Undecided
  // proposals are answered kOutcomeUnknown.
  void FailAll(const Error& error);

 private:
  struct PendingWrite {
    ClientWrite write;
    uint64_t give_up_ns = 0;  // waits for a leader until then
  };
  struct ReadBatch {
    std::vector<ReadWaiter> waiters;
    uint64_t give_up_ns = 0;
  };

  void TakeInbox(uint64_t now_ns);
  void TakeWrites(std::vector<ClientWrite> writes, uint64_t now_ns);
  void TakeReads(std::vector<ReadWaiter> reads, uint64_t now_ns);
  void CompleteWrite(LogCompletion completion, uint64_t now_ns);
  void Route(std::vector<raft::Message> messages, uint64_t now_ns);
  void ProposeWrites(std::vector<PendingWrite> writes, uint64_t now_ns);
  void IssueReads(std::vector<ReadWaiter> waiters, uint64_t give_up_ns, uint64_t now_ns);
  void TickIfDue(uint64_t now_ns);
  void Expire(uint64_t now_ns);
  void ExpireReads(ReadBatch* batch, uint64_t now_ns);
  void RetryWaiting(uint64_t now_ns);
  // The write leaves undecided_ or waiting_writes_.
  WriteDone Release(PendingWrite pending);
  void NoteDeadline(uint64_t deadline_ns);

  void HandOut(raft::Output out, uint64_t now_ns);
  static std::string WhyDamaged(const raft::Output& out);
  void OnAccepted(std::vector<raft::ProposalAccepted> accepted);
  void OnRejected(std::vector<raft::ProposalRejected> rejected);
  void OnReadResults(std::vector<raft::ReadResult> results);
  void NotifyHost(raft::Output& out);
  bool WorthWaiting(raft::RejectReason reason) const;
  Error WhyNot(const raft::ProposalRejected& refusal, bool shrinks = false) const;
  // `shrinks`: of what was refused; it would have made the data no larger.
  Error DiskFull(bool shrinks) const;

  raft::Core core_;
  const RaftLoopOptions options_;
  Inbox inbox_;
  ProposalTable proposals_;
  ReadQueue read_queue_;
  LogSink* log_ = nullptr;
  ApplySink* applier_ = nullptr;
  LoadSink* loader_ = nullptr;
  MessageSink* peers_ = nullptr;
  SnapshotSink* snapshots_ = nullptr;
  const DiskWatch* disk_ = nullptr;
  RaftLoopHost* host_ = nullptr;

  raft::SoftState soft_;
  raft::DiskLevel disk_level_ = raft::DiskLevel::kOk;  // as the core was told
  uint64_t next_tag_ = 1;
  std::map<uint64_t, PendingWrite> undecided_;  // with the core, by tag
  std::vector<PendingWrite> waiting_writes_;    // not with the core: no leader yet
  std::map<uint64_t, ConfRejected> conf_proposals_;
  std::map<uint64_t, ReadBatch> read_batches_;  // with the core, by tag
  std::vector<ReadBatch> waiting_reads_;        // no leader yet
  uint64_t held_write_bytes_ = 0;               // undecided_ and waiting_writes_
  uint64_t held_reads_ = 0;                     // read_batches_ and waiting_reads_
  raft::Index last_write_;
  uint64_t next_tick_ns_ = 0;
  uint64_t next_expiry_ns_ = 0;
  uint64_t next_retry_ns_ = 0;
  // No deadline of what waits here is earlier.
  uint64_t first_deadline_ns_ = UINT64_MAX;
  uint64_t now_ns_ = 0;
};

}  // namespace arima::node
