// What only the RocksDB engine has of history: levels, marks, background compactions.
#include "kv/rocks_history.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/perf_context.h>

#include <atomic>
#include <map>
#include <thread>

#include "base/random.h"
#include "kv/command.h"
#include "kv/history_cleaner.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"
#include "kv/state_machine.h"
#include "kv/test_records.h"
#include "kv/test_seed.h"
#include "kv/test_stores.h"
#include "kv/value_record.h"

namespace arima::kv {
namespace {

// Reads only, as the cleaner needs it: over a database whose tables the test moves itself.
class BareEngine final : public Engine {
 public:
  class View final : public Iterator {
   public:
    View(rocksdb::DB* db, IterateOptions options) : options_(std::move(options)) {
      rocksdb::ReadOptions read;
      read.total_order_seek = !options_.one_user_key;
      read.prefix_same_as_start = options_.one_user_key;
      read.max_skippable_internal_keys = options_.passed_max;
      it_.reset(db->NewIterator(read));
    }
    void Seek(std::string_view key) override {
      std::string_view from = std::max<std::string_view>(key, options_.lower);
      it_->Seek({from.data(), from.size()});
    }
    void Next() override { it_->Next(); }
    bool Valid() const override {
      return it_->Valid() && (options_.upper.empty() || key() < options_.upper);
    }
    std::string_view key() const override { return {it_->key().data(), it_->key().size()}; }
    std::string_view value() const override { return {it_->value().data(), it_->value().size()}; }
    Status status() const override {
      if (it_->status().ok()) return {};
      return std::unexpected(MakeRocksError(it_->status(), "read", "test"));
    }

   private:
    const IterateOptions options_;
    std::unique_ptr<rocksdb::Iterator> it_;
  };

  explicit BareEngine(rocksdb::DB* db) : db_(db) {}
  void StartAt(uint64_t) override {}
  Status Write(const Batch&, uint64_t) override { return Unused(); }
  Result<bool> Get(std::string_view, std::string*) const override {
    return std::unexpected(Unused().error());
  }
  std::unique_ptr<Iterator> NewIterator(IterateOptions options) const override {
    return std::make_unique<View>(db_, std::move(options));
  }
  uint64_t durable_position() const override { return 0; }
  Status Flush(bool) override { return Unused(); }
  void RaiseHistoryFloor(uint64_t, uint64_t) override {}
  Status CompactAll() override { return Unused(); }
  EngineHealth health() const override { return {}; }
  Status Resume() override { return Unused(); }
  EngineStats stats() const override { return {}; }

 private:
  static Status Unused() { return Fail(Code::kInternal, "not in this test"); }
  rocksdb::DB* const db_;
};

// A database without compactions of its own, and a model of what was written to it.
class Levels : public testing::Test {
 protected:
  Levels() {
    RocksEngineOptions small = RocksStore::SmallOptions(directory_.path() / "db");
    rocksdb::Options options = MakeRocksOptions(small, rocksdb::Env::Default());
    options.disable_auto_compactions = true;
    listener_ = std::make_shared<RocksListener>(
        small.path, std::make_shared<CompactionSpace>(rocksdb::Env::Default(), small.path, 0));
    options.compaction_filter_factory = std::make_shared<HistoryFilterFactory>(history_, listener_);
    rocksdb::DB* db = nullptr;
    rocksdb::Status opened = rocksdb::DB::Open(options, small.path, &db);
    EXPECT_TRUE(opened.ok()) << opened.ToString();
    db_.reset(db);
    engine_ = std::make_unique<BareEngine>(db);
    cleaner_ = std::make_unique<HistoryCleaner>(engine_.get());
    write_.disableWAL = true;
  }

