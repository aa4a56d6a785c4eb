// Quorum arithmetic: what a majority, or both majorities of a joint configuration, agree on.
//
// Pure functions, any thread, no allocation. Two questions cover everything the core asks:
//   value: the greatest v that a quorum has reached. With match indexes this is the committed
//          index (Raft paper 5.3), with echoed read rounds the confirmed round (thesis 6.4).
//   vote:  has a quorum said yes, can it still, or never?
// An empty majority agrees with everything: its value is the greatest there is, its vote is won.
// Hence a configuration that is not joint needs no case of its own (thesis 4.3: a joint decision
// is one by both majorities).
//
// A majority has at most kVotersMax members (CheckConfState); more is a programmer error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/types.h"

namespace arima::raft {

inline constexpr size_t kVotersMax = 15;  // of one majority

enum class Ballot : uint8_t { kMissing, kGranted, kRejected };
enum class VoteResult : uint8_t { kPending, kWon, kLost };

std::string_view VoteResultName(VoteResult result);  // "pending", ...

// How many of `voters` make a majority; 0 of 0.
constexpr size_t MajoritySize(size_t voters) {
  if (voters == 0) return 0;
  return voters / 2 + (voters % 2 == 0 && ARIMA_MUTANT(8) ? 0 : 1);
}

// The greatest v such that a majority of `values` is >= v. Reorders `values`.
uint64_t MajorityOf(std::span<uint64_t> values);

VoteResult MajorityVoteOf(size_t voters, size_t granted, size_t rejected);

// Of two majorities that must both agree.
VoteResult JointVoteOf(VoteResult incoming, VoteResult outgoing);

// value_of(MemberId) gives a uint64_t or a StrongInt; the result has the same type.
template <class ValueOf>
auto MajorityValue(std::span<const MemberId> voters, ValueOf&& value_of) {
  using Value = std::decay_t<decltype(value_of(MemberId{}))>;
  ARIMA_ASSERT(voters.size() <= kVotersMax, voters.size());
  std::array<uint64_t, kVotersMax> values;
  size_t count = 0;
  for (MemberId id : voters) {
    if constexpr (std::is_same_v<Value, uint64_t>) {
      values[count++] = value_of(id);
    } else {
      values[count++] = value_of(id).value;
    }
  }
  return Value(MajorityOf(std::span(values.data(), count)));
}

template <class ValueOf>
auto JointValue(std::span<const MemberId> incoming, std::span<const MemberId> outgoing,
                ValueOf&& value_of) {
  auto a = MajorityValue(incoming, value_of);
  if (outgoing.empty() || ARIMA_MUTANT(9)) return a;
  auto b = MajorityValue(outgoing, value_of);
  return b < a ? b : a;
}

// ballot_of(MemberId) gives a Ballot.
template <class BallotOf>
VoteResult MajorityVote(std::span<const MemberId> voters, BallotOf&& ballot_of) {
  size_t granted = 0;
  size_t rejected = 0;
  for (MemberId id : voters) {
    Ballot ballot = ballot_of(id);
    granted += ballot == Ballot::kGranted;
    rejected += ballot == Ballot::kRejected;
  }
  return MajorityVoteOf(voters.size(), granted, rejected);
}

template <class BallotOf>
VoteResult JointVote(std::span<const MemberId> incoming, std::span<const MemberId> outgoing,
                     BallotOf&& ballot_of) {
  return JointVoteOf(MajorityVote(incoming, ballot_of), MajorityVote(outgoing, ballot_of));
}

// True when the members for which in_set(MemberId) holds contain a quorum (check-quorum).
template <class InSet>
bool HasQuorum(std::span<const MemberId> incoming, std::span<const MemberId> outgoing,
               InSet&& in_set) {
  auto ballot_of = [&](MemberId id) { return in_set(id) ? Ballot::kGranted : Ballot::kRejected; };
  return JointVote(incoming, outgoing, ballot_of) == VoteResult::kWon;
}

}  // namespace arima::raft
