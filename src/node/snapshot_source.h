// SnapshotSource: the thread that makes checkpoints of this node's database and sends them to peers
// whose next entry the log does not hold any more (docs/design/raft.md 1.13, 5.3, 5.4).
//
//   Request --> wanted --checkpoint--> announced --stream--> sending --> settling --> forgotten
//                 ^                        |   ^-- stream lost --|
//                 '------ given up: the core hears it and asks again; not before a pause
//
// One checkpoint lives at a time, and one peer is served at a time; others wait their turn. The
// core hears SnapshotReady when the peer may come, and SnapshotSent when that is over.
//
// Thread rule: Start and Stop from the owner of the replica; the rest from any thread, none of it
// blocks. Units: nanoseconds, bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "kv/databases.h"
#include "kv/state_machine.h"
#include "node/data_dir.h"
#include "node/inbox.h"
#include "node/logger.h"
#include "raft/core.h"
#include "snapshot/manifest.h"
#include "snapshot/rate_limiter.h"
#include "snapshot/sender.h"
#include "wal/wal.h"

namespace arima::node {

struct SnapshotOptions {
  kv::Databases* databases = &kv::RocksDatabases();
  uint64_t rate_bytes_per_s = 100 << 20;  // of all snapshots sent
  // That a snapshot being received leaves on the disk; the node puts its reserve in the place of 0.
  uint64_t free_bytes_min = 0;
  uint64_t await_ns = 5'000'000'000;    // for the peer to come, or to come again
  uint64_t keep_ns = 600'000'000'000;   // a checkpoint that nobody uses
  uint64_t settle_ns = 10'000'000'000;  // for the peer to be followed by the log again
  uint64_t retry_ns_min = 500'000'000;  // before the next attempt for the same peer; doubles
  uint64_t retry_ns_max = 30'000'000'000;
};

// Of the life of the process.
struct SnapshotCounters {
  std::atomic<uint64_t> sends = 0;
  std::atomic<uint64_t> send_failures = 0;
  std::atomic<uint64_t> sent_bytes = 0;
  std::atomic<uint64_t> installs = 0;
  std::atomic<uint64_t> receive_failures = 0;
};

// A peer that is about to get a snapshot, gets it, or has just got it: the log above `index` must
// stay for it.
struct OutgoingSnapshot {
  raft::MemberId peer;
  raft::Index index;
  uint64_t snapshot_id = 0;
  bool over = false;  // the peer has it
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

class SnapshotSource {
 public:
  // All of them outlive this.
  SnapshotSource(DataDir* dir, kv::StateMachine* machine, const wal::Wal* wal, Inbox* inbox,
                 Clock* clock, Logger* logger, SnapshotCounters* counters,
                 const SnapshotOptions& options);
  ~SnapshotSource();
  void Start();
  // Ends what is under way, removes the checkpoint.
  void Stop();

  // `name` of the peer is for the log.
  void Request(const raft::SnapshotRequest& request, const std::string& name) EXCLUDES(mutex_);
  // The peer came for what it was told of; a stream that nobody expects is closed.
  void Serve(raft::MemberId peer, std::unique_ptr<ByteStream> stream) EXCLUDES(mutex_);
  // This node does not lead any more: whoever leads sends its own.
  void Abandon() EXCLUDES(mutex_);

  // Who is no member of `conf` gets nothing more, and nothing is kept for it; the core has
  // forgotten it already.
  void KeepMembersOf(const raft::ConfState& conf) EXCLUDES(mutex_);

  // Keeping the log for it costs too much: the core hears that it failed.
  void Abandon(raft::MemberId peer) EXCLUDES(mutex_);

  std::vector<OutgoingSnapshot> Outgoing() EXCLUDES(mutex_);

 private:
  enum class State : uint8_t { kIdle, kWanted, kPreparing, kAnnounced, kSending, kSettling };
  // Of one peer, as long as something about it matters.
  struct Peer {
    State state = State::kIdle;
    std::string name;
    raft::Index at_least;
    raft::Index index;  // from kAnnounced on, with snapshot_id
    uint64_t snapshot_id = 0;
    uint64_t until_ns = 0;  // kAnnounced, kSettling: end of it; else: no new attempt before
    uint64_t retry_ns = 0;  // next pause
    uint64_t request = 0;   // counts requests: an answer to an older one is dropped
    int streams = 0;        // that came to nothing without progress
    std::unique_ptr<ByteStream> stream;  // came, not yet served
  };
  struct Checkpoint {
    std::string dir;
    snapshot::Manifest manifest;
    raft::ConfState conf;
    uint64_t used_ns = 0;
  };

  void Run() EXCLUDES(mutex_);
  // Forgets what is over; returns when to look again.
  uint64_t Expire(uint64_t now_ns) REQUIRES(mutex_);
  void Prepare(raft::MemberId peer) EXCLUDES(mutex_);
  Status EnsureCheckpoint(raft::MemberId peer, raft::Index at_least) EXCLUDES(mutex_);
  Status MakeCheckpoint() EXCLUDES(mutex_);
  void DropCheckpoint() EXCLUDES(mutex_);
  void CheckOwnTables() EXCLUDES(mutex_);
  void Send(raft::MemberId peer, std::unique_ptr<ByteStream> stream) EXCLUDES(mutex_);
  void Finish(raft::MemberId id, const Status& result, uint64_t bytes, uint64_t spent_ns)
      REQUIRES(mutex_);
  void GiveUp(raft::MemberId id, Peer& peer, const std::string& why) REQUIRES(mutex_);
  void CancelSending(raft::MemberId peer) REQUIRES(mutex_);
  bool IsStopping() EXCLUDES(mutex_);

  DataDir& dir_;
  kv::StateMachine& machine_;
  const wal::Wal& wal_;
  Inbox& inbox_;
  Clock& clock_;
  Logger& logger_;
  SnapshotCounters& counters_;
  const SnapshotOptions options_;
  snapshot::RateLimiter limiter_;
  std::optional<Checkpoint> checkpoint_;  // own thread
  Thread thread_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::map<raft::MemberId, Peer> peers_ GUARDED_BY(mutex_);
  // Of the transfer under way.
  raft::MemberId sending_to_ GUARDED_BY(mutex_);
  ByteStream* stream_ GUARDED_BY(mutex_) = nullptr;
  snapshot::CancellableWaiter* waiter_ GUARDED_BY(mutex_) = nullptr;
  const snapshot::Sender* sender_ GUARDED_BY(mutex_) = nullptr;
  // Of the checkpoint, for readers on other threads.
  uint64_t total_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace arima::node
