// The state machine over an engine that fails, counts or is read while it is written.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "kv/command.h"
#include "kv/mem_engine.h"
#include "kv/state_machine.h"
#include "kv/test_records.h"
#include "kv/test_stores.h"

namespace arima::kv {
namespace {

std::string Put(std::string_view key, std::string_view value) {
  return EncodeCommand(PutCommand{.key = key, .value = value});
}

Status ApplyAll(StateMachine* machine, const std::vector<std::string>& commands,
                std::vector<ApplyResult>* results) {
  return machine->Apply(NextRecords(*machine, commands), results);
}

TEST(StateMachineFailure, AFullDiskRefusesTheBatchAndTheSameBatchSucceedsLater) {
  auto owned = std::make_unique<MemEngine>();
  MemEngine* engine = owned.get();
  auto machine = Must(StateMachine::Open(std::move(owned), {}, {}));
  std::vector<ApplyResult> results;
  ASSERT_TRUE(ApplyAll(machine.get(), {Put("k", "1")}, &results));

  engine->SetBackgroundError(EngineState::kNoSpace, {Code::kDiskFull, "no space"});
  const std::vector<std::string> batch = {Put("k", "2"), Put("new", "1"), Put("k", "3"),
                                          EncodeCommand(DeleteCommand{.key = "k"})};
  for (int attempt = 0; attempt < 2; ++attempt) {
    Status status = ApplyAll(machine.get(), batch, &results);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kDiskFull);
    EXPECT_TRUE(results.empty());
    EXPECT_EQ(machine->applied_index(), 1u);
    EXPECT_EQ(machine->store_revision(), 2u);
    EXPECT_EQ(Must(machine->Get("k")).value.view(), "1") << "reads go on";
    EXPECT_FALSE(machine->Flush(true));
  }
  ASSERT_TRUE(engine->Resume());
  ASSERT_TRUE(ApplyAll(machine.get(), batch, &results));
  EXPECT_EQ(results[0].version, 2u) << "the refused attempts left no trace";
  EXPECT_EQ(results[1].version, 1u);
  EXPECT_EQ(results[3].revision, 6u);
  EXPECT_TRUE(results[3].deleted);
}

TEST(StateMachineFailure, OnlyAFullDiskCanBeResumedFrom) {
  for (EngineState state : {EngineState::kCorruption, EngineState::kFailed}) {
    MemEngine engine;
    engine.SetBackgroundError(state, {Code::kIo, "broken"});
    EXPECT_FALSE(engine.Resume());
    EXPECT_EQ(engine.health().state, state);
    EXPECT_EQ(engine.Write({}, 0).error().message, "broken");
  }
}

TEST(StateMachineFailure, OpenReportsWhatTheEngineReports) {
  auto engine = std::make_unique<MemEngine>();
  engine->SetBackgroundError(EngineState::kNoSpace, {Code::kDiskFull, "no space"});
  auto opened = StateMachine::Open(std::move(engine), {}, {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kDiskFull);
}

TEST(MemEngine, FlushWithoutWaitingIsCompletedByItsOwner) {
  MemEngine engine;
  engine.StartAt(10);
  Batch batch;
  for (uint64_t position = 11; position <= 13; ++position) {
    batch.Clear();
    batch.Put("k", std::to_string(position));
    ASSERT_TRUE(engine.Write(batch, position));
  }
  EXPECT_EQ(engine.flush_wanted(), 0u);
  ASSERT_TRUE(engine.Flush(false));
  EXPECT_EQ(engine.flush_wanted(), 13u);
  EXPECT_EQ(engine.durable_position(), 10u);
  engine.FlushUpTo(12);
  EXPECT_EQ(engine.durable_position(), 12u);
  EXPECT_EQ(engine.DurableContents().at("k"), "12");
  EXPECT_EQ(engine.flush_wanted(), 13u);
  engine.FlushUpTo(13);
  EXPECT_EQ(engine.flush_wanted(), 0u);
  EXPECT_EQ(engine.stats().unflushed_bytes, 0u);
}

TEST(MemEngine, ForgetsVersionsThatNobodyCanSeeAnyMore) {
  MemEngine engine;
  engine.StartAt(0);
  Batch batch;
  for (uint64_t position = 1; position <= 100; ++position) {
    batch.Clear();
    batch.Put("k", std::to_string(position));
    batch.Put("gone", "x");
    ASSERT_TRUE(engine.Write(batch, position));
  }
  batch.Clear();
  batch.Delete("gone");
  ASSERT_TRUE(engine.Write(batch, 101));
  EXPECT_EQ(engine.stats().entry_count, 2u) << "durable state may still need the deleted one";
  std::unique_ptr<Iterator> view = engine.NewIterator({});
  engine.FlushUpTo(101);
  EXPECT_EQ(engine.stats().entry_count, 1u);
  view->Seek("");
  EXPECT_EQ(view->value(), "100");
}

// Counts the calls that cost something.
class CountingEngine final : public Engine {
 public:
  struct Counts {
    int gets = 0;
    int iterators = 0;
    int writes = 0;
  };
  CountingEngine(std::unique_ptr<Engine> engine, Counts* counts)
      : engine_(std::move(engine)), counts_(*counts) {}
  void StartAt(uint64_t position) override { engine_->StartAt(position); }
  Status Write(const Batch& batch, uint64_t position) override {
    ++counts_.writes;
    return engine_->Write(batch, position);
  }
  Result<bool> Get(std::string_view key, std::string* value) const override {
    ++counts_.gets;
    return engine_->Get(key, value);
  }
  std::unique_ptr<Iterator> NewIterator(IterateOptions options) const override {
    ++counts_.iterators;
    return engine_->NewIterator(std::move(options));
  }
  uint64_t durable_position() const override { return engine_->durable_position(); }
  Status Flush(bool wait) override { return engine_->Flush(wait); }
  void RaiseHistoryFloor(uint64_t revision, uint64_t position) override {
    engine_->RaiseHistoryFloor(revision, position);
  }
  Status CompactAll() override { return engine_->CompactAll(); }
  EngineHealth health() const override { return engine_->health(); }
  Status Resume() override { return engine_->Resume(); }
  EngineStats stats() const override { return engine_->stats(); }

 private:
  const std::unique_ptr<Engine> engine_;
  Counts& counts_;
};

TEST(StateMachineCost, ABatchIsOneWriteAndKnownKeysAreNotReadAgain) {
  CountingEngine::Counts counts;
  auto machine = Must(StateMachine::Open(
      std::make_unique<CountingEngine>(std::make_unique<MemEngine>(), &counts), {}, {}));
  std::vector<std::string> commands;
  for (int i = 0; i < 100; ++i) commands.push_back(Put("k" + std::to_string(i), "v"));
  std::vector<ApplyResult> results;
  counts = {};
  ASSERT_TRUE(ApplyAll(machine.get(), commands, &results));
  EXPECT_EQ(counts.writes, 1);
  EXPECT_EQ(counts.iterators, 1) << "all misses of a batch share one iterator";
  counts = {};
  ASSERT_TRUE(ApplyAll(machine.get(), commands, &results));
  EXPECT_EQ(counts.writes, 1);
  EXPECT_EQ(counts.iterators, 0);
  EXPECT_EQ(counts.gets, 0);
}

TEST(StateMachineCost, OpeningReadsOneRecordWhateverTheSize) {
  auto engine = std::make_unique<MemEngine>();
  auto* first_life = engine.get();
  auto machine = Must(StateMachine::Open(std::move(engine), {}, {}));
  std::vector<std::string> commands;
  for (int i = 0; i < 1000; ++i) commands.push_back(Put("k" + std::to_string(i), "v"));
  std::vector<ApplyResult> results;
  ASSERT_TRUE(ApplyAll(machine.get(), commands, &results));
  ASSERT_TRUE(machine->Flush(true));
  CountingEngine::Counts counts;
  auto next_life = Must(
      StateMachine::Open(std::make_unique<CountingEngine>(
                             std::make_unique<MemEngine>(first_life->DurableContents()), &counts),
                         {}, {}));
  EXPECT_EQ(next_life->applied_index(), 1000u);
  EXPECT_EQ(counts.gets, 1);
  EXPECT_EQ(counts.iterators, 0);
  EXPECT_EQ(counts.writes, 0);
}

// ------------------------------------------------------------------------------- concurrent
// readers

template <class Store>
class ConcurrentReads : public testing::Test {};
TYPED_TEST_SUITE(ConcurrentReads, AllStores, StoreName);

// Each batch writes one number to two keys. A reader that has seen applied index i must find at
// least what record i wrote, and the value must fit the revision it was told.
TYPED_TEST(ConcurrentReads, SeeEverythingThatWasAppliedBeforeThem) {
  TypeParam store;
  auto machine = Must(StateMachine::Open(store.Open(), {}, {}));
  std::atomic<bool> stop{false};
  auto read = [&] {
    uint64_t last_revision = 0;
    for (int reads = 0; reads < 200 || !stop.load(); ++reads) {
      const uint64_t index = machine->applied_index();
      ReadResult result = Must(machine->Get("a"));
      ASSERT_GE(result.store_revision, last_revision);
      last_revision = result.store_revision;
      // Record i leaves the store at revision i + 1; odd records write a, even ones b.
      ASSERT_GE(result.store_revision, index + 1);
      ASSERT_LE(result.mod_revision, result.store_revision);
      if (!result.found) {
        ASSERT_LT(index, 1u);
        continue;
      }
      ASSERT_EQ(result.value.view(), std::to_string(result.mod_revision));
      ASSERT_GE(result.mod_revision + 1, result.store_revision) << "an older version was served";
      const AppliedState applied = machine->applied();
      ASSERT_EQ(applied.index + 1, applied.revision);
    }
  };
  std::thread reader_1(read);
  std::thread reader_2(read);
  std::vector<ApplyResult> results;
  for (uint64_t n = 0; n < 2000; n += 2) {
    const std::vector<std::string> commands = {Put("a", std::to_string(n + 2)),
                                               Put("b", std::to_string(n + 3))};
    ASSERT_TRUE(ApplyAll(machine.get(), commands, &results));
    if (n % 500 == 0) {
      ASSERT_TRUE(machine->Flush(false));
    }
  }
  stop.store(true);
  reader_1.join();
  reader_2.join();
}

}  // namespace
}  // namespace arima::kv
