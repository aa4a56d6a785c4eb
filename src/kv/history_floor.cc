#include "kv/history_floor.h"

#include "base/mutants.h"

namespace arima::kv {

void HistoryFloor::Raise(uint64_t revision, uint64_t position) {
  MutexLock lock(&mutex_);
  uint64_t last = waiting_.empty() ? durable_ : waiting_.back().revision;
  if (revision <= last) return;
  // When many wait for one flush, the newest takes the place of the one before: it waits longer.
  if (waiting_.size() == kWaitingMax) waiting_.pop_back();
  waiting_.push_back({revision, position});
}

uint64_t HistoryFloor::At(uint64_t durable_position) {
  MutexLock lock(&mutex_);
  while (!waiting_.empty() && (waiting_.front().position <= durable_position || ARIMA_MUTANT(72))) {
    durable_ = waiting_.front().revision;
    waiting_.pop_front();
  }
  return durable_;
}

}  // namespace arima::kv
