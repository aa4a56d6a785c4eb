// Power lost before any operation of an install, of the database's files as well as of all others,
// with any part of what was not synced gone or torn; once, and again during the recovery. What
// comes up has the old data, whole, or the new, whole (docs/design/raft.md 5.5, 5.6).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "env/fault_env.h"
#include "env/mem_env.h"
#include "kv/test_env_fs.h"
#include "node/test_replica.h"
#include "snapshot/finished.h"

namespace arima::node {
namespace {

constexpr const char* kVolume = "/vol";
constexpr uint64_t kSnapshotId = 77;

using Disk = std::unique_ptr<env::MemEnv>;

// Copies a directory of the real disk, all of it durable.
void Load(const std::string& from, env::MemEnv& disk, const std::string& to) {
  env::PosixEnv posix;
  ASSERT_TRUE(env::MakeDirs(disk, to));
  const auto names = posix.List(from);
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    const std::string path = env::JoinPath(from, name);
    if (posix.Stat(path)->is_dir) {
      Load(path, disk, env::JoinPath(to, name));
      continue;
    }
    auto bytes = env::ReadFile(posix, path, 1 << 30);
    ASSERT_TRUE(bytes);
    ASSERT_TRUE(env::WriteFileAtomically(disk, env::JoinPath(to, name), *bytes));
  }
}

// By chance, but in a database's directory names change in their order: RocksDB takes that for
// granted (a CURRENT that is durable names a manifest that is), as journaling file systems have it.
class Crash final : public env::CrashChooser {
 public:
  explicit Crash(uint64_t seed) : chance_(seed) {}
  env::SectorFate Sector(const std::string& path, uint64_t sector) override {
    return chance_.Sector(path, sector);
  }
  bool KeepSize(const std::string& path) override { return chance_.KeepSize(path); }
  bool KeepDirChange(const std::string& dir, const std::string& change) override {
    const bool keep = chance_.KeepDirChange(dir, change) && !cut_.contains(dir);
    if (!keep && dir.find("/db") != std::string::npos) cut_.insert(dir);
    return keep;
  }

 private:
  env::RandomCrash chance_;
  std::set<std::string> cut_;  // directories whose later changes are lost too
};

class InstallCrashTest : public ::testing::Test {
 protected:
  // The volume has k0 .. k19; its receive directory holds the finished snapshot of the same cluster
  // with k0 .. k199.
  void SetUp() override {
    TempDirectory temp;
    TestReplica ahead(temp.Path("ahead"));
    Fill(ahead, 0, 20);
    if (HasFatalFailure()) return;
    Load(temp.Path("ahead"), start_, kVolume);
    Fill(ahead, 20, 200);
    if (HasFatalFailure()) return;
    const std::string received = std::string(kVolume) + "/db.recv";
    Load(temp.Path("ahead") + "/db-1", start_, received);
    snapshot::Manifest manifest;
    manifest.snapshot_id = kSnapshotId;
    manifest.index = 1;
    ASSERT_TRUE(snapshot::DescribeFiles(start_, received, nullptr, &manifest));
    ASSERT_TRUE(snapshot::StoreFinished(start_, received, manifest));
  }
  void Fill(TestReplica& replica, int first, int last) {
    Status started = replica.Start();
    ASSERT_TRUE(started) << started.error().ToString();
    for (int i = first; i < last; ++i) {
      auto put = replica.Put("k" + std::to_string(i), "v" + std::to_string(i));
      ASSERT_TRUE(put) << put.error().ToString();
    }
    applied_ = replica.replica().machine().applied_index();
    replica.Stop();
  }

