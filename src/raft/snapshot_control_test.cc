// Snapshots as far as the core decides about them (docs/design/raft.md 1.13, 1.15).

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

// 1 leads; 3 missed entries that 1 has compacted away.
TestCluster Lagging() {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  c.Isolate(3);
  for (int i = 0; i < 5; ++i) c.Propose(1, "x");
  c.Step(1, CompactTo{Index(5)});
  c.Heal();
  return c;
}

PeerStatus Peer(TestCluster& c, uint64_t id) { return Peer(c, 1, id); }

SnapshotMeta Meta(TestCluster& c, uint64_t index, uint64_t snapshot_id = 1) {
  SnapshotMeta meta;
  meta.index = Index(index);
  meta.term = *c[1].core->TermAt(Index(index));
  meta.conf = *c[1].status().conf;
  meta.snapshot_id = snapshot_id;
  return meta;
}

void Install(TestCluster* c, uint64_t id, const SnapshotMeta& meta) {
  c->Step(id, SnapshotReceived{meta, MemberId(1), Term((*c)[1].term())});
  ASSERT_EQ((*c)[id].installs.size(), 1u);
  (*c)[id].durable_applied = meta.index;
  (*c)[id].conf = meta.conf;
  c->Step(id, SnapshotInstalled{meta});
}

TEST(SnapshotControl, APeerThatNeedsCompactedEntriesGetsASnapshotOnceItIsHeardOf) {
  TestCluster c = Lagging();
  EXPECT_TRUE(c[1].snapshot_requests.empty());
  c.TickAll(2);
  ASSERT_EQ(c[1].snapshot_requests.size(), 1u) << "asked for once";
  EXPECT_EQ(c[1].snapshot_requests[0].to, MemberId(3));
  EXPECT_EQ(c[1].snapshot_requests[0].at_least, Index(5));
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kSnapshot);
}

TEST(SnapshotControl, APeerWithoutSpaceForItCostsNoSnapshot) {
  TestCluster c = Lagging();
  c.Step(3, DiskLow{DiskLevel::kLow});
  c.TickAll(30);
  EXPECT_TRUE(c[1].snapshot_requests.empty());
  c.Step(3, DiskLow{});
  c.TickAll(30);
  EXPECT_EQ(c[1].snapshot_requests.size(), 1u);
}

TEST(SnapshotControl, AnUnreachablePeerCostsNoSnapshot) {
  TestCluster c = Lagging();
  c.Isolate(3);
  c.TickAll(30);
  EXPECT_TRUE(c[1].snapshot_requests.empty());
}

TEST(SnapshotControl, NothingIsSentWhileASnapshotIsOnItsWay) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 7), true});
  EXPECT_EQ(Peer(c, 3).pending_snapshot, Index(7));
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].type, MessageType::kSnap);
  c.TakeWire();
  c.ProposeOnly(1, "y");
  for (const Message& m : c.wire()) EXPECT_NE(m.to, MemberId(3));
}

TEST(SnapshotControl, FromReceptionToReplication) {
  TestCluster c = Lagging();
  c.TickAll(2);
  SnapshotMeta meta = Meta(c, 7);
  c.Step(1, SnapshotReady{MemberId(3), meta, true});
  c.Deliver();
  c.Step(3, SnapshotReceived{meta, MemberId(1), Term(2)});
  ASSERT_EQ(c[3].installs.size(), 1u);
  EXPECT_EQ(c[3].last(), 2u) << "nothing changes before the state machine has switched";
  c.Step(3, SnapshotInstalled{meta});
  EXPECT_EQ(c[3].commit(), 7u);
  EXPECT_EQ(c[3].snapshot, (EntryId{meta.term, Index(7)}));
  c.Deliver();
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kReplicate);
  c.Propose(1, "y");
  EXPECT_EQ(c[3].last(), 8u);
  EXPECT_EQ(c[3].applied.back().entry.payload.view(), "y");
}

