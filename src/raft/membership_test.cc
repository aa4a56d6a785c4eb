// Membership inside the core: when changes may be proposed, when they become active, how members
// and leaders leave (docs/design/raft.md 1.9, 1.10). The algebra itself: conf_change_test.cc.

#include <gtest/gtest.h>

#include <functional>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

ConfChangeItem Item(ConfOp op, uint64_t id) {
  ConfChangeItem item;
  item.op = op;
  item.info.id = MemberId(id);
  return item;
}

ConfChange Change(std::vector<ConfChangeItem> items,
                  ConfTransition transition = ConfTransition::kAuto) {
  ConfChange change;
  change.transition = transition;
  change.changes = std::move(items);
  return change;
}

std::vector<uint64_t> Ids(const std::vector<MemberId>& ids) {
  std::vector<uint64_t> values;
  for (MemberId id : ids) values.push_back(id.value);
  return values;
}

using List = std::vector<uint64_t>;

TestCluster Led(const std::vector<uint64_t>& voters, const std::vector<uint64_t>& learners = {},
                const TestCluster::Tweak& tweak = {}) {
  TestCluster c(voters, tweak, learners);
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

// A node that a change adds: nothing in its log above the point where the cluster was founded, and
// the configuration of that point.
void AddEmpty(TestCluster* c, uint64_t id, const std::vector<uint64_t>& founders) {
  c->Add(id, TestConf(founders));
}

RejectReason LastReason(TestCluster& c, uint64_t id) {
  return c[id].rejected.empty() ? RejectReason::kNone : c[id].rejected.back().reason;
}

size_t ConfEntries(TestCluster& c, uint64_t id) {
  size_t n = 0;
  for (const auto& [index, entry] : c[id].log) n += entry.kind == EntryKind::kConf;
  return n;
}

// ---------------------------------------------------------------- activation

TEST(Membership, AChangeBecomesActiveWhenItsEntryCommitsNotWhenItIsAppended) {
  TestCluster c = Led({1, 2, 3});
  c.Step(1, ProposeConf{1, Change({Item(ConfOp::kAddLearner, 0)}), false});
  EXPECT_TRUE(c[1].status().conf->learners.empty());
  ASSERT_EQ(c[1].accepted.size(), 1u);
  c.Deliver();
  for (uint64_t id : {1u, 2u, 3u}) {
    EXPECT_EQ(Ids(c[id].status().conf->learners), List{4}) << id;
    EXPECT_EQ(c[id].status().conf->index, c[1].accepted[0].index);
  }
}

TEST(Membership, TheStateMachineGetsTheResultingConfigurationWithTheEntry) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  const ApplyItem& item = c[2].applied.back();
  ASSERT_EQ(item.entry.kind, EntryKind::kConf);
  ASSERT_NE(item.conf, nullptr);
  EXPECT_EQ(Ids(item.conf->learners), List{4});
}

TEST(Membership, ATruncatedChangeWasNeverActive) {
  TestCluster c = Led({1, 2, 3});
  c.Isolate(1);
  c.Step(1, ProposeConf{1, Change({Item(ConfOp::kRemove, 3)}), false});
  c.AdvanceTime(1'000'000'000);
  c.Campaign(2);
  ASSERT_TRUE(c[2].leads());
  c.Heal();
  c.TickAll(3);
  EXPECT_EQ(c[1].leader(), 2u);
  EXPECT_EQ(Ids(c[1].status().conf->voters), (List{1, 2, 3}));
  EXPECT_EQ(ConfEntries(c, 1), 0u);
}

TEST(Membership, IdsAreHandedOutAtCommitAndNeverTwice) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 4)}));
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  EXPECT_EQ(Ids(c[1].status().conf->learners), List{5});
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 4)}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kConfInvalid);
}

TEST(Membership, ARestartedNodeActivatesWhatItsLogSaysIsCommitted) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  c.Propose(1, "x");
  c.Start(2);  // applied nothing durably: the configuration of its disk is the first one
  EXPECT_EQ(Ids(c[2].status().conf->learners), List{4});
}

