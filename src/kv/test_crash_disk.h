// A state machine on RocksDB on a disk in memory that loses power: a copy of the disk is kept from
// before each operation that changes it, with what had to be durable by then. Test-only.
//
//   RocksLife life(std::make_unique<env::MemEnv>(), options);
//   life.Record();
//   life.Open(); ... life.machine() ... life.Close();
//   for (CrashMoment& moment : life.TakeMoments()) ...
#pragma once

#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/system_clock.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "env/fault_env.h"
#include "env/mem_env.h"
#include "kv/rocks_engine.h"
#include "kv/rocks_options.h"
#include "kv/state_machine.h"
#include "kv/test_env_fs.h"
#include "kv/test_stores.h"

namespace arima::kv {

// What was not synced, by chance: nothing of it stays, all of it, or some, sector by sector (old or
// new; or also torn, zero, garbage). But two things RocksDB takes for granted, as file systems have
// them that keep an order (ext4 in its default mode, XFS, btrfs):
// - The changes of a directory are kept up to one of them and not behind it: a CURRENT that is
//   durable names a manifest that is.
// - A file that grows gets its new size only when the bytes are there: a manifest, which is
//   appended to for long, ends at any byte of what was not synced, but with what was written.
//   RocksDB takes a record that is cut short for unfinished, and one of another content for damage.
//   Tables need no such promise: no manifest names one that was not synced.
class OrderedCrash final : public env::CrashChooser {
 public:
  explicit OrderedCrash(uint64_t seed) : random_(seed), manner_(random_.Below(5)) {}

  env::SectorFate Sector(const std::string& path, uint64_t) override {
    using env::SectorFate;
    if (IsManifest(path)) return SectorFate::kNew;  // as far as its size goes
    if (manner_ < 2) return manner_ == 0 ? SectorFate::kOld : SectorFate::kNew;
    return static_cast<SectorFate>(random_.Below(manner_ == 4 ? env::kSectorFates : 2));
  }
  bool KeepSize(const std::string&) override { return Some(); }
  uint64_t Size(const std::string& path, uint64_t synced, uint64_t written) override {
    if (manner_ < 2 || !IsManifest(path) || written < synced)
      return CrashChooser::Size(path, synced, written);
    return random_.Between(synced, written);
  }
  bool KeepDirChange(const std::string& dir, const std::string&) override {
    auto [kept, first] = kept_.emplace(dir, true);
    if (!Some() && (manner_ < 2 || random_.Percent(50))) kept->second = false;
    return kept->second;
  }

 private:
  static bool IsManifest(const std::string& path) {
    return path.find("/MANIFEST-") != std::string::npos;
  }
  bool Some() { return manner_ == 1 || (manner_ != 0 && random_.Percent(60)); }
  SeededRandom random_;
  const uint64_t manner_;
  std::map<std::string, bool> kept_;  // by directory
};

// RocksDB sleeps for a second after a compaction that failed.
class ImpatientClock final : public rocksdb::SystemClockWrapper {
 public:
  using SystemClockWrapper::SystemClockWrapper;
  const char* Name() const override { return "ImpatientClock"; }
  void SleepForMicroseconds(int micros) override {
    target_->SleepForMicroseconds(std::min(micros, 1000));
  }
};
class ImpatientEnv final : public rocksdb::EnvWrapper {
 public:
  explicit ImpatientEnv(std::unique_ptr<rocksdb::Env> env) : EnvWrapper(std::move(env)) {
    system_clock_ = std::make_shared<ImpatientClock>(system_clock_);
  }
};

// A directory that Engine::Checkpoint had made durable.
struct FinishedCheckpoint {
  std::string dir;
  uint64_t position = 0;  // it holds at least this
};

struct CrashMoment {
  std::string text;
  std::unique_ptr<env::MemEnv> disk;
  uint64_t durable = 0;  // applied position that a crash must leave
  std::vector<FinishedCheckpoint> checkpoints;
};

class RocksLife {
 public:
  static constexpr const char* kVolume = "/vol";
  static constexpr const char* kDatabase = "/vol/db";

