// RocksListener: what RocksDB reports of its own accord, kept for the engine: flushes become
// durable positions, errors become health. Included by rocks_*.cc only.
//
// Thread rule: any thread; RocksDB calls it from its background threads and from writers.
#pragma once

#include <rocksdb/listener.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "kv/engine.h"
#include "kv/flush_tracker.h"
#include "kv/rocks_options.h"
#include "kv/rocks_space.h"

namespace arima::kv {

class RocksListener final : public rocksdb::EventListener {
 public:
  RocksListener(std::string path, std::shared_ptr<CompactionSpace> space)
      : path_(std::move(path)), space_(std::move(space)) {}

  FlushTracker& tracker() { return tracker_; }
  uint64_t flush_count() const { return flush_count_.load(std::memory_order_relaxed); }

  // One load: whether there is an error to look at.
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  EngineHealth health() const EXCLUDES(mutex_);
  void Note(const Error& error) EXCLUDES(mutex_);
  void Clear() EXCLUDES(mutex_);

  // Called after each flush, by the thread that did it. Set before there is any.
  void CallWhenFlushed(std::function<void()> call) { when_flushed_ = std::move(call); }
  // Returns when the rate at which RocksDB takes writes has changed, and after `timeout` anyhow.
  void WaitForStallChange(std::chrono::milliseconds timeout) EXCLUDES(mutex_);

  // Reported once the flushed file is in the synced manifest, and after all memtables before it.
  // Reports of two flushes may overtake each other (facebook/rocksdb#11183); the tracker allows it.
  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { space_->Update(); }
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    space_->Begin();
  }
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    space_->End();
  }
  void OnTableFileDeleted(const rocksdb::TableFileDeletionInfo&) override { space_->Update(); }
  // CompactFiles reports no begin and no end; as it ends, RocksDB looks for a compaction of its
  // own.
  void OnSubcompactionCompleted(const rocksdb::SubcompactionJobInfo& info) override {
    if (info.compaction_reason == rocksdb::CompactionReason::kManualCompaction) {
      space_->EndPermit();
    }
  }
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override {
    space_->Update();
    flush_count_.fetch_add(1, std::memory_order_relaxed);
    tracker_.Flushed(info.largest_seqno);
    if (when_flushed_) when_flushed_();
  }
  void OnStallConditionsChanged(const rocksdb::WriteStallInfo&) override {
    stall_changed_.NotifyAll();
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    if (status->ok()) return;
    Error error = MakeRocksError(*status, "background work", path_);
    if (error.code == Code::kOverloaded) error.code = Code::kInternal;  // it will not go away
    Note(error);
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;  // Engine::Resume is the only way back
  }

 private:
  const std::string path_;
  const std::shared_ptr<CompactionSpace> space_;
  FlushTracker tracker_;
  std::function<void()> when_flushed_;
  std::atomic<uint64_t> flush_count_{0};
  std::atomic<bool> failed_{false};  // written under mutex_
  mutable Mutex mutex_;
  CondVar stall_changed_;
  EngineHealth health_ GUARDED_BY(mutex_);
};

}  // namespace arima::kv
