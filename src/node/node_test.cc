// Whole nodes in one process: service, joins and removals, restarts.
#include "node/node.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "node/test_node.h"

namespace arima::node {
namespace {

TEST_F(NodeTest, AFreshNodeLeadsItselfAndServesAtOnce) {
  TestNode& n1 = Add("n1");
  ExpectPut(n1, "k", "v");
  EXPECT_EQ(n1.Get("k"), "v");
  auto removed = n1.Delete("k");
  ASSERT_TRUE(removed);
  EXPECT_TRUE(removed->deleted);
  EXPECT_EQ(removed->revision, 3u);
  EXPECT_EQ(n1.Get("k"), "<none>");
  removed = n1.Delete("k");
  ASSERT_TRUE(removed);
  EXPECT_FALSE(removed->deleted);
  EXPECT_EQ(removed->revision, 3u);
  auto stats = n1.Stats();
  EXPECT_EQ(stats["state"], "Leader");
  EXPECT_EQ(stats["num_peers"], "0");
}

// The entry that says so is still on its way through the log then.
TEST_F(NodeTest, AFounderKnowsItsOwnNameFromItsFirstAnswerOn) {
  TestNode& n1 = Add("n1");
  ExpectPut(n1, "k", "v");
  EXPECT_EQ(n1.node().cluster().View().leader_name, "n1");
  EXPECT_EQ(n1.node().cluster().View().leader_http_address, "127.0.0.1:1");
  auto removed = n1.Remove("n1");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, Code::kConflict) << removed.error().ToString();
}

TEST_F(NodeTest, ThreeNodesServeWritesAndReadsEverywhere) {
  FormThree();
  for (size_t i = 1; i <= 3; ++i) ExpectPut(n(i), "k" + std::to_string(i), n(i).name());
  for (size_t reader = 1; reader <= 3; ++reader) {
    for (size_t i = 1; i <= 3; ++i) {
      EXPECT_EQ(n(reader).Get("k" + std::to_string(i)), n(i).name());
    }
    auto stats = n(reader).Stats();
    EXPECT_EQ(stats["state"], reader == 1 ? "Leader" : "Follower");
    EXPECT_EQ(stats["num_peers"], "2");
    EXPECT_EQ(stats["leader_id"], "n1");
    EXPECT_EQ(stats["cluster_id"], n(1).Stats()["cluster_id"]);
  }
}

TEST_F(NodeTest, JoiningRightAfterTheStartWorks) {
  for (int round = 0; round < 5; ++round) {
    TestNode& leader = Add("a" + std::to_string(round));
    TestNode& other = Add("b" + std::to_string(round));
    ExpectJoined(leader, other);
  }
}

TEST_F(NodeTest, ANodeThatHoldsDataIsNotJoinedAndKeepsIt) {
  Add("n1");
  Add("n2");
  ExpectPut(n(1), "a", "1");
  ExpectPut(n(2), "b", "2");
  auto joined = n(1).Join(n(2));
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().code, Code::kConflict);
  EXPECT_EQ(n(2).Get("b"), "2");
  EXPECT_EQ(n(1).Get("b"), "<none>");
  EXPECT_EQ(n(1).Stats()["num_peers"], "0");
}

TEST_F(NodeTest, NobodyAtTheAddressIsUnreachable) {
  Add("n1");
  auto joined = n(1).Join("n2", "127.0.0.1:" + std::to_string(FreePort()));
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().code, Code::kPeerUnreachable) << joined.error().ToString();
}

