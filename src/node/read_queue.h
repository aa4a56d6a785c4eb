// Linearizable reads that know their read index and wait until this node has applied it.
//
// Thread rule: any thread; callbacks run on the calling thread, outside the lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "raft/types.h"

namespace arima::node {

struct ReadWaiter {
  uint64_t deadline_ns = 0;
  std::move_only_function<void(Status)> done;
};

class ReadQueue {
 public:
  // Runs at once what `index` already allows.
  void Add(raft::Index index, std::vector<ReadWaiter> waiters) EXCLUDES(mutex_);
  // The applier reached `index`.
  void Advance(raft::Index index) EXCLUDES(mutex_);
  // Answers kUnavailable to those whose deadline is over.
  void Expire(uint64_t now_ns) EXCLUDES(mutex_);
  void FailAll(const Error& error) EXCLUDES(mutex_);
  size_t size() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::multimap<raft::Index, ReadWaiter> waiters_ GUARDED_BY(mutex_);
  raft::Index applied_ GUARDED_BY(mutex_);
  // No waiter's deadline is earlier: almost every Expire ends with one comparison.
  uint64_t first_deadline_ns_ GUARDED_BY(mutex_) = UINT64_MAX;
};

}  // namespace arima::node
