// LogWriter: the thread that owns the write side of the raft log.
//
// Takes all queued writes at once, makes them one append and one sync, then reports every one of
// them; so the batch grows by itself while the disk is busy. A failed write or sync ends the
// process. A full disk is waited out: nothing was written, the core is told to refuse proposals. If
// the node stops meanwhile, what waits is dropped: nobody was told that it is durable.
//
// Thread rule: Submit from the core thread; Start and Stop from the thread that owns the replica.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "node/inbox.h"
#include "node/logger.h"
#include "node/raft_loop.h"
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
  LogWriter(wal::Wal* wal, Inbox* inbox, Clock* clock, Logger* logger);
  ~LogWriter() override;

  void Start();
  // Writes what is queued (but for what a full disk does not take), then closes the log cleanly.
  void Stop();

  void Submit(raft::Write write) override;
  LogWriterStats Stats() const;

 private:
  void Run();
  // False: the node stops, and the disk is full; nothing more can be written.
  bool WriteAll(std::vector<raft::Write> writes);
  // Appends them as one batch.
  bool AppendOnce(std::span<raft::Write> writes);
  Status AppendPatiently(std::span<const wal::Batch> batches, bool sync);

  wal::Wal& wal_;
  Inbox& inbox_;
  Clock& clock_;
  Logger& logger_;
  // Unbounded by cost: the core never has more outstanding than max_uncommitted_bytes allows.
  BoundedQueue<raft::Write> queue_{UINT64_MAX};
  std::thread thread_;
  std::atomic<uint64_t> syncs_ = 0;
  std::atomic<uint64_t> sync_ns_total_ = 0;
  std::atomic<uint64_t> sync_ns_max_ = 0;
  std::atomic<uint64_t> writes_ = 0;
};

}  // namespace arima::node
