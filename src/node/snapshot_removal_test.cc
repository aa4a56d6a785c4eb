// A member that is taken out while it gets a snapshot: what was kept and done for it ends there
// (docs/design/raft.md, pitfall 45).
#include <gtest/gtest.h>

#include <string>

#include "node/test_large_values.h"

namespace arima::node {
namespace {

class SnapshotRemovalTest : public LargeValuesTest {};

TEST_F(SnapshotRemovalTest, ASnapshotIsNotSentToTheEndToWhoWasRemoved) {
  snapshots_.rate_bytes_per_s = 256 << 10;  // many seconds for what is there
  FormThree();
  Write(n(1), 0, 20);
  n(3).Stop();
  Write(n(1), 20, 800);
  WaitUntil([&] { return MetricOf(n(1), "arima_log_peers_given_up_total") > 0; });
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] {
    std::string state = n(3).Stats()["snapshot_state"];
    return state.starts_with("receiving") && state != "receiving 0 %";
  });
  auto removed = n(1).Remove("n3");
  ASSERT_TRUE(removed) << removed.error().ToString();
  WaitUntil([&] { return n(1).Stats()["snapshot_state"] == "idle"; });
  EXPECT_EQ(MetricOf(n(1), "arima_snapshot_sends_total"), 0) << "idle because it was done";
  EXPECT_EQ(MetricOf(n(1), "arima_snapshot_send_failures_total"), 0) << "or because n3 hung up";
  Write(n(1), 800, 810);
  ExpectHolds(n(1), 0, 810);
}

}  // namespace
}  // namespace arima::node
