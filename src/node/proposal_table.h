// Clients that wait for a log entry to be applied here.
//
// The core thread registers a waiter under the (index, term) where its proposal was appended,
// always before that index can reach the applier; the applier resolves it. An entry of another term
// applied at the index proves that the proposal will never be applied; a deadline that passes first
// leaves the outcome unknown, and the client is told so, never more.
//
// Thread rule: any thread; callbacks run on the calling thread, outside the lock. The number of
// waiters is bounded by the admission queue in front of the core (node/inbox.h) and by deadlines.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "kv/state_machine.h"
#include "raft/types.h"

namespace arima::node {

using WriteDone = std::move_only_function<void(Result<kv::ApplyResult>)>;

struct ProposalWaiter {
  raft::Index index;
  raft::Term term;
  uint64_t deadline_ns = 0;
  WriteDone done;
};

struct AppliedEntry {
  raft::Index index;
  raft::Term term;
  kv::ApplyResult result;
};

class ProposalTable {
 public:
  void Register(std::vector<ProposalWaiter> waiters) EXCLUDES(mutex_);
  // `entries` are consecutive and follow those of the last call.
  void Resolve(std::span<AppliedEntry> entries) EXCLUDES(mutex_);
  // Answers kOutcomeUnknown to those whose deadline is over.
  void Expire(uint64_t now_ns) EXCLUDES(mutex_);
  void FailAll(const Error& error) EXCLUDES(mutex_);
  size_t size() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  // Ordered by index; several may wait at one index (of different terms).
  std::deque<ProposalWaiter> waiters_ GUARDED_BY(mutex_);
  raft::Index resolved_ GUARDED_BY(mutex_);  // highest index passed to Resolve
  // No waiter's deadline is earlier: almost every Expire ends with one comparison.
  uint64_t first_deadline_ns_ GUARDED_BY(mutex_) = UINT64_MAX;
};

}  // namespace arima::node