TEST_F(NodeTest, RequestsOnAFollowerReachTheLeader) {
  FormThree();
  TestNode& n4 = Add("n4");
  ExpectJoined(n(2), n4);
  auto refused = n(3).Join("n5", "127.0.0.1:" + std::to_string(FreePort()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kPeerUnreachable) << refused.error().ToString();
  auto removed = n(3).Remove("n4");
  ASSERT_TRUE(removed) << removed.error().ToString();
  EXPECT_EQ(n(1).Stats()["num_peers"], "2");
  auto unknown = n(2).Remove("nobody");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
}

// At most one of the two wins; nobody loses data and nobody hangs.
TEST_F(NodeTest, TwoNodesThatJoinEachOtherNeverBothWin) {
  Add("n1");
  Add("n2");
  Waiter<service::JoinResponse> first;
  Waiter<service::JoinResponse> second;
  n(1).node().cluster().Join({"n2", n(2).address(), 30'000}, first.done());
  n(2).node().cluster().Join({"n1", n(1).address(), 30'000}, second.done());
  auto one = first.Get();
  auto two = second.Get();
  EXPECT_FALSE(one.has_value() && two.has_value());
  for (const auto* answer : {&one, &two}) {
    EXPECT_TRUE(*answer || answer->error().code == Code::kConflict) << answer->error().ToString();
  }
  ExpectPut(n(1), "k", "v");
  EXPECT_EQ(n(1).Get("k"), "v");
}

TEST_F(NodeTest, ARemovedNodeSaysSoAlsoAfterARestart) {
  FormThree();
  ExpectPut(n(1), "k", "v");
  auto removed = n(1).Remove("n3");
  ASSERT_TRUE(removed) << removed.error().ToString();
  WaitUntil([&] { return n(3).node().cluster().View().removed; });
  auto put = n(3).Put("k", "w");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kRemoved);
  EXPECT_EQ(n(3).Barrier().error().code, Code::kRemoved);
  EXPECT_EQ(n(3).Stats()["state"], "Shutdown");
  n(3).Stop();
  ASSERT_TRUE(n(3).Start());
  EXPECT_TRUE(n(3).node().cluster().View().removed);
  EXPECT_EQ(n(3).Put("k", "w").error().code, Code::kRemoved);
  EXPECT_EQ(n(1).Get("k"), "v");
  EXPECT_TRUE(n(1).Remove("n3")) << "removed a moment ago: fine";
}

TEST_F(NodeTest, ANodeThatWasDownWhenItWasRemovedLearnsIt) {
  FormThree();
  n(3).Stop();
  auto removed = n(1).Remove("n3");
  ASSERT_TRUE(removed) << removed.error().ToString();
  ASSERT_TRUE(n(3).Start());
  WaitUntil([&] { return n(3).node().cluster().View().removed; });
  EXPECT_EQ(n(3).Put("k", "w").error().code, Code::kRemoved);
}

TEST_F(NodeTest, ARemovedNodeJoinsAgain) {
  FormThree();
  ExpectPut(n(1), "k", "v");
  ASSERT_TRUE(n(1).Remove("n3"));
  WaitUntil([&] { return n(3).node().cluster().View().removed; });
  ExpectJoined(n(1), n(3));
  EXPECT_EQ(n(3).Get("k"), "v");
  ExpectPut(n(3), "k", "w");
  EXPECT_EQ(n(2).Get("k"), "w");
}

TEST_F(NodeTest, TheLeaderIsRemovedByItsSuccessor) {
  FormThree();
  auto removed = n(1).Remove("n1");
  ASSERT_TRUE(removed) << removed.error().ToString();
  WaitUntil([&] { return n(2).Leads() || n(3).Leads(); });
  ExpectPut(n(2), "k", "v");
  EXPECT_EQ(n(3).Get("k"), "v");
  WaitUntil([&] { return n(1).node().cluster().View().removed; });
}

TEST_F(NodeTest, TheLastVoterCannotBeRemoved) {
  Add("n1");
  auto removed = n(1).Remove("n1");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, Code::kConflict);
}

TEST_F(NodeTest, WritesGoOnWhenTheLeaderStops) {
  FormThree();
  ExpectPut(n(1), "before", "1");
  n(1).node().HandOverLeadership(5000);
  n(1).Stop();
  ExpectPut(n(2), "after", "2");
  EXPECT_EQ(n(3).Get("before"), "1");
  EXPECT_EQ(n(3).Get("after"), "2");
  ASSERT_TRUE(n(1).Start());
  EXPECT_EQ(n(1).Get("after"), "2");
}

TEST_F(NodeTest, AFollowerThatWasDownCatchesUp) {
  FormThree();
  n(3).Stop();
  for (int i = 0; i < 200; ++i) ExpectPut(n(1), "k" + std::to_string(i), "v");
  ASSERT_TRUE(n(3).Start());
  EXPECT_EQ(n(3).Get("k199"), "v");
}

// Ten times as much is written as may stay; nobody needs a snapshot, and a node that was down finds
// what it missed in the log of whoever leads.
TEST_F(NodeTest, TheLogStaysSmallAndStillServesWhoWasDown) {
  LimitLogs({.retain_bytes = 1 << 20, .retain_max_bytes = 2 << 20});
  FormThree();
  const std::string value(3000, 'v');
  auto write = [&](const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) ExpectPut(n(1), prefix + std::to_string(i), value);
  };
  auto log_bytes = [&](size_t i) { return std::stoull(n(i).Stats()["log_bytes"]); };
  write("a", 400);
  for (size_t i = 1; i <= 3; ++i) {
    WaitUntil([&] { return log_bytes(i) <= (1 << 20) / 2; });
    EXPECT_GT(std::stoull(n(i).Stats()["first_log_index"]), 100u);
  }
  n(3).Stop();
  // With the padding of its frames, each of them takes up to 12 KiB; more on a slow machine.
  write("b", 10);
  const double last = MetricOf(n(1), "arima_raft_last_log_index");
  WaitUntil([&] { return MetricOf(n(2), "arima_raft_durable_applied_index") >= last; });
  WaitUntil([&] { return log_bytes(2) <= (1 << 20) / 2; });
  n(1).node().HandOverLeadership(5000);
  WaitUntil([&] { return n(2).Leads(); });
  ASSERT_TRUE(n(3).Start());
  EXPECT_EQ(n(3).Get("b9"), value);
  for (size_t i = 1; i <= 3; ++i) {
    n(i).Stop();
    ASSERT_TRUE(n(i).Start());
    EXPECT_EQ(n(i).Get("a399"), value);
    EXPECT_EQ(MetricOf(n(i), "arima_log_peers_given_up_total"), 0);
  }
}

TEST_F(NodeTest, ANodeThatMissedMoreThanIsRetainedIsReportedOnce) {
  LimitLogs({.retain_bytes = 256 << 10, .retain_max_bytes = 1 << 20});
  FormThree();
  n(3).Stop();
  for (int i = 0; i < 300; ++i) ExpectPut(n(1), "k" + std::to_string(i), std::string(4000, 'v'));
  WaitUntil([&] { return MetricOf(n(1), "arima_log_peers_given_up_total") > 0; });
  const double cuts = MetricOf(n(1), "arima_log_cuts_total");
  for (int i = 0; i < 100; ++i) ExpectPut(n(1), "k" + std::to_string(i), std::string(4000, 'w'));
  WaitUntil([&] { return MetricOf(n(1), "arima_log_cuts_total") > cuts; });
  EXPECT_EQ(MetricOf(n(1), "arima_log_peers_given_up_total"), 1);
  WaitUntil([&] { return std::stoull(n(1).Stats()["log_bytes"]) <= 256 << 10; });
}

TEST_F(NodeTest, EverythingIsBackAfterAllWereStopped) {
  FormThree();
  for (int i = 0; i < 50; ++i) ExpectPut(n(1), "k" + std::to_string(i), "v" + std::to_string(i));
  for (size_t i = 1; i <= 3; ++i) n(i).Stop();
  for (size_t i = 1; i <= 3; ++i) ASSERT_TRUE(n(i).Start());
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(n(2).Get("k" + std::to_string(i)), "v" + std::to_string(i));
  }
}

// Clients are told within the short time that a request waits for a leader.
TEST_F(NodeTest, WithoutAMajorityNothingIsServedAndNothingIsGuessed) {
  FormThree();
  n(2).Stop();
  n(3).Stop();
  WaitUntil([&] { return !n(1).Leads(); });
  auto put = n(1).Put("k", "v");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Code::kUnavailable) << put.error().ToString();
  Status read = n(1).Barrier();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kUnavailable);
  auto removed = n(1).Remove("n2");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, Code::kUnavailable);
  // Its own state is still readable.
  EXPECT_TRUE(n(1).node().kv().GetLocal({"k", service::Consistency::kStale}));
  ASSERT_TRUE(n(2).Start());
  ExpectPut(n(1), "k", "v");
}

