#include "sim/membership_checker.h"

#include <iterator>
#include <string>

#include "raft/conf_change.h"
#include "raft/conf_payload.h"
#include "raft/describe.h"

namespace arima::sim {

using raft::ConfState;
using raft::Index;
using raft::MemberId;

namespace {

constexpr const char* kRule = "I12 configurations";

std::string Who(MemberId node) { return "node " + std::to_string(node.value); }

}  // namespace

void MembershipChecker::Bootstrap(const ConfState& conf) {
  history_[conf.index] = std::make_shared<const ConfState>(conf);
}

void MembershipChecker::Remember(MemberId node, const ConfState& conf) {
  auto [known, first] = history_.try_emplace(conf.index);
  if (first) {
    known->second = std::make_shared<const ConfState>(conf);
  } else if (*known->second != conf) {
    verdict_->Fail(kRule, Who(node) + " has " + Describe(conf) + " at " +
                              std::to_string(conf.index.value) + ", others " +
                              Describe(*known->second));
  }
}

void MembershipChecker::OnActive(MemberId node, const ConfState& conf) {
  if (Status s = CheckConfState(conf); !s)
    verdict_->Fail(kRule, Who(node) + ": " + s.error().message);
  Remember(node, conf);
}

void MembershipChecker::OnApply(MemberId node, const raft::Entry& entry, const ConfState& before,
                                const ConfState& after) {
  Result<raft::ConfChange> change = raft::DecodeConfPayload(entry.payload.view());
  Result<ConfState> expected = change ? raft::ApplyConfChange(before, *change, entry.index)
                                      : std::unexpected(change.error());
  if (after != (expected ? *expected : before)) {
    verdict_->Fail(kRule, Who(node) + " derives " + Describe(after) + " from " + Describe(before) +
                              " at " + std::to_string(entry.index.value));
  }
  if (expected) Remember(node, *expected);
}

void MembershipChecker::OnLeader(MemberId node, const ConfState& own, Index committed) {
  auto at = history_.find(own.index);
  if (at == history_.end()) {
    verdict_->Fail(kRule, Who(node) + " leads in a configuration that was never committed");
    return;
  }
  size_t behind = 0;
  for (++at; at != history_.end() && at->first <= committed; ++at) ++behind;
  if (behind > 1) {
    verdict_->Fail(kRule, Who(node) + " leads " + std::to_string(behind) +
                              " configurations behind what was committed before its term");
  }
}

}  // namespace arima::sim
