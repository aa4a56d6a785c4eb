// Elections, pre-vote, check-quorum and what must be durable before a vote leaves
// (docs/design/raft.md 1.4, 1.6, 1.8).

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

Message Heartbeat(uint64_t commit = 0, uint64_t commit_term = 0) {
  Message m;
  m.type = MessageType::kHeartbeat;
  m.commit = Index(commit);
  m.commit_term = Term(commit_term);
  return m;
}

size_t Count(const std::deque<Message>& wire, MessageType type) {
  size_t n = 0;
  for (const Message& m : wire) n += m.type == type;
  return n;
}

const TestCluster::Tweak kNoPreVote = [](Config& c) { c.pre_vote = false; };

// ---------------------------------------------------------------- elections

TEST(Election, EveryNodeCanTakeOverInTurn) {
  for (bool pre_vote : {false, true}) {
    TestCluster c({1, 2, 3}, [pre_vote](Config& config) {
      config.pre_vote = pre_vote;
      config.check_quorum = false;
    });
    for (uint64_t id : {1u, 2u, 3u, 1u}) {
      c.Campaign(id);
      for (auto& [other, node] : c.nodes()) {
        EXPECT_EQ(node.leads(), other.value == id) << "campaigner " << id << ", node " << other;
        EXPECT_EQ(node.leader(), id);
      }
    }
  }
}

TEST(Election, ANewLeaderOverwritesNewerUncommittedEntriesOfOthers) {
  TestCluster c({1, 2, 3, 4, 5}, kNoPreVote);
  // 3 led term 3 and wrote an entry nobody else has; 1 has an older entry on two nodes.
  c.SetLog(1, {2}, 2);
  c.SetLog(2, {2}, 2);
  c.SetLog(3, {3}, 3);
  c.SetLog(4, {}, 3);
  c.SetLog(5, {}, 3);
  c.Campaign(1);  // term 3 is known to others: lost, but the term is learned
  c.Campaign(1);
  ASSERT_TRUE(c[1].leads());
  for (auto& [id, node] : c.nodes()) {
    EXPECT_EQ(node.LogTerms(), c[1].LogTerms()) << id;
  }
}

TEST(Election, SplitVoteIsResolvedByALaterCampaign) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c.SetFilter([](const Message& m) {
    return !(m.from.value + m.to.value == 4 && m.from != m.to);  // 1 and 3 do not hear each other
  });
  c.Step(1, Campaign{});
  c.Step(3, Campaign{});
  c.Deliver();
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[3].role(), Role::kCandidate);
  c.Heal();
  c.Campaign(3);  // in a higher term; 1 and 2 heard their leader, so its log decides: it is shorter
  EXPECT_FALSE(c[3].leads());
}

TEST(Election, PreVoteOfALaggingNodeDisturbsNobody) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.Isolate(3);
  c.Propose(1, "a");
  for (int i = 0; i < 100; ++i) c.Tick(3);
  EXPECT_EQ(c[3].term(), 2u) << "asking does not raise the term";
  c.Heal();
  c.AdvanceTime(1'000'000'000);  // nobody sticks to the leader any more
  c.Campaign(3);
  EXPECT_FALSE(c[3].leads());
  EXPECT_EQ(c[1].term(), 2u);
  EXPECT_TRUE(c[1].leads());
}

TEST(Election, PreVoteGrantsChangeNoState) {
  TestCluster c({1, 2, 3});
  c.Receive(1, 2, 7, VoteRequest(MessageType::kPreVote, 1, 1));
  c.Receive(1, 3, 7, VoteRequest(MessageType::kPreVote, 1, 1));
  EXPECT_EQ(c[1].term(), 1u);
  EXPECT_EQ(c[1].vote(), 0u);
  ASSERT_EQ(c.wire().size(), 2u);
  for (const Message& m : c.wire()) {
    EXPECT_FALSE(m.reject);
    EXPECT_EQ(m.term, Term(7)) << "a grant echoes the term that was asked for";
  }
}

TEST(Election, ARefusedPreVoteTellsTheOwnTerm) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 5);
  c.Receive(1, 2, 6, VoteRequest(MessageType::kPreVote, 1, 1));
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_TRUE(c.wire()[0].reject);
  EXPECT_EQ(c.wire()[0].term, Term(5));
  EXPECT_EQ(c.wire()[0].commit, Index(1));
}

