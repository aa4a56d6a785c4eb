// RocksDB behind the engine interface.
//
// Durable position. With the log off, data is durable once its memtable is flushed and the manifest
// names the file. A batch is never split over memtables and memtables are installed in order, so
// the highest sequence number flushed marks a prefix of batches; FlushTracker maps it to a
// position. The last entry of each batch of the state machine is the `m` record, which no later
// entry of the same memtable can hide without being newer itself: the file's largest sequence
// number is that of the memtable's last batch.
//
// Errors. Any background error closes the engine for writing until Resume, even where RocksDB
// itself would let writes go on into memory: they could not become durable. Corruption found by a
// read is noted as well.
//
// Stalls. Where RocksDB stops writes until flushes and compactions have caught up, a Write waits,
// but not for ever: on a full disk compactions may have to wait for somebody to make space.
//
// RocksDB reports by Status and throws nothing but bad_alloc, which ends the process.
#include "kv/rocks_engine.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/hex.h"
#include "base/mutex.h"
#include "kv/key_schema.h"
#include "kv/rocks_checkpoint.h"
#include "kv/rocks_garbage.h"
#include "kv/rocks_history.h"
#include "kv/rocks_listener.h"
#include "kv/rocks_options.h"

namespace arima::kv {
namespace {

// Disks answer several reads at once in the time of one.
constexpr size_t kReadAheadThreads = 8;
constexpr size_t kReadAheadKeysMin = 16;  // of one thread

// RocksDB, built with its assertions on as Debian does, ends the process at a slice without a
// pointer.
rocksdb::Slice ToSlice(std::string_view bytes) {
  return {bytes.data() != nullptr ? bytes.data() : "", bytes.size()};
}
std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// How often a write that RocksDB has stopped is tried again, if it does not say when.
constexpr std::chrono::milliseconds kStoppedPause{10};

// How long a flush may be under way after RocksDB said that it is done, before it is asked again.
constexpr std::chrono::seconds kFlushReportTimeout{2};

// Without allow_write_stall it waits until few tables are left to compact, which on a full disk is
// never: compactions get their space from the history and the log that only a flush lets go.
rocksdb::FlushOptions UrgentFlush(bool wait) {
  rocksdb::FlushOptions options;
  options.wait = wait;
  options.allow_write_stall = true;
  return options;
}

class RocksIterator final : public Iterator {
 public:
  RocksIterator(rocksdb::DB* db, RocksListener* listener, const std::string& path,
                IterateOptions options)
      : options_(std::move(options)),
        lower_(options_.lower),
        upper_(options_.upper),
        listener_(*listener),
        path_(path) {
    rocksdb::ReadOptions read;
    read.fill_cache = options_.fill_cache;
    read.max_skippable_internal_keys = options_.passed_max;
    read.background_purge_on_iterator_cleanup = true;  // readers delete no files
    if (options_.one_user_key) {
      read.prefix_same_as_start = true;
    } else {
      read.total_order_seek = true;  // without it the filters would hide keys from a range scan
      if (!options_.lower.empty()) read.iterate_lower_bound = &lower_;
      if (!options_.upper.empty()) read.iterate_upper_bound = &upper_;
    }
    it_.reset(db->NewIterator(read));
  }

  void Seek(std::string_view key) override {
    ARIMA_ASSERT(!options_.one_user_key || !FilterPrefix(key).empty(), Printable(key));
    it_->Seek(ToSlice(key));
  }
  void Next() override {
    ARIMA_ASSERT(it_->Valid());
    it_->Next();
  }
  bool Valid() const override { return it_->Valid(); }
  std::string_view key() const override { return ToView(it_->key()); }
  std::string_view value() const override { return ToView(it_->value()); }
  Status status() const override {
    rocksdb::Status status = it_->status();
    if (status.ok()) return {};
    Error error = MakeRocksError(status, "read", path_);
    if (error.code == Code::kCorruption) listener_.Note(error);
    return std::unexpected(std::move(error));
  }

