// The RocksDB engine and the state machine on a file system that runs full or fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>

#include "base/mutex.h"
#include "kv/command.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/state_machine.h"
#include "kv/test_stores.h"

namespace arima::kv {
namespace {

using testing::HasSubstr;

enum class Fault { kNone, kNoSpace, kIo };

// Fails appends and syncs of files whose name contains a given text while a fault is armed.
struct FaultSwitch {
  std::atomic<Fault> fault{Fault::kNone};
  std::string name_part = ".sst";

  rocksdb::IOStatus Check(const std::string& name) const {
    if (name.find(name_part) == std::string::npos) return rocksdb::IOStatus::OK();
    rocksdb::IOStatus status;
    switch (fault.load()) {
      case Fault::kNone:
        return rocksdb::IOStatus::OK();
      case Fault::kNoSpace:
        status = rocksdb::IOStatus::NoSpace("While appending to file: " + name, "injected");
        status.SetRetryable(true);  // as RocksDB's own file system says of ENOSPC
        return status;
      case Fault::kIo:
        return rocksdb::IOStatus::IOError("While appending to file: " + name, "EIO");
    }
    return status;
  }
};

class FaultFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::string name,
            const FaultSwitch& faults)
      : FSWritableFileOwnerWrapper(std::move(file)), name_(std::move(name)), faults_(faults) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = faults_.Check(name_);
    return status.ok() ? FSWritableFileOwnerWrapper::Append(data, options, context) : status;
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& verification,
                           rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = faults_.Check(name_);
    return status.ok() ? FSWritableFileOwnerWrapper::Append(data, options, verification, context)
                       : status;
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                         rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status = faults_.Check(name_);
    return status.ok() ? FSWritableFileOwnerWrapper::Sync(options, context) : status;
  }

 private:
  const std::string name_;
  const FaultSwitch& faults_;
};

class FaultFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit FaultFileSystem(const FaultSwitch& faults)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), faults_(faults) {}
  const char* Name() const override { return "FaultFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    rocksdb::IOStatus status = target()->NewWritableFile(name, options, &file, context);
    if (status.ok()) *result = std::make_unique<FaultFile>(std::move(file), name, faults_);
    return status;
  }

 private:
  const FaultSwitch& faults_;
};

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
