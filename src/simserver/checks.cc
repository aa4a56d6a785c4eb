#include "simserver/checks.h"

#include <string>
#include <utility>

#include "check/linearizability.h"
#include "sim/mix.h"

namespace arima::simserver {

// ---------------------------------------------------------------- consensus

ClusterChecker& ConsensusChecker::Of(const Uuid& cluster) {
  std::unique_ptr<ClusterChecker>& checker = clusters_[cluster];
  if (checker == nullptr) checker = std::make_unique<ClusterChecker>(verdict_);
  return *checker;
}

const ClusterChecker* ConsensusChecker::Find(const Uuid& cluster) const {
  auto found = clusters_.find(cluster);
  return found == clusters_.end() ? nullptr : found->second.get();
}

std::shared_ptr<const raft::ConfState> ConsensusChecker::conf(const Uuid& cluster) const {
  const ClusterChecker* checker = Find(cluster);
  return checker == nullptr ? nullptr : checker->newest();
}

uint64_t ConsensusChecker::last_committed(const Uuid& cluster) const {
  const ClusterChecker* checker = Find(cluster);
  return checker == nullptr ? 0 : checker->committed().value;
}

// By the index alone: the same ones on all nodes.
bool ConsensusChecker::ComparesStates(uint64_t index) const {
  return index >= compare_from_ || sim::Mix(1, index) % (4 + index / 32) == 0;
}

void ConsensusChecker::OnState(const Uuid& cluster, uint64_t index, uint64_t digest) {
  const auto [known, added] = states_[cluster].try_emplace(index, digest);
  if (added) return;
  ++states_compared_;
  if (known->second == digest) return;
  verdict_->Fail("I14 equal states", "two nodes differ after index " + std::to_string(index));
}

// ---------------------------------------------------------------- clients

void CheckClients(std::span<const check::Operation> history, sim::Verdict* verdict) {
  const check::CheckOptions options{.configurations_max = 2'000'000, .violations_max = 3};
  const check::Report report = check::CheckHistory(history, options);
  if (report.judgement == check::Judgement::kViolated) {
    verdict->Fail("I11 linearizability", report.Text());
  } else if (!report.undecided_keys.empty()) {
    verdict->Fail("I11 undecided", report.Text());
  }
}

}  // namespace arima::simserver
