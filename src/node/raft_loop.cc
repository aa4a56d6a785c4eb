// What is retried here and what is not: a write that the core refused was not appended anywhere, so
// it may be proposed again once a leader is known. A write that was appended or sent to another
// node is never proposed a second time; only its entry or its deadline decides.
#include "node/raft_loop.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "kv/command.h"

namespace arima::node {
namespace {

constexpr uint64_t kExpiryStepNs = 20'000'000;
// What a leader refused for the moment is not sent to it again at once.
constexpr uint64_t kRetryStepNs = 50'000'000;
// In the tags of proposals that nobody waits for.
constexpr uint64_t kOwnTag = 1ull << 63;

Error NotApplied(const raft::ProposalRejected& rejected) {
  using raft::RejectReason;
  switch (rejected.reason) {
    case RejectReason::kUncommittedFull:
    case RejectReason::kApplyLag:
    case RejectReason::kQueueFull:
      return {
          Code::kOverloaded,
          "the cluster has more unfinished requests than it may hold; this one was not applied, "
          "repeat it after a pause"};
    default:
      return {Code::kUnavailable, "no leader could take the request (" +
                                      std::string(raft::RejectReasonName(rejected.reason)) +
                                      "); it was not applied, repeat it after a pause"};
  }
}

Error OutOfService(raft::Disabled disabled) {
  if (disabled == raft::Disabled::kRemoved) {
    return {Code::kRemoved, "this node was removed from the cluster; use another node"};
  }
  return {Code::kUnavailable,
          "this node's data is damaged and it takes part in nothing; the request was not applied, "
          "use another node"};
}

Error Overloaded() {
  return {Code::kOverloaded,
          "too many requests wait for a leader; this one was not applied, repeat it after a pause"};
}

Error TooLate() {
  return {Code::kUnavailable,
          "the time of the request was over before it could be proposed; it was not applied"};
}

uint64_t Cost(const ClientWrite& write) { return write.command.size() + kWriteOverheadBytes; }

Error NoLeader() {
  return {Code::kUnavailable,
          "no leader is known; the request was not applied, repeat it after a pause"};
}

}  // namespace

RaftLoop::RaftLoop(raft::Core core, const RaftLoopOptions& options, std::shared_ptr<Waker> waker,
                   const InboxLimits& limits)
    : core_(std::move(core)), options_(options), inbox_(std::move(waker), limits) {
  raft::CoreStatus status = core_.Status();
  soft_ = status.soft;
  last_write_ = status.last;
  read_queue_.Advance(status.applied);
}

RaftLoop::~RaftLoop() = default;

void RaftLoop::Connect(LogSink* log, ApplySink* applier, LoadSink* loader, MessageSink* peers,
                       RaftLoopHost* host) {
  log_ = log;
  applier_ = applier;
  loader_ = loader;
  peers_ = peers;
  host_ = host;
}

void RaftLoop::Step(raft::Input input, uint64_t now_ns) {
  // Which proposals of other nodes may use the reserve, the leader judges itself.
  if (auto* peer = std::get_if<raft::PeerMessage>(&input)) {
    for (raft::ForwardedProposal& proposal : peer->message.proposals) {
      proposal.from_reserve =
          proposal.kind == raft::EntryKind::kCommand && !kv::MakesDataGrow(proposal.payload.view());
    }
  }
  core_.Step(std::move(input), now_ns);
}

void RaftLoop::ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected,
                           uint64_t now_ns) {
  uint64_t tag = next_tag_++;
  conf_proposals_.emplace(tag, std::move(rejected));
  core_.Step(raft::ProposeConf{tag, std::move(change), force}, now_ns);
}

void RaftLoop::ProposeOwn(std::string command, uint64_t now_ns) {
  raft::Propose propose;
  const uint32_t checksum = raft::EntryChecksum(raft::EntryKind::kCommand, command);
  propose.proposals.push_back({next_tag_++ | kOwnTag, raft::EntryKind::kCommand, checksum,
                               SharedBytes::Take(std::move(command)), true});
  core_.Step(std::move(propose), now_ns);
}

