// What only the RocksDB engine has: files, background flushes, real crashes.
#include "kv/rocks_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <latch>
#include <sstream>
#include <thread>

#include "base/mutex.h"
#include "base/random.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/state_machine.h"
#include "kv/test_seed.h"
#include "kv/test_stores.h"
#include "kv/test_workload.h"
#include "testing/bad_disk.h"
#include "testing/wait_until.h"

extern char** environ;

namespace arima::kv {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<fs::path> FilesOf(const fs::path& directory, std::string_view start,
                              std::string_view end) {
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(directory)) {
    const std::string name = file.path().filename().string();
    if (name.starts_with(start) && name.ends_with(end)) files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadFile(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void PutVersions(Engine* engine, int count, uint64_t position) {
  for (int i = 0; i < count; ++i) {
    Batch batch;
    batch.Put(VersionKey("key" + std::to_string(i), 2), std::string(2000, 'v'));
    ASSERT_TRUE(engine->Write(batch, ++position));
  }
}

TEST(RocksEngine, OptionsThatCorrectnessRestsOnAreInForce) {
  RocksStore store;
  store.Open();
  std::vector<fs::path> files = FilesOf(store.Options().path, "OPTIONS-", "");
  ASSERT_FALSE(files.empty());
  const std::string text = ReadFile(files.back());
  for (std::string_view line :
       {"avoid_flush_during_shutdown=false", "paranoid_checks=true",
        "force_consistency_checks=true", "max_bgerror_resume_count=0", "max_open_files=4096",
        "skip_stats_update_on_db_open=true", "atomic_flush=false", "unordered_write=false",
        "two_write_queues=false", "prefix_extractor=arima.user_key.1",
        "cache_index_and_filter_blocks=true", "partition_filters=true",
        "index_type=kTwoLevelIndexSearch", "whole_key_filtering=false", "checksum=kXXH3",
        "target_file_size_multiplier=2", "stats_dump_period_sec=0",
        "comparator=leveldb.BytewiseComparator"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  const size_t family = text.find("CFOptions \"");
  EXPECT_EQ(text.substr(family, 19), "CFOptions \"default\"");
  EXPECT_EQ(text.find("CFOptions \"", family + 1), std::string::npos)
      << "one column family, or flushes are no prefixes";
}

TEST(RocksEngine, WritesNoLogOfItsOwn) {
  RocksStore store;
  std::unique_ptr<Engine> engine = store.Open();
  engine->StartAt(0);
  PutVersions(engine.get(), 10, 0);
  EXPECT_TRUE(FilesOf(store.Options().path, "LOG", "").empty());
  for (const fs::path& log : FilesOf(store.Options().path, "", ".log")) {
    EXPECT_EQ(fs::file_size(log), 0u) << log;
  }
}

TEST(RocksEngine, ClosingMakesEverythingDurable) {
  RocksStore store;
  std::unique_ptr<Engine> engine = store.Open();
  engine->StartAt(0);
  PutVersions(engine.get(), 3, 0);
  engine.reset();
  engine = store.Open();
  std::string value;
  EXPECT_TRUE(Must(engine->Get(VersionKey("key2", 2), &value)));
}

TEST(RocksEngine, ADatabaseThatMustBeThereIsNotMade) {
  TempDirectory directory;
  RocksEngineOptions options = RocksStore::SmallOptions(directory.path() / "db");
  options.create_if_missing = false;
  Result<std::unique_ptr<Engine>> opened = OpenRocksEngine(options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kNotFound);
  EXPECT_FALSE(fs::exists(directory.path() / "db"));
}

TEST(RocksEngine, IsOpenOnlyOnce) {
  RocksStore store;
  std::unique_ptr<Engine> engine = store.Open();
  Result<std::unique_ptr<Engine>> second = OpenRocksEngine(store.Options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kIo);
  EXPECT_THAT(second.error().message, HasSubstr(store.Options().path + "/LOCK"));
}

TEST(RocksEngine, AMissingCurrentIsDamageNotANewDatabase) {
  RocksStore store;
  std::unique_ptr<Engine> engine = store.Open();
  engine->StartAt(0);
  PutVersions(engine.get(), 1, 0);
  engine.reset();
  fs::remove(fs::path(store.Options().path) / "CURRENT");
  Result<std::unique_ptr<Engine>> opened = OpenRocksEngine(store.Options());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kCorruption);
  EXPECT_THAT(opened.error().message, HasSubstr("CURRENT"));
  EXPECT_FALSE(FilesOf(store.Options().path, "", ".sst").empty()) << "nothing was deleted";
}

TEST(RocksEngine, AMissingOrShortTableIsFoundWhenOpening) {
  for (bool missing : {false, true}) {
    RocksStore store;
    std::unique_ptr<Engine> engine = store.Open();
    engine->StartAt(0);
    PutVersions(engine.get(), 1, 0);
    engine.reset();
    fs::path table = FilesOf(store.Options().path, "", ".sst").at(0);
    if (missing) {
      fs::remove(table);
    } else {
      fs::resize_file(table, fs::file_size(table) - 1);
    }
    Result<std::unique_ptr<Engine>> opened = OpenRocksEngine(store.Options());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::kCorruption);
    EXPECT_THAT(opened.error().message, HasSubstr(store.Options().path));
    if (missing) {
      EXPECT_THAT(opened.error().message, HasSubstr(table.stem().string()));
    }
  }
}

// Damage all data blocks: opening must not notice, because it may not read what grows with the
// data.
TEST(RocksEngine, OpeningReadsNoDataAndReadingNamesTheDamagedTable) {
  RocksStore store;
  std::unique_ptr<Engine> engine = store.Open();
  engine->StartAt(0);
  PutVersions(engine.get(), 80, 0);  // too few tables for a compaction, which would read them
  engine.reset();
  std::vector<fs::path> tables = FilesOf(store.Options().path, "", ".sst");
  ASSERT_GT(tables.size(), 1u);
  for (const fs::path& table : tables) {
    // Indexes, filters and properties are the last part of a table.
    for (std::uintmax_t at = 100; at < fs::file_size(table) * 3 / 4; at += 500) {
      FlipBit(table, at);
    }
  }
  engine = store.Open();
  engine->StartAt(80);
  EXPECT_EQ(engine->health().state, EngineState::kOk);

  std::unique_ptr<Iterator> it = engine->NewIterator({.one_user_key = true});
  it->Seek(VersionKey("key0", 2));
  EXPECT_FALSE(it->Valid());
  Status status = it->status();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kCorruption);
  EXPECT_THAT(status.error().message, HasSubstr(".sst"));
  EXPECT_EQ(engine->health().state, EngineState::kCorruption);
  Batch batch;
  EXPECT_EQ(engine->Write(batch, 81).error().code, Code::kCorruption);
  EXPECT_EQ(engine->Resume().error().code, Code::kCorruption);
}

TEST(RocksEngine, StatsFollowTheData) {
  RocksStore store;
  std::unique_ptr<Engine> engine = store.Open();
  engine->StartAt(0);
  EXPECT_EQ(engine->stats().table_count, 0u);
  PutVersions(engine.get(), 10, 0);
  EXPECT_GT(engine->stats().unflushed_bytes, 10u * 2000);
  ASSERT_TRUE(engine->Flush(true));
  EngineStats stats = engine->stats();
  EXPECT_GE(stats.table_count, 1u);
  EXPECT_GT(stats.table_bytes, 0u);
  EXPECT_EQ(stats.entry_count, 10u);
  EXPECT_FALSE(stats.write_stalled);
}

// Keeps each thread that could compact busy, as a full disk would, until Go.
class NoCompactions {
 public:
  explicit NoCompactions(rocksdb::Env* env)
      : free_(env->GetBackgroundThreads(rocksdb::Env::Priority::LOW)) {
    for (int i = 0; i < env->GetBackgroundThreads(rocksdb::Env::Priority::LOW); ++i) {
      env->Schedule([](void* task) { static_cast<NoCompactions*>(task)->Hold(); }, this,
                    rocksdb::Env::Priority::LOW);
    }
  }
  void Go() {
    over_.count_down();
    free_.wait();
  }

 private:
  void Hold() {
    over_.wait();
    free_.count_down();
  }

  std::latch over_{1};
  std::latch free_;
};

void StopWritesAt(Engine* engine, const std::string& tables) {
  ASSERT_TRUE(DatabaseOf(engine)
                  ->SetOptions({{"level0_file_num_compaction_trigger", "2"},
                                {"level0_slowdown_writes_trigger", tables},
                                {"level0_stop_writes_trigger", tables}})
                  .ok());
}

// Compactions may get their space from what is set free by those who must not wait for them.
TEST(RocksEngine, WhereCompactionsWaitNobodyElseWaitsForEver) {
  TempDirectory directory;
  RocksStore store;
  RocksEngineOptions options = store.Options();
  options.write_patience_ms = 50;
  auto engine = Must(OpenRocksEngine(options));
  StopWritesAt(engine.get(), "3");
  NoCompactions none(DatabaseOf(engine.get())->GetEnv());
  for (uint64_t position = 1; position <= 3; ++position) {
    PutVersions(engine.get(), 1, position - 1);
    EXPECT_TRUE(engine->Flush(true));
    EXPECT_EQ(engine->durable_position(), position);
  }
  // Writes are stopped.
  Batch batch;
  batch.Put(VersionKey("key", 4), "value");
  batch.Put(kAppliedKey, "4");
  Status written = engine->Write(batch, 4);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::kOverloaded) << written.error().ToString();
  Status started = engine->Flush(false);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kOverloaded) << started.error().ToString();
  EXPECT_TRUE(engine->Flush(true)) << "nothing to flush";
  EXPECT_TRUE(engine->Checkpoint(directory.path() / "checkpoint"));
  EXPECT_EQ(engine->health().state, EngineState::kOk);
  EXPECT_EQ(engine->durable_position(), 3u);
  none.Go();
  WaitUntil([&] { return engine->Write(batch, 4).has_value(); });
  EXPECT_TRUE(engine->Flush(true));
  EXPECT_EQ(engine->durable_position(), 4u);
}

