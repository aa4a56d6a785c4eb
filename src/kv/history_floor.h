// HistoryFloor: up to which revision an engine may drop superseded versions now.
//
// The floor of the state machine counts once the batch that set it is durable: else a crash could
// bring back an older floor with tables that no longer keep what it promises.
//
// Thread rule: any thread.
#pragma once

#include <cstdint>
#include <deque>

#include "base/mutex.h"

namespace arima::kv {

class HistoryFloor {
 public:
  // Neither argument ever decreases; lower ones are ignored.
  void Raise(uint64_t revision, uint64_t position) EXCLUDES(mutex_);
  // The floor that counts when everything up to `durable_position` is durable.
  uint64_t At(uint64_t durable_position) EXCLUDES(mutex_);

 private:
  struct Step {
    uint64_t revision = 0;
    uint64_t position = 0;
  };
  static constexpr size_t kWaitingMax = 64;

  Mutex mutex_;
  uint64_t durable_ GUARDED_BY(mutex_) = 1;
  std::deque<Step> waiting_ GUARDED_BY(mutex_);  // ascending
};

}  // namespace arima::kv