void RaftLoop::Process(uint64_t now_ns) {
  ARIMA_ASSERT(log_ != nullptr && host_ != nullptr);
  now_ns_ = now_ns;
  TakeInbox(now_ns);
  TickIfDue(now_ns);
  while (core_.HasOutput()) HandOut(core_.TakeOutput(), now_ns);
}

void RaftLoop::TakeInbox(uint64_t now_ns) {
  InboxBatch batch = inbox_.Take();
  for (LogCompletion& completion : batch.log) CompleteWrite(std::move(completion), now_ns);
  for (raft::Input& input : batch.inputs) {
    if (const auto* disk = std::get_if<raft::DiskLow>(&input)) disk_level_ = disk->level;
    core_.Step(std::move(input), now_ns);
  }
  if (!batch.writes.empty()) TakeWrites(std::move(batch.writes), now_ns);
  if (!batch.reads.empty()) TakeReads(std::move(batch.reads), now_ns);
}

void RaftLoop::TakeWrites(std::vector<ClientWrite> writes, uint64_t now_ns) {
  std::vector<PendingWrite> pending;
  pending.reserve(writes.size());
  for (ClientWrite& write : writes) {
    if (write.deadline_ns <= now_ns) {
      write.done(std::unexpected(TooLate()));
      continue;
    }
    uint64_t cost = Cost(write);
    if (held_write_bytes_ != 0 && held_write_bytes_ + cost > options_.held_write_bytes_max) {
      write.done(std::unexpected(Overloaded()));
      continue;
    }
    held_write_bytes_ += cost;
    uint64_t give_up_ns = std::min(write.deadline_ns, now_ns + options_.leader_wait_ns);
    NoteDeadline(give_up_ns);
    pending.push_back({std::move(write), give_up_ns});
  }
  if (!pending.empty()) ProposeWrites(std::move(pending), now_ns);
}

void RaftLoop::TakeReads(std::vector<ReadWaiter> reads, uint64_t now_ns) {
  uint64_t held = held_reads_ + read_queue_.size();
  while (!reads.empty() && held + reads.size() > options_.held_reads_max) {
    reads.back().done(std::unexpected(Overloaded()));
    reads.pop_back();
  }
  if (reads.empty()) return;
  held_reads_ += reads.size();
  uint64_t give_up_ns = now_ns + options_.leader_wait_ns;
  for (const ReadWaiter& read : reads) NoteDeadline(std::min(read.deadline_ns, give_up_ns));
  IssueReads(std::move(reads), give_up_ns, now_ns);
}

WriteDone RaftLoop::Release(PendingWrite pending) {
  uint64_t cost = Cost(pending.write);
  ARIMA_ASSERT(held_write_bytes_ >= cost, held_write_bytes_, cost);
  held_write_bytes_ -= cost;
  return std::move(pending.write.done);
}

void RaftLoop::NoteDeadline(uint64_t deadline_ns) {
  first_deadline_ns_ = std::min(first_deadline_ns_, deadline_ns);
}

void RaftLoop::CompleteWrite(LogCompletion completion, uint64_t now_ns) {
  if (options_.observer != nullptr) {
    options_.observer->OnDurable(completion.seq, completion.after_durable);
  }
  core_.Step(raft::WriteDone{completion.seq}, now_ns);
  Route(std::move(completion.after_durable), now_ns);
}

// A vote for oneself counts when it comes back here: docs/design/raft.md 1.5 W4.
void RaftLoop::Route(std::vector<raft::Message> messages, uint64_t now_ns) {
  auto to_self = [](const raft::Message& m) { return m.to == m.from; };
  std::vector<raft::Message> own;
  if (std::ranges::any_of(messages, to_self)) {
    std::ranges::copy_if(messages, std::back_inserter(own), to_self);
    std::erase_if(messages, to_self);
  }
  if (!messages.empty()) peers_->Send(std::move(messages));
  for (raft::Message& message : own) core_.Step(raft::PeerMessage{std::move(message)}, now_ns);
}

