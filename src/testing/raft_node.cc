#include "testing/raft_node.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "raft/describe.h"

namespace arima::testing {

using raft::Describe;
using raft::Index;
using raft::Message;
using raft::RejectReason;

namespace {

MemoryLog MakeLog(const RaftNodeOptions& options) {
  MemoryLog log(options.hard_state, options.snapshot);
  raft::Write write;
  write.entries = options.entries;
  log.Append(write);
  return log;
}

std::string DescribeWrite(const raft::Write& write) {
  std::string text = "write " + std::to_string(write.seq);
  if (write.hard_state) text += " " + Describe(*write.hard_state);
  if (write.reset)
    text += " reset=" + Describe(raft::EntryId{write.reset->term, write.reset->index});
  if (!write.entries.empty()) text += " " + Describe(write.entries);
  text += write.need_sync ? "\n" : " lazy\n";
  for (const Message& m : write.after_durable) text += "  then " + Describe(m) + "\n";
  return text;
}

std::string DescribeApply(const std::vector<raft::ApplyItem>& items) {
  std::string text;
  for (const raft::ApplyItem& item : items) {
    text += "apply " + Describe(item.entry);
    if (item.conf) text += " " + Describe(*item.conf);
    text += "\n";
  }
  return text;
}

}  // namespace

RaftNode::RaftNode(RaftNodeOptions options)
    : options_(std::move(options)),
      log_(MakeLog(options_)),
      applied_(options_.snapshot.index),
      applied_conf_(options_.conf) {
  Restart();
}

void RaftNode::Restart() {
  append_queue_.clear();
  apply_queue_.clear();
  ++options_.config.life;
  core_ =
      std::make_unique<raft::Core>(options_.config, log_.Recover(applied_, applied_conf_), now_ns_);
}

void RaftNode::RestartWithLoss(Index index) {
  log_.LoseAfter(index);
  applied_ = std::min(applied_, index);
  Restart();
}

void RaftNode::Step(raft::Input input) { core_->Step(std::move(input), now_ns_); }

void RaftNode::Tick() {
  now_ns_ += options_.config.tick_ns;
  Step(raft::Tick{});
}

void RaftNode::Receive(const Message& message) {
  Step(raft::PeerMessage{message});
  if (message.type == raft::MessageType::kSnap) {
    Step(raft::SnapshotReceived{message.snapshot, message.from, message.term});
  }
}

std::string RaftNode::Drain(std::vector<Message>* network) {
  raft::Output output = core_->TakeOutput();
  std::string text;
  if (output.soft) text += "state " + Describe(*output.soft) + "\n";
  for (const raft::Event& event : output.events) text += "event " + Describe(event) + "\n";
  if (output.conf_changed) text += "conf " + Describe(*output.conf_changed) + "\n";
  text += DescribeAnswers(output);
  if (output.write) text += DescribeWrite(*output.write);
  for (const Message& m : output.send_now) text += "send " + Describe(m) + "\n";
  text += DescribeApply(output.apply);
  if (output.install) text += "install " + Describe(output.install->meta) + "\n";

  network->insert(network->end(), output.send_now.begin(), output.send_now.end());
  text += AnswerRequests(output);
  if (output.write) append_queue_.push_back(std::move(*output.write));
  if (!output.apply.empty() || output.install) {
    apply_queue_.push_back({std::move(output.apply), output.install});
  }
  if (!options_.async) {
    while (HasAppend()) RunAppend(network);
    while (HasApply()) RunApply();
  }
  return text;
}

std::string RaftNode::DescribeAnswers(const raft::Output& output) const {
  std::string text;
  for (const raft::ProposalAccepted& a : output.accepted) {
    text += "accepted #" + std::to_string(a.tag) + " at " +
            Describe(raft::EntryId{a.term, a.index}) + "\n";
  }
  for (const raft::ProposalRejected& r : output.rejected) {
    text += "rejected #" + std::to_string(r.tag) + ": " + std::string(RejectReasonName(r.reason));
    if (!r.text.empty()) text += ", " + r.text;
    text += "\n";
  }
  for (const raft::ReadResult& r : output.reads) {
    text += "read #" + std::to_string(r.tag);
    text += r.reason == RejectReason::kNone ? " index=" + std::to_string(r.index.value)
                                            : ": " + std::string(RejectReasonName(r.reason));
    text += "\n";
  }
  return text;
}

std::string RaftNode::AnswerRequests(const raft::Output& output) {
  std::string text;
  for (const raft::LoadEntries& load : output.load) {
    text += "load for " + std::to_string(load.to.value) + " [" + std::to_string(load.low.value) +
            ", " + std::to_string(load.high.value) + ")\n";
    raft::EntriesLoaded answer{load.to, load.low, {}, raft::LoadStatus::kOk};
    if (load.low <= log_.snapshot().index) {
      answer.status = raft::LoadStatus::kCompacted;
    } else if (!log_.Has(load.low)) {
      answer.status = raft::LoadStatus::kUnavailable;
    } else {
      answer.entries = log_.Read(load.low, load.high, load.bytes_max);
    }
    Step(std::move(answer));
  }
  for (const raft::SnapshotRequest& request : output.snapshot_requests) {
    text += "snapshot wanted for " + std::to_string(request.to.value) + " from " +
            std::to_string(request.at_least.value) + "\n";
    if (options_.manual_snapshots) continue;
    raft::SnapshotReady ready{request.to, MakeSnapshot(), true};
    ready.ok = ready.meta.index >= request.at_least;
    Step(std::move(ready));
  }
  return text;
}

raft::SnapshotMeta RaftNode::MakeSnapshot() {
  raft::SnapshotMeta meta;
  meta.index = applied_;
  meta.term = log_.TermAt(applied_);
  meta.conf = applied_conf_;
  meta.snapshot_id = ++snapshots_made_;
  meta.total_bytes = 100;
  return meta;
}

std::string RaftNode::RunAppend(std::vector<Message>* network) {
  ARIMA_ASSERT(HasAppend());
  raft::Write write = std::move(append_queue_.front());
  append_queue_.pop_front();
  std::string text = "durable " + std::to_string(write.seq) + "\n";
  for (const Message& m : write.after_durable) text += "send " + Describe(m) + "\n";
  Perform(std::move(write), network);
  return text;
}

void RaftNode::Perform(raft::Write write, std::vector<Message>* network) {
  log_.Append(write);
  Step(raft::WriteDone{write.seq});
  for (Message& m : write.after_durable) {
    if (m.to == id()) {
      Step(raft::PeerMessage{std::move(m)});
    } else {
      network->push_back(std::move(m));
    }
  }
}

std::string RaftNode::RunApply() {
  ARIMA_ASSERT(HasApply());
  ApplyWork work = std::move(apply_queue_.front());
  apply_queue_.pop_front();
  std::string text;
  if (!work.items.empty()) {
    text += "applied up to " + Describe(work.items.back().entry.id()) + "\n";
  }
  if (work.install) text += "installed " + Describe(work.install->meta) + "\n";
  Perform(work);
  return text;
}

void RaftNode::Perform(const ApplyWork& work) {
  uint64_t bytes = 0;
  for (const raft::ApplyItem& item : work.items) {
    ARIMA_ASSERT(item.entry.index == applied_ + 1, item.entry.index, applied_);
    applied_ = item.entry.index;
    bytes += item.entry.payload.size();
    if (item.conf) applied_conf_ = *item.conf;
  }
  if (!work.items.empty()) Step(raft::Applied{applied_, bytes});
  if (work.install) {
    applied_ = work.install->meta.index;
    applied_conf_ = work.install->meta.conf;
    Step(raft::SnapshotInstalled{work.install->meta});
  }
}

void RaftNode::Compact(Index index) {
  ARIMA_ASSERT(index <= applied_, index, applied_);
  log_.CompactTo(index);
  Step(raft::CompactTo{index});
}

}  // namespace arima::testing
