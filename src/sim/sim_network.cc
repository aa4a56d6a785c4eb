#include "sim/sim_network.h"

#include <algorithm>

namespace arima::sim {

using raft::MemberId;

SimNetwork::LinkState& SimNetwork::Link(MemberId from, MemberId to) {
  const size_t size = std::max(from.value, to.value) + 1;
  if (links_.size() < size) {
    links_.resize(size);
    for (auto& row : links_) row.resize(size);
  }
  return links_[from.value][to.value];
}

uint64_t SimNetwork::Delay() {
  if (reliable_) return random_.Between(50 * kMicrosecond, 500 * kMicrosecond);
  if (random_.Below(1000) < swarm_->spike_permille) return random_.Below(kSecond);
  return swarm_->delay_ns_min + DrawDelay(&random_, swarm_->delay_ns_mean);
}

SimNetwork::Arrivals SimNetwork::Plan(MemberId from, MemberId to, uint64_t now_ns) {
  LinkState& link = Link(from, to);
  Arrivals arrivals;
  if (link.blocked) return arrivals;
  if (!reliable_ && random_.Below(1000) < swarm_->loss_permille) return arrivals;
  const bool twice = !reliable_ && random_.Below(1000) < swarm_->duplicate_permille;
  arrivals.count = twice ? 2 : 1;
  for (uint32_t i = 0; i < arrivals.count; ++i) {
    uint64_t at = std::max(now_ns, link.clogged_until_ns) + Delay();
    // A copy may be so late that its addressee has had another life meanwhile.
    if (i > 0 && !swarm_->ordered_links && random_.Percent(20)) at += random_.Below(kSecond);
    if (swarm_->ordered_links) at = std::max(at, link.last_arrival_ns);
    link.last_arrival_ns = std::max(link.last_arrival_ns, at);
    arrivals.at_ns[i] = at;
  }
  return arrivals;
}

void SimNetwork::HealAll() {
  for (auto& row : links_) {
    for (LinkState& link : row) link.blocked = false, link.clogged_until_ns = 0;
  }
}

}  // namespace arima::sim
