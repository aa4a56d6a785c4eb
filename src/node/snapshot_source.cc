// A request is answered for exactly the one that asked last: `request` tells whether the peer asked
// again while its checkpoint was made or its stream was served.
#include "node/snapshot_source.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "base/random.h"
#include "codec/conf_codec.h"
#include "kv/engine.h"

namespace arima::node {
namespace {

constexpr int kFruitlessStreamsMax = 3;
constexpr uint64_t kBurstBytesMin = 1 << 20;
constexpr uint64_t kLookNs = 1'000'000'000;

}  // namespace

SnapshotSource::SnapshotSource(DataDir* dir, kv::StateMachine* machine, const wal::Wal* wal,
                               Inbox* inbox, Clock* clock, Logger* logger,
                               SnapshotCounters* counters, const SnapshotOptions& options)
    : dir_(*dir),
      machine_(*machine),
      wal_(*wal),
      inbox_(*inbox),
      clock_(*clock),
      logger_(*logger),
      counters_(*counters),
      options_(options),
      limiter_(clock_, options.rate_bytes_per_s,
               std::max(options.rate_bytes_per_s / 10, kBurstBytesMin)) {}

SnapshotSource::~SnapshotSource() { ARIMA_ASSERT(!thread_.joinable()); }

void SnapshotSource::Start() {
  thread_ = Thread([this] { Run(); });
}

void SnapshotSource::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    CancelSending(sending_to_);
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.Join();
}

bool SnapshotSource::IsStopping() {
  MutexLock lock(&mutex_);
  return stopping_;
}

void SnapshotSource::Request(const raft::SnapshotRequest& request, const std::string& name) {
  MutexLock lock(&mutex_);
  Peer& peer = peers_[request.to];
  // Whatever was under way for it came to nothing, as far as the core knows.
  if (peer.state == State::kAnnounced || peer.state == State::kSending) {
    GiveUp(request.to, peer, "the peer's state changed");
  }
  if (peer.state == State::kSettling) peer.until_ns = clock_.NowNs() + options_.retry_ns_min;
  peer.state = State::kWanted;
  peer.name = name;
  peer.at_least = request.at_least;
  ++peer.request;
  changed_.NotifyAll();
}

void SnapshotSource::Serve(raft::MemberId id, std::unique_ptr<ByteStream> stream) {
  MutexLock lock(&mutex_);
  auto peer = peers_.find(id);
  bool expected = peer != peers_.end() && peer->second.state == State::kAnnounced;
  if (!expected || stopping_) return;
  peer->second.stream = std::move(stream);
  changed_.NotifyAll();
}

void SnapshotSource::Abandon() {
  MutexLock lock(&mutex_);
  CancelSending(sending_to_);
  peers_.clear();
  changed_.NotifyAll();
}

void SnapshotSource::Abandon(raft::MemberId id) {
  MutexLock lock(&mutex_);
  auto peer = peers_.find(id);
  if (peer == peers_.end()) return;
  if (peer->second.state != State::kAnnounced && peer->second.state != State::kSending) return;
  GiveUp(id, peer->second, "the log kept for it reached its limit; raise --log-retain-max");
  inbox_.AddInput(raft::SnapshotSent{id, peer->second.snapshot_id, false});
}

void SnapshotSource::KeepMembersOf(const raft::ConfState& conf) {
  MutexLock lock(&mutex_);
  for (auto it = peers_.begin(); it != peers_.end();) {
    const auto& [id, peer] = *it;
    if (conf.members.contains(id)) {
      ++it;
      continue;
    }
    if (peer.state != State::kIdle && peer.state != State::kSettling) {
      logger_.Info("snapshot_abandoned", "its peer is no member any more",
                   {{"member", peer.name}, {"index", peer.index.value}});
    }
    CancelSending(id);
    it = peers_.erase(it);
  }
  changed_.NotifyAll();
}

std::vector<OutgoingSnapshot> SnapshotSource::Outgoing() {
  MutexLock lock(&mutex_);
  std::vector<OutgoingSnapshot> transfers;
  for (const auto& [id, peer] : peers_) {
    if (!peer.index || peer.state == State::kIdle || peer.state == State::kWanted) continue;
    OutgoingSnapshot transfer{id, peer.index,  peer.snapshot_id, peer.state == State::kSettling,
                              0,  total_bytes_};
    if (sending_to_ == id && sender_ != nullptr) transfer.bytes_done = sender_->bytes_sent();
    transfers.push_back(transfer);
  }
  return transfers;
}

void SnapshotSource::CancelSending(raft::MemberId peer) {
  if (sending_to_ != peer) return;
  if (stream_ != nullptr) stream_->Cancel();
  if (waiter_ != nullptr) waiter_->Cancel();
}

