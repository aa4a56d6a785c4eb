#include "simserver/checks.h"

#include <gtest/gtest.h>

#include <string>

namespace arima::simserver {
namespace {

class History : public ::testing::Test {
 protected:
  void Put(const std::string& key, const std::string& value, uint64_t revision) {
    const auto floor = history_.Begin(key);
    history_.TryPut(key, value);
    history_.Put(key, value, floor, revision);
  }
  void Read(const std::string& key, const std::string& value, uint64_t mod, uint64_t store) {
    history_.Read(key, value, history_.Begin(key), mod, store, /*linearizable=*/true);
  }
  void ReadNothing(const std::string& key, uint64_t store) {
    history_.Read(key, std::nullopt, history_.Begin(key), 0, store, /*linearizable=*/true);
  }
  bool Good() {
    history_.CheckReads();
    return verdict_.ok();
  }

  sim::Verdict verdict_;
  HistoryChecker history_{&verdict_};
};

TEST_F(History, AStoreThatKeepsItsOrderIsFine) {
  ReadNothing("k", 1);
  Put("k", "a", 2);
  Read("k", "a", 2, 2);
  Put("j", "b", 3);
  Read("k", "a", 2, 3);
  Put("k", "c", 4);
  Read("k", "c", 4, 4);
  const auto floor = history_.Begin("k");
  history_.TryDelete("k");
  history_.Deleted("k", floor, 5, true);
  ReadNothing("k", 5);
  EXPECT_TRUE(Good()) << verdict_.text();
}

TEST_F(History, AReadOfAnOlderStateIsStale) {
  Put("k", "a", 2);
  Put("j", "b", 3);
  Read("k", "a", 2, 2);
  EXPECT_FALSE(Good());
}

TEST_F(History, AStaleReadMayBeOldButNotWrong) {
  Put("k", "a", 2);
  Put("k", "b", 3);
  history_.Read("k", "a", history_.Begin("k"), 2, 2, /*linearizable=*/false);
  EXPECT_TRUE(Good()) << verdict_.text();
  history_.Read("k", "a", history_.Begin("k"), 2, 3, /*linearizable=*/false);
  EXPECT_FALSE(Good());
}

TEST_F(History, AnAcknowledgedWriteThatIsGoneIsFound) {
  Put("k", "a", 2);
  ReadNothing("k", 2);
  EXPECT_FALSE(Good());
}

TEST_F(History, ADeleteOfUnknownOutcomeExcusesAnAbsentKey) {
  Put("k", "a", 2);
  history_.TryDelete("k");
  ReadNothing("k", 3);
  EXPECT_TRUE(Good()) << verdict_.text();
  history_.NotDeleted("k");
  ReadNothing("k", 3);
  EXPECT_FALSE(Good());
}

TEST_F(History, AWriteThatIsDoneBeforeItBeganIsFound) {
  Put("k", "a", 5);
  Put("j", "b", 4);
  EXPECT_FALSE(Good());
}

TEST_F(History, OneRevisionIsOneChange) {
  Put("k", "a", 2);
  history_.TryPut("k", "b");
  Read("k", "b", 2, 2);
  EXPECT_FALSE(Good());
}

TEST_F(History, AValueOfNobodyIsFound) {
  Read("k", "a", 2, 2);
  EXPECT_FALSE(Good());
}

TEST_F(History, AValueThatWasRefusedIsFound) {
  history_.TryPut("k", "a");
  history_.NotPut("a");
  Read("k", "a", 2, 2);
  EXPECT_FALSE(Good());
}

TEST(ConsensusCheckerTest, FindsTwoLeadersTwoEntriesAndTwoStates) {
  const Uuid cluster{{1}};
  const Uuid another{{2}};
  for (int which = 0; which < 3; ++which) {
    sim::Verdict verdict;
    ConsensusChecker checker(&verdict);
    raft::Entry entry;
    entry.index = raft::Index(7);
    entry.term = raft::Term(3);
    checker.OnLeader(cluster, raft::Term(3), raft::MemberId(1));
    checker.OnLeader(another, raft::Term(3), raft::MemberId(2));
    checker.OnCommitted(cluster, entry);
    checker.OnState(cluster, 7, 99);
    EXPECT_TRUE(verdict.ok()) << verdict.text();
    if (which == 0) checker.OnLeader(cluster, raft::Term(3), raft::MemberId(2));
    entry.term = raft::Term(4);
    if (which == 1) checker.OnCommitted(cluster, entry);
    if (which == 2) checker.OnState(cluster, 7, 98);
    EXPECT_FALSE(verdict.ok());
  }
}

}  // namespace
}  // namespace arima::simserver
