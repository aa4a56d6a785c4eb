// Replication: probing, the window, conflicts, commit, durability, proposals
// (docs/design/raft.md 1.5, 1.7, 1.14).

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

Message HeartbeatResp() {
  Message m;
  m.type = MessageType::kHeartbeatResp;
  return m;
}

std::vector<Message> Take(TestCluster* c, MessageType type, uint64_t to) {
  std::vector<Message> all = c->TakeWire();
  std::erase_if(all, [&](const Message& m) { return m.type != type || m.to.value != to; });
  return all;
}

TestCluster Led(const TestCluster::Tweak& tweak = {}) {
  TestCluster c({1, 2, 3}, tweak);
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

// ---------------------------------------------------------------- messages and the window

TEST(Replication, ManyProposalsInOneBatchMakeOneMessagePerPeerAndOneWrite) {
  TestCluster c = Led();
  c[1].hold_writes = true;
  Propose propose;
  for (uint64_t tag = 1; tag <= 64; ++tag) {
    propose.proposals.push_back({tag, EntryKind::kCommand, 0, SharedBytes::Copy("x")});
  }
  c.Step(1, std::move(propose));
  EXPECT_EQ(c.wire().size(), 2u);
  EXPECT_EQ(c.wire()[0].entries.size(), 64u);
  ASSERT_EQ(c[1].writes.size(), 1u);
  EXPECT_EQ(c[1].writes[0].entries.size(), 64u);
  EXPECT_EQ(c[1].accepted.size(), 64u);
}

TEST(Replication, MessagesAreLimitedBySizeButHoldAtLeastOneEntry) {
  TestCluster c = Led([](Config& config) {
    config.max_msg_bytes = 1;
    config.max_inflight_bytes = 1 << 20;
  });
  Propose propose;
  for (uint64_t tag = 1; tag <= 3; ++tag) {
    propose.proposals.push_back({tag, EntryKind::kCommand, 0, SharedBytes::Copy("xxxxxxxx")});
  }
  c.Step(1, std::move(propose));
  std::vector<Message> apps = Take(&c, MessageType::kApp, 2);
  ASSERT_EQ(apps.size(), 3u);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(apps[i].entries.size(), 1u);
    EXPECT_EQ(apps[i].index, Index(2 + i));
  }
}

TEST(Replication, AFullWindowStopsAndAnAcknowledgementMovesIt) {
  TestCluster c = Led([](Config& config) { config.max_inflight_msgs = 2; });
  for (int i = 0; i < 5; ++i) c.ProposeOnly(1, "x");
  EXPECT_EQ(Take(&c, MessageType::kApp, 2).size(), 2u);
  EXPECT_TRUE(Peer(c, 1, 2).paused);
  c.Receive(1, 2, 2, Ack(3));
  std::vector<Message> apps = Take(&c, MessageType::kApp, 2);
  ASSERT_EQ(apps.size(), 1u);
  EXPECT_EQ(apps[0].entries.size(), 3u) << "what piled up goes in one message";
  EXPECT_TRUE(Peer(c, 1, 2).paused);
}

TEST(Replication, TheWindowIsLimitedByBytesToo) {
  TestCluster c = Led([](Config& config) {
    config.max_msg_bytes = 100;
    config.max_inflight_bytes = 200;
  });
  for (int i = 0; i < 5; ++i) c.ProposeOnly(1, std::string(60, 'x'));
  EXPECT_EQ(Take(&c, MessageType::kApp, 2).size(), 2u);
}

TEST(Replication, AFullWindowWhoseMessagesWereLostRecoversByAnEmptyMessage) {
  TestCluster c = Led([](Config& config) { config.max_inflight_msgs = 2; });
  c.SetFilter([](const Message& m) { return m.to != MemberId(2); });
  for (int i = 0; i < 5; ++i) c.Propose(1, "x");
  ASSERT_TRUE(Peer(c, 1, 2).paused);
  c.Heal();
  c.TickAll(2);
  EXPECT_EQ(c[2].last(), c[1].last());
  EXPECT_EQ(c[2].commit(), c[1].commit());
  EXPECT_EQ(Peer(c, 1, 2).state, ProgressState::kReplicate);
}

