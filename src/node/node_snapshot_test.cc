// Whole nodes whose log was cut: who missed too much, or is new, gets the data as a snapshot.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "node/test_large_values.h"

namespace arima::node {
namespace {

class NodeSnapshotTest : public LargeValuesTest {
 protected:
  void ExpectHas(TestNode& node, int first, int last) {
    ASSERT_TRUE(node.Barrier());
    ExpectHolds(node, first, last);
  }
  uint64_t Installs(TestNode& node) {
    return static_cast<uint64_t>(MetricOf(node, "arima_snapshot_installs_total"));
  }
  // n3 is down and n1 leads; the log that n3 needs is gone.
  void LeaveBehind(int writes) {
    FormThree();
    Write(n(1), 0, 20);
    n(3).Stop();
    Write(n(1), 20, writes);
    WaitUntil([&] { return MetricOf(n(1), "arima_log_peers_given_up_total") > 0; });
  }
  // Of the volume directory.
  static auto CountNames(TestNode& node, const std::string& prefix) {
    return std::ranges::count_if(
        std::filesystem::directory_iterator(node.dir()),
        [&](const auto& entry) { return entry.path().filename().string().starts_with(prefix); });
  }
  static uint64_t PercentOf(const std::string& state) {
    size_t at = state.find("receiving ");
    return at == std::string::npos ? 0 : std::stoull(state.substr(at + 10));
  }
  void WaitUntilReceived(TestNode& node, uint64_t percent) {
    WaitUntil(
        [&] { return PercentOf(node.Stats()["snapshot_state"]) >= percent || Installs(node) > 0; });
  }
};

TEST_F(NodeSnapshotTest, WhoMissedTooMuchComesBackBySnapshotDuringWrites) {
  LeaveBehind(300);
  std::atomic<bool> stop = false;
  std::atomic<int> written = 1000;
  std::thread writer([&] {
    while (!stop) {
      if (n(1).Put("k" + std::to_string(written), ValueOf(written))) ++written;
    }
  });
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return Installs(n(3)) == 1; });
  int seen = written;
  WaitUntil([&] { return written > seen + 50; });
  stop = true;
  writer.join();
  ExpectHas(n(3), 0, 300);
  ExpectHas(n(3), 1000, written);
  EXPECT_EQ(n(3).Stats()["snapshot_state"], "idle");
  EXPECT_EQ(Installs(n(3)), 1u) << "one is enough";
  WaitUntil([&] { return CountNames(n(3), "trash-") == 0; });
  EXPECT_EQ(CountNames(n(3), "db-"), 1) << "the old database is gone";
  // From here on it follows by the log, and may lead.
  n(2).Stop();
  Write(n(3), 300, 320);
  ExpectHas(n(3), 300, 320);
  n(3).Stop();
  ASSERT_TRUE(n(3).Start());
  ExpectHas(n(3), 0, 320);
}

// To open what a node consists of takes some space, if only for a new log segment.
class NodeSnapshotOnAFullDiskTest : public NodeSnapshotTest {
 protected:
  // n3's disk is full from the moment on when the database of a snapshot becomes its own.
  void FillDiskOfInstall() {
    LeaveBehind(300);
    ASSERT_TRUE(n(3).Start());
    n(3).env().SetObserver([this](env::Op op, const std::string& path) {
      if (op == env::Op::kRename && path.contains("CURRENT_DB")) n(3).env().SetDiskFull(true);
      if (op == env::Op::kCreate && path.contains("/wal/")) ++attempts_;
    });
    WaitUntil([&] { return attempts_ > 2; });
  }
  std::atomic<int> attempts_ = 0;
};

TEST_F(NodeSnapshotOnAFullDiskTest, TheNodeWaitsForSpaceAndComesBack) {
  FillDiskOfInstall();
  auto read = n(3).node().kv().GetLocal({"k1", service::Consistency::kStale});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kUnavailable) << read.error().message;
  n(3).env().SetObserver({});
  n(3).env().SetDiskFull(false);
  WaitUntil([&] { return n(3).Barrier().has_value(); });
  ExpectHas(n(3), 0, 300);
}

