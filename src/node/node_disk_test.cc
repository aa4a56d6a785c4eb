// Three nodes, of which some run out of space or have a disk that hangs (docs/design/raft.md 4.7).
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <future>
#include <string>

#include "base/mutex.h"
#include "node/test_node.h"

namespace arima::node {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;
constexpr uint64_t kStallNs = 500'000'000;

// While shut, nothing gets through.
class Gate {
 public:
  void Shut() {
    MutexLock lock(&mutex_);
    shut_ = true;
  }
  void Open() {
    {
      MutexLock lock(&mutex_);
      shut_ = false;
    }
    opened_.NotifyAll();
  }
  void Pass() {
    MutexLock lock(&mutex_);
    while (shut_) {
      stuck_ = true;
      opened_.Wait(&mutex_);
    }
  }
  bool stuck() {
    MutexLock lock(&mutex_);
    return stuck_;
  }

 private:
  Mutex mutex_;
  CondVar opened_;
  bool shut_ GUARDED_BY(mutex_) = false;
  bool stuck_ GUARDED_BY(mutex_) = false;
};

class NodeDiskTest : public NodeTest {
 protected:
  ~NodeDiskTest() override {
    for (Gate& gate : gates_) gate.Open();
    nodes_.clear();  // they pass the gates
  }

  // n1 leads n2 and n3; each has a disk of 100 GiB of which 400 MiB are kept free.
  void FormThreeWithDisks() {
    for (const char* name : {"n1", "n2", "n3"}) {
      nodes_.push_back(std::make_unique<TestNode>(temp_, name));
      TestNode& node = *nodes_.back();
      node.disk_reserve_bytes = 400 * kMiB;
      node.replica_options().disk_stall_ns = kStallNs;
      SetFree(node, kGiB);
      Gate* gate = &gates_[nodes_.size() - 1];
      node.env().SetObserver([gate](env::Op op, const std::string& path) {
        if (op == env::Op::kSync && path.find("/wal/") != std::string::npos) gate->Pass();
      });
      Status started = node.Start();
      ASSERT_TRUE(started) << started.error().ToString();
    }
    ExpectJoined(n(1), n(2));
    ExpectJoined(n(1), n(3));
  }
  void SetFree(TestNode& node, uint64_t bytes) {
    node.env().SetSpace(env::DiskSpace{bytes, 100 * kGiB});
  }
  void WaitForState(TestNode& node, const std::string& state) {
    WaitUntil([&] { return node.Stats()["disk_state"] == state; });
  }
  // The leader that n2 and n3 agree on, once it is one of them.
  TestNode& LeaderBesidesN1() {
    WaitUntil([&] { return n(2).Leads() || n(3).Leads(); });
    return n(2).Leads() ? n(2) : n(3);
  }

  std::array<Gate, 3> gates_;
};

TEST_F(NodeDiskTest, ALeaderWithALowDiskHandsOverAndTheClusterGoesOn) {
  FormThreeWithDisks();
  ExpectPut(n(1), "before", "1");
  SetFree(n(1), 10 * kMiB);
  TestNode& leader = LeaderBesidesN1();
  EXPECT_EQ(MetricOf(n(1), "arima_disk_hand_overs_total"), 1);
  ExpectPut(n(1), "through the full node", "2");
  ExpectPut(leader, "after", "3");
  EXPECT_EQ(n(1).Get("after"), "3");
}

TEST_F(NodeDiskTest, AllLowAnswersDiskFullAndDeletesReadsAndRemovalsGoOn) {
  FormThreeWithDisks();
  ExpectPut(n(1), "k", "v");
  for (size_t i : {1u, 2u, 3u}) SetFree(n(i), 10 * kMiB);
  for (size_t i : {1u, 2u, 3u}) WaitForState(n(i), "low");
  WaitUntil([&] { return !n(1).Put("k", "w"); });
  for (size_t i : {1u, 2u, 3u}) {
    auto put = n(i).Put("more", "data");
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, Code::kDiskFull) << put.error().ToString();
    EXPECT_NE(put.error().message.find("--disk-reserve"), std::string::npos);
    EXPECT_NE(put.error().message.find("deletes"), std::string::npos);
    EXPECT_EQ(n(i).Get("more"), "<none>");
    auto erased = n(i).Delete("k");
    EXPECT_TRUE(erased) << erased.error().ToString();
  }
  auto removed = n(1).Remove("n3");
  EXPECT_TRUE(removed) << removed.error().ToString();
  for (size_t i : {1u, 2u}) SetFree(n(i), kGiB);
  WaitUntil([&] { return n(1).Put("more", "data").has_value(); });
  EXPECT_EQ(n(2).Get("more"), "data");
}

