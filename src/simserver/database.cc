#include "simserver/database.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/checksum.h"
#include "base/coding.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/thread.h"
#include "kv/applied_record.h"
#include "kv/key_schema.h"
#include "kv/mem_engine.h"
#include "sim/swarm.h"

namespace arima::simserver {
namespace {

using Contents = kv::MemEngine::Contents;

constexpr std::string_view kCurrent = "CURRENT";
constexpr uint64_t kTableBytesMax = 256 << 20;

std::string Encode(const kv::Engine& engine) {
  std::string bytes;
  ByteWriter writer(&bytes);
  auto entries = engine.NewIterator({});
  for (entries->Seek(""); entries->Valid(); entries->Next()) {
    writer.Bytes(entries->key());
    writer.Bytes(entries->value());
  }
  writer.U64(Checksum64(bytes));
  return bytes;
}

Result<Contents> Decode(const std::string& path, std::string_view bytes) {
  constexpr size_t kSumBytes = sizeof(uint64_t);
  if (bytes.size() < kSumBytes || Checksum64(bytes.substr(0, bytes.size() - kSumBytes)) !=
                                      GetFixed<uint64_t>(bytes.data() + bytes.size() - kSumBytes)) {
    return Fail(Code::kCorruption, path + ": checksum mismatch");
  }
  ByteReader reader(bytes.substr(0, bytes.size() - kSumBytes));
  Contents contents;
  while (reader.ok() && !reader.done()) {
    std::string key(reader.Bytes());
    contents.emplace_hint(contents.end(), std::move(key), std::string(reader.Bytes()));
  }
  return contents;
}

// The table that CURRENT names: its bytes. kNotFound without CURRENT.
Result<std::string> ReadTable(env::Env& env, const std::string& dir, uint64_t* number) {
  const std::string current = env::JoinPath(dir, kCurrent);
  auto named = env::ReadFile(env, current, 64);
  if (!named) return std::unexpected(named.error());
  if (named->size() != sizeof(uint64_t)) {
    return Fail(Code::kCorruption, current + " is malformed");
  }
  *number = GetFixed<uint64_t>(named->data());
  const std::string path = env::JoinPath(dir, "table-" + std::to_string(*number));
  auto bytes = env::ReadFile(env, path, kTableBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) {
    return Fail(Code::kCorruption, path + " is gone");
  }
  return bytes;
}

Status WriteTable(env::Env& env, const std::string& dir, uint64_t number, std::string_view bytes) {
  auto file = env.Open(env::JoinPath(dir, "table-" + std::to_string(number)),
                       env::OpenMode::kCreateTruncate);
  if (!file) return std::unexpected(file.error());
  Status done = (*file)->WriteAt(0, bytes);
  if (done) done = (*file)->Sync();
  if (done) done = env.SyncDir(dir);
  if (!done) return done;
  std::string named;
  PutFixed(&named, number);
  return env::WriteFileAtomically(env, env::JoinPath(dir, kCurrent), named);
}

Result<kv::AppliedState> AppliedIn(const std::string& dir, const Contents& contents) {
  auto record = contents.find(kv::kAppliedKey);
  if (record == contents.end()) {
    return Fail(Code::kCorruption, "the database in " + dir + " has no applied record");
  }
  return kv::DecodeApplied(record->second);
}

class DiskEngine final : public kv::Engine {
 public:
  DiskEngine(env::Env* env, std::string dir, const DatabaseOptions& options,
             DatabaseWatcher* watcher, const Contents& contents, uint64_t table)
      : env_(*env),
        dir_(std::move(dir)),
        options_(options),
        watcher_(watcher),
        memory_(contents),
        table_(table),
        random_(SystemRandom64()) {
    thread_ = Thread([this] { Run(); });
  }

  ~DiskEngine() override {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
    }
    changed_.NotifyAll();
    if (thread_.joinable()) thread_.Join();
  }

  void StartAt(uint64_t position) override {
    MutexLock lock(&mutex_);
    position_ = position;
    memory_.StartAt(position);
  }

  Status Write(const kv::Batch& batch, uint64_t position) override {
    {
      MutexLock lock(&mutex_);
      if (Status written = memory_.Write(batch, position); !written) return written;
      position_ = position;
    }
    if (watcher_ != nullptr) watcher_->OnWritten(memory_, position);
    return {};
  }

  Result<bool> Get(std::string_view key, std::string* value) const override {
    return memory_.Get(key, value);
  }
  std::unique_ptr<kv::Iterator> NewIterator(kv::IterateOptions options) const override {
    return memory_.NewIterator(std::move(options));
  }
  uint64_t durable_position() const override { return memory_.durable_position(); }

  Status Flush(bool wait) override {
    if (wait) return FlushNow();
    MutexLock lock(&mutex_);
    if (kv::EngineHealth health = memory_.health(); health.state != kv::EngineState::kOk) {
      return std::unexpected(health.error);
    }
    wanted_ = true;
    changed_.NotifyAll();
    return {};
  }

  void RaiseHistoryFloor(uint64_t revision, uint64_t position) override {
    memory_.RaiseHistoryFloor(revision, position);
  }
  Status CompactAll() override { return memory_.CompactAll(); }

  Status Checkpoint(const std::string& dir) override {
    if (Status flushed = FlushNow(); !flushed) return flushed;
    Begin();
    Status done = CopyTo(dir);
    End();
    return done;
  }

  kv::EngineHealth health() const override { return memory_.health(); }
  void ReportCorruption(const Error& error) override {
    memory_.SetBackgroundError(kv::EngineState::kCorruption, error);
  }
  Status Resume() override { return memory_.Resume(); }
  kv::EngineStats stats() const override { return memory_.stats(); }