TEST(SnapshotControl, TheAcknowledgementWaitsForTheResetOfTheLog) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.TakeWire();
  c[3].hold_writes = true;
  Install(&c, 3, Meta(c, 7));
  ASSERT_EQ(c[3].writes.size(), 1u);
  EXPECT_TRUE(c[3].writes[0].reset.has_value());
  EXPECT_TRUE(c[3].writes[0].need_sync);
  EXPECT_TRUE(c.wire().empty());
  c.CompleteWrite(3);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].type, MessageType::kAppResp);
  EXPECT_EQ(c.wire()[0].index, Index(7));
}

TEST(SnapshotControl, WhileInstallingANodeTakesNoEntriesCampaignsNotAndStillVotes) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.TakeWire();
  c.Step(3, SnapshotReceived{Meta(c, 7), MemberId(1), Term(2)});
  Message app;
  app.type = MessageType::kApp;
  app.index = Index(2);
  app.log_term = Term(2);
  app.entries = {TestEntry(2, 3, "x")};
  c.Receive(3, 1, 2, app);
  EXPECT_EQ(c[3].last(), 2u);
  EXPECT_TRUE(c.wire().empty());
  c.AdvanceTime(1'000'000'000);
  c.Tick(3, 50);
  c.Step(3, Campaign{});
  EXPECT_EQ(c[3].role(), Role::kFollower);
  Message vote;
  vote.type = MessageType::kVote;
  vote.last_index = Index(7);
  vote.last_term = Term(2);
  c.AdvanceTime(1'000'000'000);
  c.Receive(3, 2, 5, vote);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_FALSE(c.wire()[0].reject);
}

TEST(SnapshotControl, ASecondSnapshotMeanwhileIsRefused) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(3, SnapshotReceived{Meta(c, 6, 1), MemberId(1), Term(2)});
  c.Step(3, SnapshotReceived{Meta(c, 7, 2), MemberId(1), Term(2)});
  EXPECT_EQ(c[3].installs.size(), 1u);
  c.Step(3, SnapshotInstalled{Meta(c, 7, 2)});
  EXPECT_EQ(c[3].commit(), 2u) << "that one was never accepted";
  c.Step(3, SnapshotInstalled{Meta(c, 6, 1)});
  EXPECT_EQ(c[3].commit(), 6u);
}

TEST(SnapshotControl, AStaleSnapshotNeverTouchesTheLog) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  for (int i = 0; i < 3; ++i) c.Propose(1, "x");
  c.Step(2, SnapshotReceived{Meta(c, 3), MemberId(1), Term(2)});
  EXPECT_TRUE(c[2].installs.empty());
  EXPECT_EQ(c[2].last(), 5u);
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].index, Index(5)) << "the leader is told to go on from there";
}

TEST(SnapshotControl, AStaleSnapshotBelowWhatIsRetainedDoesNotEither) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  for (int i = 0; i < 3; ++i) c.Propose(1, "x");
  SnapshotMeta meta = Meta(c, 3);
  c.Step(2, CompactTo{Index(5)});
  c.Step(2, SnapshotReceived{meta, MemberId(1), Term(2)});
  EXPECT_TRUE(c[2].installs.empty());
  EXPECT_EQ(c[2].last(), 5u);
}

TEST(SnapshotControl, ASnapshotOfALogThatIsAlreadyThereOnlyCommits) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2, 2}, 2, 4);
  c.SetLog(2, {2, 2, 2}, 2);
  c.Step(2, SnapshotReceived{Meta(c, 3), MemberId(1), Term(2)});
  EXPECT_TRUE(c[2].installs.empty());
  EXPECT_EQ(c[2].commit(), 3u);
  EXPECT_EQ(c[2].last(), 4u);
}

TEST(SnapshotControl, ASnapshotThatDoesNotKnowThisNodeIsRefused) {
  TestCluster c = Lagging();
  SnapshotMeta meta = Meta(c, 7);
  meta.conf = TestConf({1, 2});
  meta.conf.next_member_id = MemberId(4);
  c.Step(3, SnapshotReceived{meta, MemberId(1), Term(2)});
  EXPECT_TRUE(c[3].installs.empty());
}

TEST(SnapshotControl, ASnapshotNeverBringsBackAnOlderConfiguration) {
  TestCluster c = Lagging();
  SnapshotMeta meta = Meta(c, 7);
  c[3].conf.index = Index(2);
  c.Start(3);
  meta.conf.index = Index(1);
  c.Step(3, SnapshotReceived{meta, MemberId(1), Term(2)});
  EXPECT_TRUE(c[3].installs.empty());
}

