// The state machine on RocksDB against loss of power before each operation on its files: flushes,
// manifest writes, compactions, deletions, checkpoints, by script and by chance, and again during
// the recovery. What comes up is the model at some applied position, not below the one that was
// said to be durable; the log's entries from there on lead to the same end. Points of
// docs/design/raft.md 5.6 that are the database's; docs/testing/crash-states.md.
//
// ARIMA_CRASH_STATES / 50 states are tried, each of which opens the database several times. A
// failure names the seed; threads of the database make a run with the same seed similar, not equal.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "kv/state_machine.h"
#include "kv/test_crash_disk.h"
#include "kv/test_history_model.h"
#include "kv/test_seed.h"
#include "kv/visible_digest.h"

namespace arima::kv {
namespace {

uint64_t StatesWanted() {
  const char* wanted = std::getenv("ARIMA_CRASH_STATES");
  return wanted == nullptr ? 120 : std::strtoull(wanted, nullptr, 10) / 50;
}

class RocksCrash : public testing::Test {
 protected:
  RocksCrash() {
    options_ = RocksStore::SmallOptions("");
    options_.sweep_bytes_min = 1;
  }
  static void TearDownTestSuite() {
    std::printf("[  STATES  ] %llu states of a database, of %llu cuts\n",
                static_cast<unsigned long long>(states_), static_cast<unsigned long long>(cuts_));
  }
  static uint64_t Share(uint64_t percent) { return StatesWanted() * percent / 100 + 1; }

  // ---- lives

  void Open(RocksLife& life) {
    Status opened = life.Open();
    ASSERT_TRUE(opened) << opened.error().ToString();
    if (!by_hand_) return;
    ASSERT_TRUE(DatabaseOf(&life.machine().engine())
                    ->SetOptions({{"disable_auto_compactions", "true"}})
                    .ok());
  }
  // One table goes to a level that chance wants; RocksDB refuses what would break their order.
  void MoveTable(RocksLife& life) {
    rocksdb::DB* db = DatabaseOf(&life.machine().engine());
    std::vector<rocksdb::LiveFileMetaData> tables;
    db->GetLiveFilesMetaData(&tables);
    if (tables.empty()) return;
    const rocksdb::LiveFileMetaData& table = tables[random_.Below(tables.size())];
    const int lowest = std::max(1, table.level);
    const int level = lowest + static_cast<int>(random_.Below(static_cast<uint64_t>(7 - lowest)));
    rocksdb::CompactionOptions options;
    options.compression = rocksdb::kNoCompression;
    options.output_file_size_limit = 4000;
    if (db->CompactFiles(options, {table.name}, level).ok()) ++moved_;
  }
  void Clean(RocksLife& life) {
    Result<bool> more = life.machine().CleanStep();
    ASSERT_TRUE(more) << more.error().ToString();
  }
  void Flush(RocksLife& life, bool wait) {
    Status flushed = life.machine().Flush(wait);
    ASSERT_TRUE(flushed) << flushed.error().ToString();
  }
  void CompactAll(RocksLife& life) {
    Status compacted = life.machine().engine().CompactAll();
    ASSERT_TRUE(compacted) << compacted.error().ToString();
  }
  void Checkpoint(RocksLife& life) {
    Status made = life.Checkpoint("/vol/checkpoint-" + std::to_string(++checkpoints_));
    ASSERT_TRUE(made) << made.error().ToString();
  }
  void Apply(RocksLife& life, uint64_t count) {
    const uint64_t last = life.machine().applied_index() + count;
    model_.Apply(&life.machine(), std::min(last, model_.size()));
  }
  void ActByChance(RocksLife& life) {
    Apply(life, random_.Between(1, 25));
    const uint64_t dice = random_.Below(100);
    if (dice < 35) Flush(life, random_.Percent(60));
    if (dice >= 30 && dice < 50) Clean(life);
    if (dice >= 50 && dice < 57) CompactAll(life);
    if (dice >= 57 && dice < 61) Checkpoint(life);
    if (dice >= 61 && dice < 66) {
      life.Close();
      Open(life);
    }
    if (!by_hand_) return;
    for (uint64_t moves = random_.Below(3); moves > 0; --moves) MoveTable(life);
  }

  // ---- checks

  uint64_t Digest(RocksLife& life) { return Must(VisibleDigest(life.machine().engine())); }

