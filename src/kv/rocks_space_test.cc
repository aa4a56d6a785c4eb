// Compactions on a disk without the space for them.
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <string>
#include <thread>

#include "base/random.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/test_stores.h"
#include "kv/value_record.h"

namespace arima::kv {
namespace {

// Says that so much is free.
class SpaceFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit SpaceFileSystem(const std::atomic<uint64_t>& free_bytes)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), free_bytes_(free_bytes) {}
  const char* Name() const override { return "SpaceFileSystem"; }
  rocksdb::IOStatus GetFreeSpace(const std::string&, const rocksdb::IOOptions&,
                                 uint64_t* free_bytes, rocksdb::IODebugContext*) override {
    *free_bytes = free_bytes_;
    return rocksdb::IOStatus::OK();
  }

 private:
  const std::atomic<uint64_t>& free_bytes_;
};

class RocksSpace : public testing::Test {
 protected:
  RocksSpace() { Open(10); }
  void Open(uint64_t sweep_pause_ms, uint64_t write_buffer_bytes = 64 << 10) {
    engine_.reset();
    RocksEngineOptions options = RocksStore::SmallOptions(directory_.path() / "db");
    options.sweep_pause_ms = sweep_pause_ms;
    options.write_buffer_bytes = write_buffer_bytes;
    engine_ = Must(OpenRocksEngineOn(options, env_.get()));
    engine_->StartAt(position_);
  }
  // Flushed, so that the engine looks at the disk.
  void WriteTable(size_t bytes = 10'000) {
    Batch batch;
    batch.Put(VersionKey("key", ++position_), std::string(bytes, 'v'));
    Status written = engine_->Write(batch, position_);
    ASSERT_TRUE(written) << written.error().ToString();
    Status flushed = engine_->Flush(true);
    ASSERT_TRUE(flushed) << flushed.error().ToString();
  }

  TempDirectory directory_;
  std::atomic<uint64_t> free_bytes_{uint64_t{1} << 40};
  std::unique_ptr<rocksdb::Env> env_ =
      rocksdb::NewCompositeEnv(std::make_shared<SpaceFileSystem>(free_bytes_));
  std::unique_ptr<Engine> engine_;
  uint64_t position_ = 0;
};

TEST_F(RocksSpace, ACompactionThatDoesNotFitIsNotBegunAndHarmsNothing) {
  free_bytes_ = 1 << 20;
  for (int i = 0; i < 3; ++i) WriteTable();
  const Status refused = engine_->CompactAll();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDiskFull) << refused.error().ToString();
  EXPECT_EQ(engine_->stats().table_count, 3u);
  EXPECT_EQ(engine_->health().state, EngineState::kOk);
  WriteTable();

  free_bytes_ = uint64_t{1} << 40;
  WriteTable();
  const Status done = engine_->CompactAll();
  EXPECT_TRUE(done) << done.error().ToString();
  EXPECT_EQ(engine_->stats().table_count, 1u);
}

// RocksDB would count tables that reach the limit as a full disk.
TEST_F(RocksSpace, AFlushIsNeverRefusedByTheLimitOfCompactions) {
  Open(10, 4 << 20);
  free_bytes_ = 0;
  for (int i = 0; i < 8; ++i) WriteTable(3'000'000);
  EXPECT_EQ(engine_->health().state, EngineState::kOk);
  EXPECT_EQ(engine_->durable_position(), position_);
}

