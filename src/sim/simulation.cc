#include "sim/simulation.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "raft/describe.h"
#include "sim/mix.h"
#include "sim/model_log.h"
#include "sim/wal_log.h"

namespace arima::sim {

using raft::ConfState;
using raft::EntryId;
using raft::MemberId;

namespace {

constexpr uint64_t kLoopsPerEventMax = 50;

raft::MemberInfo Info(MemberId id) {
  raft::MemberInfo info;
  info.id = id;
  info.name = "n" + std::to_string(id.value);
  info.raft_address = info.name + ":1";
  return info;
}

ConfState FirstConf(uint32_t voters, uint32_t learners) {
  ConfState conf;
  conf.index = raft::kFirstSnapshotIndex;
  for (uint64_t id = 1; id <= voters + learners; ++id) {
    (id <= voters ? conf.voters : conf.learners).emplace_back(id);
    conf.members[MemberId(id)] = Info(MemberId(id));
  }
  conf.next_member_id = MemberId(voters + learners + 1);
  return conf;
}

}  // namespace

Simulation::Simulation(const SimOptions& options)
    : options_(options),
      swarm_(SwarmOf(options)),
      disk_random_(Split(options.seed, 2)),
      fault_random_(Split(options.seed, 3)),
      operator_random_(Split(options.seed, 4)),
      client_random_(Split(options.seed, 5)),
      node_random_(Split(options.seed, 6)),
      damage_random_(Split(options.seed, 8)),
      network_(&swarm_, Split(options.seed, 7)),
      membership_(&verdict_),
      logs_(&verdict_),
      elections_(&verdict_),
      states_(&verdict_),
      durability_(&verdict_, &membership_),
      reads_(&verdict_),
      writes_(&verdict_),
      contacts_(&verdict_),
      events_max_(swarm_.events_max),
      clients_(swarm_.clients) {}

SimResult Simulation::Run() {
  Bootstrap();
  uint64_t loops = 0;
  uint64_t digest_at = kDigestEvery;
  while (phase_ != Phase::kDone && verdict_.ok() && !events_.empty()) {
    if (options_.until_ms != 0 && events_.NextTime() >= options_.until_ms * kMillisecond) break;
    auto [time_ns, event] = events_.Pop();
    now_ns_ = time_ns;
    Dispatch(event);
    if (result_.events >= digest_at) {
      MixDigests();
      result_.digests.push_back(result_.digest);
      digest_at += kDigestEvery;
    }
    if (phase_ == Phase::kFaults && result_.events >= events_max_) Heal();
    // Every loop serves some purpose; a run that only turns its wheels is a bug of the simulator.
    if (++loops > (events_max_ + 1'000'000) * kLoopsPerEventMax) {
      verdict_.Fail("simulator", "does not come to an end");
    }
  }
  return Finish();
}

void Simulation::Trace(const std::string& line) {
  options_.trace(std::to_string(now_ns_ / kMicrosecond) + "us " + line);
}

// ---------------------------------------------------------------- events

void Simulation::At(uint64_t delay_ns, Task task) {
  events_.Push(now_ns_ + delay_ns, {EventType::kTask, 0, 0, tasks_.Put(std::move(task))});
}

void Simulation::AtNode(uint64_t delay_ns, SimNode& node, Task task) {
  At(delay_ns, [this, &node, task = std::move(task), life = node.life]() mutable {
    if (!node.up() || node.life != life) return;
    if (Paused(node)) {
      AtNode(node.paused_until_ns - now_ns_, node, std::move(task));
    } else {
      task();
    }
  });
}

void Simulation::Post(uint64_t delay_ns, EventType type, const SimNode& node, uint32_t slot) {
  events_.Push(now_ns_ + delay_ns, {type, static_cast<uint32_t>(IndexOf(node)), node.life, slot});
}

void Simulation::Dispatch(const Event& event) {
  if (event.type == EventType::kTask) {
    tasks_.Take(event.slot)();
    return;
  }
  SimNode& node = nodes_[event.node];
  if (event.type == EventType::kMessage) {
    if (node.up() && Paused(node)) {
      events_.Push(node.paused_until_ns, event);
      return;
    }
    raft::Message message = messages_.Take(event.slot);
    if (node.up()) OnMessage(node, std::move(message));
    return;
  }
  if (!node.up() || node.life != event.life) return;
  if (Paused(node)) {
    events_.Push(node.paused_until_ns, event);
    return;
  }
  switch (event.type) {
    case EventType::kTick:
      Post(node.tick_ns, EventType::kTick, node);
      if (node.soft.role == raft::Role::kLeader && node.config.check_quorum) {
        if (node.soft.transferring) contacts_.Restart(node.id());
        contacts_.OnTick(node.id(), *node.conf, node.config.election_ticks);
      }
      Step(node, raft::Tick{});
      break;
    case EventType::kDisk:
      OnDisk(node);
      break;
    case EventType::kAttest:
      OnAttest(node);
      break;
    case EventType::kApply:
      OnApply(node);
      break;
    case EventType::kDrain:
      node.drain_planned = false;
      Drain(node);
      break;
    case EventType::kMessage:
    case EventType::kTask:
      break;
  }
}

void Simulation::OnMessage(SimNode& node, raft::Message&& message) {
  if (tracing()) Trace("deliver " + Describe(message));
  const bool is_answer = message.type == raft::MessageType::kAppResp ||
                         message.type == raft::MessageType::kHeartbeatResp ||
                         message.type == raft::MessageType::kSnapProgress;
  if (is_answer && message.term == node.soft.term && node.soft.role == raft::Role::kLeader) {
    contacts_.OnHeard(node.id(), message.from);
  }
  Step(node, raft::PeerMessage{std::move(message)});
}

// ---------------------------------------------------------------- nodes

SimNode* Simulation::Find(MemberId id) {
  return id.value >= 1 && id.value <= nodes_.size() ? &nodes_[id.value - 1] : nullptr;
}

bool Simulation::IsMember(MemberId id) const { return membership_.newest().members.contains(id); }

void Simulation::Bootstrap() {
  const ConfState conf = FirstConf(swarm_.voters, swarm_.learners);
  const EntryId start{raft::kFirstSnapshotTerm, raft::kFirstSnapshotIndex};
  logs_.Bootstrap(start);
  membership_.Bootstrap(conf);
  for (const auto& [id, info] : conf.members) {
    SimNode& node = AddNode(id);
    node.log->Format({start.term, MemberId(0), start.index}, start);
    node.machine.Format({start, 1, conf});
  }
  for (SimNode& node : nodes_) Start(node);
  for (uint32_t client = 0; client < clients_.size(); ++client) PlanClient(client);
  PlanFault();
  PlanDiskFault();
  PlanCompaction();
  PlanOperator();
}

SimNode& Simulation::AddNode(MemberId id) {
  ARIMA_ASSERT(id.value == nodes_.size() + 1, id, nodes_.size());
  SimNode& node = nodes_.emplace_back();
  node.config = swarm_.config;
  node.config.id = id;
  // Clocks run up to half a percent fast or slow and start anywhere.
  node.tick_ns = node.config.tick_ns / 1000 * node_random_.Between(995, 1005);
  node.clock_offset_ns = kSecond + node_random_.Below(1000) * kSecond;
  durability_.AddDisk(&node.disk);
  if (options_.level == 0) {
    node.log = std::make_unique<ModelLog>(&node.disk, &disk_random_);
  } else {
    node.log = std::make_unique<WalLog>(&node.disk, &swarm_.disk, &verdict_,
                                        "node " + std::to_string(id.value),
                                        Split(options_.seed, 1'000 + id.value));
  }
  return node;
}

std::optional<raft::InitialState> Simulation::Recover(SimNode& node) {
  const EntryId applied = node.machine.durable().applied;
  const SimLog::Outcome found = node.log->Recover(applied);
  if (found == SimLog::Outcome::kDamaged) LoseForGood(node);
  if (found != SimLog::Outcome::kDone || !verdict_.ok()) return std::nullopt;
  if (node.disk.snapshot().index >= node.machine.unconfirmed_install()) {
    node.machine.ConfirmInstall(node.disk.snapshot().index);
  }
  if (!node.disk.Covers(applied)) {
    // Legal only between the switch to a snapshot and the log's reset (raft.md 4.6 R7).
    if (node.machine.unconfirmed_install() != applied.index) {
      verdict_.Fail("I9 stable is durable", "node " + std::to_string(node.id().value) +
                                                " recovers a state machine at " +
                                                Describe(applied) + " that its log does not have");
    }
    if (node.log->ResetTo(applied) != SimLog::Outcome::kDone) return std::nullopt;
    node.machine.ConfirmInstall(applied.index);
  }
  raft::InitialState initial = node.log->Initial(applied.index, node.machine.durable().conf);
  initial.disabled = node.disabled;
  return initial;
}

void Simulation::Start(SimNode& node) {
  ARIMA_ASSERT(!node.up() && !node.gone, node.id());
  const std::optional<raft::InitialState> initial = Recover(node);
  if (!verdict_.ok() || node.gone) return;
  if (!initial) {
    PlanStart(node);
    return;
  }
  ++node.life;
  node.config.life = node.life;
  node.config.seed = node_random_.Next();
  const size_t index = IndexOf(node);
  logs_.OnStart(index, node.disk.snapshot(), node.disk.entries());
  elections_.OnStart(node.id(), initial->hard_state.term);
  states_.OnStart(node.id(), node.machine.current().applied.index, node.machine.current().hash);
  node.commit = initial->hard_state.commit;
  node.core = std::make_unique<raft::Core>(node.config, *initial, now_ns_ + node.clock_offset_ns);
  raft::CoreStatus status = node.core->Status();
  node.soft = status.soft;
  node.conf = status.conf;
  if (tracing()) Trace("start " + std::to_string(node.id().value) + " " + Describe(node.soft));
  Post(node_random_.Below(node.tick_ns), EventType::kTick, node);
  PlanFlush(node);
  PlanPrepare(node);
  Drain(node);
}

void Simulation::StartAgain(SimNode& node) {
  if (!node.up() && !node.gone && !node.stays_down) Start(node);
}

void Simulation::PlanStart(SimNode& node) {
  At(DrawDelay(&damage_random_, 50 * kMillisecond), [this, &node] { StartAgain(node); });
}

void Simulation::Crash(SimNode& node, bool power) {
  ARIMA_ASSERT(node.up(), node.id());
  if (tracing()) Trace("crash " + std::to_string(node.id().value));
  ++result_.crashes;
  node.core.reset();
  const std::vector<raft::Write> under_way = TakeWrites(node, node.syncing);
  const std::vector<raft::Write> queued = TakeWrites(node, node.writes.size());
  node.log->Crash(under_way, queued, power);
  // The identity file is written soon after the core says so, or not in time.
  if (disk_random_.Percent(50)) node.disabled = node.soft.disabled;
  node.machine.Crash();
  node.syncing = 0;
  node.applies.clear();
  node.applying = false;
  node.drain_planned = false;
  node.attest_planned = false;
  node.log_full = false;
  node.paused_until_ns = 0;
  node.waiting_writes.clear();
  node.waiting_reads.clear();
  node.soft = {};
}

// ---------------------------------------------------------------- result

void Simulation::MixDigests() {
  for (const SimNode& node : nodes_) {
    result_.digest = Mix(result_.digest, node.up() ? node.core->Digest() : 0);
    if (options_.level > 0) result_.digest = Mix(result_.digest, node.log->Digest());
  }
  result_.digest = Mix(result_.digest, logs_.committed_hash());
  result_.digest = Mix(result_.digest, now_ns_);
}

SimResult Simulation::Finish() {
  MixDigests();
  for (const SimNode& node : nodes_) result_.log += node.log->counters();
  result_.ok = verdict_.ok();
  result_.failure = verdict_.text();
  result_.virtual_ms = now_ns_ / kMillisecond;
  result_.nodes = nodes_.size();
  result_.leaders = elections_.leaders();
  result_.committed = logs_.committed().value;
  result_.configurations = membership_.history().size();
  return result_;
}

}  // namespace arima::sim