TEST(Replication, AHeartbeatsAnswerAllowsOneEmptyMessageIntoAFullWindow) {
  TestCluster c = Led([](Config& config) { config.max_inflight_msgs = 1; });
  c.ProposeOnly(1, "x");
  c.TakeWire();
  ASSERT_TRUE(Peer(c, 1, 2).paused);
  c.Receive(1, 2, 2, HeartbeatResp());
  std::vector<Message> apps = Take(&c, MessageType::kApp, 2);
  ASSERT_EQ(apps.size(), 1u);
  EXPECT_TRUE(apps[0].entries.empty());
  EXPECT_TRUE(Peer(c, 1, 2).paused);
  c.ProposeOnly(1, "y");
  EXPECT_TRUE(Take(&c, MessageType::kApp, 2).empty());
}

TEST(Replication, ACaughtUpPeerLeavesProbingWithoutNewProposals) {
  TestCluster c = Led();
  c.Step(1, Unreachable{MemberId(2)});
  ASSERT_EQ(Peer(c, 1, 2).state, ProgressState::kProbe);
  c.TickAll();
  EXPECT_EQ(Peer(c, 1, 2).state, ProgressState::kReplicate);
}

TEST(Replication, AProbeWaitsForItsAnswer) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.pre_vote = false; });
  c.SetFilter([](const Message& m) { return m.type != MessageType::kAppResp; });
  c.Campaign(1);
  c.TakeWire();
  c.ProposeOnly(1, "x");
  EXPECT_TRUE(Take(&c, MessageType::kApp, 2).empty());
  c.Receive(1, 2, 2, HeartbeatResp());
  EXPECT_EQ(Take(&c, MessageType::kApp, 2).size(), 1u) << "a heartbeat's answer allows one more";
}

TEST(Replication, RejectionsJumpOverWholeTerms) {
  // The follower's log has 30 entries of a term the leader never saw.
  TestCluster c({1, 2, 3});
  std::vector<uint64_t> leader(30, 2);
  leader.resize(60, 5);
  std::vector<uint64_t> follower(30, 2);
  follower.resize(90, 4);
  c.SetLog(1, leader, 5);
  c.SetLog(2, follower, 4);
  int probes = 0;
  c.SetFilter([&](const Message& m) {
    probes += m.type == MessageType::kAppResp && m.from == MemberId(2) && m.reject;
    return true;
  });
  c.Campaign(1);
  EXPECT_EQ(c[2].LogTerms(), c[1].LogTerms());
  EXPECT_LE(probes, 2);
}

TEST(Replication, LateRejectionsDoNotMoveNextBelowMatch) {
  TestCluster c = Led();
  c.Propose(1, "a");
  Message late;
  late.type = MessageType::kAppResp;
  late.reject = true;
  late.index = Index(2);
  late.hint_index = Index(1);
  late.hint_term = Term(1);
  c.Receive(1, 2, 2, late);
  EXPECT_EQ(Peer(c, 1, 2).match, Index(3));
  EXPECT_EQ(Peer(c, 1, 2).next, Index(4));
  EXPECT_EQ(Peer(c, 1, 2).state, ProgressState::kReplicate);
}

TEST(Replication, AnAcknowledgementBeyondTheLogIsIgnored) {
  TestCluster c = Led();
  c.Receive(1, 2, 2, Ack(1000));
  EXPECT_EQ(c[1].commit(), 2u);
  EXPECT_EQ(Peer(c, 1, 2).match, Index(2));
}

TEST(Replication, APeerThatAsksForLessGetsLess) {
  TestCluster c = Led();
  Message ack = Ack(2);
  ack.window = 1;
  c.Receive(1, 2, 2, ack);
  c.ProposeOnly(1, "a");
  c.ProposeOnly(1, "b");
  EXPECT_EQ(Take(&c, MessageType::kApp, 2).size(), 1u);
  c.Receive(1, 2, 2, Ack(3));
  EXPECT_EQ(Take(&c, MessageType::kApp, 2).size(), 1u);
}

TEST(Replication, EntriesBelowTheCacheAreLoadedFromDisk) {
  TestCluster c = Led([](Config& config) { config.entry_cache_bytes = 1; });
  c.Isolate(3);
  for (int i = 0; i < 10; ++i) c.Propose(1, "some data");
  c.Heal();
  c.TickAll(3);
  EXPECT_FALSE(c[1].loads.empty());
  EXPECT_EQ(c[3].last(), c[1].last());
  EXPECT_EQ(c[3].applied.size(), c[1].applied.size());
}

