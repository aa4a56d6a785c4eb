// Linearizable reads by rounds (docs/design/raft.md 1.11).

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

TestCluster Led(const TestCluster::Tweak& tweak = {}) {
  TestCluster c({1, 2, 3}, tweak);
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

Message Echo(uint64_t round) {
  Message m;
  m.type = MessageType::kHeartbeatResp;
  m.round = round;
  return m;
}

TEST(ReadIndex, AnyNodeAnswersWithTheLeadersCommit) {
  TestCluster c = Led();
  c.Propose(1, "a");
  for (uint64_t id : {1u, 2u, 3u}) {
    c.Read(id);
    c.Deliver();
    ASSERT_EQ(c[id].reads.size(), 1u) << id;
    EXPECT_EQ(c[id].reads[0].reason, RejectReason::kNone);
    EXPECT_EQ(c[id].reads[0].index, Index(3));
  }
}

TEST(ReadIndex, CostsNoWrite) {
  TestCluster c = Led();
  size_t before = c[1].writes_synced + c[2].writes_synced + c[3].writes_synced;
  c.Read(1);
  c.Read(2);
  c.Deliver();
  EXPECT_EQ(c[1].writes_synced + c[2].writes_synced + c[3].writes_synced, before);
}

TEST(ReadIndex, ReadsOfOneBatchShareOneRound) {
  TestCluster c = Led();
  for (uint64_t tag = 1; tag <= 100; ++tag) c[1].core->Step(Read{tag}, c.now_ns());
  c.Process(1);
  EXPECT_EQ(c.wire().size(), 2u) << "one heartbeat per voter";
  c.Deliver();
  EXPECT_EQ(c[1].reads.size(), 100u);
}

TEST(ReadIndex, ForwardedReadsOfOneBatchShareOneRequest) {
  TestCluster c = Led();
  for (uint64_t tag = 1; tag <= 100; ++tag) c[2].core->Step(Read{tag}, c.now_ns());
  c.Process(2);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].type, MessageType::kReadIndex);
  c.Deliver();
  EXPECT_EQ(c[2].reads.size(), 100u);
}

TEST(ReadIndex, AnEchoOfAnEarlierRoundConfirmsNothing) {
  TestCluster c = Led();
  c.Tick(1);  // round 1 is on its way
  uint64_t round = c.TakeWire().at(0).round;
  c.Read(1);
  c.TakeWire();
  c.Receive(1, 2, 2, Echo(round));
  c.Receive(1, 3, 2, Echo(round));
  EXPECT_TRUE(c[1].reads.empty());
  c.Receive(1, 2, 2, Echo(round + 1));
  EXPECT_EQ(c[1].reads.size(), 1u);
}

TEST(ReadIndex, AnEchoOfARoundThatWasNeverSentConfirmsNothing) {
  TestCluster c = Led();
  c.Read(1);
  c.TakeWire();
  c.Receive(1, 2, 2, Echo(1'000'000));
  EXPECT_TRUE(c[1].reads.empty());
}

TEST(ReadIndex, ANewLeaderAnswersOnlyAfterItsFirstCommit) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.pre_vote = false; });
  c.Step(1, Campaign{});
  c.TakeWire();
  Message granted;
  granted.type = MessageType::kVoteResp;
  c.Receive(1, 2, 2, granted);
  ASSERT_TRUE(c[1].leads());
  c.TakeWire();
  c.Read(1);
  c.Tick(1);
  for (uint64_t round = 1; round <= 3; ++round) c.Receive(1, 2, 2, Echo(round));
  EXPECT_TRUE(c[1].reads.empty());
  Message ack;
  ack.type = MessageType::kAppResp;
  ack.index = Index(2);
  c.Receive(1, 2, 2, ack);
  ASSERT_EQ(c[1].commit(), 2u);
  std::vector<Message> sent = c.TakeWire();
  uint64_t round = 0;
  for (const Message& m : sent) round = std::max(round, m.round);
  c.Receive(1, 2, 2, Echo(round));
  ASSERT_EQ(c[1].reads.size(), 1u);
  EXPECT_EQ(c[1].reads[0].index, Index(2));
}

TEST(ReadIndex, ASingleNodeAnswersAtOnce) {
  TestCluster c({1});
  c.Tick(1);
  c.Read(1);
  ASSERT_EQ(c[1].reads.size(), 1u);
  EXPECT_EQ(c[1].reads[0].reason, RejectReason::kNone);
}