TEST(Membership, ARestartedNodeKeepsUncommittedChangesPending) {
  TestCluster c = Led({1, 2, 3});
  c.SetFilter([](const Message& m) { return !(m.to == MemberId(2) && m.commit >= Index(3)); });
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  ASSERT_EQ(c[2].last(), 3u);
  c.Start(2);
  EXPECT_TRUE(c[2].status().conf->learners.empty());
  c.Heal();
  c.TickAll(2);
  EXPECT_EQ(Ids(c[2].status().conf->learners), List{4});
}

TEST(Membership, AnEntryThatIsNoChangeIsRefusedByEverybodyAlike) {
  TestCluster c = Led({1, 2, 3}, {}, [](Config& config) { config.check_conf_proposals = false; });
  c.ProposeConf(1, Change({}));  // leave, but nothing is joint
  for (uint64_t id : {1u, 2u, 3u}) {
    EXPECT_TRUE(c[id].Saw(EventKind::kConfRefused)) << id;
    EXPECT_EQ(Ids(c[id].status().conf->voters), (List{1, 2, 3}));
    ASSERT_NE(c[id].applied.back().conf, nullptr);
  }
}

TEST(Membership, ACandidateWhoseConfigurationChangesStartsOver) {
  TestCluster c = Led({1, 2, 3});
  c.SetFilter([](const Message& m) { return !(m.to == MemberId(2) && m.commit >= Index(3)); });
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  c.Step(2, Campaign{});
  ASSERT_EQ(c[2].role(), Role::kPreCandidate);
  Message refused;
  refused.type = MessageType::kPreVoteResp;
  refused.reject = true;
  refused.commit = Index(3);
  refused.commit_term = Term(2);
  c.Receive(2, 3, 2, refused);
  EXPECT_EQ(c[2].role(), Role::kFollower);
  EXPECT_EQ(Ids(c[2].status().conf->learners), List{4});
}

// ---------------------------------------------------------------- proposing

TEST(Membership, NothingMayBeProposedBeforeTheLeaderHasCommittedInItsTerm) {
  TestCluster c({1, 2, 3}, [](Config& config) { config.pre_vote = false; });
  c.Step(1, Campaign{});
  c.TakeWire();
  Message granted;
  granted.type = MessageType::kVoteResp;
  c.Receive(1, 2, 2, granted);
  ASSERT_TRUE(c[1].leads());
  c.Step(1, ProposeConf{1, Change({Item(ConfOp::kRemove, 3)}), true});
  EXPECT_EQ(LastReason(c, 1), RejectReason::kConfPending);
}

TEST(Membership, OneChangeAtATime) {
  TestCluster c = Led({1, 2, 3});
  c.Step(1, ProposeConf{1, Change({Item(ConfOp::kAddLearner, 0)}), false});
  c.Step(1, ProposeConf{2, Change({Item(ConfOp::kAddLearner, 0)}), false});
  EXPECT_EQ(LastReason(c, 1), RejectReason::kConfPending);
  c.Deliver();
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  EXPECT_EQ(Ids(c[1].status().conf->learners), (List{4, 5}));
}

TEST(Membership, ANewLeaderWaitsForWhatItInherited) {
  TestCluster c = Led({1, 2, 3});
  c.SetFilter([](const Message& m) { return m.to != MemberId(1) && m.from != MemberId(3); });
  c.Step(1, ProposeConf{1, Change({Item(ConfOp::kAddLearner, 0)}), false});
  c.Deliver();  // 2 has it, nobody knows that it is committed
  c.Heal();
  c.AdvanceTime(1'000'000'000);
  c.Step(2, Campaign{});
  c.Deliver();
  ASSERT_TRUE(c[2].leads());
  EXPECT_EQ(Ids(c[2].status().conf->learners), List{4});
  c.ProposeConf(2, Change({Item(ConfOp::kAddLearner, 0)}));
  EXPECT_EQ(Ids(c[2].status().conf->learners), (List{4, 5}));
}

TEST(Membership, FollowersNameTheLeaderInstead) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(2, Change({Item(ConfOp::kRemove, 3)}));
  ASSERT_EQ(LastReason(c, 2), RejectReason::kNoLeader);
  EXPECT_EQ(c[2].rejected[0].leader, MemberId(1));
}

TEST(Membership, TheLastVoterCannotBeRemoved) {
  TestCluster c = Led({1});
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 1)}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kConfInvalid);
  EXPECT_FALSE(c[1].rejected[0].text.empty());
}