TEST(RocksEngine, WhatIsUnflushedWhenItClosesDoesNotWaitForCompactions) {
  RocksStore store;
  rocksdb::Env* env = rocksdb::Env::Default();
  auto engine = store.Open();
  StopWritesAt(engine.get(), "4");
  NoCompactions none(env);
  for (uint64_t position = 0; position < 3; ++position) {
    PutVersions(engine.get(), 1, position);
    EXPECT_TRUE(engine->Flush(true));
  }
  PutVersions(engine.get(), 1, 3);
  DatabaseOf(engine.get())->DisableManualCompaction();
  std::thread closer([&] { engine.reset(); });
  WaitUntil([&] {
    auto again = OpenRocksEngine(store.Options());
    return again.has_value();
  });
  closer.join();
  none.Go();
}

TEST(RocksEngine, AHealthyDatabaseLogsNothing) {
  TempDirectory directory;
  Mutex mutex;
  std::string lines;
  RocksEngineOptions options = RocksStore::SmallOptions(directory.path() / "db");
  options.log = [&](std::string_view line) {
    MutexLock lock(&mutex);
    lines.append(line).append("\n");
  };
  for (int life = 0; life < 2; ++life) {
    std::unique_ptr<Engine> engine = Must(OpenRocksEngine(options));
    engine->StartAt(0);
    PutVersions(engine.get(), 10, 0);
    ASSERT_TRUE(engine->Flush(true));
  }
  EXPECT_EQ(lines, "");
}