// ---------------------------------------------------------------- follower

TEST(Follower, AMessageAlreadyInTheLogTruncatesNothing) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2, 2}, 2);
  c.Receive(1, 2, 2, App(1, 1, {TestEntry(2, 2, "x")}));
  EXPECT_EQ(c[1].last(), 4u);
}

TEST(Follower, NeverLooksBelowItsCommit) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2, 2}, 2, 3);
  c.Receive(1, 2, 2, App(1, 1, {TestEntry(2, 2, "x")}));
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_FALSE(c.wire()[0].reject);
  EXPECT_EQ(c.wire()[0].index, Index(3));
}

TEST(Follower, TakesTheEntriesAboveItsCommitFromAMessageThatBeginsBelow) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 2, 3);
  c.Receive(1, 2, 2,
            App(1, 1, {TestEntry(2, 2, "x"), TestEntry(2, 3, "x"), TestEntry(2, 4, "new")}, 4));
  EXPECT_EQ(c[1].last(), 4u);
  EXPECT_EQ(c[1].commit(), 4u);
}

TEST(Follower, LearnsTheCommitFromAHeartbeatWhateverTheLeaderKnowsOfItsLog) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 2);
  Message beat;
  beat.type = MessageType::kHeartbeat;
  beat.commit = Index(3);
  beat.commit_term = Term(2);
  beat.match = Index(0);
  c.Receive(1, 2, 2, beat);
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(Follower, DoesNotTakeACommitOfAnotherTerm) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 4);
  Message beat;
  beat.type = MessageType::kHeartbeat;
  beat.commit = Index(3);
  beat.commit_term = Term(3);
  c.Receive(1, 2, 4, beat);
  EXPECT_EQ(c[1].commit(), 1u);
}

TEST(Follower, AReconnectedIdleFollowerLearnsTheCommitWithinOneHeartbeat) {
  TestCluster c = Led();
  c.SetFilter([](const Message& m) {  // 3 gets the entry and not the commit
    return !(m.to == MemberId(3) && m.commit >= Index(3));
  });
  c.Propose(1, "a");
  ASSERT_EQ(c[3].last(), 3u);
  ASSERT_EQ(c[3].commit(), 2u);
  c.Heal();
  c.TickAll();
  EXPECT_EQ(c[3].commit(), 3u);
}

TEST(Follower, CommitNewsComeWithoutWaitingForTheNextEntry) {
  TestCluster c = Led();
  c.Propose(1, "a");
  for (uint64_t id : {1u, 2u, 3u}) EXPECT_EQ(c[id].commit(), 3u) << id;
}

TEST(Follower, ThatLostAcknowledgedEntriesSaysSoAndStopsVoting) {
  TestCluster c = Led();
  c.Propose(1, "a");
  c[3].log.clear();  // the disk came back empty
  c[3].hard_state = {Term(2), MemberId(0), Index(1)};
  c.Start(3);
  c.TickAll(2);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kDamaged);
  EXPECT_TRUE(c[3].Saw(EventKind::kLogRegression));
  EXPECT_TRUE(c[1].Saw(EventKind::kLogRegression)) << "the leader raises the alarm too";
  EXPECT_EQ(Peer(c, 1, 3).match, Index(0));
  EXPECT_TRUE(c[1].leads());
  c.Propose(1, "b");
  EXPECT_EQ(c[1].commit(), 4u) << "the others are a quorum";
  EXPECT_EQ(c[3].last(), 1u) << "it is not filled again under its old id";
}

// It would vote, with a log that lacks what it had acknowledged.
TEST(Follower, ThatLostAcknowledgedEntriesLearnsItAlsoWhenTheLeaderFoundOutFirst) {
  TestCluster c = Led();
  c.Propose(1, "a");
  c[3].log.clear();
  c[3].hard_state = {Term(2), MemberId(0), Index(1)};
  c.Start(3);
  c.SetFilter([](const Message& m) {  // what it hears of is an entry that does not fit
    return !(m.to == MemberId(3) && m.type == MessageType::kHeartbeat);
  });
  c.TickAll();
  c.Propose(1, "b");
  ASSERT_TRUE(c[1].Saw(EventKind::kLogRegression));
  ASSERT_EQ(c[3].status().soft.disabled, Disabled::kNone);
  c.Heal();
  c.TickAll(2);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kDamaged);
}

