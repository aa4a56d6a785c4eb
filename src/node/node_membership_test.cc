// Whole nodes in one process: who leads, who is a member, and what is told of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "node/test_node.h"
#include "transport/test_transport.h"

namespace arima::node {
namespace {

std::map<std::string, service::MemberView> ByName(const service::Members& members) {
  std::map<std::string, service::MemberView> by_name;
  for (const service::MemberView& member : members) by_name[member.name] = member;
  return by_name;
}

TEST_F(NodeTest, LeadershipGoesWhereItIsSent) {
  FormThree();
  auto moved = n(1).Transfer("n2");
  ASSERT_TRUE(moved) << moved.error().ToString();
  EXPECT_EQ(moved->leader, "n2");
  EXPECT_TRUE(moved->moved);
  WaitUntil([&] { return n(2).Leads(); });
  ExpectPut(n(1), "k", "v");
  // On any node, also on the one that is to lead.
  moved = n(3).Transfer("n3");
  ASSERT_TRUE(moved) << moved.error().ToString();
  WaitUntil([&] { return n(3).Leads(); });
  moved = n(1).Transfer("n3");
  ASSERT_TRUE(moved) << moved.error().ToString();
  EXPECT_FALSE(moved->moved);
  moved = n(1).Transfer("");
  ASSERT_TRUE(moved) << moved.error().ToString();
  EXPECT_NE(moved->leader, "n3");
  EXPECT_EQ(n(2).Get("k"), "v");
}

TEST_F(NodeTest, LeadershipIsNotSentToWhoCannotLead) {
  FormThree();
  auto unknown = n(2).Transfer("n9");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  n(3).Stop();
  Result<service::TransferResponse> down = Fail(Code::kInternal, "not asked yet");
  // Its last heartbeat answers are still fresh at first: then the attempt itself fails.
  WaitUntil([&] {
    down = n(2).Transfer("n3");
    return !down && down.error().code == Code::kConflict;
  });
  EXPECT_NE(down.error().message.find("not heard of"), std::string::npos) << down.error().message;
  WaitUntil([&] { return n(1).Leads(); });
  ExpectPut(n(2), "k", "v");
}

// Each acknowledged write is there afterwards, whoever led when.
TEST_F(NodeTest, WritesGoOnWhileLeadershipWanders) {
  FormThree();
  std::atomic<bool> done = false;
  std::atomic<size_t> refused = 0;
  std::vector<std::vector<std::string>> acknowledged(3);
  std::atomic<size_t> count = 0;
  std::vector<std::thread> clients;
  for (size_t client = 0; client < 3; ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; !done; ++i) {
        std::string key = "c" + std::to_string(client) + "-" + std::to_string(i);
        auto put = n(client + 1).Put(key, key);
        if (put) {
          acknowledged[client].push_back(key);
          ++count;
        } else {
          ++refused;
        }
      }
    });
  }
  for (int round = 0; round < 6; ++round) {
    std::string target = "n" + std::to_string(round % 3 + 1);
    size_t before = count;
    auto moved = n(static_cast<size_t>(round) % 3 + 1).Transfer(target);
    EXPECT_TRUE(moved) << moved.error().ToString();
    WaitUntil([&] { return count >= before + 20; });
  }
  done = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(refused, 0u) << "a write waits for the next leader";
  for (const std::vector<std::string>& keys : acknowledged) {
    for (const std::string& key : keys) ASSERT_EQ(n(2).Get(key), key);
  }
}

TEST_F(NodeTest, EveryNodeListsTheMembersAndTheLeaderSaysHowFarTheyAre) {
  FormThree();
  ExpectPut(n(1), "k", "v");
  for (size_t i = 1; i <= 3; ++i) {
    WaitUntil([&] { return n(i).Members().size() == 3; });
    WaitUntil([&] { return ByName(n(i).Members())["n3"].role == "voter"; });
    std::map<std::string, service::MemberView> members = ByName(n(i).Members());
    for (size_t other = 1; other <= 3; ++other) {
      const service::MemberView& member = members["n" + std::to_string(other)];
      EXPECT_EQ(member.id, other);
      EXPECT_EQ(member.raft_address, n(other).address());
      EXPECT_EQ(member.http_address, "127.0.0.1:1");
      EXPECT_EQ(member.is_leader, other == 1);
      EXPECT_EQ(member.progress.has_value(), i == 1 && other != 1);
    }
  }
  WaitUntil([&] {
    auto members = ByName(n(1).Members());
    return members["n2"].progress->state == "replicate" && members["n2"].progress->reachable &&
           members["n2"].progress->match > 3;
  });
  n(3).Stop();
  WaitUntil([&] { return !ByName(n(1).Members())["n3"].progress->reachable; });
  EXPECT_TRUE(ByName(n(1).Members())["n2"].progress->reachable);
}

// Without a leader too: it is the node's own knowledge.
TEST_F(NodeTest, MembersAreListedWithoutALeader) {
  FormThree();
  n(2).Stop();
  n(3).Stop();
  WaitUntil([&] { return !n(1).Leads(); });
  service::Members members = n(1).Members();
  EXPECT_EQ(members.size(), 3u);
  EXPECT_TRUE(std::ranges::none_of(members, &service::MemberView::is_leader));
}