  void CheckNow(RocksLife& life) {
    const uint64_t applied = life.machine().applied_index();
    ASSERT_EQ(Digest(life), model_.DigestAt(applied)) << "at " << applied;
    for (int i = 0; i < 10; ++i) model_.CheckRead(life.machine());
  }
  void CheckCheckpoint(const env::MemEnv& disk, const FinishedCheckpoint& checkpoint) {
    SCOPED_TRACE(checkpoint.dir);
    RocksLife life(disk.Clone(), options_);
    Status opened = life.Open(checkpoint.dir);
    ASSERT_TRUE(opened) << opened.error().ToString();
    ASSERT_GE(life.machine().applied_index(), checkpoint.position);
    CheckNow(life);
  }
  // The crash is over: it opens, it is what it should be, and goes on from there.
  void CheckAfter(std::unique_ptr<env::MemEnv> disk, uint64_t durable,
                  const std::vector<FinishedCheckpoint>& checkpoints) {
    ++states_;
    if (!checkpoints.empty() && random_.Percent(30)) {
      CheckCheckpoint(*disk, checkpoints[random_.Below(checkpoints.size())]);
    }
    RocksLife life(std::move(disk), options_, durable);
    Open(life);
    if (HasFatalFailure()) return;
    ASSERT_GE(life.machine().applied_index(), durable);
    CheckNow(life);
    if (HasFatalFailure()) return;
    for (uint64_t steps = random_.Below(3); steps > 0; --steps) Clean(life);
    Apply(life, model_.size());
    if (random_.Percent(30)) CompactAll(life);
    Clean(life);
    CheckNow(life);
    if (HasFailure() || random_.Percent(70)) return;
    Flush(life, true);
    auto lost = life.disk().Clone();
    OrderedCrash crash(random_.Next());
    lost->PowerLoss(crash);
    RocksLife next(std::move(lost), options_, model_.size());
    Open(next);
    if (HasFatalFailure()) return;
    ASSERT_EQ(next.machine().applied_index(), model_.size());
    CheckNow(next);
  }
  void Crash(const CrashMoment& moment) {
    const uint64_t seed = random_.Next();
    const bool power = !random_.Percent(10);
    SCOPED_TRACE("crash before " + moment.text + ", loss of power " +
                 (power ? "of seed " + std::to_string(seed) : std::string("none")));
    auto disk = moment.disk->Clone();
    OrderedCrash crash(seed);
    if (power) disk->PowerLoss(crash);
    CheckAfter(std::move(disk), moment.durable, moment.checkpoints);
  }
  // Each of them once, then again, until there are enough.
  void CrashAt(const std::vector<CrashMoment>& moments, uint64_t states) {
    cuts_ += moments.size();
    std::vector<size_t> order(moments.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.Below(i)]);
    for (uint64_t i = 0; i < states; ++i) {
      Crash(moments[order[i % order.size()]]);
      if (HasFailure()) return;
    }
  }

  static inline uint64_t states_ = 0;
  static inline uint64_t cuts_ = 0;