  // A life of the node on `env`, as far as to where the replica would begin to work.
  struct Life {
    kv::DatabaseFiles database_files;
    std::unique_ptr<DataDir> dir;
    std::unique_ptr<Replica> replica;
    Status status;
  };
  Life Open(env::Env& env, bool install) {
    Life life;
    life.database_files = kv::DatabaseFilesIn(env);
    life.status = OpenIn(env, install, &life);
    return life;
  }
  Status OpenIn(env::Env& env, bool install, Life* life) {
    auto dir = DataDir::Open(&env, kVolume);
    if (!dir) return std::unexpected(dir.error());
    life->dir = std::move(*dir);
    auto identity = life->dir->ReadIdentity(nullptr);
    if (!identity) return std::unexpected(identity.error());
    if (install) {
      if (Status done = life->dir->InstallReceived(kSnapshotId); !done) return done;
    }
    ReplicaOptions options;
    options.storage = SmallStorage();
    options.storage.database_files = &life->database_files;
    auto replica =
        Replica::Open(*life->dir, *identity, options, waker_, &clock_, &logger_, clock_.NowNs());
    if (!replica) return std::unexpected(replica.error());
    life->replica = std::move(*replica);
    return {};
  }

  // Copies of the disk before each operation of such a life, its end included.
  std::vector<Disk> MomentsOf(const env::MemEnv& disk, bool install) {
    Disk copy = disk.Clone();
    std::vector<Disk> moments;
    Mutex mutex;  // the database has threads
    env::FaultEnv observed(*copy, 1);
    observed.SetObserver([&](env::Op, const std::string&) {
      MutexLock lock(&mutex);
      moments.push_back(copy->Clone());
    });
    {
      Life life = Open(observed, install);
      EXPECT_TRUE(life.status) << life.status.error().ToString();
    }
    observed.SetObserver(nullptr);
    moments.push_back(std::move(copy));
    return moments;
  }

  static bool Has(const kv::StateMachine& machine, int i) {
    auto read = machine.Get("k" + std::to_string(i));
    EXPECT_TRUE(read) << read.error().ToString();
    return read && read->found && read->value.view() == "v" + std::to_string(i);
  }
  // The next start finds the old data or the new; `*is_new` says which.
  void ExpectOldOrNew(env::Env& disk, bool* is_new) {
    Life life = Open(disk, false);
    ASSERT_TRUE(life.status) << life.status.error().ToString();
    const kv::StateMachine& machine = life.replica->machine();
    const raft::CoreStatus status = life.replica->loop().Status();
    *is_new = Has(machine, 199);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(Has(machine, i)) << i;
    for (int i = 20; i < 200; ++i) ASSERT_EQ(Has(machine, i), *is_new) << i;
    const CurrentDb current = life.dir->ReadCurrentDb().value_or(CurrentDb{});
    EXPECT_TRUE(current.confirmed);
    EXPECT_EQ(current.snapshot_id, *is_new ? kSnapshotId : 0u);
    EXPECT_TRUE(!*is_new || status.last == raft::Index(applied_)) << "the log begins there";
    EXPECT_GE(status.last, raft::Index(machine.applied_index()));
    EXPECT_GE(status.hard_state.term, raft::Term(machine.applied().term));
    const auto names = disk.List(kVolume);
    EXPECT_EQ(std::ranges::count_if(*names, [](auto& name) { return name.starts_with("db-"); }), 1);
  }

  env::MemEnv start_;
  uint64_t applied_ = 0;  // of the received database
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
  SystemClock clock_;
  std::shared_ptr<FlagWaker> waker_ = std::make_shared<FlagWaker>();
};

TEST_F(InstallCrashTest, PowerLostBeforeAnyOperationItIsTheOldDataOrTheNew) {
  const std::vector<Disk> moments = MomentsOf(start_, true);
  ASSERT_GT(moments.size(), 40u) << "files of the directory, the log and the database";
  size_t last_old = 0;
  size_t first_new = moments.size();
  for (size_t i = 0; i < moments.size(); ++i) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(::testing::Message() << "before operation " << i << ", seed " << seed);
      Disk disk = moments[i]->Clone();
      Crash fate(i * 4 + seed);
      disk->PowerLoss(fate);
      bool is_new = false;
      ExpectOldOrNew(*disk, &is_new);
      if (HasFatalFailure()) return;
      if (is_new) first_new = std::min(first_new, i);
      if (!is_new) last_old = std::max(last_old, i);
    }
  }
  EXPECT_GT(first_new, 0u);
  EXPECT_LT(last_old + 10, moments.size());
  EXPECT_LT(last_old, first_new + 10) << "only while the switch itself is not durable";
}

