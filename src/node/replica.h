// Replica: one life of this node's data: log, database, consensus core, and the threads that serve
// them. Joining another cluster ends one replica and begins another; the node around it stays.
//
// Thread rule: Open, Start, Stop and loop() belong to the core thread's owner; machine() and
// loop().inbox() may be used from any thread while a shared_ptr to the replica is held.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "kv/state_machine.h"
#include "node/applier.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "node/flusher.h"
#include "node/log_cutter.h"
#include "node/log_helper.h"
#include "node/log_writer.h"
#include "node/raft_loop.h"
#include "node/snapshot_source.h"
#include "wal/wal.h"

namespace arima::node {

struct ReplicaOptions {
  StorageOptions storage;
  RaftLoopOptions loop;
  InboxLimits inbox;
  FlusherOptions flusher;
  LogRetentionLimits retention;
  uint32_t election_ticks = 40;
  uint32_t heartbeat_ticks = 5;
  SnapshotOptions snapshots;
};

class Replica {
 public:
  // Recovers log and database and reconciles them (docs/design/raft.md 4.6 R6, R7); completes the
  // install of a snapshot.
  // kCorruption: names file, position and the next step; nothing was changed.
  static Result<std::unique_ptr<Replica>> Open(DataDir& dir, const Identity& identity,
                                               const ReplicaOptions& options,
                                               std::shared_ptr<Waker> waker, Clock* clock,
                                               Logger* logger, uint64_t now_ns);
  ~Replica();

  void Start(MessageSink* peers, RaftLoopHost* host);
  // Writes and applies what is under way, makes it durable, answers whoever still waits with
  // `why`. The core takes no further input.
  void Stop(const Error& why);

  RaftLoop& loop() { return *loop_; }
  kv::StateMachine& machine() { return *machine_; }
  wal::Wal& wal() { return *wal_; }
  const LogWriter& log_writer() const { return *log_writer_; }
  LogCutter& log_cutter() { return *log_cutter_; }

 private:
  Replica() = default;

  std::unique_ptr<wal::Wal> wal_;
  std::unique_ptr<kv::StateMachine> machine_;
  std::unique_ptr<RaftLoop> loop_;
  std::unique_ptr<LogWriter> log_writer_;
  std::unique_ptr<LogCutter> log_cutter_;
  std::unique_ptr<LogReader> log_reader_;
  std::unique_ptr<SegmentHelper> segment_helper_;
  std::unique_ptr<Flusher> flusher_;
  std::unique_ptr<Applier> applier_;
  bool started_ = false;
};

}  // namespace arima::node