// The disk gives back something else than what was written, above what the state machine has.
TEST(Follower, ThatCannotReadBackWhatItHasToApplyIsDamaged) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.entry_cache_bytes = 1; });
  c.Campaign(1);
  for (int i = 0; i < 5; ++i) c.Propose(1, "some data");
  c[3].own_load_status = LoadStatus::kDamaged;
  c.Start(3);
  c.TickAll(2);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kDamaged);
  EXPECT_TRUE(c[3].Saw(EventKind::kLogRegression));
  size_t loads = c[3].loads.size();
  c.TickAll(5);
  EXPECT_EQ(c[3].loads.size(), loads) << "it does not go on trying";
  EXPECT_EQ(c[1].commit(), c[1].last());
}

TEST(Follower, ADamagedPeerCountsForNoFurtherCommit) {
  TestCluster c = Led();
  c.Propose(1, "a");
  c[3].log.clear();
  c[3].hard_state = {Term(2), MemberId(0), Index(1)};
  c.Start(3);
  c.TickAll(2);
  c.Isolate(2);
  c.Propose(1, "b");
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(Follower, AConflictWithACommittedEntryIsASafetyViolation) {
#ifdef ARIMA_CHECK_INVARIANTS
  EXPECT_DEATH(
      {
        TestCluster c({1, 2, 3});
        c.SetLog(1, {2, 2}, 2, 3);
        c.Receive(1, 2, 5, App(2, 2, {TestEntry(4, 3)}));
        c.Receive(1, 2, 5, App(1, 1, {TestEntry(4, 2), TestEntry(4, 3), TestEntry(4, 4)}));
      },
      "committed");
#else
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 2, 3);
  c.Receive(1, 2, 5, App(1, 1, {TestEntry(4, 2), TestEntry(4, 3), TestEntry(4, 4)}));
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kDamaged);
  EXPECT_TRUE(c[1].Saw(EventKind::kSafetyViolation));
#endif
}

TEST(Follower, ASecondLeaderInATermIsASafetyViolation) {
#ifdef ARIMA_CHECK_INVARIANTS
  EXPECT_DEATH(
      {
        TestCluster c = Led();
        c.Receive(1, 2, 2, App(1, 1));
      },
      "two leaders");
#else
  TestCluster c = Led();
  c.Receive(1, 2, 2, App(1, 1));
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kDamaged);
  EXPECT_FALSE(c[1].leads());
#endif
}

// ---------------------------------------------------------------- durability

TEST(Durability, AnAcknowledgementWaitsForTheWrite) {
  TestCluster c({1, 2, 3});
  c[1].hold_writes = true;
  c.Receive(1, 2, 2, App(1, 1, {TestEntry(2, 2, "a")}));
  EXPECT_TRUE(c.wire().empty());
  c.CompleteWrite(1);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].index, Index(2));
}

TEST(Durability, AnAcknowledgementOfKnownEntriesWaitsForTheWriteInFlight) {
  TestCluster c({1, 2, 3});
  c[1].hold_writes = true;
  c.Receive(1, 2, 2, App(1, 1, {TestEntry(2, 2, "a")}));
  c.Receive(1, 2, 2, App(1, 1, {TestEntry(2, 2, "a")}));
  EXPECT_EQ(c[1].writes.size(), 1u);
  EXPECT_TRUE(c.wire().empty());
  c.CompleteWrite(1);
  EXPECT_EQ(c.wire().size(), 2u);
}

TEST(Durability, AcknowledgementsOfOneBatchBecomeOne) {
  TestCluster c({1, 2, 3});
  auto step = [&](Message m) {
    m.from = MemberId(2);
    m.to = MemberId(1);
    m.term = Term(2);
    c[1].core->Step(PeerMessage{std::move(m)}, c.now_ns());
  };
  step(App(1, 1, {TestEntry(2, 2, "a")}));
  step(App(2, 2, {TestEntry(2, 3, "b")}));
  c.Process(1);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].index, Index(3));
}