void RaftLoop::ProposeWrites(std::vector<PendingWrite> writes, uint64_t now_ns) {
  raft::Propose propose;
  propose.proposals.reserve(writes.size());
  for (PendingWrite& pending : writes) {
    uint64_t tag = next_tag_++;
    propose.proposals.push_back({tag, raft::EntryKind::kCommand, pending.write.checksum,
                                 pending.write.command,
                                 !kv::MakesDataGrow(pending.write.command.view())});
    undecided_.emplace_hint(undecided_.end(), tag, std::move(pending));
  }
  core_.Step(std::move(propose), now_ns);
}

void RaftLoop::IssueReads(std::vector<ReadWaiter> waiters, uint64_t give_up_ns, uint64_t now_ns) {
  uint64_t tag = next_tag_++;
  read_batches_.emplace_hint(read_batches_.end(), tag, ReadBatch{std::move(waiters), give_up_ns});
  core_.Step(raft::Read{tag}, now_ns);
}

void RaftLoop::TickIfDue(uint64_t now_ns) {
  if (now_ns < next_tick_ns_) return;
  // One tick however long the pause was: missed ticks are never replayed in a burst (1.8).
  next_tick_ns_ = now_ns + options_.tick_ns;
  core_.Step(raft::Tick{}, now_ns);
  RetryWaiting(now_ns);
  if (now_ns >= next_expiry_ns_) {
    next_expiry_ns_ = now_ns + kExpiryStepNs;
    Expire(now_ns);
  }
}

void RaftLoop::RetryWaiting(uint64_t now_ns) {
  if (waiting_writes_.empty() && waiting_reads_.empty()) return;
  bool settled = soft_.leader && !soft_.transferring;
  if (!settled || now_ns < next_retry_ns_) return;
  next_retry_ns_ = now_ns + kRetryStepNs;
  if (!waiting_writes_.empty()) ProposeWrites(std::exchange(waiting_writes_, {}), now_ns);
  for (ReadBatch& batch : std::exchange(waiting_reads_, {})) {
    IssueReads(std::move(batch.waiters), batch.give_up_ns, now_ns);
  }
}

void RaftLoop::Expire(uint64_t now_ns) {
  proposals_.Expire(now_ns);
  read_queue_.Expire(now_ns);
  if (now_ns < first_deadline_ns_) return;
  first_deadline_ns_ = UINT64_MAX;
  for (auto it = undecided_.begin(); it != undecided_.end();) {
    if (it->second.write.deadline_ns > now_ns) {
      NoteDeadline(it->second.write.deadline_ns);
      ++it;
      continue;
    }
    WriteDone done = Release(std::move(it->second));
    it = undecided_.erase(it);
    done(Fail(Code::kOutcomeUnknown,
              "the leader did not answer in time: the write may or may not have been applied"));
  }
  for (PendingWrite& pending : std::exchange(waiting_writes_, {})) {
    if (pending.give_up_ns > now_ns) {
      NoteDeadline(pending.give_up_ns);
      waiting_writes_.push_back(std::move(pending));
    } else {
      Release(std::move(pending))(std::unexpected(NoLeader()));
    }
  }
  for (ReadBatch& batch : waiting_reads_) ExpireReads(&batch, now_ns);
  std::erase_if(waiting_reads_, [](const ReadBatch& batch) { return batch.waiters.empty(); });
  // A read that is with the core needs no second attempt: on the leader every heartbeat carries a
  // newer round, and what a follower asked in vain the core gives back after an election timeout.
  for (auto& [tag, batch] : read_batches_) ExpireReads(&batch, now_ns);
  std::erase_if(read_batches_, [](const auto& entry) { return entry.second.waiters.empty(); });
}

