// SyncMeter: how long the disk takes to make a piece of the raft log durable, and whether it has
// stalled (docs/design/raft.md 4.7).
//
// Stalled is a disk that has spent `stall_ns` on nothing but slow operations (each a tenth of that
// or more) with no fast one among them, the one under way included. So a hang shows while it lasts,
// a crawling disk after a few operations, one slow operation among fast ones never; and the time in
// which nothing is written does not count. One fast operation ends it, or that nothing was written
// for kForgetNs: a node that is given no writes because it is not ready would never show that its
// disk is well again.
//
// Thread rule: Begin and End from the writer; Read from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/mutex.h"

namespace arima::node {

struct SyncReading {
  uint64_t typical_ns = 0;  // median of the last few syncs; 0: none yet
  uint64_t running_ns = 0;  // age of the operation under way; 0: none
  bool stalled = false;

  uint64_t latency_ns() const { return typical_ns > running_ns ? typical_ns : running_ns; }
};

class SyncMeter {
 public:
  static constexpr uint64_t kForgetNs = 30'000'000'000;

  explicit SyncMeter(uint64_t stall_ns) : stall_ns_(stall_ns) {}

  void Begin(uint64_t now_ns) EXCLUDES(mutex_);
  // `synced`: it was a sync, and not a write only. With false it counts if it was slow.
  void End(uint64_t now_ns, bool synced) EXCLUDES(mutex_);
  // It came to nothing (a full disk).
  void Cancel() EXCLUDES(mutex_);

  SyncReading Read(uint64_t now_ns) const EXCLUDES(mutex_);
  uint64_t stall_ns() const { return stall_ns_; }

 private:
  static constexpr size_t kRecent = 15;
  bool IsSlow(uint64_t spent_ns) const { return spent_ns >= stall_ns_ / 10; }

  const uint64_t stall_ns_;
  mutable Mutex mutex_;
  std::array<uint64_t, kRecent> recent_ns_ GUARDED_BY(mutex_){};
  size_t count_ GUARDED_BY(mutex_) = 0;
  uint64_t begin_ns_ GUARDED_BY(mutex_) = 0;  // 0: nothing is under way
  uint64_t slow_ns_ GUARDED_BY(mutex_) = 0;   // spent since the last fast operation
  uint64_t end_ns_ GUARDED_BY(mutex_) = 0;    // of the newest operation
};

}  // namespace arima::node
