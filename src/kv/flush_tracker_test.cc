#include "kv/flush_tracker.h"

#include <gtest/gtest.h>

#include <thread>

namespace arima::kv {
namespace {

TEST(FlushTracker, StartsDurableWhereItIsTold) {
  FlushTracker tracker;
  tracker.StartAt(5, 17);
  EXPECT_EQ(tracker.durable_position(), 17u);
  tracker.Written(5, 18);
  EXPECT_EQ(tracker.durable_position(), 18u) << "a batch without entries has nothing to flush";
  tracker.Written(6, 19);
  EXPECT_EQ(tracker.durable_position(), 18u);
}

TEST(FlushTracker, AFlushMakesTheBatchesItCoversDurable) {
  FlushTracker tracker;
  tracker.Written(3, 10);
  tracker.Written(5, 11);
  tracker.Written(9, 12);
  EXPECT_EQ(tracker.durable_position(), 0u);
  tracker.Flushed(5);
  EXPECT_EQ(tracker.durable_position(), 11u);
  tracker.Flushed(9);
  EXPECT_EQ(tracker.durable_position(), 12u);
}

TEST(FlushTracker, APartlyCoveredBatchIsNotDurable) {
  FlushTracker tracker;
  tracker.Written(3, 10);
  tracker.Written(9, 11);
  tracker.Flushed(8);
  EXPECT_EQ(tracker.durable_position(), 10u);
}

TEST(FlushTracker, AFlushMayBeReportedBeforeItsBatch) {
  FlushTracker tracker;
  tracker.Flushed(5);
  EXPECT_EQ(tracker.durable_position(), 0u);
  tracker.Written(5, 10);
  EXPECT_EQ(tracker.durable_position(), 10u);
  tracker.Written(7, 11);
  EXPECT_EQ(tracker.durable_position(), 10u);
}

TEST(FlushTracker, LateReportsOfOlderFlushesChangeNothing) {
  FlushTracker tracker;
  tracker.Written(3, 10);
  tracker.Written(5, 11);
  tracker.Flushed(5);
  tracker.Flushed(3);
  EXPECT_EQ(tracker.durable_position(), 11u);
}

TEST(FlushTracker, WaitsForAFlushOrUntilToldNotTo) {
  FlushTracker tracker;
  tracker.Written(3, 10);
  EXPECT_FALSE(tracker.WaitFlushed(3, std::chrono::milliseconds(0)));
  std::thread flusher([&] { tracker.Flushed(3); });
  while (!tracker.WaitFlushed(3, std::chrono::minutes(1))) {
  }
  flusher.join();
  EXPECT_TRUE(tracker.WaitFlushed(2, std::chrono::minutes(1)));
  tracker.Wake();
  EXPECT_FALSE(tracker.WaitFlushed(4, std::chrono::milliseconds(0)));
}

}  // namespace
}  // namespace arima::kv