TEST(Durability, TheLeadersOwnCopyCountsOnlyWhenDurable) {
  TestCluster c = Led();
  c[1].hold_writes = true;
  c.SetFilter([](const Message& m) { return m.from != MemberId(3) && m.to != MemberId(3); });
  c.Propose(1, "a");
  EXPECT_EQ(c[1].commit(), 2u) << "one follower and a write under way are no majority";
  while (!c[1].writes.empty()) c.CompleteWrite(1);
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(Durability, FollowersMayCommitBeforeTheLeadersDiskIsDone) {
  TestCluster c = Led();
  c[1].hold_writes = true;
  c.Propose(1, "a");
  EXPECT_EQ(c[1].commit(), 3u);
  EXPECT_EQ(c[1].applied.size(), 1u) << "but the leader does not apply what its log may lose";
  while (!c[1].writes.empty()) c.CompleteWrite(1);
  EXPECT_EQ(c[1].applied.size(), 2u);
}

TEST(Durability, ASingleNodeCommitsOnlyWhatIsDurable) {
  TestCluster c({1});
  c.Tick(1);
  c[1].hold_writes = true;
  c.Propose(1, "a");
  EXPECT_EQ(c[1].commit(), 2u);
  c.CompleteWrite(1);
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(Durability, ACommitAloneIsWrittenLazily) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2}, 2);
  c[1].hold_writes = true;
  Message beat;
  beat.type = MessageType::kHeartbeat;
  beat.commit = Index(2);
  beat.commit_term = Term(2);
  c.Receive(1, 2, 2, beat);
  ASSERT_EQ(c[1].writes.size(), 1u);
  EXPECT_FALSE(c[1].writes[0].need_sync);
  EXPECT_EQ(c[1].writes[0].hard_state->commit, Index(2));
  EXPECT_TRUE(c[1].writes[0].after_durable.empty());
}

TEST(Durability, AnAcknowledgementOfOverwrittenEntriesThatWereNeverWrittenIsWithdrawn) {
  TestCluster c({1, 2, 3});
  auto step = [&](uint64_t from, uint64_t term, Message m) {
    m.from = MemberId(from);
    m.to = MemberId(1);
    m.term = Term(term);
    c[1].core->Step(PeerMessage{std::move(m)}, c.now_ns());
  };
  step(2, 2, App(1, 1, {TestEntry(2, 2, "a"), TestEntry(2, 3, "b")}));
  step(3, 3, App(1, 1, {TestEntry(3, 2, "c")}));
  c.Process(1);
  for (const Message& m : c.wire()) {
    EXPECT_FALSE(m.to == MemberId(2) && m.index >= Index(2)) << "nobody has that entry on disk";
  }
}

TEST(Durability, AFailedWriteEndsEverything) {
  TestCluster c = Led();
  c[1].hold_writes = true;
  c.ProposeOnly(1, "a");
  c.TakeWire();
  c.Step(1, WriteFailed{c[1].writes.front().seq});
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kDead);
  uint64_t tag = c.ProposeOnly(1, "b");
  ASSERT_FALSE(c[1].rejected.empty());
  EXPECT_EQ(c[1].rejected.back().tag, tag);
  EXPECT_EQ(c[1].rejected.back().reason, RejectReason::kDisabled);
  c.Tick(1, 100);
  c.Receive(1, 2, 9, App(1, 1));
  EXPECT_TRUE(c.wire().empty());
  EXPECT_EQ(c[1].term(), 2u);
}

// ---------------------------------------------------------------- apply

TEST(Apply, HandOversAreLimitedInBytesAndInNumber) {
  TestCluster c = Led([](Config& config) { config.max_apply_bytes = 1; });
  c[1].hold_applies = true;
  for (int i = 0; i < 20; ++i) c.Propose(1, "some data");
  size_t handed = c[1].applied.size();
  EXPECT_LT(handed, 10u) << "the state machine gets no more than it can take";
  while (c[1].status().applied < c[1].status().last) {
    c.Step(1, Applied{c[1].status().applying, 0});
  }
  ASSERT_EQ(c[1].applied.size(), 21u);
  for (size_t i = 0; i < 21; ++i) EXPECT_EQ(c[1].applied[i].entry.index, Index(2 + i));
}