// A lost member and its successor have one name: what is told of peers must not collide.
TEST_F(NodeTest, FiguresOfTwoMembersOfOneNameAreTwoSeries) {
  FormThree();
  n(2).Stop();
  std::filesystem::remove_all(n(2).dir());
  ASSERT_TRUE(n(2).Start());
  std::atomic<bool> replaced = false;
  std::thread joining([&] {
    auto joined = n(1).Join(n(2));
    EXPECT_TRUE(joined) << joined.error().ToString();
    replaced = true;
  });
  bool seen_both = false;
  bool seen_link = false;
  while (!replaced) {
    std::set<std::string> series;
    std::set<std::string> ids_of_n2;
    for (const auto& metric : n(1).node().cluster().Metrics()) {
      std::string id = metric.name;
      std::map<std::string, std::string> labels(metric.labels.begin(), metric.labels.end());
      for (const auto& [name, value] : labels) id += "|" + name + "=" + value;
      EXPECT_TRUE(series.insert(id).second) << "twice: " << id;
      if (labels["peer"] == "n2") ids_of_n2.insert(labels["peer_id"]);
    }
    seen_both = seen_both || ids_of_n2.size() == 2;
    for (const service::MemberView& member : n(1).Members()) {
      seen_link = seen_link || (member.role == "learner" && member.replaces == 2);
    }
  }
  joining.join();
  EXPECT_TRUE(seen_both);
  EXPECT_TRUE(seen_link);
  EXPECT_EQ(ByName(n(1).Members())["n2"].id, 4u);
}

// A node that is joining would refuse its new peers before it knows of them: nobody asks it then.
TEST_F(NodeTest, AnOrdinaryJoinAlarmsNobody) {
  log_level_ = LogLevel::kWarn;
  testing::internal::CaptureStderr();
  FormThree();
  ExpectPut(n(3), "k", "v");
  for (size_t i = 1; i <= 3; ++i) {
    // Everybody is connected with everybody.
    WaitUntil([&] {
      size_t connected = 0;
      for (const auto& metric : n(i).node().cluster().Metrics()) {
        if (metric.name == "arima_peer_connected" && metric.value == 1) ++connected;
      }
      return connected == 2;
    });
    EXPECT_EQ(MetricOf(n(i), "arima_peer_refused_hellos_total"), 0);
  }
  for (size_t i = 1; i <= 3; ++i) n(i).Stop();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// A write at a node while it is being joined is refused, or kept: by the node, which is then not
// joined, or by the cluster it has become a member of.
TEST_F(NodeTest, WhatANodePromisesWhileItIsJoinedIsKept) {
  TestNode& n1 = Add("n1");
  ExpectPut(n1, "ours", "1");
  size_t joined_count = 0;
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    TestNode& target = Add("t" + std::to_string(round));
    std::atomic<bool> done = false;
    std::atomic<bool> writing = false;
    std::map<std::string, std::string> promised;
    // The first write meets another step of the join in each round.
    enum class Begin : uint8_t { kBefore, kAtOnce, kAsLearner, kAbsorbed };
    auto begin = static_cast<Begin>(round % 4);
    std::thread client([&] {
      if (begin == Begin::kAsLearner) {
        WaitUntil([&] { return done || n1.Members().size() == 2; });
        for (int i = 0; i < round * 4; ++i) (void)target.Stats();
      }
      if (begin == Begin::kAbsorbed) {
        WaitUntil([&] { return done || target.Members().size() == 2; });
      }
      for (int i = 0; i == 0 || !done; ++i) {
        std::string key = target.name() + "-" + std::to_string(i);
        if (target.Put(key, key)) promised[key] = key;
        writing = true;
      }
    });
    if (begin == Begin::kBefore) WaitUntil([&] { return writing.load(); });
    auto joined = n1.Join(target);
    bool together = joined.has_value() && joined->caught_up;
    done = true;
    client.join();
    if (!joined) {
      EXPECT_EQ(joined.error().code, Code::kConflict) << joined.error().ToString();
      EXPECT_EQ(target.Stats()["num_peers"], "0");
      EXPECT_EQ(target.Get("ours"), "<none>");
    }
    for (const auto& [key, value] : promised) {
      ASSERT_EQ(target.Get(key), value);
      ASSERT_EQ(n1.Get(key), together ? value : "<none>");
    }
    EXPECT_NE(together, n1.Stats()["cluster_id"] != target.Stats()["cluster_id"]);
    if (together) {
      ++joined_count;
      ASSERT_TRUE(n1.Remove(target.name()));
    }
    target.Stop();
  }
  EXPECT_EQ(n1.Get("ours"), "1");
  EXPECT_GE(joined_count, 3u) << "who is written to after it was absorbed joins";
  EXPECT_LE(joined_count, 9u) << "who was written to before does not";
}

TEST_F(NodeTest, APeerOfAnotherClusterIsRefusedAndToldWhy) {
  TestNode& node = Add("n1");
  transport::TestNode stranger(2);  // an id that this cluster has yet to give
  ASSERT_NE(ToHex(stranger.cluster), node.Stats()["cluster_id"]);
  stranger.Know(transport::PeerMap{{raft::MemberId(1), {node.address(), {}, "n1"}}});
  stranger.Send({transport::Heartbeat(2, 1, 1)});
  ASSERT_TRUE(transport::Until({&stranger}, [&] { return !stranger.refused.empty(); }));
  EXPECT_EQ(stranger.refused[0].reason, transport::RefuseReason::kWrongCluster);
}

}  // namespace
}  // namespace arima::node