  void Write(const std::string& key, const std::string& value) {
    const std::string engine_key = VersionKey(key, ++revision_);
    ValueRecord record{.deleted = value.empty()};
    if (!record.deleted) {
      record = {.create_revision = revision_, .version = 1, .value = value};
    } else {
      std::string listed;
      SetDeletionKey(revision_, key, &listed);
      ASSERT_TRUE(db_->Put(write_, listed, "").ok());
    }
    std::string head;
    EncodeValueHead(engine_key, record, &head);
    ASSERT_TRUE(db_->Put(write_, engine_key, head + value).ok());
    model_[key][revision_] = value;
  }
  void Flush() { ASSERT_TRUE(db_->Flush({}).ok()); }
  void RaiseFloor(uint64_t revision) {
    floor_ = std::max(floor_, revision);
    history_->floor.Raise(floor_, 0);
  }
  void CleanStep() {
    Batch batch;
    Status status = cleaner_->Step(floor_, &batch);
    ASSERT_TRUE(status) << status.error().ToString();
    rocksdb::WriteBatch writes;
    batch.ForEach([&](std::string_view key, std::optional<std::string_view> value) {
      ASSERT_FALSE(value);
      ASSERT_TRUE(writes.Delete(rocksdb::Slice(key.data(), key.size())).ok());
    });
    ASSERT_TRUE(db_->Write(write_, &writes).ok());
    cleaner_->Commit();
  }
  // One table goes where chance wants it; RocksDB refuses what would break the order of levels.
  void MoveTable(SeededRandom* random) {
    std::vector<rocksdb::LiveFileMetaData> tables;
    db_->GetLiveFilesMetaData(&tables);
    if (tables.empty()) return;
    const rocksdb::LiveFileMetaData& table = tables[random->Below(tables.size())];
    const int lowest = std::max(1, table.level);
    const int level = lowest + static_cast<int>(random->Below(static_cast<uint64_t>(7 - lowest)));
    rocksdb::CompactionOptions options;
    options.compression = rocksdb::kNoCompression;
    options.output_file_size_limit = 2000;
    if (db_->CompactFiles(options, {table.name}, level).ok()) ++moved_;
  }
  void CheckEverySeenRevision(SeededRandom* random) {
    for (const auto& [key, versions] : model_) {
      auto it = engine_->NewIterator({.one_user_key = true});
      for (int i = 0; i < 10; ++i) {
        const uint64_t at = i == 0 ? floor_ : random->Between(floor_, revision_);
        it->Seek(VersionKey(key, at));
        auto next = versions.upper_bound(at);
        const std::string expected = next == versions.begin() ? "" : std::prev(next)->second;
        std::string found;
        if (it->Valid()) {
          ValueRecord record = Must(DecodeValue(it->key(), it->value()));
          if (!record.deleted) found = record.value;
        }
        ASSERT_EQ(found, expected) << key << " at " << at << ", history from " << floor_;
      }
    }
  }
  // A range scan does not use the filters of tables; looking for one key does.
  void CheckFiltersHideNothing() {
    std::map<std::string, uint64_t> scanned;
    auto all = engine_->NewIterator({.lower = "k", .upper = "l"});
    for (all->Seek("k"); all->Valid(); all->Next()) {
      ++scanned[Must(ParseVersionKey(all->key())).user_key];
    }
    for (const auto& [key, versions] : model_) {
      uint64_t count = 0;
      auto one = engine_->NewIterator({.one_user_key = true});
      for (one->Seek(VersionKey(key, ~0ull)); one->Valid(); one->Next()) ++count;
      ASSERT_EQ(count, scanned[key]) << key;
    }
  }