TEST(ReadIndex, LearnersDoNotConfirmButMayAsk) {
  TestCluster c({1, 2, 3}, {}, {4});
  c.Campaign(1);
  c.SetFilter([](const Message& m) { return m.from.value == 1 || m.from.value == 4; });
  c.Read(1);
  c.Deliver();
  EXPECT_TRUE(c[1].reads.empty());
  c.Heal();
  c.Read(4);
  c.Deliver();
  ASSERT_EQ(c[4].reads.size(), 1u);
  EXPECT_EQ(c[4].reads[0].reason, RejectReason::kNone);
}

TEST(ReadIndex, AnIsolatedLeaderNeverAnswers) {
  TestCluster c = Led();
  c.Isolate(1);
  c.Read(1);
  c.Deliver();
  EXPECT_TRUE(c[1].reads.empty());
  for (int i = 0; i < 60; ++i) c.TickAll();
  ASSERT_EQ(c[1].reads.size(), 1u);
  EXPECT_EQ(c[1].reads[0].reason, RejectReason::kTermChanged);
}

TEST(ReadIndex, WithoutALeaderTheAnswerIsNo) {
  TestCluster c({1, 2, 3});
  c.Read(1);
  ASSERT_EQ(c[1].reads.size(), 1u);
  EXPECT_EQ(c[1].reads[0].reason, RejectReason::kNoLeader);
}

TEST(ReadIndex, RequestsToAnOldLeaderFailWhenANewOneIsKnown) {
  TestCluster c = Led();
  c.Read(2);
  c.TakeWire();  // lost
  c.AdvanceTime(1'000'000'000);
  c.Campaign(3);
  ASSERT_TRUE(c[3].leads());
  ASSERT_EQ(c[2].reads.size(), 1u);
  EXPECT_EQ(c[2].reads[0].reason, RejectReason::kTermChanged);
}

TEST(ReadIndex, ANodeThatLeadsNoMoreRefusesForwardedReads) {
  TestCluster c = Led();
  c.Read(2);
  std::vector<Message> request = c.TakeWire();
  Message app;
  app.type = MessageType::kApp;
  app.index = Index(1);
  app.log_term = Term(1);
  c.Receive(1, 3, 9, app);
  c.TakeWire();
  c.Step(1, PeerMessage{request.at(0)});
  c.Deliver();
  ASSERT_EQ(c[2].reads.size(), 1u);
  EXPECT_EQ(c[2].reads[0].reason, RejectReason::kTermChanged);
}

TEST(ReadIndex, LostRequestsExpireSoThatTheyCanBeAskedAgain) {
  TestCluster c = Led();
  c.SetFilter([](const Message& m) { return m.type != MessageType::kReadIndex; });
  c.Read(2);
  c.TickAll(15);
  ASSERT_EQ(c[2].reads.size(), 1u);
  EXPECT_EQ(c[2].reads[0].reason, RejectReason::kTermChanged);
  EXPECT_EQ(c[2].status().pending_reads, 0u);
}

TEST(ReadIndex, TheNumberOfWaitingReadsIsLimited) {
  TestCluster c = Led([](Config& config) { config.max_pending_reads = 3; });
  c.SetFilter([](const Message&) { return false; });
  for (int i = 0; i < 5; ++i) c.Read(1);
  ASSERT_EQ(c[1].reads.size(), 2u);
  EXPECT_EQ(c[1].reads[0].reason, RejectReason::kQueueFull);
  for (int i = 0; i < 5; ++i) c.Read(2);
  ASSERT_EQ(c[2].reads.size(), 2u);
  EXPECT_EQ(c[2].reads[0].reason, RejectReason::kQueueFull);
}

TEST(ReadIndex, AnAnswerOfAnotherProcessLifeIsNotTaken) {
  TestCluster c = Led();
  c.Read(2);
  Message request = c.TakeWire().at(0);
  c.Start(2);
  c.TickAll();
  c.Read(2);
  c.TakeWire();
  Message answer;
  answer.type = MessageType::kReadIndexResp;
  answer.read_id = request.read_id;
  answer.index = Index(1);
  c.Receive(2, 1, 0, answer);
  EXPECT_TRUE(c[2].reads.empty());
}

}  // namespace
}  // namespace arima::raft