TEST(Membership, AVoterComesFromALearnerThatHasCaughtUp) {
  TestCluster c = Led({1, 2, 3}, {}, [](Config& config) {
    config.require_caught_up_learner = true;
    config.promote_lag = 0;
  });
  c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, 0)}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNotReady) << "not even a learner";
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
  c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, 4)}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNotReady) << "it is not there";
  AddEmpty(&c, 4, {1, 2, 3});
  c.TickAll(5);
  ASSERT_EQ(c[4].last(), c[1].last());
  c[1].rejected.clear();
  c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, 4)}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNone);
  EXPECT_EQ(Ids(c[1].status().conf->voters), (List{1, 2, 3, 4}));
}

TEST(Membership, AChangeThatWouldLeaveNoLiveQuorumNeedsForce) {
  TestCluster c = Led({1, 2, 3});
  c.TickAll(3);
  c.Isolate(3);
  c.TickAll(30);
  ASSERT_TRUE(c[1].leads());
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 2)}));  // 1 and the dead 3 would remain
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNotReady);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  EXPECT_EQ(Ids(c[1].status().conf->voters), (List{1, 2}));
  c.Isolate(2);
  c.TickAll(5);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 2)}), true);
  EXPECT_EQ(c[1].accepted.size(), 2u) << "forced: accepted, if ever committed";
}

// ---------------------------------------------------------------- growing and shrinking

TEST(Membership, FromOneNodeToThreeByLearners) {
  TestCluster c = Led({1});
  for (uint64_t id : {2u, 3u}) {
    c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 0)}));
    AddEmpty(&c, id, {1});
    c.TickAll(3);
    c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, id)}));
    c.TickAll(2);
  }
  for (uint64_t id : {1u, 2u, 3u}) {
    EXPECT_EQ(Ids(c[id].status().conf->voters), (List{1, 2, 3})) << id;
  }
  c.Isolate(1);
  c.TickAll(60);
  EXPECT_TRUE(c[2].leads() || c[3].leads());
}

TEST(Membership, AddingAMemberNeverDeposesTheLeader) {
  TestCluster c = Led({1});
  c.TickAll(9);
  c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, 0)}), true);
  ASSERT_EQ(c[1].status().conf->voters.size(), 2u);
  c.TickAll(1);  // check-quorum runs: the new voter had no chance to answer
  EXPECT_TRUE(c[1].leads());
}

TEST(Membership, RemovingAVoterMayCommitWhatWaited) {
  TestCluster c = Led({1, 2});
  c.Isolate(2);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 2)}), true);
  c.Propose(1, "x");
  EXPECT_EQ(c[1].commit(), 2u);
  c.Heal();
  c.SetFilter([](const Message& m) {  // 2 acknowledges the change itself and no more
    return !(m.type == MessageType::kAppResp && m.index > Index(3));
  });
  Message ack;
  ack.type = MessageType::kAppResp;
  ack.index = Index(3);
  c.Receive(1, 2, 2, ack);
  EXPECT_EQ(c[1].commit(), 4u) << "1 alone is the quorum of everything after the removal";
}

TEST(Membership, LearnersGetEverythingAndCountForNothing) {
  TestCluster c = Led({1, 2, 3}, {4});
  c.Propose(1, "x");
  EXPECT_EQ(c[4].applied.back().entry.payload.view(), "x");
  c.SetFilter([](const Message& m) {
    return m.from.value + m.to.value == 5 && (m.from.value == 1 || m.to.value == 1);
  });
  c.Propose(1, "y");
  EXPECT_EQ(c[4].last(), 4u);
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(Membership, ARemovedMemberIsToldBeforeItIsForgotten) {
  TestCluster c = Led({1, 2, 3});
  c.Isolate(3);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  ASSERT_EQ(Ids(c[1].status().conf->voters), (List{1, 2}));
  c.TickAll(20);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kNone);
  c.Heal();
  c.TickAll(5);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kRemoved);
  c.TakeWire();
  for (int i = 0; i < 3; ++i) c.TickAll();
  bool still = false;
  c.SetFilter([&](const Message& m) {
    still = still || m.to == MemberId(3);
    return true;
  });
  c.TickAll(3);
  EXPECT_FALSE(still) << "now it is left alone";
}

