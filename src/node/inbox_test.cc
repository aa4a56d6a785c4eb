#include "node/inbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace arima::node {
namespace {

class CountingWaker final : public Waker {
 public:
  void Wake() override { ++wakes; }
  std::atomic<int> wakes = 0;
};

struct InboxFixture {
  explicit InboxFixture(InboxLimits limits = {}) : inbox(waker, limits) {}

  std::shared_ptr<CountingWaker> waker = std::make_shared<CountingWaker>();
  Inbox inbox;
};

ClientWrite Write(size_t bytes) {
  ClientWrite write;
  write.command = SharedBytes::Take(std::string(bytes, 'x'));
  write.done = [](Result<kv::ApplyResult>) {};
  return write;
}

Status Add(Inbox& inbox, size_t bytes) {
  ClientWrite write = Write(bytes);
  return inbox.AddWrite(write);
}

Status AddRead(Inbox& inbox) {
  ReadWaiter read;
  read.done = [](Status) {};
  return inbox.AddRead(read);
}

TEST(Inbox, HandsOutEverythingAtOnceAndInOrder) {
  InboxFixture f;
  ASSERT_TRUE(Add(f.inbox, 1));
  ASSERT_TRUE(Add(f.inbox, 2));
  ASSERT_TRUE(AddRead(f.inbox));
  std::vector<LogCompletion> completions(2);
  completions[0].seq = 7;
  completions[1].seq = 8;
  f.inbox.AddLogCompletions(std::move(completions));
  f.inbox.AddInput(raft::Applied{raft::Index(3), 1});
  InboxBatch batch = f.inbox.Take();
  ASSERT_EQ(batch.writes.size(), 2u);
  EXPECT_EQ(batch.writes[0].command.size(), 1u);
  EXPECT_EQ(batch.writes[1].command.size(), 2u);
  EXPECT_EQ(batch.reads.size(), 1u);
  ASSERT_EQ(batch.log.size(), 2u);
  EXPECT_EQ(batch.log[0].seq, 7u);
  EXPECT_EQ(batch.log[1].seq, 8u);
  EXPECT_EQ(batch.inputs.size(), 1u);
  EXPECT_TRUE(f.inbox.Take().empty());
}

TEST(Inbox, WakesTheCoreOncePerFilling) {
  InboxFixture f;
  ASSERT_TRUE(Add(f.inbox, 1));
  ASSERT_TRUE(Add(f.inbox, 1));
  f.inbox.AddInput(raft::Applied{});
  EXPECT_EQ(f.waker->wakes, 1);
  (void)f.inbox.Take();
  ASSERT_TRUE(AddRead(f.inbox));
  EXPECT_EQ(f.waker->wakes, 2);
  (void)f.inbox.Take();
  f.inbox.AddLogCompletions(std::vector<LogCompletion>(1));
  EXPECT_EQ(f.waker->wakes, 3);
}

TEST(Inbox, RefusesWritesBeyondItsBytesAndLeavesThemAlone) {
  InboxFixture f({.write_bytes_max = 1000 + 2 * kWriteOverheadBytes});
  ASSERT_TRUE(Add(f.inbox, 600));
  bool called = false;
  ClientWrite write = Write(401);
  write.done = [&](Result<kv::ApplyResult>) { called = true; };
  Status refused = f.inbox.AddWrite(write);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_EQ(write.command.size(), 401u);
  ASSERT_TRUE(write.done);
  EXPECT_FALSE(called);
  EXPECT_TRUE(Add(f.inbox, 400));
  EXPECT_EQ(f.inbox.refused(), 1u);
}

TEST(Inbox, CountsWhatAWriteCostsBesidesItsBytes) {
  InboxFixture f({.write_bytes_max = 10 * kWriteOverheadBytes});
  int taken = 0;
  while (taken < 1000 && Add(f.inbox, 1)) ++taken;
  EXPECT_EQ(taken, 9);
}

TEST(Inbox, LetsOneWriteOfAnySizePassWhenEmpty) {
  InboxFixture f({.write_bytes_max = 10});
  EXPECT_TRUE(Add(f.inbox, 5000));
  EXPECT_FALSE(Add(f.inbox, 1));
  (void)f.inbox.Take();
  EXPECT_TRUE(Add(f.inbox, 5000));
}

TEST(Inbox, RefusesReadsBeyondTheirNumber) {
  InboxFixture f({.reads_max = 2});
  EXPECT_TRUE(AddRead(f.inbox));
  EXPECT_TRUE(AddRead(f.inbox));
  Status refused = AddRead(f.inbox);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_EQ(f.inbox.Take().reads.size(), 2u);
  EXPECT_TRUE(AddRead(f.inbox));
}

TEST(Inbox, AfterCloseClientsAreToldWhyAndCompletionsStillPass) {
  InboxFixture f;
  ASSERT_TRUE(Add(f.inbox, 1));
  f.inbox.Close({Code::kRemoved, "node was removed"});
  Status write = Add(f.inbox, 1);
  ASSERT_FALSE(write);
  EXPECT_EQ(write.error().code, Code::kRemoved);
  Status read = AddRead(f.inbox);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kRemoved);
  f.inbox.AddLogCompletions(std::vector<LogCompletion>(1));
  f.inbox.AddInput(raft::Applied{});
  InboxBatch batch = f.inbox.Take();
  EXPECT_EQ(batch.writes.size(), 1u);  // came before
  EXPECT_EQ(batch.log.size(), 1u);
  EXPECT_EQ(batch.inputs.size(), 1u);
}

// The log has space again while the database has none: proposals stay refused.
TEST(Inbox, TheCoreHearsTheWorstThatAnybodyFinds) {
  InboxFixture f;
  f.inbox.SetDiskLow(DiskUser::kReserve, true);
  f.inbox.SetDiskLow(DiskUser::kDatabase, true);
  f.inbox.SetDiskLow(DiskUser::kLogAhead, true);
  f.inbox.SetDiskLow(DiskUser::kLogWriter, true);
  f.inbox.SetDiskLow(DiskUser::kLogAhead, false);
  f.inbox.SetDiskLow(DiskUser::kLogWriter, false);
  f.inbox.SetDiskLow(DiskUser::kDatabase, false);
  f.inbox.SetDiskLow(DiskUser::kReserve, false);
  using enum raft::DiskLevel;
  std::vector<raft::DiskLevel> told;
  for (const raft::Input& input : f.inbox.Take().inputs) {
    told.push_back(std::get<raft::DiskLow>(input).level);
  }
  EXPECT_EQ(told, (std::vector{kLow, kStuck, kFull, kFull, kFull, kStuck, kLow, kOk}));
}

// A consumer that sleeps until it is woken gets everything that many producers add.
TEST(Inbox, LosesNoWakeUp) {
  constexpr int kProducers = 3;
  constexpr int kEach = 5000;
  InboxFixture f({.write_bytes_max = UINT64_MAX});
  std::vector<std::thread> producers;
  for (int i = 0; i < kProducers; ++i) {
    producers.emplace_back([&] {
      for (int n = 0; n < kEach; ++n) {
        ASSERT_TRUE(Add(f.inbox, 1));
      }
    });
  }
  size_t taken = 0;
  int seen_wakes = 0;
  while (taken < kProducers * kEach) {
    // As IoLoop: runs only after a wake that was not seen before.
    int wakes = f.waker->wakes;
    if (wakes == seen_wakes) {
      std::this_thread::yield();
      continue;
    }
    seen_wakes = wakes;
    taken += f.inbox.Take().writes.size();
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(taken, static_cast<size_t>(kProducers * kEach));
}

}  // namespace
}  // namespace arima::node
