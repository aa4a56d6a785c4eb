#include "node/applier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "kv/command.h"
#include "kv/engine.h"
#include "kv/mem_engine.h"
#include "testing/wait_until.h"

namespace arima::node {
namespace {

using raft::Index;
using raft::Term;

// A MemEngine whose disk can be full, and that counts what is asked of it.
class SmallDisk final : public kv::Engine {
 public:
  void StartAt(uint64_t position) override { base_.StartAt(position); }
  Status Write(const kv::Batch& batch, uint64_t position) override {
    if (full) return Fail(Code::kDiskFull, "no space");
    if (behind) {
      ++refused_writes;
      return Fail(Code::kOverloaded, "not now");
    }
    ++writes;
    return base_.Write(batch, position);
  }
  Result<bool> Get(std::string_view key, std::string* value) const override {
    return base_.Get(key, value);
  }
  std::unique_ptr<kv::Iterator> NewIterator(kv::IterateOptions options) const override {
    return base_.NewIterator(std::move(options));
  }
  uint64_t durable_position() const override { return base_.durable_position(); }
  Status Flush(bool wait) override {
    if (full) return Fail(Code::kDiskFull, "no space");
    if (refused_flushes > 0) {
      --refused_flushes;
      return Fail(Code::kUnavailable, "not now");
    }
    ++(wait ? final_flushes : flushes);
    return base_.Flush(true);
  }
  void RaiseHistoryFloor(uint64_t revision, uint64_t position) override {
    base_.RaiseHistoryFloor(revision, position);
  }
  Status CompactAll() override { return base_.CompactAll(); }
  kv::EngineHealth health() const override { return {}; }
  Status Resume() override {
    ++resumes;
    return full ? Fail(Code::kDiskFull, "no space") : Status{};
  }
  kv::EngineStats stats() const override { return base_.stats(); }

  std::atomic<bool> full = false;
  std::atomic<bool> behind = false;
  std::atomic<int> refused_writes = 0;
  std::atomic<int> writes = 0;
  std::atomic<int> flushes = 0;
  std::atomic<int> refused_flushes = 0;
  std::atomic<int> final_flushes = 0;
  std::atomic<int> resumes = 0;

 private:
  kv::MemEngine base_;
};

class SilentWaker final : public Waker {
 public:
  void Wake() override {}
};

raft::ApplyItem Command(uint64_t index, const kv::Command& command) {
  raft::ApplyItem item;
  item.entry.index = Index(index);
  item.entry.term = Term(2);
  item.entry.kind = raft::EntryKind::kCommand;
  item.entry.payload = SharedBytes::Take(kv::EncodeCommand(command));
  item.entry.checksum = raft::EntryChecksum(item.entry.kind, item.entry.payload.view());
  return item;
}

raft::ApplyItem Put(uint64_t index, const std::string& key, const std::string& value) {
  return Command(index, kv::PutCommand{key, value, 0});
}

std::vector<raft::ApplyItem> One(raft::ApplyItem item) {
  std::vector<raft::ApplyItem> items;
  items.push_back(std::move(item));
  return items;
}

class ApplierTest : public testing::Test {
 protected:
  ApplierTest() {
    auto engine = std::make_unique<SmallDisk>();
    disk_ = engine.get();
    kv::AppliedState initial;
    initial.index = 1;
    initial.term = 1;
    machine_ = *kv::StateMachine::Open(std::move(engine), initial, {});
    disk_->writes = 0;
    disk_->final_flushes = 0;
    Restart();
  }
  ~ApplierTest() override { Stop(); }

  void Restart(FlusherOptions options = {}) {
    if (applier_) Stop();
    flusher_ = std::make_unique<Flusher>(machine_.get(), nullptr, &clock_, &logger_, options);
    applier_ = std::make_unique<Applier>(machine_.get(), &inbox_, &proposals_, &reads_,
                                         flusher_.get(), &logger_);
  }
  void Start() {
    flusher_->Start();
    applier_->Start();
  }
  void Stop() {
    flusher_->Stop();
    applier_->Stop();
  }
  std::vector<bool> DiskLowTold() {
    std::vector<bool> told;
    for (const raft::Input& input : inbox_.Take().inputs) {
      if (const auto* low = std::get_if<raft::DiskLow>(&input))
        told.push_back(low->level == raft::DiskLevel::kStuck);
    }
    return told;
  }

