// Checks: what must be true of all nodes together, and of what clients were told
// (docs/design/raft.md 7.3). Names of invariants are those of that list.
//
// One thread; call in the order of virtual time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "base/random.h"
#include "check/history.h"
#include "sim/verdict.h"
#include "simserver/cluster_checker.h"

namespace arima::simserver {

class ConsensusChecker {
 public:
  explicit ConsensusChecker(sim::Verdict* verdict) : verdict_(verdict) {}

  ClusterChecker& Of(const Uuid& cluster);
  // Null: nobody has belonged to it.
  const ClusterChecker* Find(const Uuid& cluster) const;

  // Whether the states after this entry are compared: a quarter of the first ones, and fewer the
  // more there is to walk over; from CompareStatesFrom on all of them.
  bool ComparesStates(uint64_t index) const;
  void CompareStatesFrom(uint64_t index) { compare_from_ = index; }
  // The state after the entry of `index`, as readers see it: as applied, as found by a start, or as
  // a snapshot brought it.
  void OnState(const Uuid& cluster, uint64_t index, uint64_t digest);
  uint64_t states_compared() const { return states_compared_; }

  // Bytes on some disk were damaged: that one node finds the log of another to be shorter than it
  // was is no wonder from now on.
  void NoteDamage() { damaged_ = true; }
  bool AnythingDamaged() const { return damaged_; }

  // The newest that was active anywhere; null: none.
  std::shared_ptr<const raft::ConfState> conf(const Uuid& cluster) const;
  uint64_t last_committed(const Uuid& cluster) const;

 private:
  sim::Verdict* const verdict_;
  std::map<Uuid, std::unique_ptr<ClusterChecker>> clusters_;
  std::map<Uuid, std::map<uint64_t, uint64_t>> states_;
  uint64_t compare_from_ = UINT64_MAX;
  uint64_t states_compared_ = 0;
  bool damaged_ = false;
};

// What clients were told, all of it: linearizable? A key for which the search for an order reaches
// its bound is a failure too.
void CheckClients(std::span<const check::Operation> history, sim::Verdict* verdict);

}  // namespace arima::simserver
