#include "base/thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "base/notification.h"

namespace arima {
namespace {

TEST(Thread, RunsItsBodyAndIsJoinedOnce) {
  std::atomic<int> ran = 0;
  Thread thread([&] { ++ran; });
  EXPECT_TRUE(thread.joinable());
  thread.Join();
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(thread.joinable());
}

TEST(Thread, MovesWithWhatItRuns) {
  Notification go;
  Thread first([&] { go.Wait(); });
  Thread second = std::move(first);
  EXPECT_FALSE(first.joinable());  // NOLINT(bugprone-use-after-move): that is the question
  Thread third;
  third = std::move(second);
  EXPECT_TRUE(third.joinable());
  go.Notify();
  third.Join();
}

TEST(Thread, ADefaultOneIsNotJoinable) { EXPECT_FALSE(Thread().joinable()); }

TEST(Notification, IsSeenByWhoeverWaits) {
  auto done = std::make_shared<Notification>();
  Thread thread([done] { done->Notify(); });
  done->Wait();
  EXPECT_TRUE(done->WaitFor(std::chrono::nanoseconds(0))) << "it stays so";
  thread.Join();
}

TEST(Notification, AWaitEndsWithItsTime) {
  Notification never;
  EXPECT_FALSE(never.WaitFor(std::chrono::milliseconds(1)));
}

}  // namespace
}  // namespace arima