TEST(SnapshotControl, AFailedTransferGoesBackToProbingFromMatch) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 7), true});
  c.SetFilter([](const Message& m) { return m.from != MemberId(3); });
  c.Step(1, SnapshotSent{MemberId(3), 1, false});
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kProbe);
  EXPECT_EQ(Peer(c, 3).next, Index(3));
  EXPECT_TRUE(Peer(c, 3).paused);
  c.Heal();
  c.TickAll(2);
  EXPECT_EQ(c[1].snapshot_requests.size(), 2u) << "and is tried again";
}

TEST(SnapshotControl, ASnapshotThatCouldNotBeMadeIsAskedForAgain) {
  TestCluster c = Lagging();
  c.TickAll(2);
  ASSERT_EQ(c[1].snapshot_requests.size(), 1u);
  c.Step(1, SnapshotReady{MemberId(3), {}, false});
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kProbe);
  c.TickAll(1);
  EXPECT_EQ(c[1].snapshot_requests.size(), 2u);
}

TEST(SnapshotControl, AfterASuccessfulTransferTheProbeStartsAboveTheSnapshot) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 7), true});
  c.Step(1, SnapshotSent{MemberId(3), 1, true});
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kProbe);
  EXPECT_EQ(Peer(c, 3).next, Index(8));
  EXPECT_TRUE(Peer(c, 3).paused);
}

TEST(SnapshotControl, TheEndOfAnEarlierTransferChangesNothing) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 7, 5), true});
  c.Step(1, SnapshotSent{MemberId(3), 4, false});
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kSnapshot);
}

TEST(SnapshotControl, AnOlderSnapshotThanRecordedIsFineAsLongAsTheLogConnects) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 7), true});
  Message ack;
  ack.type = MessageType::kAppResp;
  ack.index = Index(5);  // it got one of index 5 from somewhere
  c.Receive(1, 3, 2, ack);
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kReplicate);
  EXPECT_EQ(Peer(c, 3).match, Index(5));
}

TEST(SnapshotControl, TheReceiverCanReportAFailure) {
  TestCluster c = Lagging();
  c.TickAll(2);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 7), true});
  Message failed;
  failed.type = MessageType::kSnapProgress;
  failed.snapshot.snapshot_id = 1;
  failed.reject = true;
  c.Receive(1, 3, 2, failed);
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kProbe);
}

TEST(SnapshotControl, ALoaderThatFindsEntriesGoneLeadsToASnapshot) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.entry_cache_bytes = 1; });
  c.Campaign(1);
  c.Isolate(3);
  for (int i = 0; i < 5; ++i) c.Propose(1, "some data");
  c.Heal();
  c[1].load_status = LoadStatus::kCompacted;
  c.TickAll(2);
  EXPECT_EQ(c[1].snapshot_requests.size(), 1u);
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kSnapshot);
}

// Asking again would end in nothing for ever; the state machine has what the log lost.
TEST(SnapshotControl, ADamagedEntryLeadsToASnapshot) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.entry_cache_bytes = 1; });
  c.Campaign(1);
  c.Isolate(3);
  for (int i = 0; i < 5; ++i) c.Propose(1, "some data");
  c.Heal();
  c[1].load_status = LoadStatus::kDamaged;
  c.TickAll(2);
  EXPECT_EQ(c[1].loads.size(), 1u);
  EXPECT_EQ(c[1].snapshot_requests.size(), 1u);
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kSnapshot);
  EXPECT_EQ(c[1].status().soft.role, Role::kLeader);
}

