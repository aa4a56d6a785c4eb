#include "node/damage_watch.h"

#include <algorithm>
#include <string>
#include <utility>

#include "node/conf_lookup.h"

namespace arima::node {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSilentNs = 2000 * kMs;
constexpr uint64_t kPauseNs = 2000 * kMs;
constexpr uint64_t kProbeTimeoutMs = 3000;

}  // namespace

bool NeedsNewId(const raft::MemberInfo& member, const transport::ProbeAnswer& probe,
                const Uuid& cluster_id) {
  using transport::NodeState;
  if (probe.cluster_id != cluster_id || probe.incarnation != member.incarnation) return false;
  if (probe.state == NodeState::kDamaged) return probe.member <= member.id;
  return probe.state == NodeState::kRemoved && probe.member < member.id;
}

std::vector<raft::MemberId> DamageWatch::Poll(const raft::CoreStatus& status, bool judged,
                                              uint64_t now_ns) {
  now_ns_ = now_ns;
  std::map<raft::MemberId, std::shared_ptr<Suspect>> suspects;
  std::vector<raft::MemberId> found;
  for (const raft::PeerStatus& peer : status.peers) {
    bool silent = judged && !HeardOf(status, peer.id, now_ns, kSilentNs);
    auto member = status.conf->members.find(peer.id);
    if ((!silent && !peer.damaged) || member == status.conf->members.end()) continue;
    auto known = suspects_.find(peer.id);
    std::shared_ptr<Suspect> suspect =
        known != suspects_.end() ? known->second : std::make_shared<Suspect>();
    suspects[peer.id] = suspect;
    if (suspect->busy || now_ns < suspect->not_before_ns) continue;
    suspect->not_before_ns = now_ns + kPauseNs;
    if (std::exchange(suspect->damaged, false)) {
      // A learner that still speaks as the member it is to replace is only not absorbed yet.
      const bool awaited = suspect->as < peer.id && !IsVoter(*status.conf, peer.id);
      if (!awaited && !std::exchange(suspect->told, true)) {
        host_.Alarm("member_damaged",
                    "node " + member->second.name + " (member " + std::to_string(peer.id.value) +
                        ") at " + member->second.raft_address +
                        " lost raft log that it had acknowledged; it is replaced under a new id");
      }
      found.push_back(peer.id);
    } else if (!member->second.raft_address.empty()) {
      Probe(member->second, suspect);
    }
  }
  suspects_ = std::move(suspects);
  return found;
}

void DamageWatch::Probe(const raft::MemberInfo& member, const std::shared_ptr<Suspect>& suspect) {
  suspect->busy = true;
  host_.Call(member.raft_address, transport::ControlKind::kProbe, {}, kProbeTimeoutMs,
             [this, member, weak = std::weak_ptr(suspect)](Result<std::string> answer) {
               std::shared_ptr<Suspect> alive = weak.lock();
               if (!alive) return;
               alive->busy = false;
               if (!answer) return;
               auto probe = transport::DecodeProbeAnswer(*answer);
               if (!probe || !NeedsNewId(member, *probe, host_.identity().cluster_id)) return;
               alive->damaged = true;
               alive->as = probe->member;
               alive->not_before_ns = now_ns_;
             });
}

size_t DamageWatch::CountDamaged(const raft::CoreStatus& status) const {
  size_t count = 0;
  for (const raft::PeerStatus& peer : status.peers) {
    auto suspect = suspects_.find(peer.id);
    bool told = suspect != suspects_.end() && suspect->second->told;
    if (peer.damaged || told) ++count;
  }
  return count;
}

}  // namespace arima::node
