// Compactions on a disk without the space for them.
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>

#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/test_stores.h"

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
  RocksSpace() {
    RocksEngineOptions options = RocksStore::SmallOptions(directory_.path() / "db");
    options.sweep_pause_ms = 10;
    engine_ = Must(OpenRocksEngineOn(options, env_.get()));
    engine_->StartAt(0);
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
  free_bytes_ = 0;
  for (int i = 0; i < 8; ++i) WriteTable(300'000);
  EXPECT_EQ(engine_->health().state, EngineState::kOk);
  EXPECT_EQ(engine_->durable_position(), position_);
}

// As on a full disk where clients delete: each flush leaves a small table, and they are never
// compacted into the large ones below.
TEST_F(RocksSpace, YoungTablesThatCannotGoDownDoNotStopWrites) {
  WriteTable(2'000'000);
  ASSERT_TRUE(engine_->CompactAll());
  free_bytes_ = 1 << 20;
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

}  // namespace
}  // namespace arima::kv
