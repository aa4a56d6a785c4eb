#include "node/proposal_table.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"

namespace arima::node {
namespace {

Error Unknown(const char* why) {
  return Error{Code::kOutcomeUnknown,
               std::string("the write may or may not have been applied: ") + why};
}

Error Replaced() {
  return Error{Code::kUnavailable,
               "the leader changed before the write was committed; it was not applied"};
}

}  // namespace

void ProposalTable::Register(std::vector<ProposalWaiter> waiters) {
  std::vector<ProposalWaiter> late;
  {
    MutexLock lock(&mutex_);
    for (ProposalWaiter& waiter : waiters) {
      if (waiter.index <= resolved_) {
        late.push_back(std::move(waiter));
        continue;
      }
      first_deadline_ns_ = std::min(first_deadline_ns_, waiter.deadline_ns);
      if (waiters_.empty() || waiters_.back().index <= waiter.index) {
        waiters_.push_back(std::move(waiter));
      } else {
        auto at = std::ranges::upper_bound(waiters_, waiter.index, {}, &ProposalWaiter::index);
        waiters_.insert(at, std::move(waiter));
      }
    }
  }
  // Its entry was applied before the leader's answer came: the result is gone.
  for (ProposalWaiter& waiter : late) {
    waiter.done(std::unexpected(Unknown("the leader's answer came too late")));
  }
}

void ProposalTable::Resolve(std::span<AppliedEntry> entries) {
  if (entries.empty()) return;
  std::vector<std::pair<ProposalWaiter, AppliedEntry*>> ready;
  {
    MutexLock lock(&mutex_);
    ARIMA_ASSERT(entries.front().index > resolved_, entries.front().index, resolved_);
    resolved_ = entries.back().index;
    while (!waiters_.empty() && waiters_.front().index <= resolved_) {
      raft::Index index = waiters_.front().index;
      AppliedEntry* entry =
          index < entries.front().index ? nullptr : &entries[index - entries.front().index];
      ready.emplace_back(std::move(waiters_.front()), entry);
      waiters_.pop_front();
    }
  }
  for (auto& [waiter, entry] : ready) {
    if (entry == nullptr) {
      waiter.done(std::unexpected(Unknown("a snapshot replaced the log")));
    } else if (entry->term == waiter.term || ARIMA_MUTANT(57)) {
      waiter.done(std::move(entry->result));
    } else {
      waiter.done(std::unexpected(Replaced()));
    }
  }
}

void ProposalTable::Expire(uint64_t now_ns) {
  std::vector<ProposalWaiter> expired;
  {
    MutexLock lock(&mutex_);
    if (now_ns < first_deadline_ns_) return;
    first_deadline_ns_ = UINT64_MAX;
    std::deque<ProposalWaiter> kept;
    for (ProposalWaiter& waiter : waiters_) {
      if (waiter.deadline_ns <= now_ns) {
        expired.push_back(std::move(waiter));
      } else {
        first_deadline_ns_ = std::min(first_deadline_ns_, waiter.deadline_ns);
        kept.push_back(std::move(waiter));
      }
    }
    waiters_ = std::move(kept);
  }
  for (ProposalWaiter& waiter : expired) {
    waiter.done(std::unexpected(Unknown("no majority confirmed it in time")));
  }
}

void ProposalTable::FailAll(const Error& error) {
  std::deque<ProposalWaiter> all;
  {
    MutexLock lock(&mutex_);
    all = std::exchange(waiters_, {});
  }
  for (ProposalWaiter& waiter : all) waiter.done(std::unexpected(error));
}

size_t ProposalTable::size() {
  MutexLock lock(&mutex_);
  return waiters_.size();
}

}  // namespace arima::node