TEST(Election, APreCandidateWithAnOldTermLearnsTheNewOneFromARefusal) {
  TestCluster c({1, 2});
  c.SetLog(2, {}, 9);
  c.Campaign(1);
  EXPECT_EQ(c[1].term(), 9u);
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
}

TEST(Election, TwoPreCandidatesCanStillElectOne) {
  TestCluster c({1, 2, 3});
  c.Step(1, Campaign{});
  c.Step(2, Campaign{});
  c.Deliver();
  int leaders = 0;
  for (auto& [id, node] : c.nodes()) leaders += node.leads();
  EXPECT_EQ(leaders, 1);
}

TEST(Election, OldPreVoteAnswersAreIgnoredByACandidate) {
  TestCluster c({1, 2, 3});
  c.Step(1, Campaign{});
  c.TakeWire();
  Message granted;
  granted.type = MessageType::kPreVoteResp;
  c.Receive(1, 2, 2, granted);
  ASSERT_EQ(c[1].role(), Role::kCandidate);
  c.TakeWire();
  c.Receive(1, 3, 2, granted);  // late: a pre-vote is not a vote
  c.Receive(1, 2, 2, granted);
  EXPECT_EQ(c[1].role(), Role::kCandidate);
}

TEST(Election, AVoterCountsOnce) {
  TestCluster c({1, 2, 3, 4, 5}, kNoPreVote);
  c.Step(1, Campaign{});
  Message granted;
  granted.type = MessageType::kVoteResp;
  c.Receive(1, 2, 2, granted);
  c.Receive(1, 2, 2, granted);
  EXPECT_EQ(c[1].role(), Role::kCandidate);
}

TEST(Election, VotesOfLearnersAndStrangersDoNotCount) {
  TestCluster c({1, 2, 3}, kNoPreVote, {4});
  c.Step(1, Campaign{});
  Message granted;
  granted.type = MessageType::kVoteResp;
  c.Receive(1, 4, 2, granted);
  c.Receive(1, 9, 2, granted);
  EXPECT_EQ(c[1].role(), Role::kCandidate);
}

TEST(Election, LearnersAndRemovedNodesNeverCampaign) {
  TestCluster c({1, 2}, {}, {3});
  c.Campaign(3);
  c.Tick(3, 100);
  EXPECT_EQ(c[3].role(), Role::kFollower);
  EXPECT_EQ(c[3].term(), 1u);
}

TEST(Election, ANodeVotesEvenIfItsConfigurationDoesNotKnowTheCandidateOrItself) {
  TestCluster c({1, 2}, kNoPreVote, {3});
  c.Receive(3, 9, 5, VoteRequest(MessageType::kVote, 1, 1));
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_FALSE(c.wire()[0].reject);
}

// A node of three that was started with `disabled`, asked for its vote and pre-vote of term 5.
Output AskDisabled(Disabled disabled) {
  Config config;
  config.id = MemberId(1);
  InitialState s;
  s.hard_state = {Term(1), MemberId(0), Index(1)};
  s.snapshot_index = s.last = s.applied = Index(1);
  s.snapshot_term = Term(1);
  s.conf = TestConf({1, 2, 3});
  s.disabled = disabled;
  Core core(config, s, 1);
  for (MessageType type : {MessageType::kVote, MessageType::kPreVote}) {
    Message m = VoteRequest(type, 9, 4);
    m.from = MemberId(2);
    m.to = MemberId(1);
    m.term = Term(5);
    core.Step(PeerMessage{m}, 1);
  }
  core.Step(Campaign{}, 1);
  EXPECT_EQ(core.Status().hard_state.term, Term(1));
  return core.TakeOutput();
}

TEST(Election, ADamagedNodeNeitherVotesNorAnswers) {
  Output out = AskDisabled(Disabled::kDamaged);
  EXPECT_TRUE(out.send_now.empty());
  EXPECT_FALSE(out.write.has_value());
}

TEST(Election, ARemovedNodeRefusesAndTellsItsCommit) {
  Output out = AskDisabled(Disabled::kRemoved);
  EXPECT_FALSE(out.write.has_value());
  ASSERT_EQ(out.send_now.size(), 2u);
  for (const Message& m : out.send_now) {
    EXPECT_TRUE(m.reject);
    EXPECT_EQ(m.commit, Index(1));
    EXPECT_EQ(m.commit_term, Term(1));
    EXPECT_LE(m.term, Term(5)) << "nobody's term moves";
  }
}

