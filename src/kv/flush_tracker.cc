#include "kv/flush_tracker.h"

#include <algorithm>

#include "base/assert.h"
#include "base/mutants.h"

namespace arima::kv {

void FlushTracker::StartAt(uint64_t sequence, uint64_t position) {
  MutexLock lock(&mutex_);
  ARIMA_ASSERT(waiting_.empty() && last_.sequence == 0, last_.sequence);
  last_ = {.sequence = sequence, .position = position};
  flushed_sequence_ = sequence;
  durable_.store(position, std::memory_order_release);
}

void FlushTracker::Written(uint64_t sequence, uint64_t position) {
  MutexLock lock(&mutex_);
  ARIMA_ASSERT(sequence >= last_.sequence, sequence, last_.sequence);
  ARIMA_ASSERT(position >= last_.position, position, last_.position);
  last_ = {.sequence = sequence, .position = position};
  waiting_.push_back(last_);
  Advance();
}

void FlushTracker::Flushed(uint64_t sequence) {
  MutexLock lock(&mutex_);
  flushed_sequence_ = std::max(flushed_sequence_, sequence);
  Advance();
  flushed_.NotifyAll();
}

bool FlushTracker::WaitFlushed(uint64_t sequence, std::chrono::milliseconds timeout) {
  MutexLock lock(&mutex_);
  if (flushed_sequence_ < sequence) flushed_.WaitFor(&mutex_, timeout);
  return flushed_sequence_ >= sequence;
}

uint64_t FlushTracker::written_sequence() const {
  MutexLock lock(&mutex_);
  return last_.sequence;
}

void FlushTracker::Advance() {
  if (ARIMA_MUTANT(59) && !waiting_.empty()) durable_.store(waiting_.front().position);
  while (!waiting_.empty() && waiting_.front().sequence <= flushed_sequence_) {
    durable_.store(waiting_.front().position, std::memory_order_release);
    waiting_.pop_front();
  }
}

}  // namespace arima::kv
