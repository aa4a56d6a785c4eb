// FlushTracker: turns "everything up to sequence number s is on disk" into "a crash now leaves
// position p" (docs/design/raft.md 5.2). It keeps one pair (sequence after the batch, position) per
// batch that is not durable yet; the memory that unflushed batches may take bounds their number.
//
// A flush may complete before the writer got to note the batch it contains: the highest flushed
// sequence is remembered, so the order of Written and Flushed does not matter, nor that of reports.
//
// Thread rule: StartAt and Written from the writing thread, the rest from any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>

#include "base/mutex.h"

namespace arima::kv {

class FlushTracker {
 public:
  // Before anything else: what is there is durable, ends with `sequence` and is at `position`.
  void StartAt(uint64_t sequence, uint64_t position) EXCLUDES(mutex_);
  // The batch of `position` is in memory and ends with `sequence`; both never decrease.
  void Written(uint64_t sequence, uint64_t position) EXCLUDES(mutex_);
  // All batches up to `sequence` are on disk.
  void Flushed(uint64_t sequence) EXCLUDES(mutex_);

  // Waits until all batches up to `sequence` are on disk, at most for `timeout` or until Wake; then
  // says whether they are.
  bool WaitFlushed(uint64_t sequence, std::chrono::milliseconds timeout) EXCLUDES(mutex_);
  void Wake() { flushed_.NotifyAll(); }

  uint64_t durable_position() const { return durable_.load(std::memory_order_acquire); }
  uint64_t written_sequence() const EXCLUDES(mutex_);

 private:
  struct Batch {
    uint64_t sequence = 0;
    uint64_t position = 0;
  };
  void Advance() REQUIRES(mutex_);

  mutable Mutex mutex_;
  CondVar flushed_;
  std::deque<Batch> waiting_ GUARDED_BY(mutex_);  // ascending
  Batch last_ GUARDED_BY(mutex_);
  uint64_t flushed_sequence_ GUARDED_BY(mutex_) = 0;
  std::atomic<uint64_t> durable_{0};  // written under mutex_
};

}  // namespace arima::kv
