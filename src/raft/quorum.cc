#include "raft/quorum.h"

#include <limits>

#include "base/mutants.h"
namespace arima::raft {

std::string_view VoteResultName(VoteResult result) {
  switch (result) {
    case VoteResult::kPending:
      return "pending";
    case VoteResult::kWon:
      return "won";
    case VoteResult::kLost:
      return "lost";
  }
  return "unknown";
}

uint64_t MajorityOf(std::span<uint64_t> values) {
  if (values.empty()) return std::numeric_limits<uint64_t>::max();
  // Insertion sort, greatest first: for the handful of voters of a group nothing is faster.
  for (size_t i = 1; i < values.size(); ++i) {
    uint64_t value = values[i];
    size_t hole = i;
    for (; hole > 0 && values[hole - 1] < value; --hole) values[hole] = values[hole - 1];
    values[hole] = value;
  }
  return values[MajoritySize(values.size()) - 1];
}

VoteResult MajorityVoteOf(size_t voters, size_t granted, size_t rejected) {
  ARIMA_ASSERT(granted + rejected <= voters, granted, rejected, voters);
  size_t needed = MajoritySize(voters);
  if (granted >= needed) return VoteResult::kWon;
  // Lost as soon as those that did not reject are too few.
  if (voters - rejected < needed) return VoteResult::kLost;
  return VoteResult::kPending;
}

VoteResult JointVoteOf(VoteResult incoming, VoteResult outgoing) {
  if (ARIMA_MUTANT(9)) return incoming;
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  if (incoming == VoteResult::kWon && outgoing == VoteResult::kWon) return VoteResult::kWon;
  return VoteResult::kPending;
}

}  // namespace arima::raft
