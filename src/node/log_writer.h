// LogWriter: the thread that owns the write side of the raft log.
//
// Takes all queued writes at once, makes them one append and one sync, then reports every one of
// them; so the batch grows by itself while the disk is busy. A failed write or sync ends the
// process. A full disk is waited out: nothing was written, the core is told to refuse proposals. If
// the node stops meanwhile, what waits is dropped: nobody was told that it is durable.
//
// A cut of the log rides with the batch that follows it. If none does, it costs one write and sync
// of its own, so that the files go on an idle node as well; cuts are as rare as segments. It is
// also taken while a full disk is waited out, as it may be what ends the wait.
//
// Thread rule: Submit and CompactTo from the core thread; Start and Stop from the thread that owns
// the replica.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "base/thread.h"
#include "node/inbox.h"
#include "node/logger.h"
#include "node/raft_loop.h"
#include "node/sync_meter.h"
#include "wal/wal.h"

namespace arima::node {

struct LogWriterStats {
  uint64_t syncs = 0;
  uint64_t sync_ns_total = 0;
  uint64_t sync_ns_max = 0;
  uint64_t writes = 0;
};

class LogWriter final : public LogSink {
 public:
  // `stall_ns`: node/sync_meter.h.
  LogWriter(wal::Wal* wal, Inbox* inbox, Clock* clock, Logger* logger,
            uint64_t stall_ns = 2'000'000'000);
  ~LogWriter() override;

  void Start();
  // Writes what is queued (but for what a full disk does not take), then closes the log cleanly.
  void Stop();

  void Submit(raft::Write write) override;
  // See Wal::CompactTo; at or below what the database has on disk.
  void CompactTo(raft::Index index);
  LogWriterStats Stats() const;
  const SyncMeter& sync_meter() const { return sync_meter_; }

 private:
  struct Wake {};  // look at cut_to_
  using Task = std::variant<raft::Write, Wake>;

  void Run();
  // False: as WriteAll.
  bool Perform(std::vector<Task> tasks);
  // Tells the log of a cut that was asked for; true if there was one.
  bool BeginCut();
  // Makes it durable if no batch took it along, and lets the segments go.
  void FinishCut();
  // False: the node stops, and the disk is full; nothing more can be written.
  bool WriteAll(std::vector<raft::Write> writes);
  // Appends them as one batch.
  bool AppendOnce(std::span<raft::Write> writes);
  Status AppendPatiently(std::span<const wal::Batch> batches, bool sync);
  // Wal::Append, timed.
  Status Append(std::span<const wal::Batch> batches, bool sync);
  Status Attest();

  wal::Wal& wal_;
  Inbox& inbox_;
  Clock& clock_;
  Logger& logger_;
  // Unbounded by cost: the core never has more outstanding than max_uncommitted_bytes allows.
  // Cuts come at most once a second.
  BoundedQueue<Task> queue_{UINT64_MAX};
  std::atomic<uint64_t> cut_to_ = 0;  // 0: none asked for
  Thread thread_;
  SyncMeter sync_meter_;
  std::atomic<uint64_t> syncs_ = 0;
  std::atomic<uint64_t> sync_ns_total_ = 0;
  std::atomic<uint64_t> sync_ns_max_ = 0;
  std::atomic<uint64_t> writes_ = 0;
};

}  // namespace arima::node
