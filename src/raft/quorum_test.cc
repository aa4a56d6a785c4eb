// Tables in testdata/quorum/*.txt, then the same functions against a naive counter.
//
//   value voters=(1,2,3) reached=(1:10,2:12)      members not listed have reached 0
//   value voters=(..) outgoing=(..) reached=(..)
//   vote voters=(1,2,3) yes=(1) no=(2)            members not listed have not voted

#include "raft/quorum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "testing/script_runner.h"

namespace arima::raft {
namespace {

using testing::ParseNumber;
using testing::ScriptCommand;

constexpr uint64_t kInfinite = std::numeric_limits<uint64_t>::max();

std::vector<MemberId> IdsOf(const ScriptCommand& command, std::string_view key) {
  std::vector<MemberId> ids;
  const std::vector<std::string>* values = command.Find(key);
  if (values == nullptr) return ids;
  for (const std::string& value : *values) ids.emplace_back(ParseNumber(value).value_or(0));
  return ids;
}

std::string RunValue(const ScriptCommand& command) {
  std::map<MemberId, Index> reached;
  if (const auto* pairs = command.Find("reached")) {
    for (const std::string& pair : *pairs) {
      size_t colon = pair.find(':');
      if (colon == std::string::npos) return "error: " + pair + " is not id:index";
      reached[MemberId(ParseNumber(pair.substr(0, colon)).value_or(0))] =
          Index(ParseNumber(pair.substr(colon + 1)).value_or(0));
    }
  }
  auto value_of = [&](MemberId id) { return reached.contains(id) ? reached[id] : Index(0); };
  std::vector<MemberId> incoming = IdsOf(command, "voters");
  std::vector<MemberId> outgoing = IdsOf(command, "outgoing");
  Index value = JointValue(incoming, outgoing, value_of);
  // A joint decision does not depend on which majority is called the outgoing one.
  if (JointValue(outgoing, incoming, value_of) != value) return "error: not symmetric";
  return value.value == kInfinite ? "everything" : std::to_string(value.value);
}

std::string RunVote(const ScriptCommand& command) {
  std::vector<MemberId> yes = IdsOf(command, "yes");
  std::vector<MemberId> no = IdsOf(command, "no");
  auto ballot_of = [&](MemberId id) {
    if (std::ranges::find(yes, id) != yes.end()) return Ballot::kGranted;
    if (std::ranges::find(no, id) != no.end()) return Ballot::kRejected;
    return Ballot::kMissing;
  };
  std::vector<MemberId> incoming = IdsOf(command, "voters");
  std::vector<MemberId> outgoing = IdsOf(command, "outgoing");
  VoteResult result = JointVote(incoming, outgoing, ballot_of);
  if (JointVote(outgoing, incoming, ballot_of) != result) return "error: not symmetric";
  return std::string(VoteResultName(result));
}

std::string Handle(const ScriptCommand& command) {
  if (command.name == "value") return RunValue(command);
  if (command.name == "vote") return RunVote(command);
  return "error: unknown command " + command.name;
}

void RunTable(const std::string& name) {
  Status status =
      testing::RunScriptFile(ARIMA_SOURCE_DIR "/testdata/quorum/" + name + ".txt", Handle);
  EXPECT_TRUE(status) << status.error().message;
}

TEST(QuorumTable, MajorityCommit) { RunTable("majority_commit"); }
TEST(QuorumTable, JointCommit) { RunTable("joint_commit"); }
TEST(QuorumTable, MajorityVote) { RunTable("majority_vote"); }
TEST(QuorumTable, JointVote) { RunTable("joint_vote"); }

TEST(Quorum, MajoritySizeIsMoreThanHalf) {
  EXPECT_EQ(MajoritySize(0), 0u);
  for (size_t n = 1; n <= kVotersMax; ++n) {
    EXPECT_GT(2 * MajoritySize(n), n);
    EXPECT_LE(2 * (MajoritySize(n) - 1), n);
  }
}

TEST(Quorum, ValueKeepsTheTypeOfTheCallable) {
  std::vector<MemberId> voters{MemberId(1)};
  static_assert(
      std::is_same_v<decltype(MajorityValue(voters, [](MemberId) { return Index(1); })), Index>);
  static_assert(
      std::is_same_v<decltype(MajorityValue(voters, [](MemberId) { return uint64_t{1}; })),
                     uint64_t>);
  EXPECT_EQ(MajorityValue(voters, [](MemberId) { return uint64_t{7}; }), 7u);
}

TEST(Quorum, HasQuorumNeedsBothMajorities) {
  std::vector<MemberId> incoming{MemberId(1), MemberId(2), MemberId(3)};
  std::vector<MemberId> outgoing{MemberId(3), MemberId(4), MemberId(5)};
  auto in = [](std::set<uint64_t> ids) {
    return [ids](MemberId id) { return ids.contains(id.value); };
  };
  EXPECT_TRUE(HasQuorum(incoming, outgoing, in({1, 3, 4})));
  EXPECT_FALSE(HasQuorum(incoming, outgoing, in({1, 2, 3})));
  EXPECT_FALSE(HasQuorum(incoming, outgoing, in({3, 4, 5})));
}

// ------------------------------------------------------------ against a naive counter

// Tries every candidate value and counts who has reached it.
uint64_t NaiveMajorityValue(const std::vector<MemberId>& voters,
                            const std::map<MemberId, uint64_t>& values) {
  if (voters.empty()) return kInfinite;
  uint64_t best = 0;
  for (MemberId candidate : voters) {
    uint64_t value = values.at(candidate);
    size_t reached = 0;
    for (MemberId id : voters) reached += values.at(id) >= value;
    if (2 * reached > voters.size()) best = std::max(best, value);
  }
  return best;
}

// Tries every way in which the missing votes could still come in.
VoteResult NaiveMajorityVote(const std::vector<MemberId>& voters,
                             const std::map<MemberId, Ballot>& ballots) {
  if (voters.empty()) return VoteResult::kWon;
  size_t yes = 0;
  size_t missing = 0;
  for (MemberId id : voters) {
    yes += ballots.at(id) == Ballot::kGranted;
    missing += ballots.at(id) == Ballot::kMissing;
  }
  bool can_win = 2 * (yes + missing) > voters.size();
  bool can_lose = 2 * yes <= voters.size();
  if (can_win && can_lose) return VoteResult::kPending;
  return can_win ? VoteResult::kWon : VoteResult::kLost;
}

struct RandomCase {
  std::vector<MemberId> incoming;
  std::vector<MemberId> outgoing;
  std::map<MemberId, uint64_t> values;
  std::map<MemberId, Ballot> ballots;
};

RandomCase DrawCase(SeededRandom& random) {
  RandomCase c;
  const uint64_t members = random.Between(0, kVotersMax);
  const uint64_t spread = random.Percent(50) ? 4 : 1'000'000;  // many ties, or none
  for (uint64_t id = 1; id <= members; ++id) {
    if (random.Percent(70)) c.incoming.emplace_back(id);
    if (random.Percent(50)) c.outgoing.emplace_back(id);
    c.values[MemberId(id)] = random.Below(spread);
    c.ballots[MemberId(id)] = static_cast<Ballot>(random.Below(3));
  }
  return c;
}

TEST(QuorumProperty, AgreesWithTheNaiveCounter) {
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    RandomCase c = DrawCase(random);
    auto value_of = [&](MemberId id) { return c.values.at(id); };
    auto ballot_of = [&](MemberId id) { return c.ballots.at(id); };
    ASSERT_EQ(MajorityValue(c.incoming, value_of), NaiveMajorityValue(c.incoming, c.values));
    ASSERT_EQ(JointValue(c.incoming, c.outgoing, value_of),
              std::min(NaiveMajorityValue(c.incoming, c.values),
                       NaiveMajorityValue(c.outgoing, c.values)));
    VoteResult in = NaiveMajorityVote(c.incoming, c.ballots);
    VoteResult out = NaiveMajorityVote(c.outgoing, c.ballots);
    ASSERT_EQ(MajorityVote(c.incoming, ballot_of), in);
    VoteResult joint = JointVote(c.incoming, c.outgoing, ballot_of);
    ASSERT_EQ(joint == VoteResult::kLost, in == VoteResult::kLost || out == VoteResult::kLost);
    ASSERT_EQ(joint == VoteResult::kWon, in == VoteResult::kWon && out == VoteResult::kWon);
  }
}

// Two sets that are both quorums of one configuration share a member: what all of Raft rests on.
TEST(QuorumProperty, TwoQuorumsOfOneConfigurationIntersect) {
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    RandomCase c = DrawCase(random);
    if (c.incoming.empty()) continue;
    std::set<MemberId> a;
    std::set<MemberId> b;
    for (const auto& [id, value] : c.values) {
      if (random.Percent(60)) a.insert(id);
      if (random.Percent(60)) b.insert(id);
    }
    auto in_a = [&](MemberId id) { return a.contains(id); };
    auto in_b = [&](MemberId id) { return b.contains(id); };
    if (!HasQuorum(c.incoming, c.outgoing, in_a)) continue;
    if (!HasQuorum(c.incoming, c.outgoing, in_b)) continue;
    ASSERT_TRUE(std::ranges::any_of(a, [&](MemberId id) { return b.contains(id); }));
  }
}

}  // namespace
}  // namespace arima::raft