  const uint64_t seed_ = TestSeed();
  const testing::ScopedTrace trace_{__FILE__, __LINE__, SeedTrace(seed_)};
  SeededRandom random_{seed_};
  HistoryModel model_{&random_, 400};
  RocksEngineOptions options_;
  bool by_hand_ = false;  // tables move only where the test moves them
  uint64_t checkpoints_ = 0;
  uint64_t moved_ = 0;
};

TEST_F(RocksCrash, NoCutOfAnyStepLosesOrBringsBackAnything) {
  RocksLife life(std::make_unique<env::MemEnv>(), options_);
  life.Record();
  Open(life);  // makes the database
  Apply(life, 40);
  Flush(life, true);
  Apply(life, 60);
  Flush(life, false);  // a buffer is switched, and flushed behind the back
  Apply(life, 60);
  Clean(life);
  Flush(life, true);
  CompactAll(life);
  Checkpoint(life);
  Apply(life, 40);
  Flush(life, true);
  Apply(life, 20);
  CompactAll(life);
  Clean(life);
  life.Close();
  Open(life);
  Apply(life, 40);
  Checkpoint(life);
  Apply(life, 20);
  if (HasFailure()) return;
  const std::vector<CrashMoment> moments = life.TakeMoments();
  CrashAt(moments, std::max<uint64_t>(Share(30), moments.size()));
}

// Nobody asks for a flush: a buffer is full with any write, and what is flushed ends there.
TEST_F(RocksCrash, FullBuffersReachTheDiskWithWholeBatches) {
  RocksLife life(std::make_unique<env::MemEnv>(), options_);
  life.Record();
  Open(life);
  Apply(life, model_.size());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (life.durable() == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  Flush(life, true);
  if (HasFailure()) return;
  const std::vector<CrashMoment> moments = life.TakeMoments();
  EXPECT_TRUE(std::ranges::any_of(moments, [this](const CrashMoment& moment) {
    return moment.durable > 0 && moment.durable < model_.size();
  }));
  CrashAt(moments, std::max<uint64_t>(Share(5), moments.size()));
}

TEST_F(RocksCrash, RandomLivesComeBackAsTheModelSays) {
  options_.sweep_pause_ms = 20;
  const uint64_t end = states_ + Share(20);
  while (states_ < end && !HasFailure()) {
    RocksLife life(std::make_unique<env::MemEnv>(), options_);
    life.Record();
    Open(life);
    while (life.machine().applied_index() < model_.size() && !HasFailure()) ActByChance(life);
    if (HasFailure()) return;
    CheckNow(life);
    CrashAt(life.TakeMoments(), std::min<uint64_t>(end - states_, 60));
  }
}

// Old and new versions of one key, and its deletions, lie on different levels, and tables are
// compacted one by one, while the end of history moves.
TEST_F(RocksCrash, TablesMovedOneByOneBringNothingBack) {
  by_hand_ = true;
  const uint64_t end = states_ + Share(20);
  while (states_ < end && !HasFailure()) {
    RocksLife life(std::make_unique<env::MemEnv>(), options_);
    life.Record();
    Open(life);
    while (life.machine().applied_index() < model_.size() && !HasFailure()) {
      ActByChance(life);
      if (random_.Percent(20)) CheckNow(life);
    }
    if (HasFailure()) return;
    EXPECT_GT(moved_, 5u);
    CrashAt(life.TakeMoments(), std::min<uint64_t>(end - states_, 60));
  }
}

TEST_F(RocksCrash, CrashesDuringARecoveryChangeNothing) {
  by_hand_ = random_.Percent(50);
  RocksLife first(std::make_unique<env::MemEnv>(), options_);
  first.Record();
  Open(first);
  while (first.machine().applied_index() < 250 && !HasFailure()) ActByChance(first);
  if (HasFailure()) return;
  const std::vector<CrashMoment> moments = first.TakeMoments();
  cuts_ += moments.size();
  for (const uint64_t end = states_ + Share(20); states_ < end;) {
    const CrashMoment& moment = moments[random_.Below(moments.size())];
    const uint64_t seed = random_.Next();
    const bool power = !random_.Percent(25);
    SCOPED_TRACE("first crash before " + moment.text + ", loss of power " +
                 (power ? "of seed " + std::to_string(seed) : std::string("none")));
    auto disk = moment.disk->Clone();
    OrderedCrash crash(seed);
    if (power) disk->PowerLoss(crash);
    RocksLife second(std::move(disk), options_, moment.durable);
    second.Record();
    Open(second);
    if (HasFatalFailure()) return;
    // After a loss of power, all that came up is on the disk.
    const uint64_t came_up = power ? second.machine().applied_index() : 0;
    Apply(second, 30);
    Flush(second, true);
    std::vector<CrashMoment> again = second.TakeMoments();
    for (int i = 0; i < 5; ++i) {
      CrashMoment& next = again[random_.Below(again.size())];
      next.durable = std::max(next.durable, came_up);
      Crash(next);
      if (HasFailure()) return;
    }
  }
}

// The engine refuses to go on, or never noticed; either way the node loses nothing.
TEST_F(RocksCrash, AnOperationThatFailsLosesNothing) {
  constexpr env::Op kOps[] = {env::Op::kCreate, env::Op::kWrite,  env::Op::kSync,
                              env::Op::kRename, env::Op::kUnlink, env::Op::kSyncDir};
  uint64_t failed = 0;
  for (const uint64_t end = states_ + Share(10); states_ < end && !HasFailure();) {
    const env::Op op = kOps[random_.Below(std::size(kOps))];
    const uint64_t nth = random_.Between(1, op == env::Op::kWrite ? 80 : 12);
    const bool done = random_.Percent(30);
    SCOPED_TRACE("operation " + std::to_string(static_cast<int>(op)) + " fails, number " +
                 std::to_string(nth) + (done ? ", though it is done" : ""));
    RocksLife life(std::make_unique<env::MemEnv>(), options_);
    Open(life);
    if (HasFatalFailure()) return;
    StateMachine& machine = life.machine();
    life.fault().Inject(
        {.op = op, .nth = nth, .kind = done ? env::FaultKind::kDoneError : env::FaultKind::kError});
    Status status;
    while (status && machine.applied_index() < model_.size()) {
      status = model_.ApplyBatch(&machine, model_.size());
      if (status && random_.Percent(40)) status = machine.Flush(true);
      if (status && random_.Percent(20)) status = machine.engine().CompactAll();
      if (auto more = machine.CleanStep(); !more && status) status = Fail(more.error().code, "");
    }
    if (!status) ++failed;
    const uint64_t durable = life.durable();
    auto disk = life.disk().Clone();
    OrderedCrash crash(random_.Next());
    disk->PowerLoss(crash);
    CheckAfter(std::move(disk), durable, {});
  }
  EXPECT_GT(failed, 0u);
}

}  // namespace
}  // namespace arima::kv
