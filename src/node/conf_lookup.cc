#include "node/conf_lookup.h"

#include <algorithm>

#include "raft/quorum.h"

namespace arima::node {

bool IsVoter(const raft::ConfState& conf, raft::MemberId id) {
  return std::ranges::binary_search(conf.voters, id);
}

std::vector<const raft::MemberInfo*> FindAllByName(const raft::ConfState& conf,
                                                   const std::string& name) {
  std::vector<const raft::MemberInfo*> found;
  for (const auto& [id, member] : conf.members) {
    if (member.name == name) found.push_back(&member);
  }
  return found;
}

const raft::MemberInfo* Find(const raft::ConfState& conf, raft::MemberId id) {
  auto member = conf.members.find(id);
  return member == conf.members.end() ? nullptr : &member->second;
}

const raft::MemberInfo* FindByName(const raft::ConfState& conf, const std::string& name) {
  std::vector<const raft::MemberInfo*> found = FindAllByName(conf, name);
  for (const raft::MemberInfo* member : found) {
    bool learner = std::ranges::binary_search(conf.learners, member->id);
    if (learner && member->attributes.contains(kAutoPromote)) return member;
  }
  return found.empty() ? nullptr : found.front();
}

const raft::MemberInfo* FindByDirectory(const raft::ConfState& conf, const std::string& name,
                                        const Uuid& incarnation) {
  const raft::MemberInfo* newest = nullptr;
  for (const raft::MemberInfo* member : FindAllByName(conf, name)) {
    if (member->incarnation == incarnation) newest = member;
  }
  return newest;
}

const raft::MemberInfo* FindOtherAtAddress(const raft::ConfState& conf, const std::string& address,
                                           const std::string& name) {
  for (const auto& [id, member] : conf.members) {
    if (member.raft_address == address && member.name != name) return &member;
  }
  return nullptr;
}

const raft::MemberInfo* FindReplaced(const raft::ConfState& conf,
                                     const raft::MemberInfo& successor) {
  auto replaces = successor.attributes.find(kReplaces);
  if (replaces == successor.attributes.end()) return nullptr;
  for (const raft::MemberInfo* member : FindAllByName(conf, successor.name)) {
    if (std::to_string(member->id.value) == replaces->second) return member;
  }
  return nullptr;
}

bool HeardOf(const raft::CoreStatus& status, raft::MemberId id, uint64_t now_ns,
             uint64_t within_ns) {
  auto peer = std::ranges::find(status.peers, id, &raft::PeerStatus::id);
  if (peer == status.peers.end() || peer->last_contact_ns == 0) return false;
  return now_ns - std::min(now_ns, peer->last_contact_ns) < within_ns;
}

bool HasLiveQuorumWithout(const raft::CoreStatus& status, raft::MemberId without, uint64_t now_ns,
                          uint64_t within_ns) {
  return raft::HasQuorum(status.conf->voters, status.conf->voters_outgoing, [&](raft::MemberId id) {
    return id != without && (id == status.id || HeardOf(status, id, now_ns, within_ns));
  });
}

}  // namespace arima::node
