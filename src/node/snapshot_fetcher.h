// SnapshotFetcher: the thread that brings the leader's snapshot to this node's disk
// (docs/design/raft.md 5.4, 5.5). What it received is installed by NodeCore, never here.
//
// One snapshot at a time. What is on the disk of an attempt that failed stays for the next one,
// whoever the leader then is.
//
// Thread rule: Start and Stop from the owner of the replica; the rest from any thread, none of it
// blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "node/data_dir.h"
#include "node/logger.h"
#include "node/snapshot_source.h"
#include "raft/types.h"
#include "snapshot/receiver.h"
#include "transport/hello.h"
#include "transport/network.h"

namespace arima::node {

// What a leader announced, and where it is.
struct SnapshotFetch {
  raft::SnapshotMeta meta;
  raft::MemberId from;
  raft::Term term;
  std::string leader_name;  // for the log
  std::string address;      // host:port
  Uuid incarnation;         // of the leader; zero: not checked
  transport::Hello hello;
};

struct SnapshotFetched {
  SnapshotFetch fetch;  // meta as the verified snapshot says, if ok
  Status status;
};

class SnapshotFetcher {
 public:
  SnapshotFetcher(DataDir* dir, transport::Network* network, Clock* clock, Logger* logger,
                  SnapshotCounters* counters, const SnapshotOptions& options);
  ~SnapshotFetcher();
  void Start();
  void Stop();

  // Begins, unless that snapshot is on its way already; another one that is gives way to it, its
  // files are used. Ignored while an outcome waits to be taken.
  void Fetch(SnapshotFetch fetch) EXCLUDES(mutex_);
  // Of the last fetch, once; one that gave way to another has none.
  std::optional<SnapshotFetched> Take() EXCLUDES(mutex_);
  // Removes what was received, unless something is under way.
  void Discard() EXCLUDES(mutex_);

  struct Running {
    raft::MemberId from;
    uint64_t snapshot_id = 0;
    snapshot::Progress progress;
    bool over = false;  // an outcome waits
  };
  // Empty: nothing is under way and no outcome waits.
  std::optional<Running> running() EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);
  Status FetchPatiently(SnapshotFetch* fetch) EXCLUDES(mutex_);
  Status FetchOnce(SnapshotFetch* fetch) EXCLUDES(mutex_);
  // False: the fetch is not wanted any more.
  bool Pause(uint64_t ns) EXCLUDES(mutex_);
  bool Wanted() EXCLUDES(mutex_);

  DataDir& dir_;
  transport::Network& network_;
  Clock& clock_;
  Logger& logger_;
  SnapshotCounters& counters_;
  const SnapshotOptions options_;
  Thread thread_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool discard_ GUARDED_BY(mutex_) = false;
  bool busy_ GUARDED_BY(mutex_) = false;  // with current_
  std::optional<SnapshotFetch> next_ GUARDED_BY(mutex_);
  SnapshotFetch current_ GUARDED_BY(mutex_);
  snapshot::Progress progress_ GUARDED_BY(mutex_);
  ByteStream* stream_ GUARDED_BY(mutex_) = nullptr;
  std::optional<SnapshotFetched> outcome_ GUARDED_BY(mutex_);
};

}  // namespace arima::node
