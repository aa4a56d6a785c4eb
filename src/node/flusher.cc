#include "node/flusher.h"

#include <chrono>

#include "base/assert.h"

namespace arima::node {
namespace {

// How often the interval is looked at.
constexpr auto kLookPause = std::chrono::seconds(1);

}  // namespace

Flusher::Flusher(kv::StateMachine* machine, Clock* clock, Logger* logger,
                 const FlusherOptions& options)
    : machine_(*machine), clock_(*clock), logger_(*logger), options_(options) {}

Flusher::~Flusher() { ARIMA_ASSERT(!thread_.joinable()); }

void Flusher::Start() {
  {
    MutexLock lock(&mutex_);
    last_flush_ns_ = clock_.NowNs();
  }
  thread_ = std::thread([this] { Run(); });
}

void Flusher::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
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
  if (dirty_bytes_ >= options_.flush_bytes) return true;
  // The database is asked, not the own count: a flush that failed is due again.
  return clock_.NowNs() - last_flush_ns_ >= options_.flush_interval_ns &&
         machine_.durable_applied_index() < machine_.applied_index();
}

void Flusher::Run() {
  bool failed = false;
  while (true) {
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && !IsDue()) changed_.WaitFor(&mutex_, kLookPause);
      if (stopping_) return;
      dirty_bytes_ = 0;
      last_flush_ns_ = clock_.NowNs();
    }
    Status started = machine_.Flush(false);
    // A full disk or a broken engine stops the applier as well, which says so once.
    if (!started && !failed) logger_.Warn("flush_failed", started.error().ToString());
    failed = !started;
  }
}

}  // namespace arima::node