// The next attempt comes after a pause, each one longer than the last.
void SnapshotSource::GiveUp(raft::MemberId id, Peer& peer, const std::string& why) {
  CancelSending(id);
  peer.retry_ns = std::clamp(peer.retry_ns * 2, options_.retry_ns_min, options_.retry_ns_max);
  peer.state = State::kIdle;
  peer.until_ns = clock_.NowNs() + peer.retry_ns;
  peer.stream.reset();
  ++counters_.send_failures;
  logger_.Warn("snapshot_send_failed", why, {{"member", peer.name}, {"index", peer.index.value}});
}

uint64_t SnapshotSource::Expire(uint64_t now_ns) {
  uint64_t next_ns = now_ns + kLookNs;
  for (auto it = peers_.begin(); it != peers_.end();) {
    auto& [id, peer] = *it;
    if (peer.state == State::kAnnounced && peer.stream == nullptr && peer.until_ns <= now_ns) {
      GiveUp(id, peer, "the peer did not come for its snapshot");
      inbox_.AddInput(raft::SnapshotSent{id, peer.snapshot_id, false});
    }
    if (peer.state == State::kSettling && peer.until_ns <= now_ns) {
      it = peers_.erase(it);
      continue;
    }
    if (peer.until_ns > now_ns) next_ns = std::min(next_ns, peer.until_ns);
    ++it;
  }
  return next_ns;
}

void SnapshotSource::Run() {
  while (true) {
    raft::MemberId wanted;
    raft::MemberId coming;
    std::unique_ptr<ByteStream> stream;
    bool unused = true;
    {
      MutexLock lock(&mutex_);
      uint64_t now_ns = clock_.NowNs();
      uint64_t next_ns = Expire(now_ns);
      for (auto& [id, peer] : peers_) {
        if (peer.state == State::kAnnounced) {
          unused = false;
          coming = id;
          stream = std::move(peer.stream);
        } else if (peer.state == State::kWanted && peer.until_ns <= now_ns && !wanted) {
          wanted = id;
        }
      }
      if (stopping_) break;
      if (coming) wanted = raft::MemberId();  // one at a time
      bool expired = unused && checkpoint_ && now_ns >= checkpoint_->used_ns + options_.keep_ns;
      if (stream == nullptr && !wanted && !expired) {
        changed_.WaitFor(&mutex_, std::chrono::nanoseconds(next_ns - now_ns));
        continue;
      }
    }
    if (stream != nullptr) {
      Send(coming, std::move(stream));
    } else if (wanted) {
      Prepare(wanted);
    } else {
      DropCheckpoint();
    }
  }
  DropCheckpoint();
}

void SnapshotSource::Prepare(raft::MemberId id) {
  raft::Index at_least;
  uint64_t request = 0;
  {
    MutexLock lock(&mutex_);
    auto peer = peers_.find(id);
    if (peer == peers_.end() || peer->second.state != State::kWanted) return;
    peer->second.state = State::kPreparing;
    at_least = peer->second.at_least;
    peer->second.index = at_least;  // from here on the log stays for it
    request = peer->second.request;
  }
  Status made = EnsureCheckpoint(id, at_least);
  MutexLock lock(&mutex_);
  auto found = peers_.find(id);
  if (found == peers_.end() || found->second.request != request || stopping_) return;
  Peer& peer = found->second;
  raft::SnapshotReady ready{id, {}, made.has_value()};
  if (!made) {
    GiveUp(id, peer, "no checkpoint could be made: " + made.error().ToString());
  } else {
    const snapshot::Manifest& manifest = checkpoint_->manifest;
    ready.meta.index = peer.index = raft::Index(manifest.index);
    ready.meta.term = raft::Term(manifest.term);
    ready.meta.conf = checkpoint_->conf;
    ready.meta.snapshot_id = peer.snapshot_id = manifest.snapshot_id;
    ready.meta.total_bytes = total_bytes_ = manifest.TotalBytes();
    peer.state = State::kAnnounced;
    peer.until_ns = clock_.NowNs() + options_.await_ns;
    peer.streams = 0;
    logger_.Info("snapshot_offered", "a peer is told to fetch a snapshot",
                 {{"member", peer.name}, {"index", manifest.index}, {"bytes", total_bytes_}});
  }
  inbox_.AddInput(std::move(ready));
}

// A checkpoint serves as long as the log goes on from it, and whom its configuration knows: nobody
// installs a snapshot that would take him out of the cluster.
Status SnapshotSource::EnsureCheckpoint(raft::MemberId peer, raft::Index at_least) {
  raft::Index first = wal_.Stats().first;
  raft::Index oldest = std::max(at_least, first.value == 0 ? first : first - 1);
  auto serves = [&] {
    return raft::Index(checkpoint_->manifest.index) >= oldest &&
           checkpoint_->conf.members.contains(peer);
  };
  if (checkpoint_ && !serves()) DropCheckpoint();
  if (!checkpoint_) {
    Status made = MakeCheckpoint();
    if (!made && made.error().code == Code::kCorruption) {
      machine_.engine().ReportCorruption(made.error());
    }
    if (!made) return made;
  }
  checkpoint_->used_ns = clock_.NowNs();
  if (serves()) return {};
  return Fail(Code::kUnavailable, "the database has not applied index " +
                                      std::to_string(oldest.value) +
                                      " or the peer's membership yet");
}