  // `options` without path and files. Everything that the disk holds counts as durable.
  RocksLife(std::unique_ptr<env::MemEnv> disk, RocksEngineOptions options, uint64_t durable = 0)
      : disk_(std::move(disk)), options_(std::move(options)), durable_(durable) {
    if (auto there = env::Exists(*disk_, kVolume); !there.value_or(false)) {
      EXPECT_TRUE(env::MakeDirs(*disk_, kVolume));
    }
    options_.path = kDatabase;
    options_.files = &files_;
    fault_.SetObserver([this](env::Op op, const std::string& path) {
      Observe("operation " + std::to_string(static_cast<int>(op)) + " on " + path);
    });
  }
  ~RocksLife() { Close(); }

  // From now on, each operation is one.
  void Record() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    recording_ = true;
  }

  Status Open() { return Open(kDatabase); }
  // Also a checkpoint.
  Status Open(const std::string& dir) EXCLUDES(mutex_) {
    options_.path = dir;
    auto engine = OpenRocksEngine(options_);
    if (!engine) return std::unexpected(engine.error());
    auto machine = StateMachine::Open(std::move(*engine), {}, {.recent_keys_bytes = 4 << 10});
    if (!machine) return std::unexpected(machine.error());
    MutexLock lock(&mutex_);
    machine_ = std::move(*machine);
    return {};
  }
  void Close() EXCLUDES(mutex_) {
    std::unique_ptr<StateMachine> machine;
    {
      MutexLock lock(&mutex_);
      NoteDurable();
      machine = std::move(machine_);
    }
    machine.reset();  // flushes, and is observed
  }
  // As the owner's thread sees it.
  StateMachine& machine() NO_THREAD_SAFETY_ANALYSIS { return *machine_; }

  Status Checkpoint(const std::string& dir) EXCLUDES(mutex_) {
    const uint64_t position = machine().applied_index();
    if (Status made = machine().engine().Checkpoint(dir); !made) return made;
    MutexLock lock(&mutex_);
    checkpoints_.push_back({dir, position});
    return {};
  }

  // Those so far, and now.
  std::vector<CrashMoment> TakeMoments() EXCLUDES(mutex_) {
    Observe("the end");
    MutexLock lock(&mutex_);
    recording_ = false;
    return std::move(moments_);
  }
  uint64_t durable() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    NoteDurable();
    return durable_;
  }
  env::MemEnv& disk() { return *disk_; }
  env::FaultEnv& fault() { return fault_; }

 private:
  // What is durable is asked for before the disk is copied: meanwhile it can only become more.
  void Observe(const std::string& text) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (!recording_) return;
    NoteDurable();
    moments_.push_back({text, disk_->Clone(), durable_, checkpoints_});
  }
  void NoteDurable() REQUIRES(mutex_) {
    if (machine_ == nullptr) return;
    durable_ = std::max(durable_, machine_->durable_applied_index());
  }
  Status Link(const std::string& from, const std::string& to) EXCLUDES(mutex_) {
    Observe("link to " + to);
    return disk_->Link(from, to);
  }

  const std::unique_ptr<env::MemEnv> disk_;
  env::FaultEnv fault_{*disk_, 1};
  DatabaseFiles files_{std::make_unique<ImpatientEnv>(
      DatabaseFilesIn(fault_, [this](const std::string& from, const std::string& to) {
        return Link(from, to);
      }).env)};
  RocksEngineOptions options_;

  Mutex mutex_;  // the database has threads
  bool recording_ GUARDED_BY(mutex_) = false;
  uint64_t durable_ GUARDED_BY(mutex_);
  std::vector<FinishedCheckpoint> checkpoints_ GUARDED_BY(mutex_);
  std::vector<CrashMoment> moments_ GUARDED_BY(mutex_);
  std::unique_ptr<StateMachine> machine_ GUARDED_BY(mutex_);
};

}  // namespace arima::kv