  TempDirectory directory_;
  std::shared_ptr<HistoryState> history_ = std::make_shared<HistoryState>();
  std::shared_ptr<RocksListener> listener_;
  std::unique_ptr<rocksdb::DB> db_;
  std::unique_ptr<BareEngine> engine_;
  std::unique_ptr<HistoryCleaner> cleaner_;
  rocksdb::WriteOptions write_;
  std::map<std::string, std::map<uint64_t, std::string>> model_;  // "" = deleted
  uint64_t revision_ = 1;
  uint64_t floor_ = 1;
  int moved_ = 0;
};

TEST_F(Levels, ADeletionAboveAnOlderValueStaysUntilTheValueIsGone) {
  Write("a", "old");
  Flush();
  rocksdb::CompactionOptions down;
  down.compression = rocksdb::kNoCompression;
  auto tables = [&] {
    std::vector<rocksdb::LiveFileMetaData> files;
    db_->GetLiveFilesMetaData(&files);
    return files;
  };
  ASSERT_TRUE(db_->CompactFiles(down, {tables().front().name}, 6).ok());
  Write("a", "");
  Flush();
  RaiseFloor(revision_);
  for (const auto& table : tables()) {
    if (table.level == 0) {
      ASSERT_TRUE(db_->CompactFiles(down, {table.name}, 4).ok());
    }
  }
  SeededRandom random(1);
  CheckEverySeenRevision(&random);
  EXPECT_EQ(tables().size(), 2u) << "the deletion is still there";
  CleanStep();
  CheckEverySeenRevision(&random);
  Flush();
  std::vector<std::string> names;
  for (const auto& table : tables()) names.push_back(table.name);
  ASSERT_TRUE(db_->CompactFiles(down, names, 6).ok());
  CheckEverySeenRevision(&random);
  EXPECT_TRUE(tables().empty()) << "nothing is left, marks included";
}

TEST_F(Levels, TablesMoveOneByOneWhileTheEndOfHistoryMoves) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  for (int round = 0; round < 400; ++round) {
    for (uint64_t writes = random.Between(1, 6); writes > 0; --writes) {
      const std::string key = "key" + std::to_string(random.Below(6));
      const bool exists = !model_[key].empty() && !model_[key].rbegin()->second.empty();
      if (exists && random.Percent(35)) {
        Write(key, "");
      } else {
        Write(key, "value" + std::to_string(revision_));
      }
    }
    if (random.Percent(70)) Flush();
    if (random.Percent(40)) RaiseFloor(random.Between(floor_, revision_));
    if (random.Percent(30)) CleanStep();
    for (uint64_t moves = random.Below(3); moves > 0; --moves) MoveTable(&random);
    CheckEverySeenRevision(&random);
    if (HasFatalFailure()) return;
  }
  CheckFiltersHideNothing();
  EXPECT_GT(moved_, 50);
  EXPECT_GT(history_->dropped.load(), 50u);
}

// ---------------------------------------------------------------------------------------- the
// engine

class Machine {
 public:
  explicit Machine(const RocksEngineOptions& options) { Reopen(options); }
  void Reopen(const RocksEngineOptions& options) {
    machine_.reset();
    machine_ = Must(StateMachine::Open(Must(OpenRocksEngine(options)), {}, {}));
  }
  void Apply(const std::vector<std::string>& commands) {
    std::vector<ApplyResult> results;
    ASSERT_TRUE(machine_->Apply(NextRecords(*machine_, commands), &results));
  }
  void Put(const std::string& key, const std::string& value) {
    Apply({EncodeCommand(PutCommand{.key = key, .value = value})});
  }
  void Delete(const std::string& key) { Apply({EncodeCommand(DeleteCommand{.key = key})}); }
  void CompactUpTo(uint64_t revision) { Apply({EncodeCommand(CompactCommand{revision})}); }
  void Clean() {
    while (Must(machine_->CleanStep())) {
    }
  }
  void Flush() { ASSERT_TRUE(machine_->Flush(true)); }
  uint64_t table_bytes() const { return machine_->engine().stats().table_bytes; }
  void WaitForTableBytesBelow(uint64_t bytes) {
    while (table_bytes() >= bytes) std::this_thread::yield();
  }
  StateMachine& operator*() { return *machine_; }
  StateMachine* operator->() { return machine_.get(); }

