#include "simserver/checks.h"

#include <string>
#include <utility>

#include "check/linearizability.h"
#include "sim/mix.h"

namespace arima::simserver {
namespace {

std::string Text(uint64_t number) { return std::to_string(number); }

}  // namespace

// ---------------------------------------------------------------- consensus

void ConsensusChecker::OnLeader(const Uuid& cluster, raft::Term term, raft::MemberId leader) {
  const auto [known, added] = leaders_.try_emplace({cluster, term}, leader);
  if (added || known->second == leader) return;
  verdict_.Fail("I1 one leader per term", "members " + Text(known->second.value) + " and " +
                                              Text(leader.value) + " both led term " +
                                              Text(term.value));
}

void ConsensusChecker::OnCommitted(const Uuid& cluster, const raft::Entry& entry) {
  const std::pair<raft::Term, uint32_t> what{entry.term, entry.checksum};
  const auto [known, added] = committed_[cluster].try_emplace(entry.index.value, what);
  if (added || known->second == what) return;
  verdict_.Fail("I6 state machine safety",
                "two entries were committed at index " + Text(entry.index.value) + ", of terms " +
                    Text(known->second.first.value) + " and " + Text(entry.term.value));
}

void ConsensusChecker::OnConf(const Uuid& cluster, std::shared_ptr<const raft::ConfState> conf) {
  std::shared_ptr<const raft::ConfState>& newest = confs_[cluster];
  if (newest == nullptr || conf->index > newest->index) newest = std::move(conf);
}

std::shared_ptr<const raft::ConfState> ConsensusChecker::conf(const Uuid& cluster) const {
  auto found = confs_.find(cluster);
  return found == confs_.end() ? nullptr : found->second;
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
  verdict_.Fail("I14 equal states", "two nodes differ after index " + Text(index));
}

uint64_t ConsensusChecker::last_committed(const Uuid& cluster) const {
  auto found = committed_.find(cluster);
  return found == committed_.end() || found->second.empty() ? 0 : found->second.rbegin()->first;
}

// ---------------------------------------------------------------- clients

uint64_t CheckClients(std::span<const check::Operation> history, sim::Verdict* verdict) {
  const check::CheckOptions options{.configurations_max = 200'000, .violations_max = 3};
  const check::Report report = check::CheckHistory(history, options);
  if (report.judgement == check::Judgement::kViolated) {
    verdict->Fail("I11 linearizability", report.Text());
  }
  return report.undecided_keys.size();
}

}  // namespace arima::simserver