TEST(Membership, ARemovedMemberWithAHigherTermDoesNotDeposeTheLeader) {
  TestCluster c = Led({1, 2, 3}, {}, [](Config& config) { config.pre_vote = false; });
  c.Isolate(3);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  c.Step(3, Campaign{});
  ASSERT_EQ(c[3].term(), 3u);
  c.Heal();
  c.TickAll(5);
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[1].term(), 2u);
}

TEST(Membership, AVoteRequestThatTellsANodeOfItsRemovalGetsNoVote) {
  TestCluster c = Led({1, 2, 3});
  c.SetFilter([](const Message& m) { return !(m.to == MemberId(3) && m.commit >= Index(3)); });
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  ASSERT_EQ(c[3].last(), 3u);
  c.Heal();
  c.TakeWire();
  c.AdvanceTime(1'000'000'000);
  Message ask;
  ask.type = MessageType::kVote;
  ask.last_index = Index(3);
  ask.last_term = Term(2);
  ask.commit = Index(3);
  ask.commit_term = Term(2);
  c.Receive(3, 2, 3, ask);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kRemoved);
  EXPECT_EQ(c[3].vote(), 0u);
  for (const Message& m : c.wire()) EXPECT_TRUE(m.reject);
}

TEST(Membership, ARemovedMemberThatNeverAnswersIsGivenUp) {
  TestCluster c = Led({1, 2, 3});
  c.Isolate(3);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  c.TickAll(110);
  bool still = false;
  c.SetFilter([&](const Message& m) {
    still = still || m.to == MemberId(3);
    return m.to != MemberId(3) && m.from != MemberId(3);
  });
  c.TickAll(3);
  EXPECT_FALSE(still);
}

TEST(Membership, ARemovedNodeStaysQuietAfterARestart) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  c.TickAll(3);
  ASSERT_EQ(c[3].status().soft.disabled, Disabled::kRemoved);
  c[3].durable_applied = c[3].status().applied;
  c[3].conf = *c[3].status().conf;
  c.Start(3);
  EXPECT_EQ(c[3].status().soft.disabled, Disabled::kRemoved);
  c.Tick(3, 100);
  EXPECT_EQ(c[3].role(), Role::kFollower);
}

// ---------------------------------------------------------------- the leader leaves

TEST(LeaderRemoval, TheLeaderTellsItsPeersHandsOverAndIsGone) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 1)}));
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kRemoved);
  EXPECT_TRUE(c[2].leads() || c[3].leads()) << "at once, without waiting for a timeout";
  EXPECT_EQ(Ids(c[2].status().conf->voters), (List{2, 3}));
  c.Tick(1, 100);
  EXPECT_EQ(c[1].term(), 2u) << "a removed node does not campaign";
}

TEST(LeaderRemoval, ADemotedLeaderStepsDownAndStaysALearner) {
  TestCluster c = Led({1, 2, 3});
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 1)}));
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kNone);
  c.TickAll(2);
  EXPECT_EQ(Ids(c[1].status().conf->learners), List{1});
  EXPECT_TRUE(c[1].leader() == 2 || c[1].leader() == 3);
}

TEST(LeaderRemoval, WithoutStepDownItCountsItselfNoMoreAndTakesNoProposals) {
  TestCluster c = Led({1, 2, 3}, {}, [](Config& config) { config.step_down_on_removal = false; });
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 1)}));
  ASSERT_TRUE(c[1].leads());
  c.Propose(1, "x");
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNotMember);
  c.Propose(2, "x");
  EXPECT_EQ(LastReason(c, 2), RejectReason::kNotMember);
}

TEST(LeaderRemoval, AProposalBetweenTheCommitAndTheStepDownIsRefused) {
  TestCluster c = Led({1, 2, 3});
  c.Step(1, ProposeConf{1, Change({Item(ConfOp::kRemove, 1)}), false});
  std::vector<Message> sent = c.TakeWire();
  Message ack;
  ack.type = MessageType::kAppResp;
  ack.from = MemberId(2);
  ack.to = MemberId(1);
  ack.term = Term(2);
  ack.index = Index(3);
  c[1].core->Step(PeerMessage{ack}, c.now_ns());
  Propose propose;
  propose.proposals.push_back({9, EntryKind::kCommand, 0, SharedBytes::Copy("x")});
  c[1].core->Step(std::move(propose), c.now_ns());
  c.Process(1);
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNotMember);
}

