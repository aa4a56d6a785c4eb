// The log of each node: its writer, its helpers, and what the nemesis does to disks.
//
// Fault budget: of the members at most one at a time has damaged bytes on its disk, and only in a
// configuration of at least three voters that is not joint. One that loses acknowledged entries is
// gone for good, as in production; the operator replaces it. In runs with damage he takes out
// nobody else, so what is left is a majority at all times.

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "raft/describe.h"
#include "sim/simulation.h"
#include "wal/wal.h"

namespace arima::sim {

using raft::Message;
using raft::MessageType;

namespace {

constexpr uint64_t kDiskFullPauseNs = 100 * kMillisecond;
constexpr uint64_t kStallNsMax = 5 * kSecond;

}  // namespace

// ---------------------------------------------------------------- writer

void Simulation::StartSync(SimNode& node) {
  if (node.syncing > 0 || node.writes.empty()) return;
  node.syncing = node.writes.size();  // group commit: one sync for all that is queued
  uint64_t delay = DrawDelay(&disk_random_, swarm_.sync_ns_mean);
  if (phase_ == Phase::kFaults && disk_random_.Below(1000) < swarm_.slow_sync_permille) {
    delay += disk_random_.Below(disk_random_.Percent(5) ? kStallNsMax : kSecond);
  }
  if (phase_ != Phase::kFaults) delay = disk_random_.Between(50 * kMicrosecond, kMillisecond);
  Post(delay, EventType::kDisk, node);
}

std::vector<raft::Write> Simulation::TakeWrites(SimNode& node, size_t count) {
  const auto end = node.writes.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<raft::Write> writes(std::make_move_iterator(node.writes.begin()),
                                  std::make_move_iterator(end));
  node.writes.erase(node.writes.begin(), end);
  return writes;
}

void Simulation::OnDisk(SimNode& node) {
  std::vector<raft::Write> writes = TakeWrites(node, node.syncing);
  const auto outcome = node.log->Append(writes, [&](const raft::Write& write) {
    if (write.reset) node.machine.ConfirmInstall(write.reset->index);
    durability_.OnDurable(
        node.id(), write,
        std::max(node.disk.hard_state().commit, node.machine.durable().applied.index));
  });
  if (outcome != SimLog::Outcome::kDone) {
    node.writes.insert(node.writes.begin(), std::make_move_iterator(writes.begin()),
                       std::make_move_iterator(writes.end()));
    if (outcome == SimLog::Outcome::kLater) {
      Post(kDiskFullPauseNs, EventType::kDisk, node);
      TellSpace(node, /*full=*/true);
    } else {
      if (tracing()) Trace("disk error " + std::to_string(node.id().value));
      Crash(node, /*power=*/false);
      PlanStart(node);
    }
    return;
  }
  node.syncing = 0;
  StartSync(node);
  PlanAttest(node);
  TellSpace(node, /*full=*/false);
  for (raft::Write& write : writes) Complete(node, std::move(write));
}

void Simulation::Complete(SimNode& node, raft::Write&& write) {
  Step(node, raft::WriteDone{write.seq});
  for (Message& message : write.after_durable) {
    if (message.to != node.id()) {
      Send(node, std::move(message));
      continue;
    }
    durability_.OnRelease(message, Acked(node, message));
    if (message.type == MessageType::kVoteResp && !message.reject) {
      elections_.OnVote(node.id(), message.term, message.to);
    }
    Step(node, raft::PeerMessage{std::move(message)});
  }
}

void Simulation::TellSpace(SimNode& node, bool full) {
  if (node.log_full == full) return;
  node.log_full = full;
  Step(node, raft::DiskLow{full ? raft::DiskLevel::kFull : raft::DiskLevel::kOk});
}

// The writer says that its last write was durable when nothing came after it for a while.
void Simulation::PlanAttest(SimNode& node) {
  if (node.attest_planned || !node.log->NeedsAttest()) return;
  node.attest_planned = true;
  Post(wal::Wal::kAttestDelayNs, EventType::kAttest, node);
}

void Simulation::OnAttest(SimNode& node) {
  node.attest_planned = false;
  if (node.syncing == 0) node.log->Attest();
}

// The helper that keeps segments ready.
void Simulation::PlanPrepare(SimNode& node) {
  if (options_.level == 0) return;
  AtNode(DrawDelay(&disk_random_, swarm_.disk.prepare_ns_mean), node, [this, &node] {
    node.log->Prepare();
    PlanPrepare(node);
  });
}

// ---------------------------------------------------------------- faults

void Simulation::PlanDiskFault() {
  if (options_.level == 0 || swarm_.fault_ns_mean == 0) return;
  At(DrawDelay(&damage_random_, swarm_.fault_ns_mean), [this] {
    if (phase_ != Phase::kFaults) return;
    InjectDiskFault();
    PlanDiskFault();
  });
}

void Simulation::InjectDiskFault() {
  SimNode& node = nodes_[damage_random_.Below(nodes_.size())];
  const uint64_t kind = damage_random_.Below(8);
  if (node.gone) return;
  if (kind < 2) {
    if (swarm_.disk.disk_full) FillDisk(node);
  } else if (kind < 4) {
    if (swarm_.disk.io_error) node.log->BreakNextAppend();
  } else if (kind < 6) {
    if (swarm_.disk.start_failure) node.log->DisturbNextStart();
  } else if (swarm_.disk.damage && MayDamage(node) && node.log->Damage()) {
    spoiled_ = node.id();
    if (tracing()) Trace("damage " + std::to_string(node.id().value));
  }
}

void Simulation::FillDisk(SimNode& node) {
  if (tracing()) Trace("disk full " + std::to_string(node.id().value));
  node.log->FillDisk();
  At(DrawDelay(&damage_random_, 500 * kMillisecond), [&node] { node.log->Heal(); });
}

bool Simulation::MayDamage(const SimNode& node) const {
  const raft::ConfState& conf = membership_.newest();
  if (conf.joint()) return false;
  if (spoiled_ && spoiled_ != node.id() && conf.members.contains(spoiled_)) return false;
  constexpr size_t kVotersMin = 3;
  return conf.voters.size() >= kVotersMin;
}

// As a node that has marked itself damaged: it never takes part again under this id.
void Simulation::LoseForGood(SimNode& node) {
  if (tracing()) Trace("lost " + std::to_string(node.id().value));
  ++result_.lost_members;
  node.gone = true;
  node.lost = true;
}

// A member that will not come back, or that has disabled itself; null if there is none.
const SimNode* Simulation::LostMember(const raft::ConfState& conf) const {
  for (const SimNode& node : nodes_) {
    const bool damaged = node.lost || node.soft.disabled == raft::Disabled::kDamaged;
    if (damaged && conf.members.contains(node.id())) return &node;
  }
  return nullptr;
}

}  // namespace arima::sim
