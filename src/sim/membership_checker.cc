#include "sim/membership_checker.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "raft/conf_change.h"
#include "raft/conf_payload.h"
#include "raft/describe.h"

namespace arima::sim {

using raft::ConfState;
using raft::Index;
using raft::MemberId;

namespace {

constexpr const char* kRule = "I12 configurations";

// More are not looked at: there are 2^n sets of them.
constexpr size_t kVotersCompared = 15;

std::string Who(MemberId node) { return "node " + std::to_string(node.value); }

// A list of members as bits, by their place in `all`.
uint64_t Bits(const std::vector<MemberId>& ids, const std::vector<MemberId>& all) {
  uint64_t bits = 0;
  for (MemberId id : ids) bits |= uint64_t{1} << (std::ranges::find(all, id) - all.begin());
  return bits;
}

bool IsMajority(uint64_t of, uint64_t chosen) {
  return of == 0 || 2 * std::popcount(of & chosen) > std::popcount(of);
}

// Whether some quorum of `a` and some quorum of `b` share nobody, by trying all.
bool CanBeDisjoint(const ConfState& a, const ConfState& b) {
  const std::vector<MemberId>* lists[] = {&a.voters, &a.voters_outgoing, &b.voters,
                                          &b.voters_outgoing};
  std::vector<MemberId> all;
  for (const auto* list : lists) all.insert(all.end(), list->begin(), list->end());
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all.size() > kVotersCompared) return false;
  uint64_t bits[4];
  for (size_t i = 0; i < 4; ++i) bits[i] = Bits(*lists[i], all);
  for (uint64_t chosen = 0; chosen < uint64_t{1} << all.size(); ++chosen) {
    if (IsMajority(bits[0], chosen) && IsMajority(bits[1], chosen) &&
        IsMajority(bits[2], ~chosen) && IsMajority(bits[3], ~chosen)) {
      return true;
    }
  }
  return false;
}

}  // namespace

void MembershipChecker::Bootstrap(const ConfState& conf) {
  history_[conf.index] = std::make_shared<const ConfState>(conf);
}

void MembershipChecker::Remember(MemberId node, const ConfState& conf) {
  auto [known, first] = history_.try_emplace(conf.index);
  if (first) {
    known->second = std::make_shared<const ConfState>(conf);
    const bool newest = std::next(known) == history_.end() && known != history_.begin();
    if (newest) CheckStep(node, *std::prev(known)->second, conf);
  } else if (*known->second != conf) {
    verdict_->Fail(kRule, Who(node) + " has " + Describe(conf) + " at " +
                              std::to_string(conf.index.value) + ", others " +
                              Describe(*known->second));
  }
}

void MembershipChecker::CheckStep(MemberId node, const ConfState& before, const ConfState& next) {
  for (const auto& [id, info] : next.members) {
    if (before.members.contains(id) || id >= before.next_member_id) continue;
    verdict_->Fail(kRule, Who(node) + " has a member under the id " + std::to_string(id.value) +
                              " of one that was removed");
  }
  const bool voters_changed =
      before.voters != next.voters || before.voters_outgoing != next.voters_outgoing;
  if (voters_changed && CanBeDisjoint(before, next)) {
    verdict_->Fail(kRule, Who(node) + " goes from " + Describe(before) + " to " + Describe(next) +
                              ", which may decide without each other");
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