TEST(Apply, AfterARestartApplyingGoesOnBehindTheDurableIndexFromDisk) {
  TestCluster c({1});
  c.Tick(1);
  for (int i = 0; i < 5; ++i) c.Propose(1, "x");
  c[1].durable_applied = Index(4);
  c[1].applied.clear();
  c.Start(1);
  c.Process(1);
  ASSERT_FALSE(c[1].applied.empty());
  EXPECT_EQ(c[1].applied[0].entry.index, Index(5));
  EXPECT_FALSE(c[1].loads.empty());
}

// ---------------------------------------------------------------- proposals

TEST(Proposals, AreRefusedWithAReasonWhereNobodyLeads) {
  TestCluster c({1, 2, 3});
  uint64_t tag = c.Propose(1, "a");
  ASSERT_EQ(c[1].rejected.size(), 1u);
  EXPECT_EQ(c[1].rejected[0].tag, tag);
  EXPECT_EQ(c[1].rejected[0].reason, RejectReason::kNoLeader);
}

TEST(Proposals, AFollowerThatDoesNotForwardNamesTheLeader) {
  TestCluster c = Led([](Config& config) { config.forward_proposals = false; });
  c.Propose(2, "a");
  ASSERT_EQ(c[2].rejected.size(), 1u);
  EXPECT_EQ(c[2].rejected[0].leader, MemberId(1));
}

TEST(Proposals, ForwardedOnesAreAnsweredWithTheirPlace) {
  TestCluster c = Led();
  uint64_t tag = c.Propose(2, "a");
  ASSERT_EQ(c[2].accepted.size(), 1u);
  EXPECT_EQ(c[2].accepted[0].tag, tag);
  EXPECT_EQ(c[2].accepted[0].index, Index(3));
  EXPECT_EQ(c[2].accepted[0].term, Term(2));
}

TEST(Proposals, ADoubledForwardIsAppendedOnce) {
  TestCluster c = Led();
  c.ProposeOnly(2, "a");
  ASSERT_EQ(c.wire().size(), 1u);
  c.wire().push_back(c.wire().front());
  c.Deliver();
  EXPECT_EQ(c[1].last(), 3u);
  EXPECT_EQ(c[2].accepted.size(), 1u);
  EXPECT_TRUE(c[2].rejected.empty());
}