 private:
  const IterateOptions options_;
  const rocksdb::Slice lower_;  // RocksDB keeps pointers to these two
  const rocksdb::Slice upper_;
  RocksListener& listener_;
  const std::string& path_;
  std::unique_ptr<rocksdb::Iterator> it_;
};

class RocksEngine final : public Engine {
 public:
  RocksEngine(const RocksEngineOptions& options, std::shared_ptr<RocksListener> listener,
              std::shared_ptr<HistoryState> history, std::shared_ptr<CompactionSpace> space,
              std::unique_ptr<rocksdb::DB> db)
      : path_(options.path),
        write_patience_(options.write_patience_ms),
        listener_(std::move(listener)),
        history_(std::move(history)),
        db_(std::move(db)),
        sweeper_(db_.get(), history_, std::move(space), &listener_->tracker(), options) {
    listener_->CallWhenFlushed([this] { sweeper_.NoteFlush(); });
    sweeper_.Start();
    write_options_.disableWAL = true;
    write_options_.sync = false;
    write_options_.no_slowdown = true;
  }
  ~RocksEngine() override {
    sweeper_.Stop();
    // Close flushes too (avoid_flush_during_shutdown is off), but would first wait for compactions.
    // If that fails, the raft log still has what is not durable here.
    db_->Flush(UrgentFlush(true)).PermitUncheckedError();
    db_->Close().PermitUncheckedError();
  }

  void StartAt(uint64_t position) override {
    listener_->tracker().StartAt(db_->GetLatestSequenceNumber(), position);
  }
  Status Write(const Batch& batch, uint64_t position) override;
  Result<bool> Get(std::string_view key, std::string* value) const override;
  std::unique_ptr<Iterator> NewIterator(IterateOptions options) const override {
    return std::make_unique<RocksIterator>(db_.get(), listener_.get(), path_, std::move(options));
  }
  void ReadAhead(std::span<const std::string> keys) const override;
  uint64_t durable_position() const override { return listener_->tracker().durable_position(); }
  Status Flush(bool wait) override;
  void RaiseHistoryFloor(uint64_t revision, uint64_t position) override {
    history_->floor.Raise(revision, position);
  }
  Status CompactAll() override;
  Status Checkpoint(const std::string& dir) override;
  EngineHealth health() const override { return listener_->health(); }
  void ReportCorruption(const Error& error) override {
    listener_->Note({.code = Code::kCorruption, .message = error.message});
  }
  Status Resume() override;
  EngineStats stats() const override;

  rocksdb::DB* db() { return db_.get(); }

 private:
  rocksdb::Status WritePatiently();
  Status CheckWritable() const {
    if (!listener_->failed()) return {};
    return std::unexpected(listener_->health().error);
  }
  uint64_t Property(const std::string& name) const {
    uint64_t value = 0;
    return db_->GetIntProperty(name, &value) ? value : 0;
  }

  const std::string path_;
  const std::chrono::milliseconds write_patience_;
  const std::shared_ptr<RocksListener> listener_;  // shared with RocksDB
  const std::shared_ptr<HistoryState> history_;    // shared with RocksDB
  const std::unique_ptr<rocksdb::DB> db_;
  GarbageSweeper sweeper_;
  Mutex resume_mutex_;  // one attempt at a time
  rocksdb::WriteOptions write_options_;
  rocksdb::WriteBatch write_batch_;  // writer's; kept for its memory
};

rocksdb::Status RocksEngine::WritePatiently() {
  for (auto left = write_patience_;; left -= kStoppedPause) {
    rocksdb::Status status = db_->Write(write_options_, &write_batch_);
    // Incomplete: writes are stopped.
    if (!status.IsIncomplete() || left <= kStoppedPause || listener_->failed()) return status;
    listener_->WaitForStallChange(kStoppedPause);
  }
}

Status RocksEngine::Write(const Batch& batch, uint64_t position) {
  if (Status status = CheckWritable(); !status) return status;
  write_batch_.Clear();
  rocksdb::Status status;
  batch.ForEach([&](std::string_view key, std::optional<std::string_view> value) {
    if (!status.ok()) return;
    status =
        value ? write_batch_.Put(ToSlice(key), ToSlice(*value)) : write_batch_.Delete(ToSlice(key));
  });
  if (status.ok()) status = WritePatiently();
  if (!status.ok()) {
    Error error = MakeRocksError(status, "write", path_);
    if (error.code != Code::kOverloaded) listener_->Note(error);
    return std::unexpected(std::move(error));
  }
  // There is one writer, so the latest sequence number is this batch's.
  listener_->tracker().Written(db_->GetLatestSequenceNumber(), position);
  return {};
}

Result<bool> RocksEngine::Get(std::string_view key, std::string* value) const {
  rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), ToSlice(key), value);
  if (status.ok()) return true;
  if (status.IsNotFound()) return false;
  Error error = MakeRocksError(status, "read", path_);
  if (error.code == Code::kCorruption) listener_->Note(error);
  return std::unexpected(std::move(error));
}