Status SnapshotSource::MakeCheckpoint() {
  uint64_t id = SystemRandom64() | 1;
  Checkpoint made;
  made.dir = dir_.checkpoint_path(id);
  Status done = machine_.engine().Checkpoint(made.dir);
  if (!done) return done;
  auto step = [this](uint64_t) -> Status {
    if (IsStopping()) return Fail(Code::kUnavailable, "the node is stopping");
    return {};
  };
  auto manifest = snapshot::DescribeCheckpoint(dir_.env(), made.dir, id, step, *options_.databases);
  auto conf = manifest ? codec::DecodeConfState(manifest->conf)
                       : Result<raft::ConfState>(std::unexpected(manifest.error()));
  if (!conf) {
    (void)dir_.MoveToTrash(made.dir);  // else the next start does
    return std::unexpected(conf.error());
  }
  made.manifest = std::move(*manifest);
  if (ARIMA_MUTANT(29)) made.manifest.index = machine_.applied_index();
  made.conf = std::move(*conf);
  checkpoint_ = std::move(made);
  return {};
}

// A peer refused what it got. Its tables are links to those of the own database: if they are
// damaged, that is.
void SnapshotSource::CheckOwnTables() {
  auto step = [this](uint64_t) -> Status {
    if (IsStopping()) return Fail(Code::kUnavailable, "the node is stopping");
    return {};
  };
  Status whole = options_.databases->VerifyCheckpointTables(checkpoint_->dir, step);
  if (whole || whole.error().code != Code::kCorruption) return;
  logger_.Error("checkpoint_damaged", whole.error().message);
  machine_.engine().ReportCorruption(whole.error());
  DropCheckpoint();
}

void SnapshotSource::DropCheckpoint() {
  if (!checkpoint_) return;
  if (Status gone = dir_.MoveToTrash(checkpoint_->dir); !gone) {
    logger_.Warn("old_checkpoint_not_removed", gone.error().ToString());
  }
  checkpoint_.reset();
}

void SnapshotSource::Send(raft::MemberId id, std::unique_ptr<ByteStream> stream) {
  snapshot::CancellableWaiter waiter;
  snapshot::Sender sender(dir_.env(), checkpoint_->dir, checkpoint_->manifest, limiter_, waiter);
  uint64_t begin_ns = clock_.NowNs();
  {
    MutexLock lock(&mutex_);
    auto peer = peers_.find(id);
    if (peer == peers_.end() || peer->second.state != State::kAnnounced || stopping_) return;
    peer->second.state = State::kSending;
    sending_to_ = id;
    stream_ = stream.get();
    waiter_ = &waiter;
    sender_ = &sender;
  }
  Status result = sender.Serve(*stream);
  checkpoint_->used_ns = clock_.NowNs();
  counters_.sent_bytes += sender.bytes_sent();
  if (!result && result.error().code == Code::kCorruption) CheckOwnTables();
  MutexLock lock(&mutex_);
  sending_to_ = raft::MemberId();
  stream_ = nullptr;
  waiter_ = nullptr;
  sender_ = nullptr;
  Finish(id, result, sender.bytes_sent(), clock_.NowNs() - begin_ns);
}

void SnapshotSource::Finish(raft::MemberId id, const Status& result, uint64_t bytes,
                            uint64_t spent_ns) {
  auto found = peers_.find(id);
  if (found == peers_.end() || found->second.state != State::kSending) return;  // given up before
  Peer& peer = found->second;
  if (result) {
    ++counters_.sends;
    logger_.Info("snapshot_sent", "the peer has the whole snapshot",
                 {{"member", peer.name},
                  {"index", peer.index.value},
                  {"bytes", bytes},
                  {"ms", spent_ns / 1'000'000},
                  {"bytes_per_s", spent_ns == 0 ? 0 : bytes * 1000 / (spent_ns / 1'000'000 + 1)}});
    peer.state = State::kSettling;
    peer.retry_ns = 0;
    peer.until_ns = clock_.NowNs() + options_.settle_ns;
  } else {
    peer.streams = bytes > 0 ? 0 : peer.streams + 1;
    if (result.error().code == Code::kUnavailable && peer.streams < kFruitlessStreamsMax) {
      peer.state = State::kAnnounced;  // it may come again and goes on where it was
      peer.until_ns = clock_.NowNs() + options_.await_ns;
      return;
    }
    GiveUp(id, peer, result.error().ToString());
  }
  inbox_.AddInput(raft::SnapshotSent{id, peer.snapshot_id, result.has_value()});
}

}  // namespace arima::node