TEST_F(InstallCrashTest, PowerLostAgainInTheRecoveryItIsTheOldDataOrTheNew) {
  SeededRandom random(23);
  const std::vector<Disk> moments = MomentsOf(start_, true);
  int recoveries = 0;
  for (size_t i = 0; i < moments.size(); i += random.Between(3, 6)) {
    Disk disk = moments[i]->Clone();
    Crash fate(random.Next());
    disk->PowerLoss(fate);
    const std::vector<Disk> again = MomentsOf(*disk, false);
    if (HasFailure()) return;
    bool was_new = false;
    for (size_t k = 0; k < again.size(); k += random.Between(2, 5)) {
      const uint64_t seed = random.Next();
      SCOPED_TRACE(::testing::Message() << "before " << i << ", then " << k << ", seed " << seed);
      Disk twice = again[k]->Clone();
      Crash second(seed);
      twice->PowerLoss(second);
      bool is_new = false;
      ExpectOldOrNew(*twice, &is_new);
      if (HasFatalFailure()) return;
      EXPECT_TRUE(k == 0 || is_new == was_new) << "what a start found stays";
      was_new = is_new;
      ++recoveries;
    }
  }
  EXPECT_GT(recoveries, 50);
}

// The install reports it, the process ends, and the next start goes on from there.
TEST_F(InstallCrashTest, AfterAnyFailedOperationItIsTheOldDataOrTheNew) {
  using env::Op;
  SeededRandom random(31);
  int failed = 0;
  for (Op op : {Op::kCreate, Op::kWrite, Op::kSync, Op::kRename, Op::kSyncDir}) {
    for (uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE(::testing::Message()
                   << "operation " << static_cast<int>(op) << " number " << nth);
      Disk disk = start_.Clone();
      env::FaultEnv sick(*disk, nth);
      sick.Inject({.op = op, .nth = nth});
      uint64_t syncs = 0;
      Mutex mutex;
      sick.SetObserver([&](Op seen, const std::string& path) {
        MutexLock lock(&mutex);
        if (seen != Op::kSync || op != Op::kSync || ++syncs != nth) return;
        if (disk->Stat(path)) disk->LoseUnsynced(path);  // not renamed since it was opened
      });
      {
        Life life = Open(sick, true);
        if (!life.status) {
          ++failed;
          EXPECT_FALSE(life.status.error().message.empty());
          EXPECT_EQ(life.status.error().code, Code::kIo) << life.status.error().ToString();
        }
      }
      const bool reached = sick.count(op) >= nth;
      if (!reached) break;
      Crash fate(random.Next());
      disk->PowerLoss(fate);
      bool is_new = false;
      ExpectOldOrNew(*disk, &is_new);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(failed, 20);
}

// Whatever came of it, the node works: it takes writes, and has them after one more restart.
TEST_F(InstallCrashTest, WhatComesUpTakesWritesAndKeepsThem) {
  const std::vector<Disk> moments = MomentsOf(start_, true);
  for (size_t i = 0; i < moments.size(); i += 12) {
    SCOPED_TRACE(::testing::Message() << "before operation " << i);
    Disk disk = moments[i]->Clone();
    Crash fate(i);
    disk->PowerLoss(fate);
    kv::DatabaseFiles database_files = kv::DatabaseFilesIn(*disk);
    TestReplica replica(kVolume, disk.get());
    replica.options().storage.database_files = &database_files;
    for (int life = 0; life < 2; ++life) {
      Status started = replica.Start();
      ASSERT_TRUE(started) << started.error().ToString();
      EXPECT_EQ(replica.Get("after"), life == 0 ? "<none>" : "install");
      ASSERT_TRUE(replica.Put("after", "install"));
      EXPECT_EQ(replica.Get("k19"), "v19");
      replica.Stop();
    }
  }
}

}  // namespace
}  // namespace arima::node