TEST_F(NodeDiskTest, TheErrorOfALeaderNamesItsPathAndSpace) {
  FormThreeWithDisks();
  for (size_t i : {1u, 2u, 3u}) SetFree(n(i), 10 * kMiB);
  for (size_t i : {1u, 2u, 3u}) WaitForState(n(i), "low");
  TestNode* leader = nullptr;
  WaitUntil([&] {
    for (size_t i : {1u, 2u, 3u}) {
      if (n(i).Leads()) leader = &n(i);
    }
    return leader != nullptr;
  });
  auto put = leader->Put("k", "v");
  ASSERT_FALSE(put);
  EXPECT_NE(put.error().message.find(leader->dir() + " has 10 MiB of 100 GiB free"),
            std::string::npos)
      << put.error().message;
}

TEST_F(NodeDiskTest, HistoryEndsSoonWhileTheDiskIsLowSoThatDeletedDataCanGo) {
  FormThreeWithDisks();
  for (int i = 0; i < 20; ++i) ExpectPut(n(1), "k", std::to_string(i));
  EXPECT_EQ(n(1).Stats()["compact_revision"], "1") << "far within the limits of history";
  for (size_t i : {1u, 2u, 3u}) SetFree(n(i), 10 * kMiB);
  for (size_t i : {1u, 2u, 3u}) {
    WaitUntil([&] { return n(i).Stats()["compact_revision"] == n(i).Stats()["revision"]; });
  }
}

TEST_F(NodeDiskTest, HistoryEndsSoonAlsoWhileOnlyTheFollowersAreLow) {
  FormThreeWithDisks();
  for (int i = 0; i < 20; ++i) ExpectPut(n(1), "k", std::to_string(i));
  for (size_t i : {2u, 3u}) SetFree(n(i), 10 * kMiB);
  for (size_t i : {1u, 2u, 3u}) {
    WaitUntil([&] { return n(i).Stats()["compact_revision"] == n(i).Stats()["revision"]; });
  }
  EXPECT_TRUE(n(1).Leads());
}

// With --disk-reserve 0 a disk is never low; the log has to live on what it has all the same.
TEST_F(NodeDiskTest, AFullLogOfAFollowerIsCutAlsoWithoutAReserve) {
  LimitLogs({.retain_bytes = kGiB, .retain_max_bytes = kGiB});
  TestNode& node = Add("n1");
  TestNode& follower = Add("n2");
  ExpectJoined(node, follower);
  ExpectPut(node, "before", "v");
  SetFree(follower, 0);
  const std::string value(10'000, 'v');
  for (int i = 0; i < 30; ++i) {
    WaitUntil([&] { return node.Put("k" + std::to_string(i), value).has_value(); });
  }
  EXPECT_EQ(node.Get("before"), "v");
}

// The sync never returns, so the write is not the leader's own; two followers have it.
TEST_F(NodeDiskTest, ALeaderWhoseSyncHangsHandsOverWithinTheStallTimeout) {
  FormThreeWithDisks();
  ExpectPut(n(1), "before", "1");
  gates_[0].Shut();
  auto answer = std::async(std::launch::async, [&] { return n(1).Put("meanwhile", "2"); });
  WaitUntil([&] { return gates_[0].stuck(); });
  const auto begin = std::chrono::steady_clock::now();
  TestNode& leader = LeaderBesidesN1();
  const auto spent = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(spent, std::chrono::nanoseconds(kStallNs / 2));
  EXPECT_EQ(MetricOf(n(1), "arima_disk_hand_overs_total"), 1);
  EXPECT_EQ(MetricOf(n(1), "arima_disk_stalled"), 1);
  ExpectPut(leader, "after", "3");
  EXPECT_EQ(leader.Get("meanwhile"), "2") << "it was committed without the slow disk";
  gates_[0].Open();
  auto put = answer.get();
  EXPECT_TRUE(put) << put.error().ToString();
  EXPECT_EQ(n(1).Get("after"), "3");
  // One fast sync, and it is well again.
  ExpectPut(leader, "again", "4");
  WaitForState(n(1), "ok");
}

TEST_F(NodeDiskTest, AFollowerWhoseSyncHangsStopsNobody) {
  FormThreeWithDisks();
  gates_[2].Shut();
  for (int i = 0; i < 10; ++i) ExpectPut(n(1), "k", std::to_string(i));
  WaitUntil([&] { return n(3).Stats()["disk_state"] == "ok, stalled"; });
  ExpectPut(n(1), "k", "last");
  EXPECT_TRUE(n(1).Leads());
  gates_[2].Open();
  EXPECT_EQ(n(3).Get("k"), "last");
}

// Leadership is not worth moving from one slow disk to another.
TEST_F(NodeDiskTest, IfAllDisksHangNobodyHandsOver) {
  FormThreeWithDisks();
  for (Gate& gate : gates_) gate.Shut();
  auto answer = std::async(std::launch::async, [&] { return n(1).Put("k", "v"); });
  for (size_t i : {1u, 2u, 3u}) WaitForState(n(i), "ok, stalled");
  EXPECT_EQ(MetricOf(n(1), "arima_disk_hand_overs_total"), 0);
  for (Gate& gate : gates_) gate.Open();
  EXPECT_TRUE(answer.get());
  EXPECT_EQ(n(3).Get("k"), "v");
}

}  // namespace
}  // namespace arima::node
