#include "raft/reads.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"

namespace arima::raft {
namespace {
constexpr size_t kRoundsMax = 4096;
}

void ReadRounds::Clear() { *this = ReadRounds(); }

void ReadRounds::Add(WaitingRead read, Index commit) {
  read.index = commit;
  read.need_round = ARIMA_MUTANT(15) ? 0 : round_ + 1;
  ARIMA_ASSERT(waiting_.empty() || waiting_.back().need_round <= read.need_round);
  waiting_.push_back(read);
}

void ReadRounds::ReleaseEarly(Index commit) {
  for (const WaitingRead& read : early_) Add(read, commit);
  early_.clear();
}

uint64_t ReadRounds::Start(uint64_t now_ns, Index commit, bool valid) {
  // Without check-quorum a leader may be alone for ever; an old round that never gets its quorum is
  // no loss, since a newer one says more.
  if (rounds_.size() >= kRoundsMax) rounds_.pop_front();
  rounds_.push_back({++round_, now_ns, commit, valid});
  return round_;
}

std::vector<WaitingRead> ReadRounds::Confirm(uint64_t round) {
  while (!rounds_.empty() && rounds_.front().round <= round) {
    if (rounds_.front().valid) {
      confirmed_ns_ = rounds_.front().start_ns;
      confirmed_commit_ = rounds_.front().commit;
    }
    rounds_.pop_front();
  }
  std::vector<WaitingRead> done;
  while (!waiting_.empty() && waiting_.front().need_round <= round) {
    done.push_back(waiting_.front());
    waiting_.pop_front();
  }
  return done;
}

std::vector<WaitingRead> ReadRounds::TakeAll() {
  std::vector<WaitingRead> all(waiting_.begin(), waiting_.end());
  all.insert(all.end(), early_.begin(), early_.end());
  waiting_.clear();
  early_.clear();
  return all;
}

std::vector<uint64_t> ForwardedReads::TakeUnsent() { return std::exchange(unsent_, {}); }

uint64_t ForwardedReads::Send(MemberId leader, uint64_t tick) {
  ARIMA_ASSERT(!unsent_.empty());
  sent_count_ += unsent_.size();
  sent_.push_back({next_counter_, leader, tick, TakeUnsent()});
  if (ARIMA_MUTANT(16)) return next_counter_;
  return next_counter_++;
}

std::vector<uint64_t> ForwardedReads::Answer(uint64_t counter, MemberId leader) {
  auto batch = std::lower_bound(sent_.begin(), sent_.end(), counter,
                                [](const Batch& b, uint64_t c) { return b.counter < c; });
  if (batch == sent_.end() || batch->counter != counter || batch->leader != leader) return {};
  std::vector<uint64_t> tags = std::exchange(batch->tags, {});
  sent_count_ -= tags.size();
  while (!sent_.empty() && sent_.front().tags.empty()) sent_.pop_front();
  return tags;
}

std::vector<uint64_t> ForwardedReads::Expire(uint64_t tick) {
  std::vector<uint64_t> tags;
  while (!sent_.empty() && sent_.front().sent_tick < tick) {
    sent_count_ -= sent_.front().tags.size();
    std::copy(sent_.front().tags.begin(), sent_.front().tags.end(), std::back_inserter(tags));
    sent_.pop_front();
  }
  return tags;
}

std::vector<uint64_t> ForwardedReads::TakeSent() { return Expire(UINT64_MAX); }

}  // namespace arima::raft