// -------------------------------------------------------------------------- durable position,
// crashes

// The position said to be durable is compared with what is found in copies of the files, made at
// any moment while buffers fill up and are flushed and compacted in the background.
TEST(RocksDurability, WhatIsSaidToBeDurableIsInTheFiles) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  Workload workload(random.Next(), 3000, 2000);
  RocksStore store;
  auto machine = Must(StateMachine::Open(store.Open(), {}, {}));
  uint64_t behind_count = 0;
  for (int copy = 1; copy <= 15; ++copy) {
    workload.Apply(machine.get(), workload.size() * static_cast<uint64_t>(copy) / 15, 30, &random);
    if (random.Percent(30)) {
      ASSERT_TRUE(machine->Flush(false));
    }
    const uint64_t durable = machine->durable_applied_index();
    store.CaptureCrash(&machine->engine());
    auto crashed = Must(StateMachine::Open(Must(OpenRocksEngine(store.Options())), {}, {}));
    ASSERT_GE(crashed->applied_index(), durable);
    ASSERT_LE(crashed->applied_index(), machine->applied_index());
    ASSERT_EQ(Must(ContentDigest(crashed->engine())), workload.DigestAt(crashed->applied_index()));
    if (crashed->applied_index() < machine->applied_index()) ++behind_count;
  }
  EXPECT_GT(machine->durable_applied_index(), 0u) << "flushes happen without being asked for";
  EXPECT_GT(behind_count, 0u) << "the copies did not test anything";
}

