#include "node/log_writer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "env/fault_env.h"
#include "env/mem_env.h"
#include "kv/mem_engine.h"
#include "node/log_helper.h"
#include "testing/wait_until.h"

namespace arima::node {
namespace {

using raft::Index;
using raft::Term;

class SilentWaker final : public Waker {
 public:
  void Wake() override {}
};

raft::Entry Command(uint64_t index, size_t bytes = 10) {
  raft::Entry entry;
  entry.index = Index(index);
  entry.term = Term(2);
  entry.kind = raft::EntryKind::kCommand;
  entry.payload = SharedBytes::Take(std::string(bytes, 'c'));
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  return entry;
}

raft::Write Write(uint64_t seq, std::vector<raft::Entry> entries) {
  raft::Write write;
  write.seq = seq;
  write.hard_state = raft::HardState{Term(2), raft::MemberId(1), Index(1)};
  write.entries = std::move(entries);
  write.need_sync = true;
  return write;
}

class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() {
    options_.dir = "wal";
    options_.segment_bytes = wal::kSegmentBytesMin;
    options_.free_segments_min = 0;
    wal_ = *wal::Wal::Create(env_, options_, {Term(1), Index(1)},
                             {Term(1), raft::MemberId(), Index(1)});
    writer_ = std::make_unique<LogWriter>(wal_.get(), &inbox_, &clock_, &logger_);
  }
  ~LogWriterTest() override { writer_->Stop(); }

  // Waits until completions up to `seq` came, and returns all of them; 0: looks once.
  std::vector<LogCompletion> Completions(uint64_t seq) {
    std::vector<LogCompletion> all;
    do {
      InboxBatch batch = inbox_.Take();
      for (LogCompletion& completion : batch.log) all.push_back(std::move(completion));
      for (const raft::Input& input : batch.inputs) {
        if (const auto* low = std::get_if<raft::DiskLow>(&input))
          disk_low_.push_back(low->level == raft::DiskLevel::kFull);
      }
      std::this_thread::yield();
    } while (seq > 0 && (all.empty() || all.back().seq < seq));
    return all;
  }