TEST(Proposals, ACopyOfAForwardThatOutlivesItsLeaderIsNeitherTakenNorRefused) {
  TestCluster c = Led();
  c.ProposeOnly(2, "a");
  const Message copy = c.wire().front();
  c.SetFilter([](const Message& m) { return m.type != MessageType::kProposeResp; });
  c.Deliver();
  c.Heal();
  c.Start(1);
  c.AdvanceTime(1'000'000'000);
  c.Step(1, PeerMessage{copy});
  c.Deliver();
  EXPECT_TRUE(c[2].rejected.empty()) << "it was appended before the restart";
  c.Campaign(1);
  ASSERT_TRUE(c[1].leads());
  c.Step(1, PeerMessage{copy});
  c.Deliver();
  EXPECT_EQ(c[1].last(), 4u) << "the second term's Noop, and the write only once";
  EXPECT_TRUE(c[2].accepted.empty());
  c.Propose(2, "b");  // for the new term
  EXPECT_EQ(c[1].last(), 5u);
  EXPECT_EQ(c[2].accepted.size(), 1u);
}

TEST(Proposals, AForwardThatReachesANonLeaderIsRefusedForSure) {
  TestCluster c = Led();
  c.AdvanceTime(1'000'000'000);
  c.ProposeOnly(2, "a");
  c.Receive(1, 3, 9, App(1, 1));  // the leader loses its place first
  c.Deliver();
  ASSERT_EQ(c[2].rejected.size(), 1u);
  EXPECT_EQ(c[2].rejected[0].reason, RejectReason::kNoLeader);
}

TEST(Proposals, OnesThatWereNotSentYetAreRefusedWhenTheLeaderIsGone) {
  TestCluster c = Led();
  Propose propose;
  propose.proposals.push_back({77, EntryKind::kCommand, 0, SharedBytes::Copy("a")});
  c[2].core->Step(std::move(propose), c.now_ns());
  c[2].core->Step(ForgetLeader{}, c.now_ns());
  c.Process(2);
  ASSERT_EQ(c[2].rejected.size(), 1u);
  EXPECT_EQ(c[2].rejected[0].tag, 77u);
  EXPECT_EQ(c[2].rejected[0].reason, RejectReason::kNoLeader);
}

TEST(Proposals, OnesWhoseFateIsUnknownAreNeitherAcceptedNorRefused) {
  TestCluster c = Led();
  c.ProposeOnly(2, "a");
  c.TakeWire();
  c.Isolate(1);
  c.TickAll(60);
  EXPECT_TRUE(c[2].accepted.empty());
  EXPECT_TRUE(c[2].rejected.empty());
}

TEST(Proposals, UncommittedBytesAreLimited) {
  TestCluster c = Led([](Config& config) { config.max_uncommitted_bytes = 100; });
  c.SetFilter([](const Message&) { return false; });
  c.ProposeOnly(1, std::string(500, 'x'));  // of any size into an empty tail
  EXPECT_EQ(c[1].accepted.size(), 1u);
  c.ProposeOnly(1, "y");
  ASSERT_EQ(c[1].rejected.size(), 1u);
  EXPECT_EQ(c[1].rejected[0].reason, RejectReason::kUncommittedFull);
  c.ProposeOnly(1, "");
  EXPECT_EQ(c[1].accepted.size(), 2u) << "an empty payload costs nothing";
  EXPECT_EQ(c[1].status().uncommitted_bytes, 500u);
  c.Heal();
  c.TickAll(3);
  EXPECT_EQ(c[1].status().uncommitted_bytes, 0u);
  c.Propose(1, "z");
  EXPECT_EQ(c[1].accepted.size(), 3u);
}

TEST(Proposals, AreRefusedWhileTheDiskIsLow) {
  TestCluster c = Led();
  c.Step(1, DiskLow{DiskLevel::kLow});
  c.Propose(1, "a");
  ASSERT_EQ(c[1].rejected.size(), 1u);
  EXPECT_EQ(c[1].rejected[0].reason, RejectReason::kDiskLow);
  c.Step(1, DiskLow{DiskLevel::kOk});
  c.Propose(1, "a");
  EXPECT_EQ(c[1].accepted.size(), 1u);
}

TEST(Proposals, OnlyCommandsAndClockTicksMayBeProposed) {
  TestCluster c = Led();
  for (EntryKind kind : {EntryKind::kNoop, EntryKind::kConf, EntryKind::kClockTick}) {
    Propose propose;
    propose.proposals.push_back({1, kind, 0, SharedBytes::Copy("12345678")});
    c.Step(1, std::move(propose));
  }
  EXPECT_EQ(c[1].rejected.size(), 2u);
  EXPECT_EQ(c[1].accepted.size(), 1u);
}

// ---------------------------------------------------------------- clocks for staleness

TEST(Clocks, AFollowerLearnsHowOldItsLeadersConfirmedCommitIs) {
  TestCluster c = Led();
  c.Propose(1, "a");
  for (int i = 0; i < 4; ++i) c.TickAll();
  CoreStatus s = c[2].status();
  EXPECT_GT(s.confirmed_ns, 0u);
  EXPECT_LE(s.confirmed_ns, c.now_ns());
  EXPECT_EQ(s.confirmed_commit, Index(3));
  EXPECT_GT(s.echo_peer_ns, 0u);
  EXPECT_LE(s.echo_peer_ns, c.now_ns());
  EXPECT_GE(s.echo_received_ns, s.echo_peer_ns) << "one clock in this test";
}

TEST(Clocks, AnEchoFromBeforeTheProcessStartedIsNotUsed) {
  TestCluster c = Led();
  c.TickAll(4);
  c.AdvanceTime(1'000'000'000);
  c.Start(2);
  c.SetFilter([](const Message& m) { return m.from != MemberId(2); });
  c.Tick(1);
  c.Deliver();  // carries the reading of the earlier life
  EXPECT_EQ(c[2].status().confirmed_ns, 0u);
}

TEST(Clocks, ALeaderWithoutAQuorumConfirmsNothing) {
  TestCluster c = Led();
  c.TickAll(3);
  uint64_t confirmed = c[1].status().confirmed_ns;
  c.SetFilter([](const Message& m) { return m.to != MemberId(1); });
  c.TickAll(3);
  EXPECT_EQ(c[1].status().confirmed_ns, confirmed);
}

}  // namespace
}  // namespace arima::raft
