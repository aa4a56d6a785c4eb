// Flusher: the thread that has the database make durable what was applied, so that neither the
// applier nor the core waits for it, and a restart replays a bounded piece of the log
// (docs/design/raft.md 5.2).
//
// While the disk is low it flushes more often, so that what was deleted can go and the log be cut,
// but not what does not fit: the database would refuse writes. When it has run out of space all the
// same, it is resumed from here, also if nothing is applied.
//
// Thread rule: NoteApplied from the applier; Start and Stop from the replica's owner.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "kv/state_machine.h"
#include "node/disk_watch.h"
#include "node/logger.h"

namespace arima::node {

struct FlusherOptions {
  // A flush is started when this much was applied since the last one, or when something applied is
  // not on disk and so much time has passed since the last one began. So what a start has to replay
  // is bounded, and on an idle node the log shrinks to what the others may need.
  uint64_t flush_bytes = 512 << 20;
  uint64_t flush_interval_ns = 60'000'000'000;
};

class Flusher {
 public:
  // `disk` may be null: then it is never low.
  Flusher(kv::StateMachine* machine, const DiskWatch* disk, Clock* clock, Logger* logger,
          const FlusherOptions& options);
  ~Flusher();

  // Before anything is applied, and Start. Once `index` is applied, what was replayed to get there
  // is flushed, if it is worth it: else a node that is killed again and again replays more each
  // time.
  void FlushReplayed(uint64_t index) EXCLUDES(mutex_);
  void Start() EXCLUDES(mutex_);
  void Stop() EXCLUDES(mutex_);
  void NoteApplied(uint64_t bytes) EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);
  bool IsDue() REQUIRES(mutex_);
  bool WaitUntilDue() EXCLUDES(mutex_);
  bool Fits() const REQUIRES(mutex_);
  void ResumeIfFull();

  kv::StateMachine& machine_;
  const DiskWatch* const disk_;
  Clock& clock_;
  Logger& logger_;
  const FlusherOptions options_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool due_ GUARDED_BY(mutex_) = false;  // what WaitUntilDue found
  uint64_t dirty_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t last_flush_ns_ GUARDED_BY(mutex_) = 0;
  uint64_t replay_end_ GUARDED_BY(mutex_) = UINT64_MAX;  // until it was flushed
  Thread thread_;
};

}  // namespace arima::node
