#include "node/read_queue.h"

#include <algorithm>
#include <utility>

#include "base/mutants.h"

namespace arima::node {

void ReadQueue::Add(raft::Index index, std::vector<ReadWaiter> waiters) {
  {
    MutexLock lock(&mutex_);
    if (index > applied_ && !ARIMA_MUTANT(65)) {
      for (ReadWaiter& waiter : waiters) {
        first_deadline_ns_ = std::min(first_deadline_ns_, waiter.deadline_ns);
        waiters_.emplace(index, std::move(waiter));
      }
      return;
    }
  }
  for (ReadWaiter& waiter : waiters) waiter.done({});
}

void ReadQueue::Advance(raft::Index index) {
  std::vector<ReadWaiter> ready;
  {
    MutexLock lock(&mutex_);
    if (index > applied_) applied_ = index;
    auto end = waiters_.upper_bound(applied_);
    for (auto it = waiters_.begin(); it != end; ++it) ready.push_back(std::move(it->second));
    waiters_.erase(waiters_.begin(), end);
  }
  for (ReadWaiter& waiter : ready) waiter.done({});
}

void ReadQueue::Expire(uint64_t now_ns) {
  std::vector<ReadWaiter> expired;
  {
    MutexLock lock(&mutex_);
    if (now_ns < first_deadline_ns_) return;
    first_deadline_ns_ = UINT64_MAX;
    for (auto it = waiters_.begin(); it != waiters_.end();) {
      if (it->second.deadline_ns <= now_ns) {
        expired.push_back(std::move(it->second));
        it = waiters_.erase(it);
      } else {
        first_deadline_ns_ = std::min(first_deadline_ns_, it->second.deadline_ns);
        ++it;
      }
    }
  }
  for (ReadWaiter& waiter : expired) {
    waiter.done(Fail(Code::kUnavailable,
                     "this node has not caught up with the leader in time; try another node or "
                     "?consistency=stale"));
  }
}

void ReadQueue::FailAll(const Error& error) {
  std::multimap<raft::Index, ReadWaiter> all;
  {
    MutexLock lock(&mutex_);
    all = std::exchange(waiters_, {});
  }
  for (auto& [index, waiter] : all) waiter.done(std::unexpected(error));
}

size_t ReadQueue::size() {
  MutexLock lock(&mutex_);
  return waiters_.size();
}

}  // namespace arima::node
