#include "node/read_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace arima::node {
namespace {

using raft::Index;

struct Answer {
  int calls = 0;
  std::optional<Status> status;

  std::vector<ReadWaiter> Waiter(uint64_t deadline_ns = UINT64_MAX) {
    std::vector<ReadWaiter> waiters;
    waiters.push_back({deadline_ns, [this](Status s) {
                         ++calls;
                         status = std::move(s);
                       }});
    return waiters;
  }
  bool ok() const { return calls == 1 && status->has_value(); }
  bool failed(Code code) const {
    return calls == 1 && !status->has_value() && status->error().code == code;
  }
};

TEST(ReadQueue, RunsAtOnceWhatIsAppliedAlready) {
  ReadQueue queue;
  queue.Advance(Index(10));
  Answer answer;
  queue.Add(Index(10), answer.Waiter());
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ(queue.size(), 0u);
}

TEST(ReadQueue, WaitsUntilTheReadIndexIsAppliedAndNoLonger) {
  ReadQueue queue;
  queue.Advance(Index(10));
  Answer next;
  Answer later;
  queue.Add(Index(11), next.Waiter());
  queue.Add(Index(12), later.Waiter());
  EXPECT_EQ(next.calls, 0);
  queue.Advance(Index(11));
  EXPECT_TRUE(next.ok());
  EXPECT_EQ(later.calls, 0);
  queue.Advance(Index(20));
  EXPECT_TRUE(later.ok());
}

TEST(ReadQueue, NeverGoesBackwards) {
  ReadQueue queue;
  queue.Advance(Index(10));
  queue.Advance(Index(5));
  Answer answer;
  queue.Add(Index(10), answer.Waiter());
  EXPECT_TRUE(answer.ok());
}

TEST(ReadQueue, SaysUnavailableWhenTheDeadlinePasses) {
  ReadQueue queue;
  Answer early;
  Answer late;
  queue.Add(Index(9), late.Waiter(2000));
  queue.Add(Index(5), early.Waiter(1000));
  queue.Expire(999);
  EXPECT_EQ(early.calls, 0);
  queue.Expire(1000);
  EXPECT_TRUE(early.failed(Code::kUnavailable));
  EXPECT_EQ(late.calls, 0);
  EXPECT_EQ(queue.size(), 1u);
  queue.Advance(Index(9));
  EXPECT_TRUE(late.ok());
  EXPECT_EQ(early.calls, 1);
}

TEST(ReadQueue, FailAllAnswersEverybodyOnce) {
  ReadQueue queue;
  Answer a;
  Answer b;
  queue.Add(Index(5), a.Waiter());
  queue.Add(Index(6), b.Waiter());
  queue.FailAll({Code::kRemoved, "gone"});
  queue.FailAll({Code::kRemoved, "gone"});
  EXPECT_TRUE(a.failed(Code::kRemoved));
  EXPECT_TRUE(b.failed(Code::kRemoved));
}

TEST(ReadQueue, ACallbackMayUseTheQueue) {
  ReadQueue queue;
  Answer next;
  std::vector<ReadWaiter> waiters;
  waiters.push_back({UINT64_MAX, [&](Status) { queue.Add(Index(6), next.Waiter()); }});
  queue.Add(Index(5), std::move(waiters));
  queue.Advance(Index(5));
  EXPECT_EQ(next.calls, 0);
  queue.Advance(Index(6));
  EXPECT_TRUE(next.ok());
}

// Add on the core thread races with Advance on the applier's: a read whose index is applied between
// the two must not be left behind.
TEST(ReadQueue, LosesNobodyBetweenAddAndAdvance) {
  constexpr uint64_t kCount = 20'000;
  ReadQueue queue;
  std::atomic<uint64_t> answered = 0;
  std::thread applier([&] {
    for (uint64_t index = 1; index <= kCount; ++index) queue.Advance(Index(index));
  });
  for (uint64_t index = 1; index <= kCount; ++index) {
    std::vector<ReadWaiter> waiters;
    waiters.push_back({UINT64_MAX, [&](Status status) { answered += status ? 1 : 0; }});
    queue.Add(Index(index), std::move(waiters));
  }
  applier.join();
  EXPECT_EQ(answered, kCount);
  EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace arima::node