TEST_F(NodeSnapshotOnAFullDiskTest, ItCanBeStoppedMeanwhile) {
  FillDiskOfInstall();
  n(3).Stop();
  n(3).env().SetObserver({});
  n(3).env().SetDiskFull(false);
  ASSERT_TRUE(n(3).Start());
  ExpectHas(n(3), 0, 300);
}

TEST_F(NodeSnapshotTest, AFreshNodeJoinsAClusterWhoseLogWasCut) {
  Add("n1");
  Write(n(1), 0, 300);
  WaitUntil([&] { return MetricOf(n(1), "arima_log_cuts_total") > 0; });
  Add("n2");
  ExpectJoined(n(1), n(2));
  EXPECT_EQ(Installs(n(2)), 1u);
  ExpectHas(n(2), 0, 300);
  // The checkpoint that n2 got knows nothing of n3: another one is made.
  Add("n3");
  ExpectJoined(n(1), n(3));
  EXPECT_EQ(Installs(n(3)), 1u);
  ExpectHas(n(3), 0, 300);
  Write(n(2), 300, 310);
  ExpectHas(n(1), 0, 310);
}

TEST_F(NodeSnapshotTest, ANewLeaderGoesOnWithItsOwnSnapshot) {
  snapshots_.rate_bytes_per_s = 1 << 20;
  LeaveBehind(800);
  ASSERT_TRUE(n(3).Start());
  WaitUntilReceived(n(3), 40);
  n(1).node().HandOverLeadership(5000);
  WaitUntil([&] { return Installs(n(3)) > 0; });
  ExpectHas(n(3), 0, 800);
  EXPECT_TRUE(n(2).Leads());
}

TEST_F(NodeSnapshotTest, ARestartDuringATransferGoesOnWhereItWas) {
  snapshots_.rate_bytes_per_s = 1 << 20;
  LeaveBehind(1000);
  ASSERT_TRUE(n(3).Start());
  WaitUntilReceived(n(3), 60);
  n(3).Stop();
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return Installs(n(3)) > 0; });
  ExpectHas(n(3), 0, 1000);
  EXPECT_LT(MetricOf(n(1), "arima_snapshot_sent_bytes_total"), 1.35 * 1000 * 4000)
      << "most of it was there already";
}

TEST_F(NodeSnapshotTest, WhatWasReceivedIsNotTrustedAfterARestart) {
  snapshots_.rate_bytes_per_s = 1 << 20;
  LeaveBehind(800);
  ASSERT_TRUE(n(3).Start());
  WaitUntilReceived(n(3), 50);
  n(3).Stop();
  for (const auto& file : std::filesystem::directory_iterator(n(3).dir() + "/db.recv")) {
    if (file.file_size() < 1000) continue;
    std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(500);
    bytes.write("damage", 6);
  }
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return Installs(n(3)) > 0; });
  ExpectHas(n(3), 0, 800);
}

// The leader goes on offering, at a bounded rate; the node itself stays up.
TEST_F(NodeSnapshotTest, ANodeWithoutSpaceSaysSoAndIsServedLater) {
  LeaveBehind(300);
  n(3).replica_options().snapshots.free_bytes_min = UINT64_MAX / 2;
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return MetricOf(n(3), "arima_snapshot_receive_failures_total") >= 2; });
  WaitUntil([&] { return MetricOf(n(1), "arima_snapshot_send_failures_total") >= 2; });
  Write(n(1), 300, 310);
  n(3).Stop();
  n(3).replica_options().snapshots.free_bytes_min = 1 << 20;
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return Installs(n(3)) > 0; });
  ExpectHas(n(3), 0, 310);
}

TEST_F(NodeSnapshotTest, CheckpointsDoNotOutliveTheProcess) {
  LeaveBehind(300);
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return Installs(n(3)) > 0; });
  auto checkpoints = [&] { return CountNames(n(1), "snap-"); };
  EXPECT_EQ(checkpoints(), 1);
  n(1).Stop();
  EXPECT_EQ(checkpoints(), 0);
  std::filesystem::create_directories(n(1).dir() + "/snap-5");  // as after kill -9
  ASSERT_TRUE(n(1).Start());
  EXPECT_EQ(checkpoints(), 0);
}

}  // namespace
}  // namespace arima::node