TEST(Election, ALostConnectionToTheLeaderLeadsToAPreVoteWithinAHeartbeat) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.heartbeat_ticks = 4; });
  c.Campaign(1);
  c.Isolate(1);
  c.Step(2, LeaderLost{MemberId(1)});
  c.Step(3, LeaderLost{MemberId(1)});
  int ticks = 0;
  while (!c[2].leads() && !c[3].leads() && ticks < 100) {
    c.Tick(2);
    c.Deliver();
    ++ticks;
  }
  EXPECT_LT(ticks, 5);
}

TEST(Election, ABrokenConnectionAloneDeposesNobody) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c.Campaign(1);
  c.Step(2, LeaderLost{MemberId(1)});
  c.Tick(2, 3);
  c.Deliver();
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[1].term(), 2u) << "3 still hears the leader, and it was asked first";
}

TEST(Election, ForgettingTheLeaderKeepsTheTermAndTheTimer) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.Step(2, ForgetLeader{});
  EXPECT_EQ(c[2].leader(), 0u);
  EXPECT_EQ(c[2].term(), 2u);
  c.Step(1, ForgetLeader{});
  EXPECT_TRUE(c[1].leads());
  c.TickAll();
  EXPECT_EQ(c[2].leader(), 1u) << "the next heartbeat brings it back";
}

// ---------------------------------------------------------------- stickiness and check-quorum

TEST(CheckQuorum, ANodeThatHearsItsLeaderIgnoresOtherCandidates) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.Receive(2, 3, 9, VoteRequest(MessageType::kVote, 9, 8));
  EXPECT_EQ(c[2].term(), 2u);
  EXPECT_TRUE(c.wire().empty()) << "not even an answer";
  c.AdvanceTime(200'000'000);  // two election timeouts of silence
  c.Receive(2, 3, 9, VoteRequest(MessageType::kVote, 9, 8));
  EXPECT_EQ(c[2].term(), 9u);
  EXPECT_EQ(c[2].vote(), 3u);
}

TEST(CheckQuorum, ALeaderWithALiveQuorumIgnoresCandidates) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.Receive(1, 3, 9, VoteRequest(MessageType::kVote, 9, 8));
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[1].term(), 2u);
}

TEST(CheckQuorum, AForcedCampaignIsHeardByEverybody) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  Message m = VoteRequest(MessageType::kVote, 9, 8);
  m.force = true;
  c.Receive(2, 3, 9, m);
  EXPECT_EQ(c[2].vote(), 3u);
}

TEST(CheckQuorum, ALeaderWithoutAnswersStepsDownWithinTwoTimeoutsInItsOwnTerm) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.SetFilter([](const Message& m) { return m.to != MemberId(1); });  // it can send, not receive
  for (int i = 0; i < 20 && c[1].leads(); ++i) c.TickAll();
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].leader(), 0u);
}

TEST(CheckQuorum, ALeaderWithAQuorumStaysForEver) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.Isolate(3);
  c.TickAll(100);
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[1].term(), 2u);
}

TEST(CheckQuorum, ACandidateStuckInAHigherTermIsFreed) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c.Campaign(1);
  c.Isolate(3);
  c.Step(3, Campaign{});
  c.Step(3, Campaign{});
  ASSERT_EQ(c[3].term(), 4u);
  c.Heal();
  c.TickAll(40);
  uint64_t term = c[1].term();
  EXPECT_GE(term, 4u) << "the leader was told the higher term";
  int leaders = 0;
  for (auto& [id, node] : c.nodes()) {
    EXPECT_EQ(node.term(), term);
    leaders += node.leads();
  }
  EXPECT_EQ(leaders, 1);
}

TEST(CheckQuorum, PartialPartitionCausesNoEndlessElections) {
  // 1 and 2 do not hear each other; both hear 3.
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.SetFilter([](const Message& m) { return m.from.value + m.to.value != 3; });
  c.TickAll(300);
  uint64_t term = c[3].term();
  c.TickAll(300);
  EXPECT_EQ(c[3].term(), term);
}

// ---------------------------------------------------------------- durability