 private:
  std::unique_ptr<StateMachine> machine_;
};

class RocksHistory : public testing::Test {
 protected:
  RocksEngineOptions Options(uint64_t sweep_pause_ms) {
    RocksEngineOptions options = RocksStore::SmallOptions(directory_.path() / "db");
    options.sweep_pause_ms = sweep_pause_ms;
    options.sweep_bytes_min = 2 << 10;
    return options;
  }
  std::string Noise(size_t bytes) {
    std::string value(bytes, 0);
    for (char& c : value) c = static_cast<char>(random_.Next());
    return value;
  }
  static constexpr uint64_t kNever = 1'000'000'000;
  TempDirectory directory_;
  SeededRandom random_{1};
};

TEST_F(RocksHistory, DiskSpaceComesBackByItself) {
  Machine machine(Options(5));
  constexpr int kKeys = 100;
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < kKeys; ++i) machine.Put("key" + std::to_string(i), Noise(1000));
  }
  machine.Flush();
  EXPECT_GT(machine.table_bytes(), 2'500'000u) << "all versions are kept";
  machine.CompactUpTo(machine->store_revision());
  machine.Flush();
  machine.WaitForTableBytesBelow(300'000);
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_EQ(Must(machine->Get("key" + std::to_string(i))).version, 30u);
  }
  for (int i = 0; i < kKeys; ++i) machine.Delete("key" + std::to_string(i));
  machine.CompactUpTo(machine->store_revision());
  machine.Clean();
  machine.Flush();
  machine.WaitForTableBytesBelow(20'000);
}

TEST_F(RocksHistory, SpaceComesBackInTablesOfAnEarlierLifeToo) {
  Machine machine(Options(kNever));
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 100; ++i) machine.Put("key" + std::to_string(i), Noise(1000));
  }
  machine.CompactUpTo(machine->store_revision());
  machine.Flush();
  EXPECT_GT(machine.table_bytes(), 1'000'000u);
  machine.Reopen(Options(5));
  machine.WaitForTableBytesBelow(300'000);
}

// Keys that were overwritten early put a table's mean below the floor, while most of what is hidden
// in it lies above: it looks worthwhile and is not.
TEST_F(RocksHistory, ATableThatOnlyLooksWorthwhileIsNotRewrittenAgainAndAgain) {
  Machine machine(Options(kNever));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 500; ++i) machine.Put("early" + std::to_string(i), "v");
  }
  const uint64_t early = machine->store_revision();
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 5; ++i) machine.Put("late" + std::to_string(i), Noise(1000));
  }
  machine.Flush();
  machine.Reopen(Options(1));
  machine.CompactUpTo(early);
  machine.Flush();
  const uint64_t sweeps = machine->engine().stats().sweep_count;
  while (machine->engine().stats().sweep_count < sweeps + 100) std::this_thread::yield();
  EXPECT_LE(machine->engine().stats().sweep_compaction_count, 4u);
  EXPECT_GT(machine.table_bytes(), 150'000u);
}

// The past is dropped, cleaned and compacted away under readers on other threads.
TEST_F(RocksHistory, ReadersSeeTheirRevisionOrHearThatItIsGone) {
  Machine machine(Options(1));
  constexpr uint64_t kKeys = 8;
  // Revision r writes its own number to key r % 8, or deletes that key if r is in a round of three.
  auto deletes = [](uint64_t revision) { return revision / kKeys % 3 == 2; };
  std::atomic<bool> done = false;
  std::atomic<uint64_t> answered = 0;
  auto read = [&](uint64_t seed) {
    SeededRandom random(seed);
    while (!done) {
      const uint64_t newest = machine->store_revision();
      const uint64_t oldest = machine->compact_revision();
      if (newest < 4 * kKeys || oldest < 3 * kKeys) continue;
      // Often just at the end of history.
      const uint64_t at = std::min(newest, oldest + random.Below(3 * kKeys));
      const uint64_t key = random.Below(kKeys);
      Result<ReadResult> result = machine->Get(std::to_string(key), at);
      if (!result) {
        ASSERT_EQ(result.error().code, Code::kCompacted) << result.error().ToString();
        continue;
      }
      const uint64_t written = at - (at - key) % kKeys;
      if (written < 2 * kKeys) continue;
      ASSERT_EQ(result->found, !deletes(written)) << key << " at " << at;
      if (result->found) {
        ASSERT_EQ(result->value.view().substr(0, 8), std::to_string(10'000'000 + written));
      }
      ++answered;
    }
  };
  std::thread first(read, 1);
  std::thread second(read, 2);
  while (machine->store_revision() < 12'000) {
    const uint64_t revision = machine->store_revision() + 1;
    const std::string key = std::to_string(revision % kKeys);
    if (deletes(revision)) {
      machine.Delete(key);
    } else {
      machine.Put(key, std::to_string(10'000'000 + revision) + Noise(50));
    }
    ASSERT_EQ(machine->store_revision(), revision);
    if (revision % 50 == 0) machine.CompactUpTo(revision - kKeys);
    if (revision % 20 == 0) Must(machine->CleanStep());
    if (revision % 500 == 0) machine.Flush();
    if (revision % 2000 == 0) {
      ASSERT_TRUE(machine->engine().CompactAll());
    }
  }
  done = true;
  first.join();
  second.join();
  EXPECT_GT(answered, 100u);
  EXPECT_GT(machine->engine().stats().dropped_count, 1000u);
}

