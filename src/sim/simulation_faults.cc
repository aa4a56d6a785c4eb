// The nemesis, and the operator who changes the membership.
//
// Nothing here can lose data for good: disks survive, so however many nodes crash, every
// acknowledged write must still be there (what damages disks is in simulation_disk.cc). A removed
// node is switched off only when the removal is durable on a quorum of what remains, as a careful
// operator would do.

#include <algorithm>
#include <array>
#include <utility>

#include "raft/describe.h"
#include "sim/majority.h"
#include "sim/simulation.h"

namespace arima::sim {

using raft::ConfOp;
using raft::ConfState;
using raft::Index;
using raft::MemberId;

SimNode* Simulation::AnyNode(bool up) {
  std::vector<SimNode*> found;
  for (SimNode& node : nodes_) {
    if (!node.gone && node.up() == up && IsMember(node.id())) found.push_back(&node);
  }
  return found.empty() ? nullptr : found[fault_random_.Below(found.size())];
}

SimNode* Simulation::AnyLeader() {
  SimNode* best = nullptr;
  for (SimNode& node : nodes_) {
    if (!node.up() || Paused(node) || node.soft.role != raft::Role::kLeader) continue;
    if (best == nullptr || node.soft.term > best->soft.term) best = &node;
  }
  return best;
}

// ---------------------------------------------------------------- faults

void Simulation::PlanFault() {
  if (swarm_.fault_ns_mean == 0) return;
  At(DrawDelay(&fault_random_, swarm_.fault_ns_mean), [this] {
    if (phase_ != Phase::kFaults) return;
    InjectFault();
    PlanFault();
  });
}

void Simulation::InjectFault() {
  switch (fault_random_.Below(10)) {
    case 0:
    case 1:
      if (swarm_.crash) CrashOne();
      break;
    case 2:
      if (swarm_.power_loss) PowerLoss();
      break;
    case 3:
      if (swarm_.pause) PauseOne();
      break;
    case 4:
    case 5:
      if (swarm_.partition) BreakLinks();
      break;
    case 6:
      // A connection that broke by itself.
      if (SimNode* node = swarm_.leader_lost ? AnyNode(true) : nullptr; node && !Paused(*node)) {
        Happened("leader-lost");
        if (node->soft.leader) Step(*node, raft::LeaderLost{node->soft.leader});
      }
      break;
    case 7:
      if (SimNode* node = swarm_.transfer ? AnyNode(true) : nullptr; node && !Paused(*node)) {
        Happened("transfer");
        Step(*node, raft::Transfer{MemberId(fault_random_.Below(nodes_.size() + 1))});
      }
      break;
    case 8:
      if (SimNode* node = swarm_.forget_leader ? AnyNode(true) : nullptr; node && !Paused(*node)) {
        Happened("forget-leader");
        if (fault_random_.Percent(50)) {
          Step(*node, raft::ForgetLeader{});
        } else {
          Step(*node, raft::Campaign{});
        }
      }
      break;
    default:
      if (SimNode* node = swarm_.disk_low ? AnyNode(true) : nullptr; node && !Paused(*node)) {
        DisturbDisk(*node);
      }
      break;
  }
}

// What the disk says of itself, true or not; a leader may then be told to hand over.
void Simulation::DisturbDisk(SimNode& node) {
  Happened("disk-low");
  if (fault_random_.Percent(50)) {
    Step(node, raft::DiskLow{static_cast<raft::DiskLevel>(fault_random_.Below(4))});
  } else {
    const bool stalled = fault_random_.Percent(50);
    Step(node, raft::SyncLatency{static_cast<uint32_t>(fault_random_.Below(3'000'000)), stalled});
  }
  Step(node, raft::MoveLeadership{});
}

void Simulation::CrashOne() {
  SimNode* node = fault_random_.Percent(50) ? AnyLeader() : AnyNode(true);
  if (node == nullptr) return;
  Happened("crash");
  if (node->soft.role == raft::Role::kLeader) LoseLeaderContact(*node);
  Crash(*node, /*power=*/options_.level > 0 && damage_random_.Percent(50));
  At(DrawDelay(&fault_random_, swarm_.restart_ns_mean), [this, node] { StartAgain(*node); });
}

void Simulation::LoseLeaderContact(const SimNode& leader) {
  if (!swarm_.leader_lost) return;
  for (SimNode& node : nodes_) {
    if (!node.up() || node.soft.leader != leader.id() || fault_random_.Percent(30)) continue;
    AtNode(DrawDelay(&fault_random_, kMillisecond), node,
           [this, &node, id = leader.id()] { Step(node, raft::LeaderLost{id}); });
  }
}

void Simulation::PowerLoss() {
  Happened("power-loss");
  for (SimNode& node : nodes_) {
    if (node.up()) {
      Crash(node, /*power=*/true);
    } else if (options_.level > 0) {
      node.log->Crash({}, {}, /*power=*/true);  // the machine, not the process
    }
  }
  for (SimNode& node : nodes_) {
    At(DrawDelay(&fault_random_, swarm_.restart_ns_mean), [this, &node] {
      if (node.life > 0) StartAgain(node);
    });
  }
}

void Simulation::PauseOne() {
  SimNode* node = fault_random_.Percent(50) ? AnyLeader() : AnyNode(true);
  if (node == nullptr) return;
  Happened("pause");
  node->paused_until_ns = now_ns_ + DrawDelay(&fault_random_, 500 * kMillisecond);
  if (tracing()) Trace("pause " + std::to_string(node->id().value));
}

void Simulation::BreakLinks() {
  Happened("partition");
  network_.HealAll();
  const uint64_t pattern = fault_random_.Below(5);
  MemberId a(1 + fault_random_.Below(nodes_.size()));
  // What a leader does that is cut off is worth more looks than chance would give it.
  const SimNode* leader = AnyLeader();
  if (leader != nullptr && fault_random_.Percent(40)) a = leader->id();
  const MemberId b(1 + fault_random_.Below(nodes_.size()));
  const uint64_t side = fault_random_.Next();
  const uint64_t until_ns = now_ns_ + DrawDelay(&fault_random_, 500 * kMillisecond);
  for (const SimNode& from : nodes_) {
    for (const SimNode& to : nodes_) {
      const bool crosses = ((side >> from.id().value) & 1) != ((side >> to.id().value) & 1);
      bool blocked = false;
      switch (pattern) {
        case 0:  // two sides
          blocked = crosses;
          break;
        case 1:  // two sides and a node that sees both
          blocked = crosses && from.id() != a && to.id() != a;
          break;
        case 2:  // one node alone
          blocked = from.id() == a || to.id() == a;
          break;
        case 3:  // one node that sends without hearing, or hears without sending
          blocked = (side & 1) != 0 ? from.id() == a : to.id() == a;
          break;
        default:  // one pair
          blocked = (from.id() == a && to.id() == b) || (from.id() == b && to.id() == a);
          break;
      }
      if (blocked && fault_random_.Percent(10)) {
        network_.Clog(from.id(), to.id(), until_ns);
      } else {
        network_.SetBlocked(from.id(), to.id(), blocked);
      }
    }
  }
  if (tracing()) Trace("partition " + std::to_string(pattern));
  At(until_ns - now_ns_, [this] { network_.HealAll(); });
}

// ---------------------------------------------------------------- storage upkeep

void Simulation::PlanFlush(SimNode& node) {
  AtNode(DrawDelay(&disk_random_, swarm_.flush_ns_mean), node, [this, &node] {
    node.machine.Flush();
    node.disabled = node.soft.disabled;
    PlanFlush(node);
  });
}

void Simulation::PlanCompaction() {
  if (swarm_.compact_ns_mean == 0) return;
  At(DrawDelay(&disk_random_, swarm_.compact_ns_mean), [this] {
    if (phase_ != Phase::kFaults) return;
    PlanCompaction();
    SimNode* node = AnyNode(true);
    if (node == nullptr || Paused(*node) || node->machine.unconfirmed_install()) return;
    const uint64_t durable = node->machine.durable().applied.index.value;
    const uint64_t keep = disk_random_.Below(swarm_.compact_keep + 1);
    const Index target(durable > keep ? durable - keep : 0);
    if (target <= node->disk.snapshot().index || target > node->disk.last()) return;
    Happened("compaction");
    node->log->CompactTo(target);
    logs_.OnCompact(IndexOf(*node), target);
    if (tracing()) {
      Trace("compact " + std::to_string(node->id().value) + " to " + std::to_string(target.value));
    }
    Step(*node, raft::CompactTo{target});
  });
}

// ---------------------------------------------------------------- membership

void Simulation::PlanOperator() {
  if (swarm_.membership_ns_mean == 0) return;
  At(DrawDelay(&operator_random_, swarm_.membership_ns_mean), [this] {
    if (phase_ == Phase::kDone) return;
    Operate();
    RetireRemoved();
    PlanOperator();
  });
}

void Simulation::Operate() {
  SimNode* leader = AnyLeader();
  if (leader == nullptr || leader->conf == nullptr) return;
  const ConfState& conf = *leader->conf;
  if (!std::ranges::binary_search(conf.voters, leader->id()) && !conf.joint()) {
    // Does not step down by itself (step_down_on_removal), and takes no proposals.
    Step(*leader, raft::Transfer{});
    return;
  }
  raft::ProposeConf propose;
  if (conf.joint()) {
    // Nobody but the operator leaves an explicit joint configuration; others end by themselves.
    if (conf.auto_leave && (phase_ != Phase::kFaults || operator_random_.Percent(80))) return;
  } else if (const SimNode* lost = LostMember(conf)) {
    propose.change.changes.push_back({ConfOp::kRemove, conf.members.at(lost->id())});
    propose.force = true;
  } else if (phase_ == Phase::kFaults) {
    propose.change = DrawChange(conf);
    propose.force = operator_random_.Percent(20);
  } else {
    return;
  }
  Step(*leader, std::move(propose));
}

raft::ConfChange Simulation::DrawChange(const ConfState& conf) {
  raft::ConfChange change;
  const auto any_of = [this](const std::vector<MemberId>& ids) {
    return ids.empty() ? MemberId(0) : ids[operator_random_.Below(ids.size())];
  };
  const auto add = [&](ConfOp op, MemberId id) {
    raft::MemberInfo info;
    info.id = id;
    change.changes.push_back({op, std::move(info)});
  };
  const bool room = nodes_.size() < swarm_.members_max;
  // Where disks lose data, nobody else may be taken out (simulation_disk.cc).
  const bool careful = swarm_.disk.damage;
  const uint64_t kind = operator_random_.Below(100);
  if (kind < 10) {
    change.transition = raft::ConfTransition::kJointExplicit;
  } else if (kind < 25) {
    change.transition = raft::ConfTransition::kJointImplicit;
  }
  const uint64_t items = operator_random_.Percent(60) ? 1 : operator_random_.Between(2, 4);
  for (uint64_t i = 0; i < items; ++i) {
    const uint64_t what = operator_random_.Below(careful ? 65 : 100);
    if (what < 30) {
      if (room) add(ConfOp::kAddLearner, MemberId(0));
    } else if (what < 35) {
      if (room) add(ConfOp::kAddVoter, MemberId(0));
    } else if (what < 65) {
      if (MemberId id = any_of(conf.learners)) add(ConfOp::kAddVoter, id);
    } else if (what < 80) {
      if (conf.voters.size() > 1) add(ConfOp::kRemove, any_of(conf.voters));
    } else if (what < 85) {
      if (MemberId id = any_of(conf.learners)) add(ConfOp::kRemove, id);
    } else if (what < 95) {
      if (conf.voters.size() > 1) add(ConfOp::kAddLearner, any_of(conf.voters));
    } else {
      add(ConfOp::kUpdate, any_of(conf.voters));
    }
  }
  return change;
}

void Simulation::RetireRemoved() {
  const ConfState& newest = membership_.newest();
  const auto knows = [&](MemberId id) {
    const SimNode* node = Find(id);
    if (node == nullptr) return false;
    return node->disk.hard_state().commit >= newest.index ||
           node->machine.durable().applied.index >= newest.index;
  };
  if (!HasQuorum(newest, knows)) return;
  for (SimNode& node : nodes_) {
    if (node.gone || IsMember(node.id())) continue;
    node.gone = true;
    if (tracing()) Trace("retire " + std::to_string(node.id().value));
    if (node.up()) Crash(node, /*power=*/false);
  }
}

}  // namespace arima::sim
