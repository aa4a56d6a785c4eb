// Checkpoints of a real database: what is in them, what they share, what is left of a failed one,
// and what reading one notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "kv/checkpoint.h"
#include "kv/command.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/state_machine.h"
#include "kv/test_fault_fs.h"
#include "kv/test_stores.h"
#include "testing/bad_disk.h"

namespace arima::kv {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class RocksCheckpoint : public testing::Test {
 protected:
  RocksCheckpoint() {
    AppliedState initial;
    initial.index = 1;
    initial.term = 1;
    initial.conf = "first configuration";
    initial.cluster_id.bytes[2] = 8;
    machine_ = Must(StateMachine::Open(
        Must(OpenRocksEngineOn(RocksStore::SmallOptions(Path("db")), env_.get())), initial, {}));
  }
  std::string Path(const std::string& name) const { return directory_.path() / name; }

  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string value(3000, static_cast<char>('a' + i % 26));
      const std::string command = EncodeCommand(
          PutCommand{.key = "k" + std::to_string(machine_->applied_index()), .value = value});
      const Record record{.index = machine_->applied_index() + 1,
                          .term = 4,
                          .kind = RecordKind::kCommand,
                          .bytes = command,
                          .conf = {}};
      std::vector<ApplyResult> results;
      ASSERT_TRUE(machine_->Apply({&record, 1}, &results));
    }
  }
  static uint64_t DigestOf(const std::string& dir) {
    RocksEngineOptions options = RocksStore::SmallOptions(dir);
    options.create_if_missing = false;
    return Must(ContentDigest(*Must(OpenRocksEngine(options))));
  }
  static std::map<std::string, std::string> FilesOf(const std::string& dir) {
    std::map<std::string, std::string> files;
    for (const auto& file : fs::directory_iterator(dir)) {
      std::ifstream in(file.path(), std::ios::binary);
      files[file.path().filename()] = {std::istreambuf_iterator<char>(in), {}};
    }
    return files;
  }
  static std::vector<fs::path> TablesOf(const std::string& dir) {
    std::vector<fs::path> tables;
    for (const auto& file : fs::directory_iterator(dir)) {
      if (file.path().extension() == ".sst") tables.push_back(file.path());
    }
    std::ranges::sort(tables);
    return tables;
  }

  TempDirectory directory_;
  FaultSwitch faults_;
  std::unique_ptr<rocksdb::Env> env_ =
      rocksdb::NewCompositeEnv(std::make_shared<FaultFileSystem>(faults_));
  std::unique_ptr<StateMachine> machine_;
};

TEST_F(RocksCheckpoint, HoldsEverythingAppliedBeforeItFlushedOrNot) {
  Fill(100);
  ASSERT_TRUE(machine_->Flush(true));
  Fill(7);
  ASSERT_LT(machine_->durable_applied_index(), machine_->applied_index());
  const uint64_t digest = Must(ContentDigest(machine_->engine()));
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  const AppliedState applied = Must(ReadCheckpoint(Path("ckpt")));
  EXPECT_EQ(applied.index, machine_->applied_index());
  EXPECT_EQ(applied.term, 4u);
  EXPECT_EQ(applied.conf, "first configuration");
  EXPECT_EQ(applied.cluster_id.bytes[2], 8);
  EXPECT_FALSE(fs::exists(Path("ckpt.tmp")));
  EXPECT_EQ(DigestOf(Path("ckpt")), digest);
}

TEST_F(RocksCheckpoint, SharesTablesAndOutlivesWhatTheDatabaseDoes) {
  Fill(100);
  ASSERT_TRUE(machine_->engine().CompactAll()) << "or a table may be replaced meanwhile";
  const uint64_t digest = Must(ContentDigest(machine_->engine()));
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  const auto tables = TablesOf(Path("ckpt"));
  ASSERT_FALSE(tables.empty());
  for (const fs::path& table : tables) EXPECT_EQ(fs::hard_link_count(table), 2u) << table;
  Fill(200);
  ASSERT_TRUE(machine_->Flush(true));
  ASSERT_TRUE(machine_->engine().CompactAll());
  machine_.reset();
  fs::remove_all(Path("db"));
  EXPECT_TRUE(VerifyCheckpointTables(Path("ckpt")));
  EXPECT_EQ(DigestOf(Path("ckpt")), digest);
}

TEST_F(RocksCheckpoint, ADirectoryThatExistsIsLeftAlone) {
  Fill(1);
  fs::create_directory(Path("ckpt"));
  std::ofstream(Path("ckpt") + "/mine") << "x";
  Status made = machine_->engine().Checkpoint(Path("ckpt"));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kAlreadyExists);
  EXPECT_THAT(made.error().message, HasSubstr(Path("ckpt")));
  EXPECT_EQ(FilesOf(Path("ckpt")).size(), 1u);
}

TEST_F(RocksCheckpoint, AFailedOneLeavesNothingAndTheNextOneWorks) {
  Fill(100);
  for (auto [fault, code] :
       {std::pair{Fault::kIo, Code::kIo}, std::pair{Fault::kNoSpace, Code::kDiskFull}}) {
    for (const char* file : {"ckpt.tmp/MANIFEST", "ckpt.tmp/CURRENT"}) {
      faults_.name_part = file;
      faults_.fault = fault;
      Status made = machine_->engine().Checkpoint(Path("ckpt"));
      ASSERT_FALSE(made) << file;
      EXPECT_EQ(made.error().code, code) << made.error().ToString();
      EXPECT_THAT(made.error().message, HasSubstr("ckpt"));
      EXPECT_FALSE(fs::exists(Path("ckpt"))) << file;
      EXPECT_FALSE(fs::exists(Path("ckpt.tmp"))) << file;
      EXPECT_EQ(machine_->engine().health().state, EngineState::kOk) << "the database is sound";
    }
  }
  faults_.fault = Fault::kNone;
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  Status nowhere = machine_->engine().Checkpoint(Path("none/ckpt"));
  EXPECT_FALSE(nowhere);
  EXPECT_FALSE(fs::exists(Path("none")));
}