// A snapshot cannot stand for it, so the leader would commit nothing any more, for ever.
TEST(SnapshotControl, ALeaderThatCannotReadBackWhatIsNotCommittedLeadsNoLonger) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.entry_cache_bytes = 1; });
  c.Campaign(1);
  c.Isolate(1);
  for (int i = 0; i < 5; ++i) c.Propose(1, "some data");
  c.Heal();
  c[1].load_status = LoadStatus::kDamaged;
  c.TickAll(2);
  EXPECT_EQ(c[1].loads.size(), 1u);
  EXPECT_TRUE(c[1].snapshot_requests.empty());
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kDamaged);
  EXPECT_EQ(c[1].status().soft.role, Role::kFollower);
  EXPECT_TRUE(c[1].Saw(EventKind::kLogRegression));
  c.Campaign(2);
  c.Propose(2, "others go on");
  EXPECT_EQ(c[3].commit(), c[2].last());
}

TEST(SnapshotControl, ALoaderThatIsBusyIsAskedAgainAfterTheNextHeartbeat) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.entry_cache_bytes = 1; });
  c.Campaign(1);
  c.Isolate(3);
  for (int i = 0; i < 5; ++i) c.Propose(1, "some data");
  c.Heal();
  c[1].load_status = LoadStatus::kUnavailable;
  c.TickAll(3);
  size_t loads = c[1].loads.size();
  EXPECT_GE(loads, 2u);
  EXPECT_LE(loads, 6u) << "not in a tight circle";
  c[1].load_status = LoadStatus::kOk;
  c.TickAll(3);
  EXPECT_EQ(c[3].last(), c[1].last());
}

TEST(SnapshotControl, ARestartAfterInstallationBeginsAtTheSnapshot) {
  TestCluster c = Lagging();
  c.TickAll(2);
  Install(&c, 3, Meta(c, 7));
  c.Deliver();
  c.Start(3);
  EXPECT_EQ(c[3].status().snapshot_index, Index(7));
  EXPECT_EQ(c[3].status().applied, Index(7));
  c.TickAll(2);
  c.Propose(1, "y");
  EXPECT_EQ(c[3].applied.back().entry.payload.view(), "y");
}

TEST(SnapshotControl, AJoiningNodeWithoutAnyLogIsBroughtInByASnapshot) {
  TestCluster c({1});
  c.Tick(1);
  for (int i = 0; i < 3; ++i) c.Propose(1, "x");
  ConfChange add;
  add.changes.push_back({ConfOp::kAddLearner, {}});
  c.ProposeConf(1, add);
  MemberId id = c[1].status().conf->learners.at(0);
  ASSERT_EQ(id, MemberId(2)) << "the id is assigned when the entry commits";
  TestNode& node = c.Add(2, ConfState());
  node.snapshot = {Term(0), Index(0)};
  node.hard_state = {};
  node.durable_applied = Index(0);
  c.Start(2);
  c.TickAll(3);
  ASSERT_EQ(c[1].snapshot_requests.size(), 1u);
  SnapshotMeta meta = Meta(c, 6);
  c.Step(1, SnapshotReady{id, meta, true});
  c.Deliver();
  Install(&c, 2, meta);
  c.Deliver();
  c.Propose(1, "y");
  EXPECT_EQ(c[2].applied.back().entry.payload.view(), "y");
  EXPECT_EQ(c[2].status().conf->learners.at(0), MemberId(2));
}

// 1 leads, all are level at index 9, and 3 has cut its log below 5 before its state machine was
// lost.
TestCluster Emptied(const std::vector<uint64_t>& voters = {1, 2, 3}) {
  TestCluster c(voters);
  c.Campaign(1);
  for (int i = 0; i < 7; ++i) c.Propose(1, "x");
  c.TickAll(2);
  TestNode& node = c[3];
  node.needs_snapshot = true;
  node.snapshot = node.log.at(Index(4)).id();
  node.log.erase(node.log.begin(), node.log.upper_bound(Index(4)));
  node.durable_applied = Index(4);
  node.applied.clear();
  c.Start(3);
  c.TickAll(2);
  return c;
}

Message Wants() {
  Message wants;
  wants.type = MessageType::kSnapProgress;
  return wants;
}

TEST(LostStateMachine, TheLogIsAcknowledgedAndNothingIsApplied) {
  TestCluster c = Emptied();
  c.Isolate(2);  // 1 commits with 3, or not at all
  uint64_t before = c[1].commit();
  c.Propose(1, "y");
  c.TickAll(2);
  EXPECT_EQ(c[1].commit(), before + 1);
  EXPECT_EQ(c[3].commit(), before + 1);
  EXPECT_TRUE(c[3].applied.empty());
  EXPECT_TRUE(c[3].status().needs_snapshot);
}