constexpr uint64_t kChildSeed = 7;
constexpr uint64_t kChildRecords = 4000;

struct Report {
  uint64_t applied = 0;
  uint64_t durable = 0;
};

// The victim: applies until it is killed and reports after each batch. Not a test of its own; the
// next one runs it in another process.
TEST(RocksDurability, DISABLED_Victim) {
  // NOLINTBEGIN(concurrency-mt-unsafe): nobody sets them
  const char* directory = std::getenv("ARIMA_KV_VICTIM_DIRECTORY");
  const char* pipe_number = std::getenv("ARIMA_KV_VICTIM_PIPE");
  // NOLINTEND(concurrency-mt-unsafe)
  ASSERT_TRUE(directory != nullptr && pipe_number != nullptr);
  const int pipe = std::stoi(pipe_number);
  Workload workload(kChildSeed, kChildRecords, 2000);
  SeededRandom random(SystemRandom64());
  auto machine =
      Must(StateMachine::Open(Must(OpenRocksEngine(RocksStore::SmallOptions(directory))), {}, {}));
  while (machine->applied_index() < kChildRecords) {
    workload.Apply(machine.get(),
                   std::min(kChildRecords, machine->applied_index() + random.Between(1, 20)), 20,
                   &random);
    Report report{.applied = machine->applied_index(), .durable = machine->durable_applied_index()};
    ASSERT_EQ(write(pipe, &report, sizeof report), static_cast<ssize_t>(sizeof report));
  }
}

// Starts a victim on `directory`, kills it after `report_count` reports; its last one.
Report KillAfter(const fs::path& directory, uint64_t report_count) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  std::vector<std::string> variables = {"ARIMA_KV_VICTIM_DIRECTORY=" + directory.string(),
                                        "ARIMA_KV_VICTIM_PIPE=" + std::to_string(ends[1])};
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  for (char** inherited = environ; *inherited != nullptr; ++inherited) {
    environment.push_back(*inherited);
  }
  environment.push_back(nullptr);
  std::string program = "/proc/self/exe";
  std::string filter = "--gtest_filter=RocksDurability.DISABLED_Victim";
  std::string disabled = "--gtest_also_run_disabled_tests";
  std::string brief = "--gtest_brief=1";
  char* arguments[] = {program.data(), filter.data(), disabled.data(), brief.data(), nullptr};
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environment.data()),
            0);
  close(ends[1]);
  Report last;
  for (Report report; report_count > 0; --report_count) {
    if (read(ends[0], &report, sizeof report) != static_cast<ssize_t>(sizeof report)) break;
    last = report;
  }
  kill(child, SIGKILL);
  // It may have got further before the signal did.
  for (Report report;
       read(ends[0], &report, sizeof report) == static_cast<ssize_t>(sizeof report);) {
    last = report;
  }
  close(ends[0]);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  return last;
}

TEST(RocksDurability, KilledAtAnyMomentLeavesAPrefixThatHoldsAllThatWasDurable) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  Workload workload(kChildSeed, kChildRecords, 2000);
  TempDirectory directory;
  const fs::path path = directory.path() / "db";
  Report last;
  uint64_t survived = 0;
  for (int kills = 0; kills < 5 && last.applied < kChildRecords; ++kills) {
    last = KillAfter(path, random.Between(1, 60));
    ASSERT_GT(last.applied, survived) << "the victim did nothing";
    auto machine =
        Must(StateMachine::Open(Must(OpenRocksEngine(RocksStore::SmallOptions(path))), {}, {}));
    survived = machine->applied_index();
    ASSERT_GE(survived, last.durable);
    ASSERT_LE(survived, last.applied + 20) << "one batch may be unreported";
    ASSERT_EQ(Must(ContentDigest(machine->engine())), workload.DigestAt(survived));
  }
}

}  // namespace
}  // namespace arima::kv