TEST_F(RocksCheckpoint, WhatADyingOneLeftDoesNotStopTheNext) {
  Fill(10);
  fs::create_directory(Path("ckpt.tmp"));
  std::ofstream(Path("ckpt.tmp") + "/000007.sst") << "x";
  Status made = machine_->engine().Checkpoint(Path("ckpt"));
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(Must(ReadCheckpoint(Path("ckpt"))).index, machine_->applied_index());
}

TEST_F(RocksCheckpoint, ReadingChangesNoByte) {
  Fill(100);
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  const auto before = FilesOf(Path("ckpt"));
  ASSERT_TRUE(ReadCheckpoint(Path("ckpt")));
  uint64_t bytes = 0;
  ASSERT_TRUE(VerifyCheckpointTables(Path("ckpt"), [&](uint64_t n) -> Status {
    bytes += n;
    return {};
  }));
  EXPECT_TRUE(FilesOf(Path("ckpt")) == before);
  uint64_t table_bytes = 0;
  for (const fs::path& table : TablesOf(Path("ckpt"))) table_bytes += fs::file_size(table);
  EXPECT_EQ(bytes, table_bytes);
}

TEST_F(RocksCheckpoint, WhereThereIsNoneItIsNotFound) {
  EXPECT_EQ(ReadCheckpoint(Path("none")).error().code, Code::kNotFound);
  fs::create_directory(Path("empty"));
  auto read = ReadCheckpoint(Path("empty"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kNotFound);
  EXPECT_THAT(read.error().message, HasSubstr(Path("empty")));
  EXPECT_EQ(VerifyCheckpointTables(Path("empty")).error().code, Code::kNotFound);
}

TEST_F(RocksCheckpoint, ADatabaseWithoutAnAppliedRecordIsNone) {
  {
    (void)Must(OpenRocksEngine(RocksStore::SmallOptions(Path("bare"))));
  }
  auto read = ReadCheckpoint(Path("bare"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kCorruption);
  EXPECT_THAT(read.error().message, HasSubstr("no applied record"));
}

TEST_F(RocksCheckpoint, ARottenTableIsNamed) {
  Fill(300);
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  const auto tables = TablesOf(Path("ckpt"));
  ASSERT_GT(tables.size(), 1u);
  for (const fs::path& table : tables) {
    for (uint64_t part = 0; part < 4; ++part) {
      const uint64_t offset = fs::file_size(table) * part / 4;
      FlipBit(table, offset);
      Status verified = VerifyCheckpointTables(Path("ckpt"));
      ASSERT_FALSE(verified) << table << " at " << offset;
      EXPECT_EQ(verified.error().code, Code::kCorruption);
      EXPECT_THAT(verified.error().message, HasSubstr(table.filename().string()));
      FlipBit(table, offset);
    }
  }
  EXPECT_TRUE(VerifyCheckpointTables(Path("ckpt"))) << "all of it was mended";
  fs::resize_file(tables.back(), fs::file_size(tables.back()) / 2);
  Status verified = VerifyCheckpointTables(Path("ckpt"));
  ASSERT_FALSE(verified);
  EXPECT_THAT(verified.error().message, HasSubstr(tables.back().filename().string()));
}

// RocksDB takes damage of a table's properties for damage of the manifest.
TEST_F(RocksCheckpoint, ATableWhosePropertiesAreDamagedIsNamed) {
  Fill(300);
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  const fs::path table = TablesOf(Path("ckpt")).front();
  const uint64_t bytes = fs::file_size(table);
  int noticed = 0;
  for (uint64_t offset = bytes - std::min<uint64_t>(bytes, 2000); offset < bytes; offset += 23) {
    FlipBit(table, offset);
    Status verified = VerifyCheckpointTables(Path("ckpt"));
    if (!verified) {
      ++noticed;
      EXPECT_THAT(verified.error().message, HasSubstr(table.filename().string())) << offset;
    }
    FlipBit(table, offset);
  }
  EXPECT_GT(noticed, 0);
}

TEST_F(RocksCheckpoint, DamageOfWhatHoldsItTogetherIsCorruption) {
  Fill(10);
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  for (const auto& file : fs::directory_iterator(Path("ckpt"))) {
    const std::string name = file.path().filename();
    if (!name.starts_with("MANIFEST")) continue;
    FlipBit(file.path(), fs::file_size(file.path()) / 2);
    auto read = ReadCheckpoint(Path("ckpt"));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Code::kCorruption) << read.error().ToString();
  }
  std::ofstream(Path("ckpt") + "/CURRENT") << "MANIFEST-999999\n";
  auto read = ReadCheckpoint(Path("ckpt"));
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("MANIFEST-999999"));
}

TEST_F(RocksCheckpoint, ACheckStopsWhenItIsToldTo) {
  Fill(100);
  ASSERT_TRUE(machine_->engine().Checkpoint(Path("ckpt")));
  int steps = 0;
  Status verified = VerifyCheckpointTables(Path("ckpt"), [&](uint64_t) -> Status {
    ++steps;
    return Fail(Code::kUnavailable, "stopping");
  });
  EXPECT_EQ(verified.error().code, Code::kUnavailable);
  EXPECT_EQ(steps, 1);
}

}  // namespace
}  // namespace arima::kv