TEST(LostStateMachine, ANodeVotesAndDoesNotCampaign) {
  TestCluster c = Emptied();
  c.Isolate(1);
  c.TickAll(40);
  EXPECT_FALSE(c[3].Saw(EventKind::kCampaign));
  EXPECT_TRUE(c[2].leads()) << "with the vote of 3";
  c.Step(3, Campaign{});
  EXPECT_EQ(c[3].role(), Role::kFollower);
}

TEST(LostStateMachine, ThePeerIsSentASnapshotWhileItFollowsByTheLog) {
  TestCluster c = Emptied();
  for (int i = 0; i < 3; ++i) c.Receive(1, 3, 2, Wants());
  ASSERT_EQ(c[1].snapshot_requests.size(), 1u) << "however often it asks";
  EXPECT_EQ(c[1].snapshot_requests[0].to, MemberId(3));
  EXPECT_EQ(c[1].snapshot_requests[0].at_least, Index(9));
  EXPECT_TRUE(Peer(c, 3).repairing);
  c.TakeWire();
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 9), true});
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].type, MessageType::kSnap);
  EXPECT_EQ(Peer(c, 3).state, ProgressState::kReplicate);
  c.Propose(1, "y");
  EXPECT_EQ(c[3].last(), 10u);
  c.Step(1, SnapshotSent{MemberId(3), 1, true});
  EXPECT_FALSE(Peer(c, 3).repairing);
}

TEST(LostStateMachine, AFailureIsAskedAgain) {
  TestCluster c = Emptied();
  c.Receive(1, 3, 2, Wants());
  c.Step(1, SnapshotReady{MemberId(3), {}, false});
  c.Receive(1, 3, 2, Wants());
  ASSERT_EQ(c[1].snapshot_requests.size(), 2u);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 9, 5), true});
  Message failed = Wants();
  failed.snapshot.snapshot_id = 5;
  failed.reject = true;
  c.Receive(1, 3, 2, failed);
  EXPECT_FALSE(Peer(c, 3).repairing);
  c.Receive(1, 3, 2, Wants());
  EXPECT_EQ(c[1].snapshot_requests.size(), 3u);
}

TEST(LostStateMachine, ASnapshotBelowTheCommitIndexIsInstalledIfTheLogGoesOnFromIt) {
  TestCluster c = Emptied();
  c.Step(3, SnapshotReceived{Meta(c, 3), MemberId(1), Term(2)});
  EXPECT_TRUE(c[3].installs.empty()) << "entry 4 would be missing";
  SnapshotMeta other = Meta(c, 7);
  other.term = Term(1);
  c.Step(3, SnapshotReceived{other, MemberId(1), Term(2)});
  EXPECT_TRUE(c[3].installs.empty()) << "contradicts what is committed";
  c.Step(3, SnapshotReceived{Meta(c, 7), MemberId(1), Term(2)});
  ASSERT_EQ(c[3].installs.size(), 1u);
  EXPECT_EQ(c[3].installs[0].index, Index(7));
  EXPECT_EQ(c[3].last(), 9u) << "the log stays";
}

TEST(LostStateMachine, ASnapshotBeyondTheLogIsInstalled) {
  TestCluster c = Emptied();
  c.Isolate(3);
  for (int i = 0; i < 5; ++i) c.Propose(1, "z");
  c.Step(3, SnapshotReceived{Meta(c, 13), MemberId(1), Term(2)});
  EXPECT_EQ(c[3].installs.size(), 1u);
}

// 2 has missed the last entries, and 1, who has them too, is gone.
TEST(LostStateMachine, WithTheLongestLogOfAMajorityItLeadsUntilAnotherHasIt) {
  TestCluster c = Emptied();
  c.Isolate(2);
  c.Propose(1, "y");
  c.TickAll(2);
  c.Isolate(1);
  c.TickAll(100);
  ASSERT_TRUE(c[3].leads()) << "nobody else can win";
  EXPECT_TRUE(c[3].applied.empty());
  EXPECT_EQ(c[2].applied.back().entry.kind, EntryKind::kNoop) << "2 has all of it now";
  c.Step(3, Transfer{});
  c.Deliver();
  EXPECT_TRUE(c[2].leads());
}

