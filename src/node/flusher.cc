#include "node/flusher.h"

#include <algorithm>
#include <chrono>

#include "base/assert.h"
#include "kv/engine.h"

namespace arima::node {
namespace {

// How often the interval is looked at.
constexpr auto kLookPause = std::chrono::seconds(1);
// While the disk is low.
constexpr uint64_t kLowIntervalNs = 5'000'000'000;
// ... for what seems not to fit.
constexpr uint64_t kBlindIntervalNs = 60'000'000'000;
// Less than this is replayed in no time.
constexpr uint64_t kReplayedBytesMin = 1 << 20;

}  // namespace

Flusher::Flusher(kv::StateMachine* machine, const DiskWatch* disk, Clock* clock, Logger* logger,
                 const FlusherOptions& options)
    : machine_(*machine), disk_(disk), clock_(*clock), logger_(*logger), options_(options) {}

Flusher::~Flusher() { ARIMA_ASSERT(!thread_.joinable()); }

void Flusher::FlushReplayed(uint64_t index) {
  MutexLock lock(&mutex_);
  // Else what clients write first would be taken for it.
  if (index > machine_.applied_index()) replay_end_ = index;
}

void Flusher::Start() {
  {
    MutexLock lock(&mutex_);
    last_flush_ns_ = clock_.NowNs();
  }
  thread_ = Thread([this] { Run(); });
}

void Flusher::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.Join();
}

void Flusher::NoteApplied(uint64_t bytes) {
  bool due = false;
  {
    MutexLock lock(&mutex_);
    bool was_due = dirty_bytes_ >= options_.flush_bytes;
    dirty_bytes_ += bytes;
    due = !was_due && dirty_bytes_ >= options_.flush_bytes;
  }
  if (due) changed_.NotifyAll();
}

bool Flusher::IsDue() {
  const bool low = disk_ != nullptr && disk_->low();
  const uint64_t interval_ns =
      low ? std::min(options_.flush_interval_ns, kLowIntervalNs) : options_.flush_interval_ns;
  const bool replayed =
      dirty_bytes_ >= kReplayedBytesMin && machine_.applied_index() >= replay_end_;
  // The database is asked, not the own count: a flush that failed is due again.
  const bool due = dirty_bytes_ >= options_.flush_bytes || replayed ||
                   (clock_.NowNs() - last_flush_ns_ >= interval_ns &&
                    machine_.durable_applied_index() < machine_.applied_index());
  if (!due || !low || Fits()) return due;
  // The estimate may be wrong, and without a flush nothing gets better.
  return clock_.NowNs() - last_flush_ns_ >= kBlindIntervalNs;
}

// What was applied since the last flush began.
bool Flusher::Fits() const { return disk_->figures().free_bytes >= FlushBytes(dirty_bytes_); }

// False: stopping. Otherwise after at most kLookPause, with due_ set or not.
bool Flusher::WaitUntilDue() {
  MutexLock lock(&mutex_);
  due_ = IsDue();
  if (!stopping_ && !due_) {
    changed_.WaitFor(&mutex_, kLookPause);
    due_ = IsDue();
  }
  if (due_) {
    dirty_bytes_ = 0;
    last_flush_ns_ = clock_.NowNs();
    if (machine_.applied_index() >= replay_end_) replay_end_ = UINT64_MAX;
  }
  return !stopping_;
}

void Flusher::ResumeIfFull() {
  kv::Engine& engine = machine_.engine();
  if (engine.health().state != kv::EngineState::kNoSpace) return;
  if (!engine.Resume()) return;  // the applier says what is wrong, once
  logger_.Info("database_has_space", "the database writes its files again");
}

void Flusher::Run() {
  bool failed = false;
  while (WaitUntilDue()) {
    ResumeIfFull();
    {
      MutexLock lock(&mutex_);
      if (!due_) continue;
    }
    Status started = machine_.Flush(false);
    // While writes are stopped, the database flushes only for who waits.
    if (!started && started.error().code == Code::kOverloaded) started = machine_.Flush(true);
    // A full disk or a broken engine stops the applier as well, which says so once.
    if (!started && !failed) logger_.Warn("flush_failed", started.error().ToString());
    failed = !started;
  }
}

}  // namespace arima::node
