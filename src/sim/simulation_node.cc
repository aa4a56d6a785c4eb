// The driver around one simulated core: what node/raft_loop does in a real process, with delays
// from the seed. Checkers hear of everything in the order in which it happens.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "raft/describe.h"
#include "sim/simulation.h"

namespace arima::sim {

using raft::EntryId;
using raft::Index;
using raft::MemberId;
using raft::Message;
using raft::MessageType;

namespace {

constexpr uint64_t kSampleEvery = 512;   // events
constexpr uint32_t kOutputsMax = 1000;   // of one drain
constexpr size_t kMessagesMax = 20'000;  // under way; more are lost, as from a full queue

std::string Who(const SimNode& node) { return "node " + std::to_string(node.id().value); }

}  // namespace

void Simulation::Step(SimNode& node, raft::Input&& input) {
  ++result_.events;
  node.core->Step(std::move(input), now_ns_ + node.clock_offset_ns);
  if (result_.events % kSampleEvery == 0) Sample(node);
  if (node.drain_planned) return;
  if (swarm_.drain_late_percent > 0 && node_random_.Percent(swarm_.drain_late_percent)) {
    node.drain_planned = true;
    Post(node_random_.Below(kMillisecond), EventType::kDrain, node);
    return;
  }
  Drain(node);
}

// What is too costly to look at after every event.
void Simulation::Sample(SimNode& node) {
  if (Status s = node.core->CheckInvariants(); !s) {
    verdict_.Fail("core", Who(node) + ": " + s.error().message);
  }
  const raft::CoreStatus status = node.core->Status();
  // A snapshot that was installed is durable before the log's reset is.
  const Index durable = std::max(node.disk.last(), node.machine.durable().applied.index);
  if (status.stable > durable) {
    verdict_.Fail("I9 stable is durable",
                  Who(node) + " takes entries up to " + std::to_string(status.stable.value) +
                      " for durable, its disk has those up to " + std::to_string(durable.value));
  }
  bool bounded = status.pending_reads <= node.config.max_pending_reads;
  for (const raft::PeerStatus& peer : status.peers) {
    bounded = bounded && peer.inflight_msgs <= node.config.max_inflight_msgs;
  }
  if (!bounded) verdict_.Fail("I15 bounds", Who(node) + " keeps more than its limits allow");
}

void Simulation::Drain(SimNode& node) {
  for (uint32_t outputs = 0; node.core->HasOutput(); ++outputs) {
    if (outputs == kOutputsMax) {
      verdict_.Fail("core", Who(node) + " never runs out of output");
      return;
    }
    HandleOutput(node, node.core->TakeOutput());
  }
}

void Simulation::HandleOutput(SimNode& node, raft::Output&& output) {
  const bool led = node.soft.role == raft::Role::kLeader;
  const raft::Term term_before = node.soft.term;
  NoteEvents(node, output);
  if (output.write && output.write->hard_state) {
    elections_.OnHardState(node.id(), *output.write->hard_state, *node.conf);
  }
  if (output.soft) {
    node.soft = *output.soft;
    elections_.OnTerm(node.id(), node.soft.term);
  }
  const bool leads = node.soft.role == raft::Role::kLeader;
  const bool still_leads = led && leads && node.soft.term == term_before;
  const bool new_leader = leads && !still_leads;
  const std::shared_ptr<const raft::ConfState> conf_before = node.conf;
  if (new_leader) {
    elections_.OnLeader(node.id(), node.life, node.soft.term);
    contacts_.Restart(node.id());
  }
  if (output.write) NoteWrite(node, *output.write, still_leads);
  if (new_leader) {
    logs_.OnLeader(IndexOf(node), node.soft.term);
    durability_.OnLeader(node.id(), *conf_before, node.soft.term);
    membership_.OnLeader(node.id(), *conf_before, logs_.CommittedBefore(node.soft.term));
  }
  if (output.conf_changed) NoteConf(node, output.conf_changed);
  if (output.commit > node.commit) NoteCommit(node, output.commit, *conf_before, still_leads);
  if (output.commit < node.commit) {
    verdict_.Fail("I8 commit never goes back", Who(node) + " goes from " +
                                                   std::to_string(node.commit.value) + " to " +
                                                   std::to_string(output.commit.value));
  }
  for (Message& message : output.send_now) Send(node, std::move(message));
  if (output.write) {
    node.writes.push_back(std::move(*output.write));
    StartSync(node);
  }
  NoteAnswers(node, output);
  if (!output.apply.empty()) node.applies.push_back({std::move(output.apply), std::nullopt});
  if (output.install) {
    CheckInstall(node, output.install->meta);
    node.applies.push_back({{}, output.install->meta});
  }
  const auto installs = [](const ApplyWork& work) { return work.install.has_value(); };
  if (node.soft.role != raft::Role::kFollower && std::ranges::any_of(node.applies, installs)) {
    verdict_.Fail("snapshots", Who(node) + " does not follow while it installs one");
  }
  StartApply(node);
  for (const raft::LoadEntries& load : output.load) Load(node, load);
  for (const raft::SnapshotRequest& request : output.snapshot_requests) {
    MakeSnapshot(node, request);
  }
}

// A log that holds what the snapshot stands for stays, with all that follows (pitfall 48).
void Simulation::CheckInstall(const SimNode& node, const raft::SnapshotMeta& meta) {
  if (logs_.TermAt(IndexOf(node), meta.index) != meta.term) return;
  verdict_.Fail("snapshots",
                Who(node) + " replaces its log by " + Describe(meta) + ", which is in it");
}

void Simulation::NoteEvents(SimNode& node, const raft::Output& output) {
  for (const raft::Event& event : output.events) {
    if (tracing()) Trace(Who(node) + " " + Describe(event));
    // Rot of what is still to be applied is a regression, and the node says so.
    const bool regressed = event.kind == raft::EventKind::kLogRegression && !node.log->damaged();
    if (event.kind == raft::EventKind::kSafetyViolation || regressed) {
      verdict_.Fail("core", Who(node) + ": " + Describe(event));
    }
  }
  if (tracing() && output.soft) Trace(Who(node) + " " + Describe(*output.soft));
}

void Simulation::NoteWrite(SimNode& node, const raft::Write& write, bool leading) {
  if (!write.need_sync && (!write.after_durable.empty() || !write.entries.empty())) {
    verdict_.Fail("D6 lazy writes", Who(node) + " lets something wait for a lazy write");
  }
  if (write.reset) logs_.OnReset(IndexOf(node), EntryId{write.reset->term, write.reset->index});
  logs_.OnAppend(IndexOf(node), write.entries, leading);
}

void Simulation::NoteConf(SimNode& node, std::shared_ptr<const raft::ConfState> conf) {
  membership_.OnActive(node.id(), *conf);
  contacts_.Restart(node.id());
  node.conf = std::move(conf);
  // A member that did not exist before is started with nothing, as a joining process is.
  while (nodes_.size() + 1 < membership_.newest().next_member_id.value) {
    SimNode& joined = AddNode(MemberId(nodes_.size() + 1));
    joined.log->Format({}, {});
    joined.machine.Format({});
    At(DrawDelay(&node_random_, 10 * kMillisecond), [this, &joined] { StartAgain(joined); });
  }
}

void Simulation::NoteCommit(SimNode& node, Index commit, const raft::ConfState& counted_with,
                            bool leading) {
  const bool first = commit > logs_.committed();
  node.commit = commit;
  logs_.OnCommit(IndexOf(node), commit, node.soft.term, leading);
  if (!first || !verdict_.ok()) return;
  const raft::Term term = *logs_.TermAt(IndexOf(node), commit);
  durability_.OnCommit(node.id(), counted_with, {term, commit});
}

// ---------------------------------------------------------------- network

std::optional<raft::Term> Simulation::Acked(const SimNode& node, const Message& message) const {
  if (node.soft.term != message.term) return std::nullopt;
  return logs_.TermAt(IndexOf(node), message.index);
}

void Simulation::Send(SimNode& node, Message&& message) {
  durability_.OnRelease(message, Acked(node, message));
  if (message.type == MessageType::kVote) elections_.OnVoteRequest(node.id(), message.term);
  if (message.type == MessageType::kVoteResp && !message.reject) {
    elections_.OnVote(node.id(), message.term, message.to);
  }
  SimNode* to = Find(message.to);
  if (to == nullptr) return;
  if (message.type == MessageType::kSnap) StreamSnapshot(node, message);
  SimNetwork::Arrivals arrivals = network_.Plan(message.from, message.to, now_ns_);
  if (messages_.used() >= kMessagesMax) arrivals.count = 0;
  if (arrivals.count == 0 && swarm_.unreachable && fault_random_.Percent(5)) {
    const MemberId peer = message.to;
    AtNode(DrawDelay(&fault_random_, 5 * kMillisecond), node,
           [this, &node, peer] { Step(node, raft::Unreachable{peer}); });
  }
  for (uint32_t i = 0; i < arrivals.count; ++i) {
    const bool last = i + 1 == arrivals.count;
    // Moved in the last round only. NOLINTNEXTLINE(bugprone-use-after-move)
    const uint32_t slot = messages_.Put(last ? std::move(message) : message);
    events_.Push(arrivals.at_ns[i],
                 {EventType::kMessage, static_cast<uint32_t>(IndexOf(*to)), 0, slot});
  }
}

// ---------------------------------------------------------------- applier

void Simulation::StartApply(SimNode& node) {
  if (node.applying || node.applies.empty()) return;
  node.applying = true;
  uint64_t mean = 20 * kMicrosecond;
  if (phase_ == Phase::kFaults) {
    mean = node.applies.front().install ? swarm_.install_ns_mean : swarm_.apply_ns_mean;
  }
  Post(DrawDelay(&disk_random_, mean), EventType::kApply, node);
}

void Simulation::OnApply(SimNode& node) {
  ApplyWork work = std::move(node.applies.front());
  node.applies.pop_front();
  node.applying = false;
  StartApply(node);
  if (work.install) {
    Install(node, *work.install);
  } else {
    ApplyItems(node, work);
  }
}

void Simulation::ApplyItems(SimNode& node, const ApplyWork& work) {
  uint64_t bytes = 0;
  for (const raft::ApplyItem& item : work.items) {
    logs_.OnApply(IndexOf(node), item.entry);
    writes_.OnApply(item.entry);
    if (item.entry.kind == raft::EntryKind::kConf) {
      membership_.OnApply(node.id(), item.entry, node.machine.current().conf, *item.conf);
    }
    node.machine.Apply(item);
    states_.OnApply(node.id(), item.entry.index, node.machine.current().hash);
    bytes += item.entry.payload.size();
    AnswerWrites(node, item.entry.id());
  }
  ServeReads(node);
  Step(node, raft::Applied{node.machine.current().applied.index, bytes});
}

// ---------------------------------------------------------------- snapshots and slow reads

void Simulation::Install(SimNode& node, const raft::SnapshotMeta& meta) {
  auto found = snapshots_.find(meta.snapshot_id);
  if (found == snapshots_.end() || found->second.applied != EntryId{meta.term, meta.index} ||
      found->second.conf != meta.conf) {
    verdict_.Fail("I18 snapshot meta equals content", Who(node) + " installs " + Describe(meta));
    return;
  }
  ++result_.snapshots_installed;
  node.machine.Install(found->second);
  states_.OnInstall(node.id(), meta.index, node.machine.current().hash);
  // What was waiting for an index that the snapshot covers has an unknown outcome.
  std::erase_if(node.waiting_writes,
                [&](const WaitingWrite& w) { return w.at.index <= meta.index; });
  ServeReads(node);
  Step(node, raft::SnapshotInstalled{meta});
}

void Simulation::Load(SimNode& node, const raft::LoadEntries& load) {
  AtNode(DrawDelay(&disk_random_, kMillisecond), node, [this, &node, load] {
    raft::EntriesLoaded answer{load.to, load.low, {}, raft::LoadStatus::kOk};
    auto entries = node.log->Read(load.low, load.high, load.bytes_max);
    if (entries) {
      if (entries->empty()) answer.status = raft::LoadStatus::kUnavailable;
      answer.entries = std::move(*entries);
    } else if (entries.error().code == Code::kCompacted) {
      answer.status = raft::LoadStatus::kCompacted;
    } else {
      answer.status = raft::LoadStatus::kDamaged;
    }
    Step(node, std::move(answer));
  });
}

void Simulation::MakeSnapshot(SimNode& node, const raft::SnapshotRequest& request) {
  AtNode(DrawDelay(&disk_random_, 5 * kMillisecond), node, [this, &node, request] {
    const MachineState& state = node.machine.current();
    raft::SnapshotReady ready;
    ready.to = request.to;
    const bool fails =
        phase_ == Phase::kFaults && swarm_.snapshot_failure && fault_random_.Percent(20);
    ready.ok = state.applied.index >= request.at_least && !fails;
    if (fails) Happened("snapshot-failure");
    if (ready.ok) {
      ready.meta = {state.applied.index, state.applied.term, state.conf, next_snapshot_id_++, 100};
      snapshots_[ready.meta.snapshot_id] = state;
    }
    Step(node, std::move(ready));
  });
}

// The side stream: arrives as a whole or not at all, and the sender hears which.
void Simulation::StreamSnapshot(SimNode& from, const Message& control) {
  SimNode& to = *Find(control.to);
  const auto arrive = [this, &from, &to, meta = control.snapshot, term = control.term] {
    const bool fails =
        phase_ == Phase::kFaults && swarm_.snapshot_failure && fault_random_.Percent(20);
    const bool ok = to.up() && !Paused(to) && !fails && !network_.Blocked(from.id(), to.id()) &&
                    !network_.Blocked(to.id(), from.id());
    if (tracing()) {
      Trace("stream " + std::to_string(from.id().value) + "->" + std::to_string(to.id().value) +
            " " + Describe(meta) + (ok ? "" : " failed"));
    }
    if (ok) Step(to, raft::SnapshotReceived{meta, from.id(), term});
    AtNode(DrawDelay(&fault_random_, kMillisecond), from, [this, &from, &to, meta, ok] {
      Step(from, raft::SnapshotSent{to.id(), meta.snapshot_id, ok});
    });
  };
  const uint64_t mean = phase_ == Phase::kFaults ? swarm_.stream_ns_mean : kMillisecond;
  AtNode(DrawDelay(&fault_random_, mean), from, arrive);
}

}  // namespace arima::sim
