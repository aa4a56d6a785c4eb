// The second phase of a run: everything heals, and then the cluster has no excuse. Within bounds of
// virtual time it must have a leader, answer its clients, and bring all members to the same state.

#include <algorithm>

#include "raft/describe.h"
#include "sim/majority.h"
#include "sim/simulation.h"

namespace arima::sim {

using raft::MemberId;

namespace {

constexpr uint64_t kProbeNs = 20 * kMillisecond;
// Late messages and slow writes from before may still take this long.
constexpr uint64_t kSettleNs = 3 * kSecond;
constexpr uint64_t kElectionTimeouts = 20;
constexpr uint32_t kStayDownPercent = 33;
constexpr uint64_t kConvergeNs = 120 * kSecond;

}  // namespace

void Simulation::Heal() {
  if (tracing()) Trace("heal");
  phase_ = Phase::kHealing;
  healed_at_ns_ = now_ns_;
  network_.HealAll();
  network_.MakeReliable();
  if (fault_random_.Percent(kStayDownPercent)) LeaveSomeDown();
  for (SimNode& node : nodes_) {
    node.paused_until_ns = 0;
    if (node.gone || node.stays_down) continue;
    node.log->Heal();
    node.log_full = false;
    if (!node.up()) Start(node);
    if (!verdict_.ok()) return;
    if (!node.up()) continue;  // it found its log damaged
    Step(node, raft::DiskLow{});
    Step(node, raft::SyncLatency{});
  }
  Probe();
}

// Whether a change of the configuration is under way: some log holds a Conf entry that may still
// become active, or not all who count know of a removal. Who was removed does not vote any more,
// and so must be heard by the others (docs/design/raft.md 8.5).
bool Simulation::ChangesConf() {
  const raft::Index active = membership_.history().rbegin()->first;
  return std::ranges::any_of(nodes_, [&](const SimNode& node) {
    if (!node.gone && !IsMember(node.id())) return true;
    const auto& confs = node.disk.conf_indexes();
    if (!confs.empty() && confs.back() > active) return true;
    return std::ranges::any_of(node.writes, [](const raft::Write& write) {
      return std::ranges::any_of(write.entries, [](const raft::Entry& entry) {
        return entry.kind == raft::EntryKind::kConf;
      });
    });
  });
}

// A quorum of each configuration by which somebody may still count is enough: a node that does not
// know a later one to be committed counts by the one before.
void Simulation::LeaveSomeDown() {
  if (swarm_.disk.damage || ChangesConf()) return;  // with damage, each sound disk is needed
  const auto& history = membership_.history();
  raft::Index known = logs_.committed();
  for (const SimNode& node : nodes_) {
    if (!node.gone) known = std::min(known, node.disk.hard_state().commit);
  }
  auto first = history.upper_bound(known);
  if (first != history.begin()) --first;
  const auto stays_up = [this](MemberId id) {
    const SimNode* node = Find(id);
    return node != nullptr && !node->gone && !node->stays_down;
  };
  const auto enough = [&] {
    return std::all_of(first, history.end(),
                       [&](const auto& conf) { return HasQuorum(*conf.second, stays_up); });
  };
  for (SimNode& node : nodes_) {
    if (node.gone || fault_random_.Percent(30)) continue;
    node.stays_down = true;
    if (!enough()) {
      node.stays_down = false;
      continue;
    }
    Happened("stays-down");
    if (tracing()) Trace("stays down " + std::to_string(node.id().value));
    if (node.up()) Crash(node, /*power=*/false);
  }
}

// Whom a quorum of the newest configuration follows: one that only believes to lead does not count.
bool Simulation::HasLeader() {
  const SimNode* leader = AnyLeader();
  if (leader == nullptr) return false;
  return HasQuorum(membership_.newest(), [&](MemberId id) {
    const SimNode* node = Find(id);
    return node != nullptr && node->up() && node->soft.term == leader->soft.term &&
           (node == leader || node->soft.leader == leader->id());
  });
}

void Simulation::Probe() {
  if (phase_ != Phase::kHealing || !verdict_.ok()) return;
  if (swarm_.membership_ns_mean != 0) {
    RetireRemoved();
    Operate();
  }
  const uint64_t passed_ns = now_ns_ - healed_at_ns_;
  const uint64_t election_ns = swarm_.config.election_ticks * swarm_.config.tick_ns;
  if (elected_at_ns_ == 0 && HasLeader()) elected_at_ns_ = now_ns_;
  if (elected_at_ns_ == 0 && passed_ns > kSettleNs + kElectionTimeouts * election_ns) {
    verdict_.Fail("liveness", "no leader after " + std::to_string(passed_ns / kMillisecond) +
                                  " ms without faults");
    return;
  }
  const std::string why_not = WhyNotConverged();
  if (why_not.empty()) {
    phase_ = Phase::kDone;
    return;
  }
  if (passed_ns > kConvergeNs) {
    verdict_.Fail("liveness", why_not + " after " + std::to_string(passed_ns / kMillisecond) +
                                  " ms without faults");
    return;
  }
  At(kProbeNs, [this] { Probe(); });
}

std::string Simulation::WhyNotConverged() {
  const SimNode* leader = AnyLeader();
  if (leader == nullptr) return "no leader";
  for (const Client& client : clients_) {
    if (client.busy || client.done_since_heal < kOperationsAfterHeal) return "a client waits";
  }
  const raft::ConfState& conf = membership_.newest();
  if (conf.joint()) return "still in the joint configuration " + Describe(conf);
  const raft::Index last = logs_.Last(IndexOf(*leader));
  for (const auto& [id, info] : conf.members) {
    const SimNode* node = Find(id);
    if (node != nullptr && node->stays_down) continue;
    const std::string who = "node " + std::to_string(id.value);
    if (node == nullptr || !node->up()) return who + " is down";
    if (node->soft.disabled != raft::Disabled::kNone) return who + " is disabled";
    if (node->soft.leader != leader->id()) return who + " does not follow the leader";
    if (node->commit != last) return who + " has not got everything committed";
    if (node->machine.current().applied.index != last) return who + " has not applied everything";
    if (node->machine.current().hash != leader->machine.current().hash) {
      return who + " differs from the leader";
    }
  }
  return "";
}

}  // namespace arima::sim