  // Entries 2 to 11, in segments of one or two.
  void FillSegments() {
    writer_->Start();
    for (uint64_t i = 1; i <= 10; ++i) {
      writer_->Submit(Write(i, {Command(1 + i, 30'000)}));
      Completions(i);
    }
  }

  env::MemEnv disk_;
  env::FaultEnv env_{disk_, 1};
  SystemClock clock_;
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
  Inbox inbox_{std::make_shared<SilentWaker>(), InboxLimits{}};
  wal::WalOptions options_;
  std::unique_ptr<wal::Wal> wal_;
  std::unique_ptr<LogWriter> writer_;
  std::vector<bool> disk_low_;
};

TEST_F(LogWriterTest, WhatIsQueuedTakesOneSyncAndIsReportedInOrder) {
  for (uint64_t i = 1; i <= 20; ++i) writer_->Submit(Write(i, {Command(1 + i)}));
  uint64_t syncs = env_.count(env::Op::kSync);
  writer_->Start();
  std::vector<LogCompletion> done = Completions(20);
  EXPECT_EQ(env_.count(env::Op::kSync), syncs + 1);
  ASSERT_EQ(done.size(), 20u);
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(done[i].seq, i + 1);
  EXPECT_EQ(writer_->Stats().syncs, 1u);
  EXPECT_EQ(writer_->Stats().writes, 20u);
}

TEST_F(LogWriterTest, MessagesComeBackOnlyWithTheCompletionOfTheirWrite) {
  raft::Write write = Write(1, {Command(2)});
  write.after_durable.resize(2);
  write.after_durable[0].to = raft::MemberId(7);
  write.after_durable[1].to = raft::MemberId(8);
  writer_->Submit(std::move(write));
  EXPECT_TRUE(inbox_.Take().log.empty());
  writer_->Start();
  std::vector<LogCompletion> done = Completions(1);
  ASSERT_EQ(done[0].after_durable.size(), 2u);
  EXPECT_EQ(done[0].after_durable[1].to, raft::MemberId(8));
}

TEST_F(LogWriterTest, ReportedEntriesSurviveALossOfPower) {
  writer_->Start();
  writer_->Submit(Write(1, {Command(2), Command(3)}));
  Completions(1);
  std::unique_ptr<env::MemEnv> after = disk_.Clone();
  env::DropAll drop_all;
  after->PowerLoss(drop_all);
  wal::RecoveredLog log;
  auto wal = wal::Wal::Open(*after, options_, &log);
  ASSERT_TRUE(wal) << wal.error().ToString();
  EXPECT_EQ(log.last, Index(3));
  EXPECT_EQ(log.hard_state.term, Term(2));
}

TEST_F(LogWriterTest, StopWritesWhatIsQueuedAndClosesTheLog) {
  for (uint64_t i = 1; i <= 50; ++i) writer_->Submit(Write(i, {Command(1 + i, 5000)}));
  writer_->Start();
  writer_->Stop();
  wal_.reset();
  wal::RecoveredLog log;
  ASSERT_TRUE(wal::Wal::Open(env_, options_, &log));
  EXPECT_EQ(log.last, Index(51));
  EXPECT_EQ(log.ending, wal::Ending::kClosed);
}

TEST_F(LogWriterTest, AFullDiskIsWaitedOut) {
  env_.SetDiskFull(true);
  writer_->Start();
  // More than the segment holds, so that a new one is needed.
  for (uint64_t i = 1; i <= 5; ++i) writer_->Submit(Write(i, {Command(1 + i, 30'000)}));
  uint64_t creates = env_.count(env::Op::kCreate);
  WaitUntil([&] { return env_.count(env::Op::kCreate) >= creates + 2; });
  env_.SetDiskFull(false);
  Completions(5);
  EXPECT_EQ(disk_low_, (std::vector<bool>{true, false}));
  EXPECT_EQ(wal_->Stats().last, Index(6));
}

TEST_F(LogWriterTest, StopsCleanlyWhileTheDiskIsFull) {
  env_.SetDiskFull(true);
  writer_->Start();
  for (uint64_t i = 1; i <= 5; ++i) writer_->Submit(Write(i, {Command(1 + i, 30'000)}));
  uint64_t creates = env_.count(env::Op::kCreate);
  WaitUntil([&] { return env_.count(env::Op::kCreate) >= creates + 2; });
  writer_->Stop();
  // Nobody was told that the last of them is durable.
  InboxBatch batch = inbox_.Take();
  EXPECT_TRUE(batch.log.empty() || batch.log.back().seq < 5);
  env_.SetDiskFull(false);
  wal_.reset();
  wal::RecoveredLog log;
  ASSERT_TRUE(wal::Wal::Open(env_, options_, &log));
  EXPECT_LT(log.last, Index(6));
}

// Two segments stand ready beside the one that is written. When one of them has been taken and the
// disk has no space for another, nothing more comes in; what was under way still finds room.
TEST_F(LogWriterTest, TheCoreHearsWhenTheReserveOfSegmentsIsTouched) {
  wal_.reset();
  options_.dir = "ahead";
  options_.free_segments_min = 1;
  wal_ =
      *wal::Wal::Create(env_, options_, {Term(1), Index(1)}, {Term(1), raft::MemberId(), Index(1)});
  writer_ = std::make_unique<LogWriter>(wal_.get(), &inbox_, &clock_, &logger_);
  kv::MemEngine engine;
  SegmentHelper helper(wal_.get(), &engine, &inbox_, &logger_);
  helper.Start();
  WaitUntil([&] { return wal_->preparer().ready() >= 2; });
  env_.SetDiskFull(true);
  writer_->Start();
  // Enough for a second segment, and not for a third. One after the other: a batch of both would
  // need a larger segment than those that stand ready.
  for (uint64_t i = 1; i <= 2; ++i) {
    writer_->Submit(Write(i, {Command(1 + i, 30'000)}));
    Completions(i);
  }
  while (disk_low_.empty()) Completions(0);
  EXPECT_EQ(disk_low_, (std::vector<bool>{true}));
  EXPECT_EQ(wal_->preparer().ready(), 1u);
  writer_->Submit(Write(3, {}));
  Completions(3);
  env_.SetDiskFull(false);
  while (disk_low_.size() < 2) Completions(0);
  EXPECT_FALSE(disk_low_.back());
  helper.Stop();
}

// What is not flushed needs space on the same disk.
TEST_F(LogWriterTest, NoSegmentIsMadeAheadInTheSpaceOfTheNextFlush) {
  wal_.reset();
  options_.dir = "flush";
  options_.free_segments_min = 1;
  wal_ =
      *wal::Wal::Create(env_, options_, {Term(1), Index(1)}, {Term(1), raft::MemberId(), Index(1)});
  kv::MemEngine engine;
  engine.StartAt(1);
  kv::Batch batch;
  batch.Put("k", std::string(1'000'000, 'v'));
  ASSERT_TRUE(engine.Write(batch, 2));
  env_.SetSpace(env::DiskSpace{1'200'000, uint64_t{1} << 40});
  SegmentHelper helper(wal_.get(), &engine, &inbox_, &logger_);
  helper.Start();
  while (disk_low_.empty()) Completions(0);
  EXPECT_EQ(disk_low_, (std::vector<bool>{true}));
  EXPECT_EQ(wal_->preparer().ready(), 0u);
  ASSERT_TRUE(engine.Flush(true));
  while (disk_low_.size() < 2) Completions(0);
  EXPECT_FALSE(disk_low_.back());
  helper.Stop();
}

TEST_F(LogWriterTest, OldEntriesAreReadOffTheCoreThread) {
  writer_->Start();
  writer_->Submit(Write(1, {Command(2), Command(3), Command(4)}));
  Completions(1);
  LogReader reader(wal_.get(), &inbox_, &logger_);
  reader.Start();
  reader.Submit({raft::MemberId(3), Index(2), Index(4), 1 << 20});
  reader.Submit({raft::MemberId(4), Index(1), Index(4), 1 << 20});
  reader.Stop();
  std::vector<raft::Input> inputs = inbox_.Take().inputs;
  ASSERT_EQ(inputs.size(), 2u);
  const auto& loaded = std::get<raft::EntriesLoaded>(inputs[0]);
  EXPECT_EQ(loaded.to, raft::MemberId(3));
  ASSERT_EQ(loaded.entries.size(), 2u);
  EXPECT_EQ(loaded.entries[1], Command(3));
  EXPECT_EQ(std::get<raft::EntriesLoaded>(inputs[1]).status, raft::LoadStatus::kCompacted);
}

TEST_F(LogWriterTest, ACutRidesWithTheNextBatchAndCostsNoSyncOfItsOwn) {
  FillSegments();
  writer_->Stop();
  wal_.reset();
  wal::RecoveredLog log;
  wal_ = *wal::Wal::Open(env_, options_, &log);
  ASSERT_GE(wal_->Stats().segments, 4u);
  LogWriter writer(wal_.get(), &inbox_, &clock_, &logger_);
  writer.CompactTo(Index(11));
  writer.Submit(Write(11, {Command(12)}));
  const uint64_t syncs = env_.count(env::Op::kSync);
  writer.Start();
  Completions(11);
  // After the completion nothing is left to do for the cut.
  WaitUntil([&] { return wal_->Stats().segments <= 1; });
  EXPECT_EQ(env_.count(env::Op::kSync), syncs + 1);
  writer.Stop();
  EXPECT_EQ(wal_->Stats().first, Index(12));
}

TEST_F(LogWriterTest, AnIdleLogLetsItsSegmentsGoWithinOneSync) {
  FillSegments();
  const uint64_t segments = wal_->Stats().segments;
  ASSERT_GE(segments, 4u);
  const uint64_t syncs = env_.count(env::Op::kSync);
  writer_->CompactTo(Index(9));
  WaitUntil([&] { return wal_->Stats().segments != segments; });
  EXPECT_LE(wal_->Stats().segments, 3u);
  EXPECT_EQ(env_.count(env::Op::kSync), syncs + 1);
  // What lay there is not needed any more, also not by a restart.
  while (*wal_->preparer().PrepareOne()) {
  }
  writer_->Stop();
  wal_.reset();
  wal::RecoveredLog log;
  ASSERT_TRUE(wal::Wal::Open(env_, options_, &log));
  EXPECT_EQ(log.snapshot_index, Index(9));
  EXPECT_EQ(log.last, Index(11));
}

TEST_F(LogWriterTest, ACutEndsTheWaitForAFullDisk) {
  FillSegments();
  env_.SetDiskFull(true);
  writer_->Submit(Write(11, {Command(12, 30'000)}));
  uint64_t creates = env_.count(env::Op::kCreate);
  WaitUntil([&] { return env_.count(env::Op::kCreate) >= creates + 2; });
  writer_->CompactTo(Index(9));
  Completions(11);
  env_.SetDiskFull(false);
  EXPECT_EQ(disk_low_.back(), false);
  EXPECT_EQ(wal_->Stats().first, Index(10));
}

TEST_F(LogWriterTest, ACutBelowTheOldOneIsNothing) {
  writer_->Start();
  writer_->Submit(Write(1, {Command(2), Command(3)}));
  Completions(1);
  writer_->CompactTo(Index(2));
  writer_->CompactTo(Index(1));
  writer_->Stop();
  EXPECT_EQ(wal_->Stats().first, Index(3));
}

using LogWriterDeathTest = LogWriterTest;

TEST_F(LogWriterDeathTest, AFailedSyncEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        env_.Inject({.op = env::Op::kSync});
        writer_->Submit(Write(1, {Command(2)}));
        writer_->Start();
        Completions(1);
      },
      "log_write_failed");
}

}  // namespace
}  // namespace arima::node
