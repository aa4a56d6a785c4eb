// Leadership transfer (docs/design/raft.md 1.12; Raft thesis 3.10).

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

TestCluster Led(const TestCluster::Tweak& tweak = {}) {
  TestCluster c({1, 2, 3}, tweak, {4});
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

TEST(Transfer, ToACaughtUpVoterTakesOneElectionWithoutPreVote) {
  TestCluster c = Led();
  bool pre_vote = false;
  c.SetFilter([&](const Message& m) {
    pre_vote = pre_vote || m.type == MessageType::kPreVote;
    return true;
  });
  c.Step(1, Transfer{MemberId(2)});
  c.Deliver();
  EXPECT_TRUE(c[2].leads());
  EXPECT_EQ(c[2].term(), 3u);
  EXPECT_EQ(c[1].leader(), 2u);
  EXPECT_FALSE(pre_vote);
}

TEST(Transfer, MayBeAskedOfAFollower) {
  TestCluster c = Led();
  c.Step(3, Transfer{MemberId(2)});
  c.Deliver();
  EXPECT_TRUE(c[2].leads());
}

TEST(Transfer, WithoutATargetGoesToTheMostCaughtUpVoter) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Propose(1, "a");
  c.Heal();
  c.Step(1, Transfer{});
  c.Deliver();
  EXPECT_TRUE(c[3].leads());
}

TEST(Transfer, WaitsForATargetThatIsBehind) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Propose(1, "a");
  c.Step(1, Transfer{MemberId(2)});
  c.Deliver();
  EXPECT_TRUE(c[1].leads());
  EXPECT_TRUE(c[1].status().soft.transferring);
  c.Heal();
  c.TickAll(2);
  EXPECT_TRUE(c[2].leads());
}

TEST(Transfer, ToItselfALearnerOrAStrangerIsRefused) {
  TestCluster c = Led();
  for (uint64_t target : {1u, 4u, 9u}) {
    c.Step(1, Transfer{MemberId(target)});
    c.Deliver();
    EXPECT_TRUE(c[1].leads());
    EXPECT_FALSE(c[1].status().soft.transferring) << target;
  }
}

TEST(Transfer, NothingIsAppendedMeanwhile) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Step(1, Transfer{MemberId(2)});
  uint64_t last = c[1].last();
  c.Propose(1, "a");
  ASSERT_EQ(c[1].rejected.size(), 1u);
  EXPECT_EQ(c[1].rejected[0].reason, RejectReason::kTransferring);
  ConfChange change;
  change.changes.push_back({ConfOp::kAddLearner, {}});
  c.ProposeConf(1, change);
  ASSERT_EQ(c[1].rejected.size(), 2u);
  EXPECT_EQ(c[1].rejected[1].reason, RejectReason::kTransferring);
  EXPECT_EQ(c[1].last(), last);
}

TEST(Transfer, TheLeaderKeepsHeartbeatingSoThatAFailureCostsNoElection) {
  TestCluster c = Led();
  c.SetFilter([](const Message& m) { return m.type != MessageType::kTimeoutNow; });
  c.Step(1, Transfer{MemberId(2)});
  c.TickAll(9);
  EXPECT_TRUE(c[1].status().soft.transferring);
  c.TickAll(3);
  EXPECT_FALSE(c[1].status().soft.transferring) << "one election timeout, no more";
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[1].term(), 2u);
  c.Propose(1, "a");
  EXPECT_EQ(c[1].accepted.size(), 1u);
}

TEST(Transfer, ALateTimeoutNowOfAnAbandonedTransferIsIgnored) {
  TestCluster c = Led();
  c.Step(1, Transfer{MemberId(2)});
  std::vector<Message> sent = c.TakeWire();
  ASSERT_EQ(sent.at(0).type, MessageType::kTimeoutNow);
  c.TickAll(12);  // given up: a noop follows
  EXPECT_GT(c[1].last(), sent[0].last_index.value);
  c.Step(2, PeerMessage{sent[0]});
  c.Deliver();
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[2].term(), 2u);
}

TEST(Transfer, TimeoutNowIsTakenFromTheOwnLeaderOnly) {
  TestCluster c = Led();
  Message m;
  m.type = MessageType::kTimeoutNow;
  m.last_index = Index(2);
  m.last_term = Term(2);
  c.Receive(2, 3, 2, m);
  EXPECT_EQ(c[2].role(), Role::kFollower);
  c.Receive(2, 1, 2, m);
  EXPECT_EQ(c[2].role(), Role::kCandidate);
}

TEST(Transfer, ALearnerIgnoresTimeoutNow) {
  TestCluster c = Led();
  Message m;
  m.type = MessageType::kTimeoutNow;
  m.last_index = Index(2);
  m.last_term = Term(2);
  c.Receive(4, 1, 2, m);
  EXPECT_EQ(c[4].role(), Role::kFollower);
}

TEST(Transfer, ASecondRequestReplacesTheFirst) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Step(1, Transfer{MemberId(2)});
  c.Step(1, Transfer{MemberId(3)});
  c.Deliver();
  EXPECT_TRUE(c[3].leads());
  EXPECT_TRUE(c[1].Saw(EventKind::kTransferAborted));
}

TEST(Transfer, ASecondRequestForTheSameTargetDoesNotProlongIt) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Step(1, Transfer{MemberId(2)});
  c.TickAll(6);
  c.Step(1, Transfer{MemberId(2)});
  c.TickAll(5);
  EXPECT_FALSE(c[1].status().soft.transferring);
}

TEST(Transfer, EndsWhenTheTargetIsRemoved) {
  TestCluster c = Led([](Config& config) { config.check_conf_proposals = false; });
  c.Isolate(3);
  ConfChange change;
  MemberInfo info;
  info.id = MemberId(3);
  change.changes.push_back({ConfOp::kRemove, info});
  c.Step(1, ProposeConf{1, change, true});
  c.Step(1, Transfer{MemberId(3)});
  ASSERT_TRUE(c[1].status().soft.transferring);
  c.Deliver();
  EXPECT_FALSE(c[1].status().soft.transferring);
  EXPECT_TRUE(c[1].leads());
}

TEST(Transfer, EndsWhenAHigherTermAppears) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Step(1, Transfer{MemberId(2)});
  Message m;
  m.type = MessageType::kVote;
  m.last_index = Index(9);
  m.last_term = Term(8);
  m.force = true;
  c.Receive(1, 3, 9, m);
  EXPECT_FALSE(c[1].status().soft.transferring);
  EXPECT_EQ(c[1].role(), Role::kFollower);
}

TEST(Transfer, BackAndForth) {
  TestCluster c = Led();
  for (uint64_t target : {2u, 1u, 3u, 1u}) {
    for (auto& [id, node] : c.nodes()) {
      if (node.leads()) {
        c.Step(id.value, Transfer{MemberId(target)});
        break;
      }
    }
    c.Deliver();
    EXPECT_TRUE(c[target].leads());
  }
}

}  // namespace
}  // namespace arima::raft