// As on a full disk where clients delete: each flush leaves a small table, and they are never
// compacted into the large ones below. No sweep is waited for.
TEST_F(RocksSpace, YoungTablesThatCannotGoDownDoNotStopWrites) {
  Open(1'000'000'000);
  WriteTable(2'000'000);
  ASSERT_TRUE(engine_->CompactAll());
  free_bytes_ = 1 << 20;
  WriteTable(800'000);  // too large to be merged with others
  for (int i = 0; i < 4 * kYoungTablesMax; ++i) {
    WriteTable(100);
    ASSERT_FALSE(HasFatalFailure());
  }
  std::string largest;
  EXPECT_TRUE(Must(engine_->Get(VersionKey("key", 1), &largest)));
  EXPECT_EQ(largest.size(), 2'000'000u);
  for (uint64_t revision = 2; revision <= position_; ++revision) {
    std::string value;
    EXPECT_TRUE(Must(engine_->Get(VersionKey("key", revision), &value))) << revision;
  }
}

class RocksSpaceEstimate : public RocksSpace {
 protected:
  static std::string Key(int i) { return "key" + std::to_string(1000 + i); }
  void Write(const Batch& batch) {
    Status written = engine_->Write(batch, position_);
    ASSERT_TRUE(written) << written.error().ToString();
  }
  void WriteRecord(int i, const ValueRecord& record) {
    const std::string version = VersionKey(Key(i), ++position_);
    std::string head;
    EncodeValueHead(version, record, &head);
    Batch batch;
    batch.Put(version, head + std::string(record.value));
    if (record.deleted) {
      std::string deletion;
      SetDeletionKey(position_, Key(i), &deletion);
      batch.Put(deletion, "");
    }
    Write(batch);
  }
  // Key i at revision i + 1, 4 MB in all; they go to the lowest level.
  void WriteValues() {
    SeededRandom random(1);
    std::string value(20'000, 0);
    for (char& c : value) c = static_cast<char>(random.Next());
    for (int i = 0; i < kKeys; ++i) {
      WriteRecord(i, {.create_revision = position_ + 1, .version = 1, .value = value});
    }
    ASSERT_TRUE(engine_->CompactAll());
    ASSERT_GT(engine_->stats().table_bytes, 4'000'000u);
  }
  void WaitForSweeps(uint64_t count) {
    const uint64_t end = engine_->stats().sweep_count + count;
    while (engine_->stats().sweep_count < end) std::this_thread::yield();
  }
  static constexpr int kKeys = 200;
};

// By the mean size of all entries, most of which are small here, what is hidden would seem to be a
// third of what it is, and the compaction that drops it would seem not to fit.
TEST_F(RocksSpaceEstimate, WhatDeletionsHideIsKnownToBeLarge) {
  WriteValues();
  free_bytes_ = 100'000;
  for (int i = 0; i < kKeys; ++i) WriteRecord(i, {.deleted = true});
  ASSERT_TRUE(engine_->Flush(true));
  engine_->RaiseHistoryFloor(position_, position_);
  WaitForSweeps(20);
  EXPECT_LT(engine_->stats().table_bytes, 100'000u);
}

// Counted for each of the three, more would seem to go than does, and a compaction begin that runs
// out of space.
TEST_F(RocksSpaceEstimate, ADeletionAndItsTwoMarksHideOneValue) {
  WriteValues();
  free_bytes_ = 1'500'000;
  for (int i = 0; i < kKeys; i += 3) WriteRecord(i, {.deleted = true});
  ASSERT_TRUE(engine_->Flush(true));
  const uint64_t end = position_;
  for (int i = 0; i < kKeys; i += 3) {
    Batch batch;
    batch.Delete(VersionKey(Key(i), static_cast<uint64_t>(i) + 1));
    batch.Delete(VersionKey(Key(i), static_cast<uint64_t>(kKeys + i / 3) + 1));
    ++position_;
    Write(batch);
  }
  ASSERT_TRUE(engine_->Flush(true));
  engine_->RaiseHistoryFloor(end, position_);
  WaitForSweeps(20);
  EXPECT_EQ(engine_->stats().sweep_compaction_count, 0u) << "2.7 MB would be left";
  free_bytes_ = 3'000'000;
  WaitForSweeps(20);
  EXPECT_GT(engine_->stats().sweep_compaction_count, 0u);
}

}  // namespace
}  // namespace arima::kv