// Entries and marks that RocksDB passed to answer.
uint64_t StepsOf(StateMachine* machine, const std::string& key) {
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
  rocksdb::get_perf_context()->Reset();
  Must(machine->Get(key));
  return rocksdb::get_perf_context()->internal_key_skipped_count +
         rocksdb::get_perf_context()->internal_delete_skipped_count;
}

uint64_t VersionsLeft(StateMachine& machine) {
  uint64_t versions = 0;
  const auto it = machine.engine().NewIterator({.lower = "k", .upper = "l"});
  for (it->Seek({}); it->Valid(); it->Next()) ++versions;
  EXPECT_TRUE(it->status());
  return versions;
}

TEST_F(RocksHistory, AHotKeyIsReadInABoundedNumberOfSteps) {
  RocksEngineOptions options = Options(kNever);
  options.write_buffer_bytes = 4 << 20;
  options.table_file_bytes = 1 << 20;
  Machine machine(options);
  machine.Put("a", "neighbour");
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr int kWrites = 50'000;  // twenty times as slow, and the number adds nothing there
#else
  constexpr int kWrites = 1'000'000;
#endif
  constexpr int kBatch = 1000;
  const std::vector<std::string> puts(
      kBatch, EncodeCommand(PutCommand{.key = "hot", .value = "a value of some size"}));
  for (int i = 0; i < kWrites / kBatch; ++i) {
    machine.Apply(puts);
    if (i % 50 == 0) {
      EXPECT_LE(StepsOf(&*machine, "hot"), 2u) << "with all of history there";
    }
  }
  machine.Put("z", "neighbour");
  EXPECT_LE(StepsOf(&*machine, "hot"), 2u);
  machine.Flush();
  machine.CompactUpTo(machine->store_revision());
  machine.Flush();
  EXPECT_LE(StepsOf(&*machine, "hot"), 2u);
  machine.Delete("hot");
  machine.CompactUpTo(machine->store_revision());
  machine.Clean();
  EXPECT_LE(StepsOf(&*machine, "hot"), 2u) << "its deletion stays in front of all the others";
  machine.Flush();
  ASSERT_TRUE(machine->engine().CompactAll());
  EXPECT_LE(StepsOf(&*machine, "hot"), 2u);
  machine.Put("z", "again");
  machine.CompactUpTo(machine->store_revision());
  machine.Clean();
  EXPECT_FALSE(Must(machine->Get("hot")).found);
  EXPECT_LE(StepsOf(&*machine, "hot"), 2 * HistoryCleaner::kOlderMax + 2);
  EXPECT_GE(machine->cleaned_count(), 2u) << "the deletion and its list entry";
  machine.Flush();
  ASSERT_TRUE(machine->engine().CompactAll());
  EXPECT_EQ(VersionsLeft(*machine), 2u) << "its neighbours: all that a scan passes over";
}

}  // namespace
}  // namespace arima::kv