void RaftLoop::ExpireReads(ReadBatch* batch, uint64_t now_ns) {
  for (ReadWaiter& waiter : std::exchange(batch->waiters, {})) {
    uint64_t over_ns = std::min(waiter.deadline_ns, batch->give_up_ns);
    if (over_ns > now_ns) {
      NoteDeadline(over_ns);
      batch->waiters.push_back(std::move(waiter));
    } else {
      --held_reads_;
      waiter.done(std::unexpected(NoLeader()));
    }
  }
}

void RaftLoop::HandOut(raft::Output out, uint64_t now_ns) {
  if (out.soft) {
    if (out.soft->disabled == raft::Disabled::kDamaged && soft_.disabled != out.soft->disabled) {
      host_->OnDamaged(WhyDamaged(out));
    }
    soft_ = *out.soft;
    next_retry_ns_ = 0;
  }
  if (options_.observer != nullptr) options_.observer->OnOutput(out);
  Route(std::move(out.send_now), now_ns);
  if (out.write) log_->Submit(std::move(*out.write));
  // Before the applier can see the entries: a waiter is never registered too late.
  if (!out.accepted.empty()) OnAccepted(std::move(out.accepted));
  if (!out.apply.empty()) applier_->Submit(std::move(out.apply));
  if (!out.rejected.empty()) OnRejected(std::move(out.rejected));
  if (!out.reads.empty()) OnReadResults(std::move(out.reads));
  for (raft::LoadEntries& load : out.load) loader_->Submit(std::move(load));
  for (const raft::SnapshotRequest& request : out.snapshot_requests) {
    if (snapshots_ != nullptr) {
      snapshots_->Request(request);
    } else {
      core_.Step(raft::SnapshotReady{request.to, {}, false}, now_ns);
    }
  }
  if (out.install && snapshots_ != nullptr) snapshots_->Install(*out.install);
  NotifyHost(out);
}

std::string RaftLoop::WhyDamaged(const raft::Output& out) {
  for (const raft::Event& event : out.events) {
    if (event.kind == raft::EventKind::kLogRegression) return "log regression: " + event.text;
    if (event.kind == raft::EventKind::kSafetyViolation) return "safety violation: " + event.text;
  }
  return "the consensus core gave up";
}

void RaftLoop::OnAccepted(std::vector<raft::ProposalAccepted> accepted) {
  std::vector<ProposalWaiter> waiters;
  waiters.reserve(accepted.size());
  for (const raft::ProposalAccepted& at : accepted) {
    if ((at.tag & kOwnTag) != 0 || conf_proposals_.erase(at.tag) != 0) continue;
    last_write_ = std::max(last_write_, at.index);
    auto it = undecided_.find(at.tag);
    if (it == undecided_.end()) continue;  // its deadline passed
    uint64_t deadline_ns = it->second.write.deadline_ns;
    waiters.push_back({at.index, at.term, deadline_ns, Release(std::move(it->second))});
    undecided_.erase(it);
  }
  proposals_.Register(std::move(waiters));
}

// True if the reason goes away by itself once there is a settled leader. Another node that was
// asked to lead may be out of service while this one is not.
bool RaftLoop::WorthWaiting(raft::RejectReason reason) const {
  using raft::RejectReason;
  if (reason == RejectReason::kDisabled) return soft_.disabled == raft::Disabled::kNone;
  return reason == RejectReason::kNoLeader || reason == RejectReason::kTransferring ||
         reason == RejectReason::kNotMember || reason == RejectReason::kTermChanged;
}

Error RaftLoop::WhyNot(const raft::ProposalRejected& refusal, bool shrinks) const {
  bool out =
      refusal.reason == raft::RejectReason::kDisabled && soft_.disabled != raft::Disabled::kNone;
  if (out) return OutOfService(soft_.disabled);
  return refusal.reason == raft::RejectReason::kDiskLow ? DiskFull(shrinks) : NotApplied(refusal);
}

