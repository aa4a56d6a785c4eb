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
#include "node/database_opening.h"
#include "node/disk_watch.h"
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
  uint64_t disk_stall_ns = 2'000'000'000;  // node/sync_meter.h
  bool accept_data_loss = false;           // of an only voter whose log is damaged
};

// What Open found besides a replica, or instead of one.
struct OpenReport {
  bool log_restarted = false;  // a damaged log was replaced by what is left of it
  // Not empty: Open failed because acknowledged log is lost that other voters have. The node is to
  // be marked damaged (node/log_damage.h); nothing was changed.
  std::string lost;
  std::string conf;  // with `lost`: the newest configuration that the database knows, encoded
};

class Replica {
 public:
  // Recovers log and database and reconciles them (docs/design/raft.md 4.6 R6, R7); completes the
  // install of a snapshot; begins with an empty database where the live one is damaged and the data
  // can be had again (node/database_opening.h).
  // A damaged log is mended if that costs nothing, or if the operator accepts what it costs.
  // kCorruption: names file, position and the next step, or `report` says more; nothing was
  // changed. `disk` may be null: then the disk is never low.
  static Result<std::unique_ptr<Replica>> Open(DataDir& dir, const Identity& identity,
                                               const ReplicaOptions& options,
                                               std::shared_ptr<Waker> waker, Clock* clock,
                                               Logger* logger, uint64_t now_ns,
                                               OpenReport* report = nullptr,
                                               const DiskWatch* disk = nullptr);
  ~Replica();  // Stop comes before: its threads are joined then (asserted)

  void Start(MessageSink* peers, RaftLoopHost* host);
  // Writes and applies what is under way, makes it durable, answers whoever still waits with
  // `why`. The core takes no further input.
  void Stop(const Error& why);

  RaftLoop& loop() { return *loop_; }
  kv::StateMachine& machine() { return *machine_; }
  wal::Wal& wal() { return *wal_; }
  const LogWriter& log_writer() const { return *log_writer_; }
  LogCutter& log_cutter() { return *log_cutter_; }
  const LogReader& log_reader() const { return *log_reader_; }
  // What was known to be committed when it was opened; the log may still have to be applied to it.
  uint64_t recovered_commit() const { return recovered_commit_; }
  // The database is empty and nothing is served until a snapshot is installed; set_aside() tells
  // what was found in the one before.
  bool needs_snapshot() const { return needs_snapshot_; }
  const std::string& set_aside() const { return set_aside_; }
  // Open found the database damaged, and it had not been noted before.
  bool damage_found() const { return damage_found_; }

 private:
  Replica() = default;
  // Log and database, open and in agreement; what a damaged log makes of that is in `report`.
  Status OpenStorage(DataDir& dir, const Identity& identity, const ReplicaOptions& options,
                     Logger* logger, wal::RecoveredLog* log, OpenedDatabase* database,
                     OpenReport* report);

  std::unique_ptr<wal::Wal> wal_;
  std::unique_ptr<kv::StateMachine> machine_;
  std::unique_ptr<RaftLoop> loop_;
  std::unique_ptr<LogWriter> log_writer_;
  std::unique_ptr<LogCutter> log_cutter_;
  std::unique_ptr<LogReader> log_reader_;
  std::unique_ptr<SegmentHelper> segment_helper_;
  std::unique_ptr<Flusher> flusher_;
  std::unique_ptr<Applier> applier_;
  uint64_t recovered_commit_ = 0;
  bool started_ = false;
  bool needs_snapshot_ = false;
  bool damage_found_ = false;
  std::string set_aside_;
};

}  // namespace arima::node
