#include "node/stats.h"

#include <algorithm>

#include "base/hex.h"
#include "node/conf_lookup.h"
#include "raft/describe.h"

namespace arima::node {
namespace {

// `value` in units of 10^digits, without trailing zeros: Decimal(12500000, 6) == "12.5".
std::string Decimal(uint64_t value, int digits) {
  uint64_t unit = 1;
  for (int i = 0; i < digits; ++i) unit *= 10;
  std::string text = std::to_string(value / unit);
  std::string fraction = std::to_string(value % unit + unit).substr(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return fraction.empty() ? text : text + "." + fraction;
}

bool Votes(const raft::ConfState& conf, raft::MemberId id) {
  return std::ranges::binary_search(conf.voters, id) ||
         std::ranges::binary_search(conf.voters_outgoing, id);
}

std::string LastContact(const raft::CoreStatus& core, uint64_t now_ns) {
  if (core.soft.role == raft::Role::kLeader) return "0";
  if (core.last_leader_contact_ns == 0) return "never";
  return GoDuration(now_ns - std::min(now_ns, core.last_leader_contact_ns));
}

size_t PeerVoters(const raft::CoreStatus& core) {
  size_t voters = 0;
  for (const auto& [id, member] : core.conf->members) {
    if (id != core.id && Votes(*core.conf, id)) ++voters;
  }
  return voters;
}

std::string NameOf(const raft::ConfState& conf, raft::MemberId id) {
  auto member = conf.members.find(id);
  return member == conf.members.end() ? "" : member->second.name;
}

std::string RoleOf(const raft::ConfState& conf, raft::MemberId id) {
  if (std::ranges::binary_search(conf.voters, id)) return "voter";
  return std::ranges::binary_search(conf.voters_outgoing, id) ? "leaving" : "learner";
}

// As old as this, a sign of life says nothing about now.
constexpr uint64_t kReachableWithinNs = 1'000'000'000;

service::MemberProgress ProgressOf(const raft::PeerStatus& peer, uint64_t now_ns) {
  service::MemberProgress progress;
  progress.match = peer.match.value;
  progress.next = peer.next.value;
  progress.state = raft::ProgressStateName(peer.state);
  uint64_t silent_ns = now_ns - std::min(now_ns, peer.last_contact_ns);
  progress.last_contact = peer.last_contact_ns == 0 ? "never" : GoDuration(silent_ns);
  progress.reachable = peer.last_contact_ns != 0 && silent_ns < kReachableWithinNs;
  progress.damaged = peer.damaged;
  return progress;
}

std::string DiskState(const raft::CoreStatus& core) {
  std::string text(raft::DiskLevelName(core.disk));
  return core.sync_stalled ? text + ", stalled" : text;
}

}  // namespace

std::string StateName(const raft::SoftState& soft) {
  if (soft.disabled == raft::Disabled::kRemoved || soft.disabled == raft::Disabled::kDead ||
      soft.disabled == raft::Disabled::kDamaged) {
    return "Shutdown";
  }
  switch (soft.role) {
    case raft::Role::kLeader:
      return "Leader";
    case raft::Role::kFollower:
      return "Follower";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return "Candidate";
  }
  return "Follower";
}

std::string GoDuration(uint64_t ns) {
  if (ns == 0) return "0s";
  if (ns < 1'000) return std::to_string(ns) + "ns";
  if (ns < 1'000'000) return Decimal(ns, 3) + "µs";
  if (ns < 1'000'000'000) return Decimal(ns, 6) + "ms";
  constexpr uint64_t kMinuteNs = 60'000'000'000;
  std::string text;
  uint64_t minutes = ns / kMinuteNs;
  if (minutes >= 60) text += std::to_string(minutes / 60) + "h";
  if (minutes > 0) text += std::to_string(minutes % 60) + "m";
  return text + Decimal(ns % kMinuteNs, 9) + "s";
}

std::string ConfigurationText(const raft::ConfState& conf) {
  std::string text = "[";
  for (const auto& [id, member] : conf.members) {
    if (text.size() > 1) text += " ";
    text += std::string("{Suffrage:") + (Votes(conf, id) ? "Voter" : "Nonvoter") +
            " ID:" + member.name + " Address:" + member.raft_address + "}";
  }
  return text + "]";
}

service::Stats BuildStats(const StatsInput& input) {
  const raft::CoreStatus& core = input.core;
  // The synthetic first point is not a snapshot anybody took.
  bool has_snapshot = core.snapshot_index > raft::kFirstSnapshotIndex;
  auto number = [](uint64_t n) { return std::to_string(n); };
  service::Stats stats = {
      {"state", StateName(core.soft)},
      {"term", number(core.hard_state.term.value)},
      {"last_log_index", number(core.last.value)},
      {"last_log_term", number(core.last_term.value)},
      {"commit_index", number(core.hard_state.commit.value)},
      {"applied_index", number(core.applied.value)},
      {"fsm_pending", number(core.hard_state.commit - core.applied)},
      {"last_snapshot_index", number(has_snapshot ? core.snapshot_index.value : 0)},
      {"last_snapshot_term", number(has_snapshot ? core.snapshot_term.value : 0)},
      {"num_peers", number(PeerVoters(core))},
      {"last_contact", LastContact(core, input.now_ns)},
      {"latest_configuration", ConfigurationText(*core.conf)},
      {"latest_configuration_index", number(core.conf->index.value)},
      {"protocol_version", "1"},
      {"node_id", input.identity.name},
      {"leader_id", NameOf(*core.conf, core.soft.leader)},
      {"cluster_id", ToHex(input.identity.cluster_id)},
      {"member_id", number(input.identity.member_id.value)},
      {"durable_applied_index", number(input.durable_applied_index)},
      {"first_log_index", number(core.snapshot_index.value + 1)},
      {"log_bytes", number(input.log_bytes)},
      {"revision", number(input.store_revision)},
      {"snapshot_state", input.snapshot_state},
      {"database_state", input.database_state},
      {"compact_revision", number(input.compact_revision)},
      {"disk_state", DiskState(core)},
      {"disk_free_bytes", number(input.disk_free_bytes)},
  };
  if (!input.identity.damage.empty()) stats.emplace_back("damage", input.identity.damage);
  for (const raft::PeerStatus& peer : core.peers) {
    std::string name = NameOf(*core.conf, peer.id);
    if (peer.learner) stats.emplace_back("learner_" + name + "_match", number(peer.match.value));
  }
  return stats;
}

service::Members BuildMembers(const raft::CoreStatus& core, const raft::ConfState& conf,
                              uint64_t now_ns) {
  service::Members members;
  for (const auto& [id, info] : conf.members) {
    service::MemberView& member = members.emplace_back();
    member.id = id.value;
    member.name = info.name;
    member.raft_address = info.raft_address;
    member.http_address = info.http_address;
    member.role = RoleOf(conf, id);
    member.is_leader = id == core.soft.leader;
    if (const raft::MemberInfo* lost = FindReplaced(conf, info)) member.replaces = lost->id.value;
    auto peer = std::ranges::find(core.peers, id, &raft::PeerStatus::id);
    if (peer != core.peers.end()) member.progress = ProgressOf(*peer, now_ns);
  }
  return members;
}

}  // namespace arima::node
