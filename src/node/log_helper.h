// Threads beside the log writer: one reads old entries for slow peers and for the applier after a
// restart, one keeps segment files ready, so that neither stops the core or the writer.
//
// Thread rule: Submit from the core thread; Start and Stop from the replica's owner.
#pragma once

#include <atomic>
#include <string>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "kv/engine.h"
#include "node/inbox.h"
#include "node/logger.h"
#include "node/raft_loop.h"
#include "wal/wal.h"

namespace arima::node {

class LogReader final : public LoadSink {
 public:
  LogReader(const wal::Wal* wal, Inbox* inbox, Logger* logger);
  ~LogReader() override;
  void Start();
  void Stop();
  // The core has at most one load outstanding per peer, so the queue is bounded by membership.
  void Submit(raft::LoadEntries load) override;
  // Times that bytes read back were not those written. Any thread.
  uint64_t damage_count() const { return damage_count_.load(std::memory_order_relaxed); }

 private:
  void Load(const raft::LoadEntries& load);
  void ReportFailure(const raft::LoadEntries& load, const Error& error);

  const wal::Wal& wal_;
  Inbox& inbox_;
  Logger& logger_;
  BoundedQueue<raft::LoadEntries> queue_{UINT64_MAX};
  std::atomic<uint64_t> damage_count_ = 0;
  std::string last_failure_;  // as logged; reader thread
  Thread thread_;
};

// While no segment can be made for want of space, and only one stands ready, the core hears it:
// what is left of the log is for hard states and what is under way already. The log does not take
// the space that the database's next flush needs: without that flush it could never give any back.
class SegmentHelper {
 public:
  // `engine`: the database.
  SegmentHelper(wal::Wal* wal, const kv::Engine* engine, Inbox* inbox, Logger* logger);
  ~SegmentHelper();
  void Start();
  void Stop();

 private:
  void Run() EXCLUDES(mutex_);
  void TellSpace(const Result<bool>& worked);

  wal::Wal& wal_;
  const kv::Engine& engine_;
  Inbox& inbox_;
  Logger& logger_;
  bool space_low_ = false;  // the thread's
  Mutex mutex_;
  CondVar stopping_changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace arima::node