// What one thread would wait for, one block after the other, several wait for at once. They are
// made for each call: it is rare, and saves far more than they cost.
void RocksEngine::ReadAhead(std::span<const std::string> keys) const {
  const size_t count = std::min(kReadAheadThreads, keys.size() / kReadAheadKeysMin);
  std::vector<std::jthread> threads;
  for (size_t first = 0; first < count; ++first) {
    auto work = [this, keys, first, count] {
      const auto it = NewIterator({.one_user_key = true});
      for (size_t i = first; i < keys.size(); i += count) it->Seek(keys[i]);
    };
    try {
      threads.emplace_back(std::move(work));
    } catch (const std::system_error&) {
      return;  // no more threads to be had; those that run do their part
    }
  }
}

// With `wait`, only the listener's word counts. After a full disk and a Resume, RocksDB 7.8.3 was
// seen to answer "ok" to every Flush at once, with the flush still to come (RocksFullDisk tests it;
// facebook/rocksdb#8046 is of the same kind). And even on a healthy database the waiting thread may
// be woken before the listener is told.
Status RocksEngine::Flush(bool wait) {
  FlushTracker& tracker = listener_->tracker();
  const uint64_t sequence = tracker.written_sequence();
  const rocksdb::FlushOptions options = UrgentFlush(wait);
  do {
    if (Status status = CheckWritable(); !status) return status;
    if (rocksdb::Status status = db_->Flush(options); !status.ok()) {
      Error error = MakeRocksError(status, "flush", path_);
      if (error.code != Code::kOverloaded) listener_->Note(error);
      return std::unexpected(std::move(error));
    }
  } while (wait && !tracker.WaitFlushed(sequence, kFlushReportTimeout));
  return {};
}

Status RocksEngine::CompactAll() {
  if (Status status = CheckWritable(); !status) return status;
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  rocksdb::Status status = db_->CompactRange(options, nullptr, nullptr);
  if (!status.ok()) return std::unexpected(MakeRocksError(status, "compaction", path_));
  return {};
}

// The flush comes first because only Flush can be trusted to have done it (above), and because the
// one of a checkpoint waits for compactions.
Status RocksEngine::Checkpoint(const std::string& dir) {
  if (Status status = Flush(true); !status) return status;
  return MakeCheckpoint(db_.get(), dir);
}

Status RocksEngine::Resume() {
  MutexLock lock(&resume_mutex_);
  EngineHealth health = listener_->health();
  if (health.state == EngineState::kOk) return {};
  if (health.state != EngineState::kNoSpace) return std::unexpected(health.error);
  // RocksDB tells the listener of an error before it takes note of it, and its Resume does
  // nothing when it knows of no error: let background work come to its end first. Then health is
  // cleared before the attempt, so that an error during or after it is not lost.
  rocksdb::Status paused = db_->PauseBackgroundWork();
  if (paused.ok()) {
    listener_->Clear();
    paused = db_->ContinueBackgroundWork();
  }
  if (!paused.ok()) return std::unexpected(MakeRocksError(paused, "resume", path_));
  if (rocksdb::Status status = db_->Resume(); !status.ok()) {
    Error error = MakeRocksError(status, "resume", path_);
    listener_->Note(error);
    return std::unexpected(std::move(error));
  }
  return CheckWritable();
}