// ---------------------------------------------------------------- confirmed removal

const TestCluster::Tweak kConfirm = [](Config& config) { config.confirm_removals = true; };

// {1,2,3,4} minus 4, committed by 1, 2 and 4. The operator hears that it is done and switches 4
// off; then 1 dies. 2 and 3 are a majority of {1,2,3} and must be able to go on.
TEST(ConfirmedRemoval, TheRestCanLoseTheLeaderAsSoonAsItIsConfirmed) {
  TestCluster c = Led({1, 2, 3, 4}, {}, kConfirm);
  // 3 hears nothing meanwhile, and nobody is sent the bare commit.
  c.SetFilter([](const Message& m) {
    bool bare = m.type == MessageType::kApp && m.entries.empty();
    return m.to != MemberId(3) && !bare && m.type != MessageType::kHeartbeat;
  });
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 4)}));
  uint64_t removal = c[1].status().conf->index.value;
  ASSERT_EQ(c[1].commit(), removal + 1) << "the entry that confirms it is committed";
  c.SetFilter([](const Message& m) {
    auto alive = [](MemberId id) { return id == MemberId(2) || id == MemberId(3); };
    return alive(m.from) && alive(m.to);
  });
  for (uint64_t id : {2u, 3u}) c.Start(id);
  c.TickAll(100);
  EXPECT_TRUE(c[2].leads() || c[3].leads());
}

TEST(ConfirmedRemoval, TheLastOfTwoLeadsAgainAfterACrash) {
  TestCluster c = Led({1, 2}, {}, kConfirm);
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 2)}));
  uint64_t removal = c[1].status().conf->index.value;
  ASSERT_GT(c[1].commit(), removal);
  // The lazily written commit of the confirmation is lost; that of the removal cannot be.
  EXPECT_GE(c[1].hard_state.commit.value, removal);
  c[1].hard_state.commit = Index(removal);
  c.Isolate(2);
  c.Start(1);
  c.Tick(1);
  EXPECT_TRUE(c[1].leads());
}

// Only entries up to `last` get through, and nothing reaches 3.
std::function<bool(const Message&)> UpTo(uint64_t last) {
  return [last](const Message& m) {
    bool entries = !m.entries.empty() && m.entries.back().index <= Index(last);
    return m.to != MemberId(3) && (m.type == MessageType::kAppResp || entries);
  };
}

TEST(ConfirmedRemoval, ARemovedLeaderGoesWhenTheOthersKnow) {
  TestCluster c = Led({1, 2, 3}, {}, kConfirm);
  c.SetFilter(UpTo(3));
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 1)}));
  ASSERT_EQ(Ids(c[1].status().conf->voters), (List{2, 3}));
  EXPECT_TRUE(c[1].leads()) << "nobody else knows it yet";
  c.Propose(1, "x");
  EXPECT_EQ(LastReason(c, 1), RejectReason::kNotMember);
  c.Heal();
  c.TickAll(3);
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kRemoved);
  EXPECT_TRUE(c[2].leads() || c[3].leads());
}

TEST(ConfirmedRemoval, ARemovedLeaderWaitsNoLongerThanOneElectionTimeout) {
  TestCluster c = Led({1, 2, 3}, {}, kConfirm);
  c.SetFilter(UpTo(3));
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 1)}));
  ASSERT_TRUE(c[1].leads());
  c.SetFilter([](const Message& m) {  // the others are there, but nothing can be committed
    return m.type == MessageType::kHeartbeat || m.type == MessageType::kHeartbeatResp;
  });
  c.TickAll(11);
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kRemoved);
}

TEST(ConfirmedRemoval, AddingOrPromotingNeedsNone) {
  TestCluster c = Led({1, 2, 3}, {4}, kConfirm);
  uint64_t last = c[1].last();
  c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, 4)}));
  EXPECT_EQ(c[1].last(), last + 1);
  c.ProposeConf(1, Change({Item(ConfOp::kAddLearner, 4)}));
  EXPECT_EQ(c[1].last(), last + 3) << "a demotion takes a vote away";
}

// ---------------------------------------------------------------- joint

