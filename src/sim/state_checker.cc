#include "sim/state_checker.h"

#include <string>

namespace arima::sim {

using raft::Index;
using raft::MemberId;

namespace {

std::string Place(MemberId node, Index index) {
  return "node " + std::to_string(node.value) + " at " + std::to_string(index.value);
}

}  // namespace

Index& StateChecker::Applied(MemberId node) {
  if (node.value >= applied_.size()) applied_.resize(node.value + 1);
  return applied_[node.value];
}

void StateChecker::Compare(MemberId node, Index index, uint64_t state) {
  if (index.value >= states_.size()) states_.resize(index.value + 64);
  uint64_t& known = states_[index.value];
  if (known == 0) known = state;
  if (known != state) {
    verdict_->Fail("I14 equal states",
                   Place(node, index) + " has another state than an earlier one");
  }
}

void StateChecker::OnStart(MemberId node, Index applied, uint64_t state) {
  Applied(node) = applied;
  if (applied) Compare(node, applied, state);
}

void StateChecker::OnApply(MemberId node, Index index, uint64_t state) {
  Index& applied = Applied(node);
  if (index != applied + 1) {
    verdict_->Fail("I8 applied in order",
                   Place(node, index) + " comes after " + std::to_string(applied.value));
  }
  applied = index;
  Compare(node, index, state);
}

void StateChecker::OnInstall(MemberId node, Index index, uint64_t state) {
  Index& applied = Applied(node);
  if (index < applied) {
    verdict_->Fail("I8 applied in order",
                   Place(node, index) + " is installed over " + std::to_string(applied.value));
  }
  applied = index;
  Compare(node, index, state);
}

}  // namespace arima::sim