TEST(ElectionDurability, ARequestForVotesWaitsUntilTheOwnTermIsDurable) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c[1].hold_writes = true;
  c.Step(1, Campaign{});
  EXPECT_EQ(c[1].role(), Role::kCandidate);
  EXPECT_TRUE(c.wire().empty());
  c.CompleteWrite(1);
  EXPECT_EQ(Count(c.wire(), MessageType::kVote), 2u);
  EXPECT_EQ(c[1].hard_state.term, Term(2));
  EXPECT_EQ(c[1].hard_state.vote, MemberId(1));
}

TEST(ElectionDurability, TheOwnVoteCountsOnlyWhenDurable) {
  TestCluster c({1, 2}, kNoPreVote);
  c[1].hold_writes = true;
  c.Step(1, Campaign{});
  Message granted;
  granted.type = MessageType::kVoteResp;
  c.Receive(1, 2, 2, granted);
  EXPECT_EQ(c[1].role(), Role::kCandidate);
  c.CompleteWrite(1);
  EXPECT_TRUE(c[1].leads());
}

TEST(ElectionDurability, AVoteWaitsUntilItIsDurable) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c[1].hold_writes = true;
  c.Receive(1, 2, 5, VoteRequest(MessageType::kVote, 1, 1));
  EXPECT_TRUE(c.wire().empty());
  c.CompleteWrite(1);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].type, MessageType::kVoteResp);
}

TEST(ElectionDurability, ARepeatedVoteWaitsForTheWriteInFlight) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c[1].hold_writes = true;
  c.Receive(1, 2, 5, VoteRequest(MessageType::kVote, 1, 1));
  c.Receive(1, 2, 5, VoteRequest(MessageType::kVote, 1, 1));
  EXPECT_EQ(c[1].writes.size(), 1u) << "there is nothing new to write";
  EXPECT_TRUE(c.wire().empty());
  c.CompleteWrite(1);
  EXPECT_EQ(c.wire().size(), 2u);
}

TEST(ElectionDurability, AnOwnVoteThatArrivesAfterALostElectionIsIgnored) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c[1].hold_writes = true;
  c.Step(1, Campaign{});
  Message app;
  app.type = MessageType::kApp;
  app.index = Index(1);
  app.log_term = Term(1);
  c.Receive(1, 2, 2, app);
  ASSERT_EQ(c[1].role(), Role::kFollower);
  while (!c[1].writes.empty()) c.CompleteWrite(1);
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].leader(), 2u);
}

TEST(ElectionDurability, ACandidateThatCrashedBeforeItsTermWasDurableAskedNobody) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c[1].hold_writes = true;
  c.Step(1, Campaign{});
  c.Start(1);
  c[1].hold_writes = false;
  EXPECT_EQ(c[1].term(), 1u);
  EXPECT_TRUE(c.wire().empty());
}

TEST(ElectionDurability, TheVoteIsJudgedByTheLogInMemory) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c[1].hold_writes = true;
  Message app;
  app.type = MessageType::kApp;
  app.index = Index(1);
  app.log_term = Term(1);
  app.entries = {TestEntry(2, 2, "a")};
  c.Receive(1, 2, 2, app);  // not durable yet
  c.Receive(1, 3, 3, VoteRequest(MessageType::kVote, 1, 1));
  EXPECT_EQ(c[1].vote(), 0u);
  EXPECT_EQ(c[1].term(), 2u) << "and it hears a leader";
  c.AdvanceTime(1'000'000'000);
  c.Receive(1, 3, 3, VoteRequest(MessageType::kVote, 1, 1));
  EXPECT_EQ(c[1].term(), 3u);
  EXPECT_EQ(c[1].vote(), 0u);
}

// ---------------------------------------------------------------- votes carry the commit

TEST(VoteCarriedCommit, AVoterThatDoesNotKnowItsRoleLearnsItFromACandidate) {
  // 4 was promoted by entry 3; it holds the entry but not the news that it is committed.
  TestCluster c({1, 2, 3}, [](Config& config) { config.check_conf_proposals = false; }, {4});
  c.Campaign(1);
  c.SetFilter([](const Message& m) {
    return !(m.to == MemberId(4) && m.commit >= Index(3));  // the commit never reaches 4
  });
  ConfChange promote;
  MemberInfo info;
  info.id = MemberId(4);
  promote.changes.push_back({ConfOp::kAddVoter, info});
  c.ProposeConf(1, promote);
  ASSERT_EQ(c[1].status().conf->voters.size(), 4u);
  ASSERT_EQ(c[4].last(), 3u);
  ASSERT_EQ(c[4].status().conf->voters.size(), 3u);
  c.Heal();
  Message ask = VoteRequest(MessageType::kPreVote, 3, 2);
  ask.commit = Index(3);
  ask.commit_term = Term(2);
  c.Step(4, ForgetLeader{});
  c.Receive(4, 2, 3, ask);
  EXPECT_EQ(c[4].status().conf->voters.size(), 4u);
}

