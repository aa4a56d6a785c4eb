#include "sim/election_checker.h"

#include <algorithm>
#include <string>

namespace arima::sim {

using raft::MemberId;
using raft::Term;

namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

void ElectionChecker::OnStart(MemberId node, Term recovered) {
  Node& known = nodes_[node];
  if (recovered < known.published) {
    verdict_->Fail("I2 terms and votes survive",
                   "node " + Number(node.value) + " restarts in term " + Number(recovered.value) +
                       " after voting in " + Number(known.published.value));
  }
  known.term = recovered;
}

void ElectionChecker::OnTerm(MemberId node, Term term) {
  Node& known = nodes_[node];
  if (term < known.term) {
    verdict_->Fail("I2 terms and votes survive", "node " + Number(node.value) + " goes from term " +
                                                     Number(known.term.value) + " back to " +
                                                     Number(term.value));
  }
  if (term != known.term && term > raft::kFirstSnapshotTerm && !candidates_.contains(term)) {
    verdict_->Fail("I2 terms and votes survive", "node " + Number(node.value) + " is in term " +
                                                     Number(term.value) +
                                                     " for which nobody stands");
  }
  known.term = term;
}

void ElectionChecker::OnHardState(MemberId node, const raft::HardState& state,
                                  const raft::ConfState& conf) {
  if (!state.vote) return;
  const bool removed = node < conf.next_member_id && !conf.members.contains(node);
  if (nodes_[node].voted.insert(state.term).second && removed) {
    verdict_->Fail("I17 removed members do not vote",
                   "node " + Number(node.value) + " votes for " + Number(state.vote.value) +
                       " in term " + Number(state.term.value) + ", and is out since entry " +
                       Number(conf.index.value));
  }
  std::set<MemberId>& candidates = candidates_[state.term];
  if (state.vote == node) {
    candidates.insert(node);
  } else if (!candidates.contains(state.vote)) {
    verdict_->Fail("I2 terms and votes survive",
                   "node " + Number(node.value) + " votes for " + Number(state.vote.value) +
                       " in term " + Number(state.term.value) + " in which it does not stand");
  }
}

void ElectionChecker::OnLeader(MemberId node, uint32_t life, Term term) {
  auto [leader, first] = leaders_.try_emplace(term, Leader{node, life});
  if (first) return;
  if (leader->second.node != node || leader->second.life != life) {
    verdict_->Fail("I1 one leader per term", "term " + Number(term.value) + " is led by node " +
                                                 Number(node.value) + " (life " + Number(life) +
                                                 ") and was led by node " +
                                                 Number(leader->second.node.value) + " (life " +
                                                 Number(leader->second.life) + ")");
  }
}

void ElectionChecker::OnVote(MemberId voter, Term term, MemberId candidate) {
  Node& known = nodes_[voter];
  known.published = std::max(known.published, term);
  auto [vote, first] = votes_.try_emplace(Vote{voter, term}, candidate);
  if (!first && vote->second != candidate) {
    verdict_->Fail("I2 terms and votes survive", "node " + Number(voter.value) + " votes for " +
                                                     Number(candidate.value) + " in term " +
                                                     Number(term.value) + " after voting for " +
                                                     Number(vote->second.value));
  }
}

}  // namespace arima::sim