TEST(LostStateMachine, ItDoesNotTakeOverAndDoesNotHandToItsLike) {
  TestCluster c = Emptied();
  c.Step(1, Transfer{MemberId(3)});
  c.TickAll(30);
  EXPECT_FALSE(c[3].Saw(EventKind::kCampaign));
  c.Isolate(1);
  c.TickAll(40);
  ASSERT_TRUE(c[2].leads());
  c.Receive(2, 3, c[2].term(), Wants());
  c.Heal();
  c.TickAll(2);
  c.Step(2, Transfer{});
  c.Deliver();
  EXPECT_TRUE(c[1].leads());
}

TEST(LostStateMachine, LeadershipIsHandedToAnother) {
  TestCluster c = Emptied({1, 3, 4});
  c.Receive(1, 3, 2, Wants());
  c.Step(1, Transfer{});
  c.Deliver();
  EXPECT_TRUE(c[4].leads());
}

// The identity file said of a configuration before the log was synced, and then the power was lost.
TEST(LostStateMachine, AConfigurationAheadOfTheLogIsNotMadeTwice) {
  TestCluster c = Emptied();
  c.Isolate(3);
  ConfChange add;
  add.changes.push_back({ConfOp::kAddLearner, {}});
  c.ProposeConf(1, add);
  c.TickAll(2);
  const ConfState conf = *c[1].status().conf;
  ASSERT_EQ(conf.index, Index(10));
  c[3].conf = conf;
  c.Start(3);
  c.Heal();
  c.TickAll(5);
  ASSERT_EQ(c[3].commit(), 10u);
  EXPECT_EQ(*c[3].status().conf, conf);
  c.ProposeConf(1, add);
  c.TickAll(2);
  EXPECT_EQ(*c[3].status().conf, *c[1].status().conf) << "later ones count";
  EXPECT_EQ(c[3].status().conf->index, Index(11));
}

TEST(LostStateMachine, ALearnerIsPromotedOnlyWhenItHasTheDataAgain) {
  TestCluster c({1, 2}, [](Config& config) { config.require_caught_up_learner = true; }, {3});
  c.Campaign(1);
  c.TickAll(5);
  c.Receive(1, 3, c[1].term(), Wants());
  EXPECT_FALSE(Peer(c, 3).caught_up);
  ConfChange promote;
  promote.changes.push_back({ConfOp::kAddVoter, c[1].status().conf->members.at(MemberId(3))});
  c.ProposeConf(1, promote);
  ASSERT_FALSE(c[1].rejected.empty());
  EXPECT_EQ(c[1].rejected.back().reason, RejectReason::kNotReady);
  EXPECT_NE(c[1].rejected.back().text.find("waits for a snapshot"), std::string::npos);
  c.Step(1, SnapshotReady{MemberId(3), Meta(c, 2), true});
  c.Step(1, SnapshotSent{MemberId(3), 1, true});
  c.TickAll(2);
  EXPECT_TRUE(Peer(c, 3).caught_up);
  c.ProposeConf(1, promote);
  EXPECT_EQ(c[1].status().conf->voters.size(), 3u);
}

TEST(Compaction, KeepsTheTermOfItsPointAndEverythingAbove) {
  TestCluster c({1});
  c.Tick(1);
  for (int i = 0; i < 5; ++i) c.Propose(1, "x");
  c.Step(1, CompactTo{Index(4)});
  EXPECT_EQ(c[1].status().snapshot_index, Index(4));
  EXPECT_EQ(*c[1].core->TermAt(Index(4)), Term(2));
  EXPECT_FALSE(c[1].core->TermAt(Index(3)).has_value());
  EXPECT_TRUE(c[1].core->EntryAt(Index(5)).has_value());
  c.Step(1, CompactTo{Index(2)});
  EXPECT_EQ(c[1].status().snapshot_index, Index(4));
}

}  // namespace
}  // namespace arima::raft