TEST_F(NodeTest, AStaleReadKnowsHowOldItCanBe) {
  FormThree();
  ExpectPut(n(1), "k", "v");
  for (size_t i = 1; i <= 3; ++i) {
    WaitUntil([&] {
      auto read = n(i).node().kv().GetLocal({"k", service::Consistency::kStale});
      return read && read->found && read->staleness_ms.has_value();
    });
  }
}

TEST_F(NodeTest, TheWrongNameOrATakenPortIsOneClearError) {
  TestNode& n1 = Add("n1");
  n1.Stop();
  NodeOptions options;
  options.name = "other";
  options.volume_dir = n1.dir();
  options.raft_listen_host = "127.0.0.1";
  options.raft_address = "127.0.0.1:1";
  options.replica.storage = SmallStorage();
  env::PosixEnv env;
  SystemClock clock;
  Logger logger("other", LogLevel::kError, LogFormat::kText);
  auto wrong = Node::Start(options, &env, &clock, &logger);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kConflict);

  ASSERT_TRUE(n1.Start());
  options.name = "n2";
  options.volume_dir = temp_.Path("n2");
  options.raft_port = n1.node().raft_port();
  auto taken = Node::Start(options, &env, &clock, &logger);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kUnavailable) << taken.error().ToString();
  options.volume_dir = n1.dir();
  options.name = "n1";
  auto locked = Node::Start(options, &env, &clock, &logger);
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().code, Code::kConflict);
}