TEST(Joint, ReplacingAVoterPassesThroughBothMajoritiesAndLeavesByItself) {
  TestCluster c = Led({1, 2, 3}, {4});
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3), Item(ConfOp::kAddVoter, 4)}));
  c.TickAll(2);
  EXPECT_EQ(Ids(c[1].status().conf->voters), (List{1, 2, 4}));
  EXPECT_FALSE(c[1].status().conf->joint());
  EXPECT_EQ(ConfEntries(c, 1), 2u) << "one to enter, one to leave";
}

TEST(Joint, LeavingIsProposedOnceHoweverLongItTakes) {
  TestCluster c = Led({1, 2, 3}, {4});
  c.SetFilter([](const Message& m) { return m.type != MessageType::kAppResp; });
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3), Item(ConfOp::kAddVoter, 4)}));
  Message ack;
  ack.type = MessageType::kAppResp;
  ack.index = Index(3);
  c.Receive(1, 2, 2, ack);
  ASSERT_TRUE(c[1].status().conf->joint());
  c.TickAll(5);
  EXPECT_EQ(ConfEntries(c, 1), 2u);
  c.Heal();
  c.TickAll(3);
  EXPECT_FALSE(c[1].status().conf->joint());
  EXPECT_EQ(ConfEntries(c, 1), 2u);
}

TEST(Joint, ANewLeaderFinishesWhatTheOldOneBegan) {
  TestCluster c = Led({1, 2, 3}, {4});
  // The leave entry never gets out of the old leader.
  c.SetFilter([](const Message& m) {
    for (const Entry& e : m.entries) {
      if (e.index >= Index(4)) return false;
    }
    return true;
  });
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3), Item(ConfOp::kAddVoter, 4)}));
  ASSERT_TRUE(c[1].status().conf->joint());
  c.Isolate(1);
  c.TickAll(60);
  ASSERT_TRUE(c[2].leads() || c[3].leads() || c[4].leads());
  c.Heal();
  c.TickAll(5);
  for (uint64_t id : {1u, 2u, 4u}) {
    EXPECT_EQ(Ids(c[id].status().conf->voters), (List{1, 2, 4})) << id;
    EXPECT_FALSE(c[id].status().conf->joint());
  }
}

TEST(Joint, ExplicitStaysUntilItIsLeft) {
  TestCluster c = Led({1, 2, 3}, {4});
  c.ProposeConf(1, Change({Item(ConfOp::kAddVoter, 4)}, ConfTransition::kJointExplicit));
  c.TickAll(3);
  EXPECT_TRUE(c[1].status().conf->joint());
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 3)}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kConfInvalid);
  c.ProposeConf(1, Change({}));
  EXPECT_FALSE(c[1].status().conf->joint());
  c.ProposeConf(1, Change({}));
  EXPECT_EQ(LastReason(c, 1), RejectReason::kConfInvalid) << "nothing to leave";
}

TEST(Joint, ElectionsNeedBothMajorities) {
  TestCluster c = Led({1, 2, 3}, {4, 5});
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 2), Item(ConfOp::kRemove, 3),
                           Item(ConfOp::kAddVoter, 4), Item(ConfOp::kAddVoter, 5)},
                          ConfTransition::kJointExplicit));
  c.TickAll(2);
  ASSERT_TRUE(c[1].status().conf->joint());
  // Without 4 and 5 there is no majority of {1, 4, 5}.
  c.SetFilter([](const Message& m) { return m.from.value <= 3 && m.to.value <= 3; });
  c.AdvanceTime(1'000'000'000);
  c.Campaign(2);
  EXPECT_FALSE(c[2].leads());
  c.Heal();
  c.Campaign(2);
  EXPECT_TRUE(c[2].leads());
}

TEST(Joint, AReplacedLeaderLeavesWithTheLastStep) {
  TestCluster c = Led({1, 2, 3}, {4});
  c.ProposeConf(1, Change({Item(ConfOp::kRemove, 1), Item(ConfOp::kAddVoter, 4)}));
  c.TickAll(3);
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kRemoved);
  EXPECT_EQ(Ids(c[2].status().conf->voters), (List{2, 3, 4}));
  EXPECT_TRUE(c[2].leads() || c[3].leads() || c[4].leads());
}

}  // namespace
}  // namespace arima::raft