EngineStats RocksEngine::stats() const {
  EngineStats stats;
  stats.unflushed_bytes = Property(rocksdb::DB::Properties::kCurSizeAllMemTables);
  stats.table_bytes = Property(rocksdb::DB::Properties::kLiveSstFilesSize);
  stats.entry_count = Property(rocksdb::DB::Properties::kEstimateNumKeys);
  stats.cache_bytes = Property(rocksdb::DB::Properties::kBlockCacheUsage);
  stats.compaction_pending_bytes =
      Property(rocksdb::DB::Properties::kEstimatePendingCompactionBytes);
  stats.write_stalled = Property(rocksdb::DB::Properties::kIsWriteStopped) != 0 ||
                        Property(rocksdb::DB::Properties::kActualDelayedWriteRate) != 0;
  stats.flush_count = listener_->flush_count();
  stats.dropped_count = history_->dropped.load(std::memory_order_relaxed);
  stats.sweep_count = history_->sweeps.load(std::memory_order_relaxed);
  stats.sweep_compaction_count = history_->sweep_compactions.load(std::memory_order_relaxed);
  for (int level = 0; level < db_->NumberLevels(); ++level) {
    std::string count;
    if (db_->GetProperty(rocksdb::DB::Properties::kNumFilesAtLevelPrefix + std::to_string(level),
                         &count)) {
      stats.table_count += std::stoull(count);
    }
  }
  return stats;
}

// RocksDB would make a new, empty database where CURRENT is missing, and delete the tables of the
// old one. (A crash while a database is made leaves no tables.)
Status PrepareDirectory(const RocksEngineOptions& options, rocksdb::Env* env) {
  rocksdb::Status current = env->FileExists(options.path + "/CURRENT");
  if (current.ok()) return {};
  if (!current.IsNotFound()) {
    return std::unexpected(MakeRocksError(current, "open", options.path));
  }
  if (!options.create_if_missing) {
    return Fail(Code::kNotFound, "there is no database in " + options.path);
  }
  std::vector<std::string> names;
  rocksdb::Status listed = env->GetChildren(options.path, &names);
  if (!listed.ok() && !listed.IsNotFound() && !listed.IsPathNotFound()) {
    return std::unexpected(MakeRocksError(listed, "open", options.path));
  }
  for (const std::string& name : names) {
    if (name.ends_with(".sst")) {
      return Fail(Code::kCorruption,
                  options.path + "/CURRENT is missing, but there is the table " + name);
    }
  }
  rocksdb::Status made = env->CreateDirIfMissing(options.path);
  if (!made.ok()) return std::unexpected(MakeRocksError(made, "open", options.path));
  return {};
}

// A new database must not vanish with its directory entry.
Status SyncParent(const std::string& path, rocksdb::Env* env) {
  std::unique_ptr<rocksdb::Directory> parent;
  rocksdb::Status status = env->NewDirectory(path + "/..", &parent);
  if (status.ok()) status = parent->Fsync();
  if (!status.ok()) return std::unexpected(MakeRocksError(status, "sync of the parent", path));
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> OpenRocksEngineOn(const RocksEngineOptions& options,
                                                  rocksdb::Env* env) {
  if (Status status = PrepareDirectory(options, env); !status) {
    return std::unexpected(status.error());
  }
  auto space = std::make_shared<CompactionSpace>(
      env, options.path,
      options.write_buffer_bytes * static_cast<uint64_t>(options.write_buffer_count));
  auto listener = std::make_shared<RocksListener>(options.path, space);
  rocksdb::Options rocks_options = MakeRocksOptions(options, env);
  rocks_options.sst_file_manager = space->manager();
  rocks_options.listeners.push_back(listener);
  auto history = std::make_shared<HistoryState>();
  rocks_options.compaction_filter_factory =
      std::make_shared<HistoryFilterFactory>(history, listener);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(rocks_options, options.path, &db);
  if (!status.ok()) {
    return std::unexpected(MakeOpenError(status, "open", options.path, rocks_options));
  }
  space->Update();  // with the tables that are there
  auto engine = std::make_unique<RocksEngine>(options, std::move(listener), std::move(history),
                                              std::move(space), std::unique_ptr<rocksdb::DB>(db));
  if (Status synced = SyncParent(options.path, env); !synced) {
    return std::unexpected(synced.error());
  }
  return engine;
}

rocksdb::DB* DatabaseOf(Engine* engine) { return dynamic_cast<RocksEngine&>(*engine).db(); }

Result<std::unique_ptr<Engine>> OpenRocksEngine(const RocksEngineOptions& options) {
  rocksdb::Env* env = options.files != nullptr ? options.files->env.get() : rocksdb::Env::Default();
  return OpenRocksEngineOn(options, env);
}

}  // namespace arima::kv

#if defined(__SANITIZE_THREAD__)
// The library is not instrumented: the thread sanitizer does not see its atomics and takes what
// they order for races.
extern "C" const char* __tsan_default_suppressions() { return "race:librocksdb.so\n"; }
#endif