 private:
  // One flush or checkpoint at a time; no lock is held while it waits for the disk.
  void Begin() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (busy_) changed_.Wait(&mutex_);
    busy_ = true;
  }
  void End() EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      busy_ = false;
    }
    changed_.NotifyAll();
  }

  Status FlushNow() EXCLUDES(mutex_) {
    Begin();
    if (kv::EngineHealth health = memory_.health(); health.state != kv::EngineState::kOk) {
      {
        MutexLock lock(&mutex_);
        wanted_ = false;  // forgotten, as by RocksDB
      }
      End();
      return std::unexpected(health.error);
    }
    uint64_t position = 0;
    std::string bytes;
    {
      MutexLock lock(&mutex_);
      wanted_ = false;
      position = position_;
      bytes = Encode(memory_);
    }
    Status done = WriteTable(env_, dir_, table_ + 1, bytes);
    if (done) {
      ++table_;
      memory_.FlushUpTo(position);
      if (watcher_ != nullptr) watcher_->OnFlushed(dir_, position);
      (void)env_.Unlink(env::JoinPath(dir_, "table-" + std::to_string(table_ - 1)));
    } else {
      const bool full = done.error().code == Code::kDiskFull;
      memory_.SetBackgroundError(full ? kv::EngineState::kNoSpace : kv::EngineState::kFailed,
                                 done.error());
    }
    End();
    return done;
  }

  Status CopyTo(const std::string& dir) {
    if (auto exists = env::Exists(env_, dir); !exists || *exists) {
      return Fail(Code::kAlreadyExists, "make checkpoint " + dir + ": it exists");
    }
    const std::string part = dir + ".tmp";
    uint64_t number = 0;
    auto bytes = ReadTable(env_, dir_, &number);
    if (!bytes) return std::unexpected(bytes.error());
    Status done = env::RemoveTree(env_, part);
    if (done) done = env_.MakeDir(part);
    if (done) done = WriteTable(env_, part, number, *bytes);
    if (done) done = env_.Rename(part, dir);
    if (done) done = env_.SyncDir(env::ParentDir(dir));
    if (!done) (void)env::RemoveTree(env_, part);
    return done;
  }

  void Run() EXCLUDES(mutex_) {
    while (true) {
      {
        MutexLock lock(&mutex_);
        if (stopping_) return;
        if (!wanted_ && options_.flush_ns_mean == 0) {
          changed_.Wait(&mutex_);
          if (!wanted_) continue;
        } else if (!wanted_) {
          const uint64_t ns = sim::DrawDelay(&random_, options_.flush_ns_mean);
          const bool woken = changed_.WaitFor(&mutex_, std::chrono::nanoseconds(ns));
          if (woken && !wanted_) continue;
        }
        if (stopping_) return;
      }
      (void)FlushNow();  // what goes wrong is in the health
    }
  }

  env::Env& env_;
  const std::string dir_;
  const DatabaseOptions options_;
  DatabaseWatcher* const watcher_;
  kv::MemEngine memory_;
  uint64_t table_;  // of whoever is busy
  Mutex mutex_;
  CondVar changed_;
  uint64_t position_ GUARDED_BY(mutex_) = 0;
  bool wanted_ GUARDED_BY(mutex_) = false;
  bool busy_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  SeededRandom random_;  // the thread's
  Thread thread_;
};

}  // namespace

Databases::Databases(env::Env* env, const DatabaseOptions& options, DatabaseWatcher* watcher)
    : env_(*env), options_(options), watcher_(watcher) {}

Result<std::unique_ptr<kv::Engine>> Databases::Open(const kv::RocksEngineOptions& options) {
  const std::string& dir = options.path;
  uint64_t number = 0;
  Contents contents;
  auto bytes = ReadTable(env_, dir, &number);
  if (bytes) {
    auto decoded = Decode(dir, *bytes);
    if (!decoded) return std::unexpected(decoded.error());
    contents = std::move(*decoded);
    auto applied = AppliedIn(dir, contents);
    if (!applied) return std::unexpected(applied.error());
    // What it opens it calls durable; who died may not have synced the new name of CURRENT. RocksDB
    // writes a manifest and CURRENT anew at each start.
    if (Status synced = env_.SyncDir(dir); !synced) return std::unexpected(synced.error());
    if (watcher_ != nullptr) watcher_->OnOpened(kv::MemEngine(contents), dir, applied->index);
  } else if (bytes.error().code != Code::kNotFound || !options.create_if_missing) {
    return std::unexpected(bytes.error());
  } else if (Status made = env_.MakeDir(dir); !made && made.error().code != Code::kAlreadyExists) {
    return std::unexpected(made.error());
  }
  return std::make_unique<DiskEngine>(&env_, dir, options_, watcher_, contents, number);
}

Result<kv::AppliedState> Databases::ReadCheckpoint(const std::string& dir) {
  uint64_t number = 0;
  auto bytes = ReadTable(env_, dir, &number);
  if (!bytes) return std::unexpected(bytes.error());
  auto contents = Decode(dir, *bytes);
  if (!contents) return std::unexpected(contents.error());
  return AppliedIn(dir, *contents);
}

Status Databases::VerifyCheckpointTables(const std::string& dir, const StepFn& step) {
  uint64_t number = 0;
  auto bytes = ReadTable(env_, dir, &number);
  if (!bytes) return std::unexpected(bytes.error());
  auto contents = Decode(dir, *bytes);
  if (!contents) return std::unexpected(contents.error());
  return step ? step(bytes->size()) : Status();
}

}  // namespace arima::simserver