TEST(VoteCarriedCommit, ACommitOfAnotherTermIsNotBelieved) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 2);
  Message ask = VoteRequest(MessageType::kPreVote, 9, 5);
  ask.commit = Index(3);
  ask.commit_term = Term(4);
  c.Receive(1, 2, 6, ask);
  EXPECT_EQ(c[1].commit(), 1u);
  ask.commit_term = Term(2);
  c.Receive(1, 2, 6, ask);
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(VoteCarriedCommit, RefusalsCarryItToo) {
  TestCluster c({1, 2, 3}, kNoPreVote);
  c.SetLog(1, {2, 2}, 2);
  c.Step(1, Campaign{});
  Message refused;
  refused.type = MessageType::kVoteResp;
  refused.reject = true;
  refused.commit = Index(2);
  refused.commit_term = Term(2);
  c.Receive(1, 2, 3, refused);
  EXPECT_EQ(c[1].commit(), 2u);
}

// ---------------------------------------------------------------- foreign messages

TEST(Foreign, MessagesForOthersOrFromAnotherGroupAreDropped) {
  TestCluster c({1, 2, 3});
  Message m = Heartbeat();
  m.type = MessageType::kHeartbeat;
  m.from = MemberId(2);
  m.to = MemberId(3);
  m.term = Term(9);
  c.Step(1, PeerMessage{m});
  m.to = MemberId(1);
  m.group = GroupId(7);
  c.Step(1, PeerMessage{m});
  EXPECT_EQ(c[1].term(), 1u);
}

TEST(Foreign, MalformedMessagesAreDropped) {
  auto app = [](uint64_t prev, uint64_t prev_term, std::vector<Entry> entries) {
    Message m;
    m.type = MessageType::kApp;
    m.index = Index(prev);
    m.log_term = Term(prev_term);
    m.entries = std::move(entries);
    return m;
  };
  std::vector<Message> bad;
  bad.push_back(app(1, 1, {TestEntry(2, 3)}));                   // a gap
  bad.push_back(app(1, 1, {TestEntry(2, 2), TestEntry(2, 2)}));  // doubled
  bad.push_back(app(1, 1, {TestEntry(3, 2), TestEntry(2, 3)}));  // terms go down
  bad.push_back(app(1, 1, {TestEntry(9, 2)}));                   // from the future
  bad.push_back(app(1, 9, {}));
  bad.push_back(app(0, 5, {}));
  bad.push_back(app(UINT64_MAX, 1, {}));
  bad.push_back(app(UINT64_MAX - 1, 1, {TestEntry(2, UINT64_MAX)}));
  bad.push_back(app(1, 1, {TestEntry(2, 2, "", static_cast<EntryKind>(77))}));
  Message unknown;
  unknown.type = static_cast<MessageType>(200);
  bad.push_back(unknown);
  Message commit = Heartbeat(UINT64_MAX, 1);
  bad.push_back(commit);
  Message vote = VoteRequest(MessageType::kVote, 5, 9);  // a log newer than the campaign
  bad.push_back(vote);
  for (size_t i = 0; i < bad.size(); ++i) {
    TestCluster c({1, 2, 3});
    uint64_t before = c[1].core->Digest();
    c.Receive(1, 2, 5, bad[i]);
    EXPECT_EQ(c[1].core->Digest(), before) << i;
    EXPECT_TRUE(c.wire().empty()) << i;
  }
}

TEST(Foreign, ALeadersCommitBeyondTheLogCommitsNothingItDoesNotShow) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 2);
  c.Receive(1, 2, 3, Heartbeat(1000, 2));
  EXPECT_EQ(c[1].commit(), 1u);
}

TEST(Determinism, EqualInputsGiveEqualDigestsAndDifferentOnesDoNot) {
  auto run = [](int ticks) {
    TestCluster c({1, 2, 3});
    c.Campaign(1);
    c.Propose(1, "a");
    c.TickAll(ticks);
    return c[2].core->Digest();
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

}  // namespace
}  // namespace arima::raft