// Threads that write, read, and ask for everything while nodes stop: every request is answered
// once, what was acknowledged is there afterwards.
TEST_F(NodeTest, StopsCleanlyUnderLoad) {
  FormThree();
  std::vector<std::thread> clients;
  std::vector<std::vector<std::string>> acknowledged(3);
  std::atomic<size_t> writes = 0;
  for (size_t client = 0; client < 3; ++client) {
    clients.emplace_back([&, client] {
      service::KvService& kv = n(client + 1).node().kv();
      for (int i = 0; i < 100'000; ++i) {
        std::string key = "w" + std::to_string(client) + "-" + std::to_string(i);
        Waiter<service::PutResponse> put;
        kv.Put({key, SharedBytes::Copy(key), 2000}, put.done());
        auto written = put.Get();
        if (written) {
          acknowledged[client].push_back(key);
          ++writes;
        }
        Waiter<void> read;
        kv.ReadBarrier({2000}, read.done());
        Status ready = read.Get();
        (void)kv.GetLocal({key, service::Consistency::kStale});
        (void)n(client + 1).node().cluster().View();
        (void)n(client + 1).node().cluster().Metrics();
        if (!ready && ready.error().message.find("stopping") != std::string::npos) return;
      }
      ADD_FAILURE() << "the node never stopped";
    });
  }
  WaitUntil([&] { return writes >= 300; });
  // The services outlive Stop; the node itself must too.
  for (size_t i = 1; i <= 3; ++i) n(i).node().Stop();
  for (std::thread& client : clients) client.join();
  for (size_t i = 1; i <= 3; ++i) n(i).Forget();
  for (size_t i = 1; i <= 3; ++i) ASSERT_TRUE(n(i).Start());
  size_t count = 0;
  for (const std::vector<std::string>& keys : acknowledged) {
    for (const std::string& key : keys) ASSERT_EQ(n(1).Get(key), key);
    count += keys.size();
  }
  EXPECT_EQ(count, writes);
}

}  // namespace
}  // namespace arima::node
