// The RocksDB engine and the state machine on a file system that runs full or fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include "base/mutex.h"
#include "kv/command.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/state_machine.h"
#include "kv/test_fault_fs.h"
#include "kv/test_stores.h"

namespace arima::kv {
namespace {

using testing::HasSubstr;

class RocksFault : public testing::TestWithParam<std::string> {
 protected:
  RocksFault() {
    options_ = RocksStore::SmallOptions(directory_.path() / "db");
    options_.log = [this](std::string_view line) {
      MutexLock lock(&mutex_);
      log_.append(line).append("\n");
    };
    engine_ = Must(OpenRocksEngineOn(options_, env_.get()));
  }
  Status Put(uint64_t position) {
    Batch batch;
    batch.Put(VersionKey("key", position), "value");
    return engine_->Write(batch, position);
  }
  std::string Log() {
    MutexLock lock(&mutex_);
    return log_;
  }

  TempDirectory directory_;
  FaultSwitch faults_;
  std::unique_ptr<rocksdb::Env> env_ =
      rocksdb::NewCompositeEnv(std::make_shared<FaultFileSystem>(faults_));
  Mutex mutex_;
  std::string log_;
  RocksEngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

class RocksFullDisk : public RocksFault {};
INSTANTIATE_TEST_SUITE_P(AtEachFile, RocksFullDisk, testing::Values(".sst", "MANIFEST"),
                         [](const auto& file) { return file.index == 0 ? "Table" : "Manifest"; });

TEST_P(RocksFullDisk, StopsWritesKeepsReadsAndIsResumedFrom) {
  engine_->StartAt(0);
  ASSERT_TRUE(Put(1));
  ASSERT_TRUE(engine_->Flush(true));
  ASSERT_TRUE(Put(2));
  faults_.name_part = GetParam();
  faults_.fault = Fault::kNoSpace;

  Status flushed = engine_->Flush(true);
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, Code::kDiskFull) << flushed.error().ToString();
  EXPECT_EQ(engine_->health().state, EngineState::kNoSpace);
  EXPECT_THAT(engine_->health().error.message, HasSubstr(GetParam()));
  EXPECT_THAT(Log(), HasSubstr("No space"));
  EXPECT_EQ(Put(3).error().code, Code::kDiskFull);
  EXPECT_EQ(engine_->durable_position(), 1u);
  std::string value;
  EXPECT_TRUE(Must(engine_->Get(VersionKey("key", 2), &value)));
  EXPECT_FALSE(Must(engine_->Get(VersionKey("key", 3), &value)));

  EXPECT_EQ(engine_->Resume().error().code, Code::kDiskFull) << "still full";
  EXPECT_EQ(engine_->health().state, EngineState::kNoSpace);
  EXPECT_FALSE(Put(3));

  faults_.fault = Fault::kNone;
  Status resumed = engine_->Resume();
  ASSERT_TRUE(resumed) << resumed.error().ToString();
  EXPECT_EQ(engine_->health().state, EngineState::kOk);
  ASSERT_TRUE(Put(3));
  ASSERT_TRUE(engine_->Flush(true));
  EXPECT_EQ(engine_->durable_position(), 3u);
  engine_.reset();
  engine_ = Must(OpenRocksEngineOn(options_, env_.get()));
  for (uint64_t position = 1; position <= 3; ++position) {
    EXPECT_TRUE(Must(engine_->Get(VersionKey("key", position), &value))) << position;
  }
}

TEST_F(RocksFault, AnyOtherBackgroundErrorIsFinal) {
  engine_->StartAt(0);
  ASSERT_TRUE(Put(1));
  faults_.fault = Fault::kIo;
  Status flushed = engine_->Flush(true);
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, Code::kIo);
  EXPECT_THAT(flushed.error().message, HasSubstr(".sst"));
  faults_.fault = Fault::kNone;
  EXPECT_EQ(engine_->health().state, EngineState::kFailed);
  EXPECT_EQ(Put(2).error().code, Code::kIo);
  EXPECT_EQ(engine_->Resume().error().code, Code::kIo);
  EXPECT_EQ(engine_->Flush(true).error().code, Code::kIo);
  EXPECT_EQ(engine_->durable_position(), 0u);
}

// Buffers fill up and are flushed in the background, where the disk is full; the state machine
// refuses a batch, and takes the very same one once there is space.
TEST_F(RocksFault, AStateMachineGoesOnAfterAFullDisk) {
  auto machine = Must(StateMachine::Open(std::move(engine_), {}, {}));
  faults_.fault = Fault::kNoSpace;
  const std::string command =
      EncodeCommand(PutCommand{.key = "k", .value = std::string(4000, 'v')});
  auto apply = [&](ApplyResult* result) {
    const Record record{.index = machine->applied_index() + 1,
                        .term = 1,
                        .kind = RecordKind::kCommand,
                        .bytes = command,
                        .conf = {}};
    std::vector<ApplyResult> results;
    Status status = machine->Apply({&record, 1}, &results);
    if (status) *result = results.front();
    return status;
  };
  ApplyResult result;
  Status status;
  // All buffers together hold some 64 of these; writing cannot go on for long.
  for (int i = 0; i < 1000 && status; ++i) status = apply(&result);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kDiskFull);
  EXPECT_EQ(machine->engine().health().state, EngineState::kNoSpace);
  const uint64_t applied = machine->applied_index();
  EXPECT_EQ(result.version, applied);
  EXPECT_FALSE(apply(&result));
  EXPECT_EQ(machine->applied_index(), applied);
  EXPECT_EQ(Must(machine->Get("k")).version, applied);

  faults_.fault = Fault::kNone;
  status = machine->engine().Resume();
  ASSERT_TRUE(status) << status.error().ToString();
  status = apply(&result);
  ASSERT_TRUE(status) << status.error().ToString();
  EXPECT_EQ(result.version, applied + 1);
  status = machine->Flush(true);
  ASSERT_TRUE(status) << status.error().ToString() << "\n" << Log();
  EXPECT_EQ(machine->durable_applied_index(), applied + 1);
}

}  // namespace
}  // namespace arima::kv