Error RaftLoop::DiskFull(bool shrinks) const {
  std::string text = "the disk is full: ";
  const bool own = soft_.role == raft::Role::kLeader && disk_level_ != raft::DiskLevel::kOk;
  if (!own && soft_.role == raft::Role::kLeader) {
    text += "a majority of the nodes has less space than --disk-reserve keeps";
  } else if (!own) {
    text += "the leader, or a majority of the nodes, has less space than --disk-reserve keeps";
  } else {
    text += disk_ != nullptr ? disk_->Describe() : "this node, which leads, has no space";
  }
  text += "; the write was not applied. ";
  const bool no_deletes = shrinks || (own && disk_level_ > raft::DiskLevel::kLow);
  text += no_deletes ? "Reads" : "Reads, deletes and membership changes";
  text += " still work. Free space or add some on the nodes whose /readyz?verbose says so";
  return {Code::kDiskFull, std::move(text)};
}

void RaftLoop::OnRejected(std::vector<raft::ProposalRejected> rejected) {
  for (const raft::ProposalRejected& refusal : rejected) {
    if (auto conf = conf_proposals_.find(refusal.tag); conf != conf_proposals_.end()) {
      ConfRejected callback = std::move(conf->second);
      conf_proposals_.erase(conf);
      callback(refusal);
      continue;
    }
    auto it = undecided_.find(refusal.tag);
    if (it == undecided_.end()) continue;
    PendingWrite pending = std::move(it->second);
    undecided_.erase(it);
    if (WorthWaiting(refusal.reason) && now_ns_ < pending.give_up_ns) {
      NoteDeadline(pending.give_up_ns);
      waiting_writes_.push_back(std::move(pending));
    } else {
      const bool shrinks = !kv::MakesDataGrow(pending.write.command.view());
      Release(std::move(pending))(std::unexpected(WhyNot(refusal, shrinks)));
    }
  }
}

void RaftLoop::OnReadResults(std::vector<raft::ReadResult> results) {
  for (const raft::ReadResult& result : results) {
    auto it = read_batches_.find(result.tag);
    if (it == read_batches_.end()) continue;
    ReadBatch batch = std::move(it->second);
    read_batches_.erase(it);
    if (WorthWaiting(result.reason) && now_ns_ < batch.give_up_ns) {
      waiting_reads_.push_back(std::move(batch));
      continue;
    }
    held_reads_ -= batch.waiters.size();
    if (result.reason == raft::RejectReason::kNone) {
      read_queue_.Add(result.index, std::move(batch.waiters));
    } else {
      Error error = WhyNot({result.tag, result.reason, "", raft::MemberId()});
      for (ReadWaiter& waiter : batch.waiters) waiter.done(std::unexpected(error));
    }
  }
}

void RaftLoop::NotifyHost(raft::Output& out) {
  if (out.soft) host_->OnSoftState(soft_);
  if (out.conf_changed) host_->OnConfChanged(std::move(out.conf_changed));
  for (const raft::Event& event : out.events) host_->OnEvent(event);
}

void RaftLoop::FailAll(const Error& error) {
  Error unknown{Code::kOutcomeUnknown,
                "the write may or may not have been applied: " + error.message};
  InboxBatch batch = inbox_.Take();
  for (ClientWrite& write : batch.writes) write.done(std::unexpected(error));
  for (ReadWaiter& read : batch.reads) read.done(std::unexpected(error));
  for (auto& [tag, pending] : std::exchange(undecided_, {})) {
    pending.write.done(std::unexpected(unknown));
  }
  for (PendingWrite& pending : std::exchange(waiting_writes_, {})) {
    pending.write.done(std::unexpected(error));
  }
  for (auto& [tag, read_batch] : std::exchange(read_batches_, {})) {
    for (ReadWaiter& waiter : read_batch.waiters) waiter.done(std::unexpected(error));
  }
  for (ReadBatch& read_batch : std::exchange(waiting_reads_, {})) {
    for (ReadWaiter& waiter : read_batch.waiters) waiter.done(std::unexpected(error));
  }
  held_write_bytes_ = 0;
  held_reads_ = 0;
  proposals_.FailAll(unknown);
  read_queue_.FailAll(error);
}

}  // namespace arima::node
