#include "node/history_keeper.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace arima::node {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

class HistoryKeeperTest : public testing::Test {
 protected:
  // As a node that writes `revisions` of `bytes` each in every second.
  void Live(uint64_t seconds, uint64_t revisions, uint64_t bytes = 0) {
    for (uint64_t i = 0; i < seconds; ++i) {
      clock_.Advance(kSecond);
      revision_ += revisions;
      written_ += revisions * bytes;
      keeper_.Note(clock_.NowNs(), revision_, written_);
    }
  }
  uint64_t Proposed() { return keeper_.Propose(clock_.NowNs(), compacted_).value_or(0); }

  ManualClock clock_;
  HistoryKeeper keeper_{{.max_age_ns = 600 * kSecond, .max_bytes = 1'000'000, .min_revisions = 50}};
  uint64_t revision_ = 1;
  uint64_t written_ = 0;
  uint64_t compacted_ = 1;
};

TEST_F(HistoryKeeperTest, HistoryEndsAfterItsTime) {
  Live(600, 10);
  EXPECT_EQ(Proposed(), 0u) << "the first note is not old enough";
  Live(300, 10);
  // After 900 seconds, what was there after 300 goes; marks are up to 1/256 of the time apart.
  uint64_t target = Proposed();
  EXPECT_LE(target, 3001u);
  EXPECT_GE(target, 3001u - 30);
}

TEST_F(HistoryKeeperTest, HistoryEndsWhenItIsTooLarge) {
  Live(100, 10, 999);
  EXPECT_EQ(Proposed(), 0u);
  Live(10, 10, 20'000);
  // 2 MB in the last ten seconds, 1 MB may stay: five seconds of ten revisions, or one more.
  uint64_t target = Proposed();
  EXPECT_GE(target, 1101u - 70);
  EXPECT_LE(target, 1101u - 50);
}

TEST_F(HistoryKeeperTest, TheNewestRevisionsStayHoweverOldOrLarge) {
  Live(1, 40, 1'000'000);
  Live(1000, 0);
  EXPECT_EQ(Proposed(), 0u) << "fewer revisions than are always kept";
  Live(1, 20, 1'000'000);
  Live(1000, 0);
  EXPECT_EQ(Proposed(), 11u);
}

TEST_F(HistoryKeeperTest, AnIdleStoreIsAskedForOnceAndThenLeftAlone) {
  Live(700, 10);
  Live(700, 0);
  compacted_ = Proposed();
  EXPECT_EQ(compacted_, revision_ - 50);
  for (int i = 0; i < 100; ++i) {
    Live(1, 0);
    EXPECT_EQ(Proposed(), 0u);
  }
}

TEST_F(HistoryKeeperTest, ProposalsAreRareAndSmallStepsRarer) {
  Live(700, 1000);
  uint64_t first = Proposed();
  EXPECT_GT(first, 0u);
  EXPECT_EQ(Proposed(), 0u) << "in the same second";
  Live(1, 1000);
  EXPECT_GE(Proposed(), first) << "nothing was applied: once more";
  compacted_ = first;
  Live(700, 1);
  compacted_ = Proposed();
  int proposals = 0;
  for (int i = 0; i < 300; ++i) {
    Live(1, 1);
    if (uint64_t target = Proposed(); target != 0) {
      ++proposals;
      compacted_ = target;
    }
  }
  EXPECT_LE(proposals, 10);
  EXPECT_GE(proposals, 5);
}

TEST_F(HistoryKeeperTest, TimeWithoutNotesDoesNotCount) {
  revision_ = 1'000'000;  // applied before this node began to look
  Live(599, 1000);
  EXPECT_EQ(Proposed(), 0u);
  Live(3, 0);
  EXPECT_GE(Proposed(), 1'000'000u);
  keeper_.Forget();
  Live(599, 1000);
  EXPECT_EQ(Proposed(), 0u);
}

TEST_F(HistoryKeeperTest, ThatTheDiskWasLowIsForgotten) {
  keeper_.SetShort(true);
  keeper_.Forget();
  Live(20, 1);
  EXPECT_EQ(Proposed(), 0u);
}

TEST_F(HistoryKeeperTest, NotesAreBounded) {
  for (int i = 0; i < 20; ++i) {
    Live(1000, 100, 1);
    Live(100, 100, 3000);
    EXPECT_LE(keeper_.notes(), 256u + 64u + 2u);
  }
  Live(100'000, 1);
  EXPECT_LE(keeper_.notes(), 256u + 64u + 2u);
}

TEST_F(HistoryKeeperTest, OnALowDiskHistoryEndsSecondsAgoWhateverTheLimitsSay) {
  Live(20, 1);
  EXPECT_EQ(Proposed(), 0u) << "younger and fewer than the limits";
  keeper_.SetShort(true);
  const uint64_t target = Proposed();
  EXPECT_GE(target, revision_ - 10);
  EXPECT_LE(target, revision_ - 5);
  compacted_ = target;
  Live(10, 0);
  EXPECT_EQ(Proposed(), revision_) << "nothing has been written for a while";
  keeper_.SetShort(false);
  compacted_ = revision_;
  Live(20, 1);
  EXPECT_EQ(Proposed(), 0u);
}

}  // namespace
}  // namespace arima::node