  SystemClock clock_;
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
  Inbox inbox_{std::make_shared<SilentWaker>(), InboxLimits{}};
  ProposalTable proposals_;
  ReadQueue reads_;
  SmallDisk* disk_ = nullptr;
  std::unique_ptr<kv::StateMachine> machine_;
  std::unique_ptr<Flusher> flusher_;
  std::unique_ptr<Applier> applier_;
};

TEST_F(ApplierTest, AppliesThenAnswersThenReportsProgress) {
  std::atomic<uint64_t> revision = 0;
  std::vector<ProposalWaiter> waiters;
  waiters.push_back({Index(2), Term(2), UINT64_MAX, [&](Result<kv::ApplyResult> result) {
                       // Whoever is answered reads its own write.
                       EXPECT_EQ(machine_->applied_index(), 2u);
                       revision = result->revision;
                     }});
  proposals_.Register(std::move(waiters));
  std::atomic<bool> read = false;
  std::vector<ReadWaiter> readers;
  readers.push_back({UINT64_MAX, [&](Status status) { read = status.has_value(); }});
  reads_.Add(Index(2), std::move(readers));
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  Stop();
  EXPECT_EQ(revision, 2u);
  EXPECT_TRUE(read);
  std::vector<raft::Input> inputs = inbox_.Take().inputs;
  ASSERT_EQ(inputs.size(), 1u);
  EXPECT_EQ(std::get<raft::Applied>(inputs[0]).index, Index(2));
}

TEST_F(ApplierTest, WhatWaitsBecomesOneBatch) {
  for (uint64_t index = 2; index <= 11; ++index) applier_->Submit(One(Put(index, "k", "v")));
  Start();
  Stop();
  EXPECT_EQ(machine_->applied_index(), 11u);
  EXPECT_EQ(disk_->writes, 1);
}

TEST_F(ApplierTest, ABatchIsOfBoundedSize) {
  std::string value(300 << 10, 'v');
  for (uint64_t index = 2; index <= 11; ++index) applier_->Submit(One(Put(index, "k", value)));
  Start();
  Stop();
  EXPECT_EQ(machine_->applied_index(), 11u);
  EXPECT_EQ(disk_->writes, 4);  // three of 300 KiB fit into 1 MiB
}

TEST_F(ApplierTest, CleansUpAfterHistoryWhileNothingArrives) {
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  applier_->Submit(One(Command(3, kv::DeleteCommand{"k"})));
  applier_->Submit(One(Command(4, kv::CompactCommand{3})));
  WaitUntil([&] { return machine_->cleaned_count() == 3; });
  EXPECT_EQ(machine_->applied_index(), 4u);
  EXPECT_EQ(machine_->compact_revision(), 3u);
}

TEST_F(ApplierTest, GoesOnCleaningInItsNextLife) {
  std::vector<kv::ApplyResult> results;
  const std::string commands[] = {kv::EncodeCommand(kv::PutCommand{"k", "v", 0}),
                                  kv::EncodeCommand(kv::DeleteCommand{"k"}),
                                  kv::EncodeCommand(kv::CompactCommand{3})};
  for (uint64_t i = 0; i < 3; ++i) {
    kv::Record record{.index = 2 + i,
                      .term = 2,
                      .kind = kv::RecordKind::kCommand,
                      .bytes = commands[i],
                      .conf = {}};
    ASSERT_TRUE(machine_->Apply({&record, 1}, &results));
  }
  Start();
  WaitUntil([&] { return machine_->cleaned_count() == 3; });
}

TEST_F(ApplierTest, StopAppliesWhatIsQueuedAndMakesItDurable) {
  Start();
  for (uint64_t index = 2; index <= 100; ++index) applier_->Submit(One(Put(index, "k", "v")));
  Stop();
  EXPECT_EQ(machine_->applied_index(), 100u);
  EXPECT_EQ(machine_->durable_applied_index(), 100u);
}

TEST_F(ApplierTest, AFullDiskIsWaitedOut) {
  disk_->full = true;
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  WaitUntil([&] { return disk_->resumes > 0; });
  EXPECT_EQ(machine_->applied_index(), 1u);
  disk_->full = false;
  WaitUntil([&] { return machine_->applied_index() == 2; });
  Stop();
  EXPECT_EQ(DiskLowTold(), (std::vector<bool>{true, false}));
}

TEST_F(ApplierTest, AnEngineThatIsBehindIsWaitedForWithoutCallingTheDiskFull) {
  disk_->behind = true;
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  WaitUntil([&] { return disk_->refused_writes > 1; });
  EXPECT_EQ(machine_->applied_index(), 1u);
  disk_->behind = false;
  WaitUntil([&] { return machine_->applied_index() == 2; });
  Stop();
  EXPECT_EQ(DiskLowTold(), std::vector<bool>());
}

TEST_F(ApplierTest, StopsWhileTheEngineIsBehind) {
  disk_->behind = true;
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  WaitUntil([&] { return disk_->refused_writes > 0; });
  Stop();
  EXPECT_EQ(machine_->applied_index(), 1u);
}

// The second hand-over must not be tried without the first: that would look like a gap in the log
// and end the process.
TEST_F(ApplierTest, StopsCleanlyWhileTheDiskIsFull) {
  std::string value(700 << 10, 'v');
  int answered = 0;
  std::vector<ProposalWaiter> waiters;
  waiters.push_back({Index(2), Term(2), UINT64_MAX, [&](Result<kv::ApplyResult>) { ++answered; }});
  proposals_.Register(std::move(waiters));
  disk_->full = true;
  for (uint64_t index = 2; index <= 4; ++index) applier_->Submit(One(Put(index, "k", value)));
  Start();
  WaitUntil([&] { return disk_->resumes > 0; });
  Stop();
  EXPECT_EQ(machine_->applied_index(), 1u);
  EXPECT_EQ(answered, 0);  // whoever stops the replica answers: the outcome is unknown
}

TEST_F(ApplierTest, FlushesWhenEnoughWasApplied) {
  Restart({.flush_bytes = 1000, .flush_interval_ns = UINT64_MAX});
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  WaitUntil([&] { return machine_->applied_index() == 2; });
  EXPECT_EQ(disk_->flushes, 0);
  applier_->Submit(One(Put(3, "k", std::string(1000, 'v'))));
  WaitUntil([&] { return disk_->flushes == 1; });
  EXPECT_EQ(machine_->durable_applied_index(), 3u);
}

TEST_F(ApplierTest, FlushesWhenTimeHasPassedAndSomethingWasApplied) {
  Restart({.flush_bytes = UINT64_MAX, .flush_interval_ns = 1});
  Start();
  EXPECT_EQ(disk_->flushes, 0);
  applier_->Submit(One(Put(2, "k", "v")));
  WaitUntil([&] { return disk_->flushes == 1; });
  EXPECT_EQ(machine_->durable_applied_index(), 2u);
}

TEST_F(ApplierTest, FlushesWhatAStartHasReplayedOnceAllOfItIsApplied) {
  Restart({.flush_bytes = UINT64_MAX, .flush_interval_ns = UINT64_MAX});
  flusher_->FlushReplayed(3);
  Start();
  applier_->Submit(One(Put(2, "k", std::string(1 << 20, 'v'))));
  WaitUntil([&] { return machine_->applied_index() == 2; });
  EXPECT_EQ(disk_->flushes, 0);
  applier_->Submit(One(Put(3, "k", "v")));
  WaitUntil([&] { return disk_->flushes == 1; });
  EXPECT_EQ(machine_->durable_applied_index(), 3u);
}

TEST_F(ApplierTest, WhatIsWrittenAfterAStartWithNothingToReplayIsNotFlushedEarlier) {
  Restart({.flush_bytes = 3 << 20, .flush_interval_ns = UINT64_MAX});
  flusher_->FlushReplayed(1);
  flusher_->NoteApplied(2 << 20);
  Start();
  // A flush now would need another 3 MiB for the next one.
  applier_->Submit(One(Put(2, "k", std::string(1 << 20, 'v'))));
  WaitUntil([&] { return machine_->durable_applied_index() == 2u; });
  EXPECT_EQ(disk_->flushes, 1);
}

TEST_F(ApplierTest, AFlushThatFailedIsTriedAgain) {
  Restart({.flush_bytes = UINT64_MAX, .flush_interval_ns = 1});
  disk_->refused_flushes = 1;
  Start();
  applier_->Submit(One(Put(2, "k", "v")));
  WaitUntil([&] { return disk_->flushes == 1; });
  EXPECT_EQ(disk_->refused_flushes, 0);
  EXPECT_EQ(machine_->durable_applied_index(), 2u);
}

using ApplierDeathTest = ApplierTest;

TEST_F(ApplierDeathTest, AnEntryThatChangedInMemoryEndsTheProcessBeforeItIsApplied) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  raft::ApplyItem item = Put(2, "k", "v");
  item.entry.checksum ^= 1;
  EXPECT_DEATH(
      {
        applier_->Submit(One(std::move(item)));
        Start();
        WaitUntil([] { return false; });
      },
      "entry_damaged_in_memory");
}

}  // namespace
}  // namespace arima::node
