// The simulated log: every crash leaves what it may, and the comparison notices what it may not.

#include "sim/wal_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace arima::sim {
namespace {

using raft::Entry;
using raft::EntryId;
using raft::Index;
using raft::MemberId;
using raft::Term;
using ::testing::StartsWith;
using Outcome = SimLog::Outcome;

constexpr EntryId kStart{Term(1), Index(1)};

class WalLogTest : public ::testing::Test {
 protected:
  void Make(uint64_t seed) {
    verdict_ = Verdict();
    disk_ = SimDisk();
    next_ = 2;
    swarm_.clone_check_permille = 100;
    log_ = std::make_unique<WalLog>(&disk_, &swarm_, &verdict_, "node 1", seed);
    log_->Format({Term(1), MemberId(0), Index(1)}, kStart);
  }
  raft::Write MakeWrite(uint64_t entries) {
    raft::Write write;
    write.need_sync = true;
    for (uint64_t i = 0; i < entries; ++i, ++next_) {
      Entry entry{Term(1), Index(next_), raft::EntryKind::kCommand, 0,
                  SharedBytes::Copy("entry " + std::to_string(next_))};
      entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
      write.entries.push_back(std::move(entry));
    }
    return write;
  }
  void Append(uint64_t entries = 1) {
    const std::vector<raft::Write> writes = {MakeWrite(entries)};
    ASSERT_EQ(log_->Append(writes, [](const raft::Write&) {}), Outcome::kDone);
  }
  Outcome Restart(bool power, const std::vector<raft::Write>& under_way = {}) {
    log_->Crash(under_way, {}, power);
    return log_->Recover(kStart);
  }

  Verdict verdict_;
  DiskSwarm swarm_;
  SimDisk disk_;
  std::unique_ptr<WalLog> log_;
  uint64_t next_ = 2;
};

TEST_F(WalLogTest, ACrashInAWriteLeavesTheLogAsBeforeOrAsAfterIt) {
  uint64_t with = 0;
  uint64_t without = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Make(seed);
    for (uint64_t i = 0; i < seed % 40; ++i) Append(1 + i % 3);
    const Index before = disk_.last();
    ASSERT_EQ(Restart(seed % 2 == 0, {MakeWrite(2)}), Outcome::kDone);
    ASSERT_TRUE(verdict_.ok()) << verdict_.text();
    ++(disk_.last() == before ? without : with);
    ASSERT_TRUE(disk_.last() == before || disk_.last() == before + 2) << disk_.last();
  }
  EXPECT_GT(with, 50u);
  EXPECT_GT(without, 50u);
}

TEST_F(WalLogTest, AnAcknowledgedEntryThatIsGoneIsNoticed) {
  Make(1);
  Append();
  disk_.Complete(MakeWrite(1));  // as if a sync had lied
  Restart(/*power=*/true);
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(WalLogTest, AnEntryThatComesBackIsNoticed) {
  Make(1);
  Append();
  const SimDisk before = disk_;
  Append();
  disk_ = before;
  Restart(/*power=*/false);
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(WalLogTest, AVoteThatIsGoneIsNoticed) {
  Make(1);
  raft::Write vote;
  vote.need_sync = true;
  vote.hard_state = raft::HardState{Term(2), MemberId(3), Index(1)};
  disk_.Complete(vote);
  Restart(/*power=*/true);
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(WalLogTest, ACopyOfTheDiskShowsItWhileTheNodeRuns) {
  Make(1);
  disk_.Complete(MakeWrite(1));
  // The log and its model part company at once, so what follows is written from the model.
  swarm_.clone_check_permille = 1000;
  raft::Write commit;
  commit.need_sync = true;
  commit.hard_state = raft::HardState{Term(1), MemberId(0), Index(1)};
  const std::vector<raft::Write> writes = {commit};
  ASSERT_EQ(log_->Append(writes, [](const raft::Write&) {}), Outcome::kDone);
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(WalLogTest, CorruptionThatNobodyInjectedIsNoticed) {
  Make(1);
  swarm_.clone_check_permille = 0;
  for (int i = 0; i < 5; ++i) Append();
  const auto names = log_->files().List("/wal");
  ASSERT_TRUE(names.has_value());
  constexpr uint64_t kInTheSecondFrame = (8 << 10) + 4096 + 20;
  ASSERT_TRUE(log_->files().FlipBit("/wal/" + names->front(), kInTheSecondFrame, 1).has_value());
  EXPECT_EQ(Restart(/*power=*/false), Outcome::kDamaged);
  EXPECT_THAT(verdict_.text(), StartsWith("I16 no false corruption"));
}

TEST_F(WalLogTest, DamageIsNoticedOrHarmless) {
  uint64_t lost = 0;
  uint64_t whole = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Make(seed);
    for (uint64_t i = 0; i < 3 + seed % 30; ++i) Append(1 + i % 3);
    for (uint64_t i = 0; i <= seed % 3; ++i) log_->Damage();
    for (uint64_t i = 0; i < seed % 2; ++i) Append();
    const Outcome outcome = Restart(seed % 4 == 0);
    ASSERT_TRUE(verdict_.ok()) << verdict_.text();
    ASSERT_NE(outcome, Outcome::kLater);
    ++(outcome == Outcome::kDone ? whole : lost);
  }
  EXPECT_GT(lost, 50u);
  EXPECT_GT(whole, 50u);
}

TEST_F(WalLogTest, AFullDiskTakesNothingAndLaterAll) {
  Make(1);
  log_->FillDisk();
  Outcome outcome = Outcome::kDone;
  std::vector<raft::Write> writes;
  for (int i = 0; i < 100 && outcome == Outcome::kDone; ++i) {
    writes = {MakeWrite(1)};
    outcome = log_->Append(writes, [](const raft::Write&) {});
  }
  ASSERT_EQ(outcome, Outcome::kLater);
  const Index before = disk_.last();
  log_->Heal();
  EXPECT_EQ(log_->Append(writes, [](const raft::Write&) {}), Outcome::kDone);
  EXPECT_EQ(disk_.last(), before + 1);
  EXPECT_EQ(Restart(/*power=*/true), Outcome::kDone);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
}

TEST_F(WalLogTest, AnErrorOfTheDiskEndsTheProcessAndLosesNothing) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Make(seed);
    for (uint64_t i = 0; i < seed % 13; ++i) Append();
    log_->BreakNextAppend();
    const std::vector<raft::Write> writes = {MakeWrite(1)};
    ASSERT_EQ(log_->Append(writes, [](const raft::Write&) {}), Outcome::kFailed);
    ASSERT_EQ(Restart(seed % 2 == 0, writes), Outcome::kDone);
    ASSERT_TRUE(verdict_.ok()) << verdict_.text();
  }
}

}  // namespace
}  // namespace arima::sim
