#include "node/snapshot_fetcher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "codec/conf_codec.h"

namespace arima::node {
namespace {

constexpr int kFruitlessAttemptsMax = 5;
constexpr uint64_t kPauseNs = 100'000'000;  // times the attempt

bool WorthRepeating(Code code) {
  return code == Code::kUnavailable || code == Code::kPeerUnreachable || code == Code::kOverloaded;
}

bool Same(const SnapshotFetch& a, const SnapshotFetch& b) {
  return a.from == b.from && a.meta.snapshot_id == b.meta.snapshot_id;
}

}  // namespace

SnapshotFetcher::SnapshotFetcher(DataDir* dir, transport::Network* network, Clock* clock,
                                 Logger* logger, SnapshotCounters* counters,
                                 const SnapshotOptions& options)
    : dir_(*dir),
      network_(*network),
      clock_(*clock),
      logger_(*logger),
      counters_(*counters),
      options_(options) {}

SnapshotFetcher::~SnapshotFetcher() { ARIMA_ASSERT(!thread_.joinable()); }

void SnapshotFetcher::Start() {
  thread_ = Thread([this] { Run(); });
}

void SnapshotFetcher::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    if (stream_ != nullptr) stream_->Cancel();
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.Join();
}

void SnapshotFetcher::Fetch(SnapshotFetch fetch) {
  MutexLock lock(&mutex_);
  if (stopping_ || outcome_) return;
  if (next_ ? Same(*next_, fetch) : busy_ && Same(current_, fetch)) return;
  next_ = std::move(fetch);
  if (stream_ != nullptr) stream_->Cancel();
  changed_.NotifyAll();
}

std::optional<SnapshotFetched> SnapshotFetcher::Take() {
  MutexLock lock(&mutex_);
  return std::exchange(outcome_, std::nullopt);
}

void SnapshotFetcher::Discard() {
  MutexLock lock(&mutex_);
  discard_ = !busy_ && !next_;
  changed_.NotifyAll();
}

std::optional<SnapshotFetcher::Running> SnapshotFetcher::running() {
  MutexLock lock(&mutex_);
  if (!busy_ && !next_ && !outcome_) return std::nullopt;
  const SnapshotFetch& fetch = busy_ || !next_ ? current_ : *next_;
  return Running{fetch.from, fetch.meta.snapshot_id, progress_, outcome_.has_value()};
}

void SnapshotFetcher::Run() {
  while (true) {
    SnapshotFetch fetch;
    bool discard = false;
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && !next_ && !discard_) changed_.Wait(&mutex_);
      if (stopping_) return;
      discard = std::exchange(discard_, false) && !next_;
      if (!discard) {
        fetch = current_ = std::move(*next_);
        next_.reset();
        busy_ = true;
        progress_ = {};
      }
    }
    if (discard) {
      if (Status gone = dir_.DiscardReceived(); !gone) {
        logger_.Warn("received_snapshot_not_removed", gone.error().ToString());
      }
      continue;
    }
    uint64_t begin_ns = clock_.NowNs();
    logger_.Info("snapshot_receive_started", "the leader's snapshot is fetched",
                 {{"member", fetch.leader_name},
                  {"index", fetch.meta.index.value},
                  {"bytes", fetch.meta.total_bytes}});
    Status status = FetchPatiently(&fetch);
    uint64_t spent_ms = (clock_.NowNs() - begin_ns) / 1'000'000;
    if (status) {
      logger_.Info("snapshot_received", "the snapshot is complete and verified",
                   {{"index", fetch.meta.index.value},
                    {"bytes", fetch.meta.total_bytes},
                    {"ms", spent_ms},
                    {"bytes_per_s", fetch.meta.total_bytes * 1000 / (spent_ms + 1)}});
    } else if (!Wanted()) {
      logger_.Info("snapshot_receive_stopped", "what was received is kept for the next attempt",
                   {{"index", fetch.meta.index.value}});
    } else {
      ++counters_.receive_failures;
      logger_.Warn("snapshot_receive_failed",
                   status.error().ToString() + "; the leader offers one again",
                   {{"member", fetch.leader_name}, {"index", fetch.meta.index.value}});
    }
    MutexLock lock(&mutex_);
    busy_ = false;
    if (!next_) outcome_ = SnapshotFetched{std::move(fetch), std::move(status)};
  }
}

bool SnapshotFetcher::Wanted() {
  MutexLock lock(&mutex_);
  return !stopping_ && !next_;
}

bool SnapshotFetcher::Pause(uint64_t ns) {
  MutexLock lock(&mutex_);
  uint64_t end_ns = clock_.NowNs() + ns;
  for (uint64_t now_ns = clock_.NowNs(); !stopping_ && !next_ && now_ns < end_ns;
       now_ns = clock_.NowNs()) {
    changed_.WaitFor(&mutex_, std::chrono::nanoseconds(end_ns - now_ns));
  }
  return !stopping_ && !next_;
}

// As long as attempts bring something, another one may.
Status SnapshotFetcher::FetchPatiently(SnapshotFetch* fetch) {
  uint64_t most = 0;
  int fruitless = 0;
  while (true) {
    Status done = FetchOnce(fetch);
    if (done || !WorthRepeating(done.error().code)) return done;
    uint64_t bytes = 0;
    {
      MutexLock lock(&mutex_);
      bytes = progress_.bytes_done;
    }
    fruitless = bytes > most ? 0 : fruitless + 1;
    most = std::max(most, bytes);
    if (fruitless >= kFruitlessAttemptsMax) return done;
    if (!Pause(kPauseNs * (static_cast<uint64_t>(fruitless) + 1))) return done;
  }
}

Status SnapshotFetcher::FetchOnce(SnapshotFetch* fetch) {
  const std::unique_ptr<transport::OutgoingStream> stream = network_.MakeStream();
  {
    MutexLock lock(&mutex_);
    if (stopping_ || next_) return Fail(Code::kUnavailable, "not wanted any more");
    stream_ = stream.get();
  }
  snapshot::ReceiverOptions options;
  options.dir = dir_.receive_path();
  options.expected = {fetch->meta.snapshot_id, fetch->hello.cluster_id, fetch->meta.index.value,
                      fetch->meta.term.value};
  options.free_bytes_min = options_.free_bytes_min;
  options.databases = options_.databases;
  options.on_progress = [this](const snapshot::Progress& progress) {
    MutexLock lock(&mutex_);
    progress_ = progress;
  };
  snapshot::Receiver receiver(dir_.env(), options);
  Status dialed = stream->Dial(fetch->address, fetch->hello, fetch->incarnation);
  auto manifest = dialed ? receiver.Receive(*stream) : std::unexpected(dialed.error());
  {
    MutexLock lock(&mutex_);
    stream_ = nullptr;
  }
  if (!manifest) return std::unexpected(manifest.error());
  auto conf = codec::DecodeConfState(manifest->conf);
  if (!conf) return std::unexpected(conf.error());
  fetch->meta.conf = std::move(*conf);
  fetch->meta.total_bytes = manifest->TotalBytes();
  return {};
}

}  // namespace arima::node
