// SimNetwork: which messages arrive, when, and how often. Keeps the state of each directed link;
// the messages themselves belong to the simulation. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "raft/types.h"
#include "sim/swarm.h"

namespace arima::sim {

class SimNetwork {
 public:
  SimNetwork(const Swarm* swarm, uint64_t seed) : swarm_(swarm), random_(seed) {}

  // Times at which copies of a message that is sent now arrive: none, one or two.
  struct Arrivals {
    std::array<uint64_t, 2> at_ns{};
    uint32_t count = 0;
  };
  Arrivals Plan(raft::MemberId from, raft::MemberId to, uint64_t now_ns);

  bool Blocked(raft::MemberId from, raft::MemberId to) { return Link(from, to).blocked; }
  void SetBlocked(raft::MemberId from, raft::MemberId to, bool blocked) {
    Link(from, to).blocked = blocked;
  }
  // Nothing arrives before `until_ns`.
  void Clog(raft::MemberId from, raft::MemberId to, uint64_t until_ns) {
    Link(from, to).clogged_until_ns = until_ns;
  }
  void HealAll();
  // From now on nothing is lost and everything is quick.
  void MakeReliable() { reliable_ = true; }

 private:
  struct LinkState {
    bool blocked = false;
    uint64_t clogged_until_ns = 0;
    uint64_t last_arrival_ns = 0;
  };
  LinkState& Link(raft::MemberId from, raft::MemberId to);
  uint64_t Delay();

  const Swarm* const swarm_;
  SeededRandom random_;
  bool reliable_ = false;
  std::vector<std::vector<LinkState>> links_;  // [from][to]
};

}  // namespace arima::sim
