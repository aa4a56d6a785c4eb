// Joins and removals, one by one (node/test_membership.h).
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "node/test_membership.h"

namespace arima::node {
namespace {

// ---------------------------------------------------------------- join: the straight way

TEST_F(MembershipTest, AFreshNodeBecomesALearnerIsAbsorbedAndPromoted) {
  Target& n2 = world_.AddTarget(2);
  n2.probe.http_address = "127.0.0.1:2222";
  world_.learners_catch_up = false;
  auto& answer = Join(2);
  world_.Run(500);
  EXPECT_TRUE(world_.HasLearner("n2"));
  ASSERT_EQ(n2.absorbed.size(), 1u);
  EXPECT_EQ(n2.absorbed[0].cluster_id, Id(1));
  EXPECT_EQ(n2.absorbed[0].member, world_.Find("n2")->id);
  EXPECT_TRUE(n2.absorbed[0].conf.members.contains(n2.absorbed[0].member));
  EXPECT_EQ(world_.Find("n2")->http_address, "127.0.0.1:2222");
  EXPECT_TRUE(answer.pending());
  world_.learners_catch_up = true;
  world_.Run(500);
  EXPECT_TRUE(world_.HasVoter("n2"));
  ASSERT_TRUE(answer.ok()) << answer.text();
  EXPECT_TRUE(answer.result->caught_up);
  EXPECT_FALSE(answer.result->stats.empty());
  EXPECT_FALSE(world_.membership->HasOutboundJoin());
}

TEST_F(MembershipTest, JoiningAMemberAgainChangesNothing) {
  world_.AddMemberTarget(2, true);
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ(world_.proposals, 0);
}

TEST_F(MembershipTest, JoiningAMemberAtANewAddressUpdatesTheAddress) {
  Target n2 = world_.AddMemberTarget(2, true);
  world_.targets["127.0.0.2:9"] = n2;
  auto& answer = Join("n2", "127.0.0.2:9");
  world_.Run(300);
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ(world_.Find("n2")->raft_address, "127.0.0.2:9");
  EXPECT_TRUE(world_.HasVoter("n2"));
}

TEST_F(MembershipTest, ALearnerOfOursIsPromoted) {
  world_.AddMemberTarget(2, false);
  auto& answer = Join(2);
  world_.Run(300);
  EXPECT_TRUE(answer.ok());
  EXPECT_TRUE(world_.HasVoter("n2"));
}

TEST_F(MembershipTest, ARemovedMemberJoinsAgainUnderANewId) {
  Target& n2 = world_.AddMemberTarget(2, true);
  auto& removed = Remove("n2");
  world_.Run(200);
  ASSERT_TRUE(removed.ok());
  n2.probe.state = NodeState::kRemoved;
  auto& answer = Join(2);
  world_.Run(500);
  EXPECT_TRUE(answer.ok()) << answer.text();
  EXPECT_EQ(world_.Find("n2")->id, MemberId(3));
  ASSERT_EQ(n2.absorbed.size(), 1u);
  EXPECT_EQ(n2.absorbed[0].expected_cluster_id, Id(1));
}

// ---------------------------------------------------------------- join: refusals

TEST_F(MembershipTest, NobodyAtTheAddressIsUnreachableAndNothingChanges) {
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kPeerUnreachable)) << answer.text();
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_FALSE(world_.membership->HasOutboundJoin());
}

// It may be on its way there, so it is awaited; but a voter does not catch up.
TEST_F(MembershipTest, NobodyAtTheNewAddressOfAVoterIsUnreachableInTheEnd) {
  world_.AddMemberTarget(2, true);
  auto& answer = Join("n2", "127.0.0.2:9", 5000);
  world_.Run(4900);
  EXPECT_TRUE(answer.pending()) << answer.text();
  world_.Run(200);
  EXPECT_TRUE(answer.failed(Code::kPeerUnreachable)) << answer.text();
  EXPECT_NE(answer.text().find("127.0.0.2:9"), std::string::npos) << answer.text();
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_EQ(world_.Find("n2")->raft_address, AddressOf(2));
  EXPECT_FALSE(world_.membership->HasOutboundJoin());
}

TEST_F(MembershipTest, AnotherNameAtTheAddressIsAConflict) {
  world_.AddTarget(2).probe.name = "other";
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("other"), std::string::npos);
  EXPECT_EQ(world_.proposals, 0);
}

TEST_F(MembershipTest, AnotherDataFormatIsAConflict) {
  world_.AddTarget(2).probe.format = kFormatVersion + 1;
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_EQ(world_.proposals, 0);
}

TEST_F(MembershipTest, ANodeThatHoldsDataIsAConflictAndNothingChanges) {
  Target& n2 = world_.AddTarget(2);
  n2.probe.pristine = false;
  n2.probe.user_operations = 7;
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("7 operations"), std::string::npos);
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_TRUE(n2.absorbed.empty());
}

TEST_F(MembershipTest, AMemberOfAnotherClusterIsAConflictAtOnce) {
  Target& n2 = world_.AddTarget(2);
  n2.probe.pristine = false;
  n2.probe.state = NodeState::kMember;
  n2.probe.members = 3;
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
}

TEST_F(MembershipTest, AFreshNodeThatIsStillStartingIsAwaited) {
  Target& n2 = world_.AddTarget(2);
  n2.probe.pristine = false;
  auto& answer = Join(2);
  world_.Run(500);
  EXPECT_TRUE(answer.pending()) << answer.text();
  n2.probe.pristine = true;
  world_.Run(500);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

// Each has a join of its own, so neither is pristine; whoever asks says what is wrong.
TEST_F(MembershipTest, ANodeThatIsJoiningOthersIsAConflictInTheEnd) {
  Target& n2 = world_.AddTarget(2);
  n2.probe.pristine = false;
  auto& answer = Join(2);
  EXPECT_TRUE(world_.membership->HasOutboundJoin());
  world_.Run(5000);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_EQ(answer.text().find("holds data"), std::string::npos) << answer.text();
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_FALSE(world_.membership->HasOutboundJoin());
}

TEST_F(MembershipTest, AnAddressThatAMemberUsesIsAConflict) {
  world_.AddMember("other", 99, true, AddressOf(2));
  world_.AddTarget(2);
  auto& answer = Join(2);
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_EQ(world_.proposals, 0);
}

TEST_F(MembershipTest, TheLeaderCannotJoinItself) {
  auto& answer = Join("n1", AddressOf(1));
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  // Not even before its own name is in the configuration.
  world_.conf().members[MemberId(1)].name.clear();
  auto& early = Join("n1", AddressOf(1));
  EXPECT_TRUE(early.failed(Code::kConflict)) << early.text();
}

TEST_F(MembershipTest, NamesAndAddressesAreChecked) {
  EXPECT_TRUE(Join("", AddressOf(2)).failed(Code::kInvalidArgument));
  EXPECT_TRUE(Join(std::string(300, 'n'), AddressOf(2)).failed(Code::kInvalidArgument));
  EXPECT_TRUE(Join("n2", "nowhere").failed(Code::kInvalidArgument));
  EXPECT_TRUE(Remove("").failed(Code::kInvalidArgument));
}

TEST_F(MembershipTest, AChangeThatTheCoreForbidsIsAConflict) {
  world_.AddTarget(2);
  world_.refusals.push_back({0, raft::RejectReason::kConfInvalid, "too many members", MemberId()});
  auto& answer = Join(2);
  world_.Run(200);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("too many members"), std::string::npos);
}

TEST_F(MembershipTest, AChangeThatMustWaitIsProposedAgain) {
  world_.AddTarget(2);
  for (auto reason : {raft::RejectReason::kConfPending, raft::RejectReason::kNotReady,
                      raft::RejectReason::kTransferring}) {
    world_.refusals.push_back({0, reason, "later", MemberId()});
  }
  auto& answer = Join(2);
  world_.Run(1000);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(MembershipTest, JoinsAreBoundedInNumber) {
  world_.hold_calls = true;
  for (uint64_t i = 0; i < 64; ++i) Join("x" + std::to_string(i), AddressOf(100 + i));
  EXPECT_TRUE(Join(2).failed(Code::kOverloaded));
  world_.hold_calls = false;
  world_.Run(100);
}

// ---------------------------------------------------------------- join: things go wrong

TEST_F(MembershipTest, ATargetThatGotDataMeanwhileIsTakenOutAgain) {
  Target& n2 = world_.AddTarget(2);
  n2.refuses_absorb = Error{Code::kConflict, "n2 holds data"};
  auto& answer = Join(2);
  world_.Run(50);
  n2.probe.pristine = false;
  n2.probe.user_operations = 1;
  world_.Run(1000);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_EQ(world_.Find("n2"), nullptr);
}

TEST_F(MembershipTest, ALostAnswerToAbsorbIsNoHarm) {
  Target& n2 = world_.AddTarget(2);
  n2.loses_absorb_answer = true;
  auto& answer = Join(2);
  world_.Run(1000);
  EXPECT_TRUE(answer.ok()) << answer.text();
  EXPECT_EQ(n2.absorbed.size(), 1u);
}

TEST_F(MembershipTest, ATargetThatGoesAwayInBetweenIsAwaited) {
  Target& n2 = world_.AddTarget(2);
  n2.refuses_absorb = Error{Code::kOutcomeUnknown, "connection lost"};
  auto& answer = Join(2);
  world_.Run(100);
  n2.up = false;
  world_.Run(5000);
  EXPECT_TRUE(answer.pending()) << answer.text();
  EXPECT_TRUE(world_.HasLearner("n2"));
  n2.up = true;
  n2.refuses_absorb.reset();
  world_.Run(3000);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(MembershipTest, TheDeadlineAnswersThatItIsCatchingUpAndTheWorkGoesOn) {
  world_.AddTarget(2);
  world_.learners_catch_up = false;
  auto& answer = Join(2, 1000);
  world_.Run(990);
  EXPECT_TRUE(answer.pending());
  world_.Run(50);
  ASSERT_TRUE(answer.ok()) << answer.text();
  EXPECT_FALSE(answer.result->caught_up);
  world_.Run(3000);
  EXPECT_TRUE(world_.HasLearner("n2"));
  auto& again = Join(2);
  world_.Run(300);
  EXPECT_TRUE(again.pending());
  world_.learners_catch_up = true;
  world_.Run(300);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again.result->caught_up);
  EXPECT_EQ(answer.calls, 1);
}

TEST_F(MembershipTest, TheSameRequestTwiceIsOneJoinWithTwoAnswers) {
  Target& n2 = world_.AddTarget(2);
  auto& first = Join(2);
  auto& second = Join(2);
  world_.Run(500);
  EXPECT_TRUE(first.ok());
  EXPECT_TRUE(second.ok());
  EXPECT_EQ(n2.absorbed.size(), 1u);
  EXPECT_EQ(world_.conf().next_member_id, MemberId(3));
}

// A join that ended, but was not swept away yet, takes nobody in.
TEST_F(MembershipTest, ARequestRightAfterAFailedOneIsAJoinOfItsOwn) {
  auto& failed = Join(2);
  world_.now_ns += kMs;
  for (PendingCall& call : std::exchange(world_.calls, {})) {
    call.done(Fail(Code::kPeerUnreachable, "connection refused"));
  }
  ASSERT_TRUE(failed.failed(Code::kPeerUnreachable));
  world_.AddTarget(2);
  auto& next = Join(2);
  world_.Run(500);
  EXPECT_TRUE(next.ok()) << next.text();
}

TEST_F(MembershipTest, ARepeatedRequestLooksAtTheTargetAgain) {
  Target& n2 = world_.AddTarget(2);
  world_.learners_catch_up = false;
  auto& first = Join(2, 1000);
  world_.Run(2000);
  ASSERT_TRUE(first.ok());
  // Its disk was wiped and it started anew.
  n2.probe.incarnation = Id(77);
  n2.probe.cluster_id = Id(78);
  n2.probe.member = MemberId(1);
  n2.probe.state = NodeState::kStandalone;
  n2.probe.pristine = true;
  world_.silent.insert(MemberId(2));
  world_.learners_catch_up = true;
  auto& again = Join(2);
  world_.Run(3000);
  EXPECT_TRUE(again.ok()) << again.text();
  EXPECT_EQ(world_.Find("n2")->id, MemberId(3));
  EXPECT_EQ(world_.conf().members.size(), 2u);
}

TEST_F(MembershipTest, TwoAddressesForOneNameDoNotFight) {
  Target n2 = world_.AddMemberTarget(2, false);
  world_.targets["127.0.0.2:9"] = n2;
  world_.learners_catch_up = false;
  auto& first = Join(2, 1000);
  auto& other = Join("n2", "127.0.0.2:9");
  EXPECT_TRUE(other.failed(Code::kConflict)) << other.text();
  // Once nobody waits for the first any more, the second decides.
  world_.Run(1500);
  EXPECT_TRUE(first.ok());
  auto& later = Join("n2", "127.0.0.2:9");
  world_.Run(300);
  world_.learners_catch_up = true;
  world_.Run(300);
  EXPECT_TRUE(later.ok()) << later.text();
  EXPECT_EQ(world_.Find("n2")->raft_address, "127.0.0.2:9");
}

TEST_F(MembershipTest, AProbeOfTheOldAddressSaysNothingAboutTheNewOne) {
  Target& n2 = world_.AddMemberTarget(2, false);
  world_.conf().members[n2.probe.member].attributes["auto_promote"] = "1";
  world_.learners_catch_up = false;
  world_.hold_calls = true;
  world_.Run(20);  // adopted; the probe is on its way
  ASSERT_EQ(world_.calls.size(), 1u);
  auto& answer = Join("n2", "127.0.0.2:9");  // nobody is there
  world_.hold_calls = false;
  world_.Run(500);
  EXPECT_EQ(world_.Find("n2")->raft_address, AddressOf(2));
  EXPECT_TRUE(answer.pending());
}

// ---------------------------------------------------------------- join: the leader changes

TEST_F(MembershipTest, ANewLeaderGoesOnWithLearnersThatWerePromisedPromotion) {
  Target& n2 = world_.AddMemberTarget(2, false);
  world_.conf().members[n2.probe.member].attributes["auto_promote"] = "1";
  world_.Run(500);
  EXPECT_TRUE(world_.HasVoter("n2"));
}

TEST_F(MembershipTest, ALearnerWithoutThatPromiseStaysOne) {
  world_.AddMemberTarget(2, false);
  world_.Run(1000);
  EXPECT_TRUE(world_.HasLearner("n2"));
  EXPECT_EQ(world_.proposals, 0);
}

TEST_F(MembershipTest, ANewLeaderAbsorbsALearnerThatNobodyAbsorbedYet) {
  Target& n2 = world_.AddTarget(2);
  MemberId id = world_.AddMember("n2", 12, false);
  world_.conf().members[id].attributes["auto_promote"] = "1";
  world_.Run(500);
  EXPECT_EQ(n2.absorbed.size(), 1u);
  EXPECT_TRUE(world_.HasVoter("n2"));
}

// It announced the address itself; who adopted it has no opinion.
TEST_F(MembershipTest, AnAdoptedLearnerKeepsTheAddressThatTheConfigurationSays) {
  Target n2 = world_.AddMemberTarget(2, false);
  world_.conf().members[n2.probe.member].attributes["auto_promote"] = "1";
  world_.learners_catch_up = false;
  world_.Run(200);
  world_.targets["127.0.0.2:9"] = n2;
  world_.conf().members[n2.probe.member].raft_address = "127.0.0.2:9";
  world_.Run(500);
  EXPECT_EQ(world_.Find("n2")->raft_address, "127.0.0.2:9");
  EXPECT_EQ(world_.proposals, 0);
  world_.learners_catch_up = true;
  world_.Run(500);
  EXPECT_TRUE(world_.HasVoter("n2"));
}

TEST_F(MembershipTest, ALearnerThatCannotBeHelpedIsNotLoggedAtEachTick) {
  Target& n2 = world_.AddTarget(2);
  MemberId id = world_.AddMember("n2", 99, false);  // another data directory owns the name
  world_.conf().members[id].attributes["auto_promote"] = "1";
  world_.Run(20'000);
  EXPECT_LE(world_.log.size(), 5u);
  EXPECT_LE(n2.probes, 10);
}

TEST_F(MembershipTest, ARequestFollowsTheLeadership) {
  world_.AddMember("n3", 13, true, AddressOf(3));
  world_.AddTarget(4);
  world_.learners_catch_up = false;
  auto& answer = Join(4);
  world_.Run(300);
  ASSERT_TRUE(world_.HasLearner("n4"));
  world_.Follow(2);
  world_.hold_calls = true;
  world_.Run(100);
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(3));
  EXPECT_EQ(world_.calls[0].kind, ControlKind::kJoin);
  EXPECT_EQ(transport::DecodeJoinForward(world_.calls[0].body)->name, "n4");
  EXPECT_LE(world_.calls[0].timeout_ms, 33'000u);
  world_.calls[0].done(EncodeJoinAnswer(service::JoinResponse{true, {{"state", "Leader"}}}));
  world_.calls.clear();
  EXPECT_TRUE(answer.ok()) << answer.text();
}

// ---------------------------------------------------------------- remove

TEST_F(MembershipTest, AMemberIsRemoved) {
  world_.AddMemberTarget(2, true);
  auto& answer = Remove("n2");
  world_.Run(200);
  ASSERT_TRUE(answer.ok()) << answer.text();
  EXPECT_EQ(world_.Find("n2"), nullptr);
  EXPECT_FALSE(answer.result->stats.empty());
}

// Until then the rest may still count with the node that was taken out.
TEST_F(MembershipTest, ARemovalIsAnsweredWhenAQuorumKnowsOfIt) {
  world_.AddMemberTarget(2, true);
  world_.membership->OnConfChanged(world_.conf());
  world_.removals_confirmed = false;
  auto& answer = Remove("n2");
  world_.Run(200);
  ASSERT_EQ(world_.Find("n2"), nullptr);
  auto& repeated = Remove("n2");
  auto& impatient = Remove("n2", false, 100);
  world_.Run(200);
  EXPECT_TRUE(answer.pending());
  EXPECT_TRUE(repeated.pending());
  EXPECT_TRUE(impatient.failed(Code::kOutcomeUnknown)) << impatient.text();
  world_.removals_confirmed = true;
  world_.Run(20);
  EXPECT_TRUE(answer.ok()) << answer.text();
  EXPECT_TRUE(repeated.ok()) << repeated.text();
  EXPECT_EQ(world_.CountLog("member_removed"), 1u);
  EXPECT_EQ(world_.proposals, 1);
}

TEST_F(MembershipTest, AnUnknownNodeIsNotFoundAndARecentlyRemovedOneIsFine) {
  EXPECT_TRUE(Remove("n2").failed(Code::kNotFound));
  world_.AddMemberTarget(2, true);
  world_.membership->OnConfChanged(world_.conf());
  Remove("n2");
  world_.Run(200);
  auto& again = Remove("n2");
  world_.Run(20);
  EXPECT_TRUE(again.ok()) << again.text();
}

TEST_F(MembershipTest, TheLastVoterStays) {
  auto& answer = Remove("n1");
  world_.Run(100);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  world_.AddMemberTarget(2, false);
  auto& with_learner = Remove("n1");
  world_.Run(100);
  EXPECT_TRUE(with_learner.failed(Code::kConflict)) << with_learner.text();
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_EQ(world_.transfers, 0);
}

TEST_F(MembershipTest, TheLeaderHandsOverBeforeItIsRemoved) {
  world_.AddMemberTarget(2, true);
  auto& answer = Remove("n1");
  world_.Run(100);
  EXPECT_EQ(world_.transfers, 1);
  EXPECT_EQ(world_.proposals, 0);
  world_.Follow(2);
  world_.hold_calls = true;
  world_.Run(100);
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].kind, ControlKind::kRemove);
  EXPECT_EQ(transport::DecodeRemoveForward(world_.calls[0].body)->name, "n1");
  world_.calls[0].done(EncodeRemoveAnswer(service::RemoveResponse{{{"state", "Leader"}}}));
  world_.calls.clear();
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(MembershipTest, ALeaderThatNobodyCanReplaceIsNotRemovedAndSaysSo) {
  world_.AddMemberTarget(2, true);
  auto& answer = Remove("n1", false, 3000);
  world_.Run(3500);
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
  EXPECT_GE(world_.transfers, 2);
}

TEST_F(MembershipTest, TwoRemovalsOfOneNodeBothSucceed) {
  world_.AddMemberTarget(2, true);
  auto& first = Remove("n2");
  auto& second = Remove("n2");
  world_.Run(300);
  EXPECT_TRUE(first.ok()) << first.text();
  EXPECT_TRUE(second.ok()) << second.text();
}

// Right after an election nobody has been heard of yet.
TEST_F(MembershipTest, ARemovalWaitsAMomentForALiveQuorum) {
  world_.AddMemberTarget(2, true);
  for (int i = 0; i < 5; ++i) {
    world_.refusals.push_back({0, raft::RejectReason::kNotReady, "too few", MemberId()});
  }
  auto& answer = Remove("n2");
  world_.Run(1000);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(MembershipTest, ARemovalThatLeavesNoLiveQuorumIsAConflict) {
  world_.AddMemberTarget(2, true);
  for (int i = 0; i < 1000; ++i) {
    world_.refusals.push_back({0, raft::RejectReason::kNotReady, "too few", MemberId()});
  }
  auto& answer = Remove("n2");
  world_.Run(4000);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("too few"), std::string::npos);
  EXPECT_FALSE(world_.last_forced);
  world_.refusals.clear();
  auto& forced = Remove("n2", true);
  world_.Run(200);
  EXPECT_TRUE(forced.ok());
  EXPECT_TRUE(world_.last_forced);
}

TEST_F(MembershipTest, ARemovalThatWasProposedAndNotSeenIsUnknown) {
  world_.AddMemberTarget(2, true);
  world_.hold_changes = true;
  auto& answer = Remove("n2", false, 500);
  world_.Run(600);
  EXPECT_TRUE(answer.failed(Code::kOutcomeUnknown)) << answer.text();
}

TEST_F(MembershipTest, ARemovalThatWasNeverTakenIsNotApplied) {
  world_.AddMemberTarget(2, true);
  for (int i = 0; i < 1000; ++i) {
    world_.refusals.push_back({0, raft::RejectReason::kConfPending, "busy", MemberId()});
  }
  auto& answer = Remove("n2", false, 500);
  world_.Run(600);
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
}

// Refused, and before the next Poll the leadership is gone: the answer was given.
TEST_F(MembershipTest, NobodyIsAnsweredTwice) {
  world_.AddMemberTarget(2, true);
  world_.refusals.push_back({0, raft::RejectReason::kConfInvalid, "no", MemberId()});
  auto& answer = Remove("n2");
  world_.now_ns += kMs;
  world_.membership->Poll(world_.now_ns);  // proposes
  world_.Follow(2);
  world_.Step();
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  world_.Run(100);
  EXPECT_EQ(answer.calls, 1);
  world_.membership->FailAll({Code::kUnavailable, "stopping"});
  EXPECT_EQ(answer.calls, 1);
}

// ---------------------------------------------------------------- not the leader

TEST_F(MembershipTest, AFollowerAsksTheLeader) {
  world_.AddMemberTarget(2, true);
  world_.Follow(2);
  world_.hold_calls = true;
  auto& answer = Join("n3", AddressOf(3), 10'000);
  world_.Run(50);
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(2));
  EXPECT_EQ(world_.calls[0].kind, ControlKind::kJoin);
  // The leader's own deadline passes first, so that its 202 arrives.
  EXPECT_EQ(world_.calls[0].timeout_ms, 10'000 + kForwardMarginMs);
  world_.calls[0].done(EncodeJoinAnswer(service::JoinResponse{false, {{"state", "Leader"}}}));
  world_.calls.clear();
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer.result->caught_up);
  EXPECT_EQ(answer.result->stats.size(), 1u);
}

TEST_F(MembershipTest, TheLeadersRefusalReachesTheClientAsItIs) {
  world_.AddMemberTarget(2, true);
  world_.Follow(2);
  world_.hold_calls = true;
  for (Code code : {Code::kPeerUnreachable, Code::kConflict, Code::kOutcomeUnknown}) {
    auto& answer = Join(3);
    ASSERT_EQ(world_.calls.size(), 1u);
    world_.calls[0].done(EncodeJoinAnswer(Fail(code, "nobody there")));
    world_.calls.clear();
    EXPECT_TRUE(answer.failed(code)) << answer.text();
    EXPECT_NE(answer.text().find("nobody there"), std::string::npos);
  }
  auto& answer = Remove("n9");
  world_.calls[0].done(EncodeRemoveAnswer(Fail(Code::kNotFound, "no such member")));
  world_.calls.clear();
  EXPECT_TRUE(answer.failed(Code::kNotFound)) << answer.text();
}

// 502 would say that nobody is at the address of the joining node.
TEST_F(MembershipTest, ALeaderThatCannotBeReachedIsUnavailable) {
  world_.AddMemberTarget(2, true).up = false;
  world_.Follow(2);
  auto& answer = Join(3);
  world_.Run(500);
  EXPECT_TRUE(answer.pending()) << "another leader may appear";
  world_.Run(3000);
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
}

TEST_F(MembershipTest, WithoutALeaderARequestWaitsAShortTime) {
  world_.AddMemberTarget(2, true);
  world_.Follow(0);
  auto& join = Join(3);
  auto& remove = Remove("n2");
  world_.Run(1900);
  EXPECT_TRUE(join.pending());
  EXPECT_TRUE(remove.pending());
  world_.Run(300);
  EXPECT_TRUE(join.failed(Code::kUnavailable)) << join.text();
  EXPECT_TRUE(remove.failed(Code::kUnavailable)) << remove.text();
}

TEST_F(MembershipTest, ARequestThatWaitedGoesThroughWhenALeaderAppears) {
  world_.AddMemberTarget(2, true);
  world_.AddTarget(3);
  world_.Follow(0);
  auto& answer = Join(3);
  world_.Run(500);
  world_.Lead();
  world_.Run(500);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(MembershipTest, ANodeThatDoesNotKnowItsLeadersAddressWaits) {
  world_.AddMemberTarget(2, true);
  world_.conf().members[MemberId(2)].raft_address.clear();
  world_.Follow(2);
  auto& answer = Join(3);
  world_.Run(500);
  EXPECT_TRUE(world_.calls.empty());
  EXPECT_TRUE(answer.pending());
}

TEST_F(MembershipTest, ANodeThatWasTakenForTheLeaderSendsTheRequestOn) {
  world_.AddMemberTarget(2, true);
  world_.AddMemberTarget(3, true);
  world_.Follow(2);
  world_.hold_calls = true;
  auto& answer = Remove("n2");
  ASSERT_EQ(world_.calls.size(), 1u);
  world_.calls[0].done(EncodeRemoveAnswer(Fail(Code::kUnavailable, "I do not lead")));
  world_.calls.clear();
  EXPECT_TRUE(answer.pending());
  world_.Follow(3);
  world_.Run(200);
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(3));
  world_.calls[0].done(EncodeRemoveAnswer(service::RemoveResponse{}));
  world_.calls.clear();
  EXPECT_TRUE(answer.ok()) << answer.text();
}

// Joins and removals may be repeated, so the next leader is asked; if there is none, what the lost
// one did is not known.
TEST_F(MembershipTest, ALeaderThatIsLostWhileItWorksIsReplacedOrTheOutcomeIsUnknown) {
  world_.AddMemberTarget(2, true);
  world_.AddMemberTarget(3, true);
  world_.Follow(2);
  world_.hold_calls = true;
  auto& saved = Remove("n2");
  auto& lost = Join(4);
  ASSERT_EQ(world_.calls.size(), 2u);
  world_.Run(10'000);
  for (PendingCall& call : std::exchange(world_.calls, {})) {
    call.done(Fail(Code::kOutcomeUnknown, "connection lost"));
  }
  world_.Follow(3);
  world_.Run(100);
  ASSERT_EQ(world_.calls.size(), 2u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(3));
  world_.calls[0].done(EncodeRemoveAnswer(service::RemoveResponse{}));
  EXPECT_TRUE(saved.ok()) << saved.text();
  world_.calls[1].done(Fail(Code::kPeerUnreachable, "connection refused"));
  world_.calls.clear();
  world_.Follow(0);
  world_.Run(3000);
  EXPECT_TRUE(lost.failed(Code::kOutcomeUnknown)) << lost.text();
}

TEST_F(MembershipTest, ARemovedNodeSaysSo) {
  world_.own().state = IdentityState::kRemoved;
  world_.Follow(0);
  EXPECT_TRUE(Join(3).failed(Code::kRemoved));
  EXPECT_TRUE(Remove("n2").failed(Code::kRemoved));
}

TEST_F(MembershipTest, WaitingRequestsAreBoundedInNumber) {
  world_.Follow(0);
  for (int i = 0; i < 256; ++i) EXPECT_TRUE(Join(3).pending());
  EXPECT_TRUE(Join(3).failed(Code::kOverloaded));
  EXPECT_TRUE(Remove("n2").failed(Code::kOverloaded));
}

// ---------------------------------------------------------------- stop

TEST_F(MembershipTest, FailAllAnswersEverybodyOnceAndHonestly) {
  world_.AddMemberTarget(2, true);
  world_.hold_calls = true;
  world_.hold_changes = true;
  auto& probing = Join(4);
  auto& proposed = Remove("n2");
  world_.Run(100);
  world_.membership->FailAll({Code::kUnavailable, "stopping"});
  EXPECT_TRUE(probing.failed(Code::kUnavailable)) << probing.text();
  EXPECT_TRUE(proposed.failed(Code::kOutcomeUnknown)) << proposed.text();

  world_.Follow(2);
  auto& forwarded = Join(5);
  world_.Follow(0);
  auto& waiting = Remove("n2");
  world_.membership->FailAll({Code::kUnavailable, "stopping"});
  EXPECT_TRUE(forwarded.failed(Code::kOutcomeUnknown)) << forwarded.text();
  EXPECT_TRUE(waiting.failed(Code::kUnavailable)) << waiting.text();

  // Late answers find nobody.
  for (PendingCall& call : std::exchange(world_.calls, {})) {
    call.done(Fail(Code::kOutcomeUnknown, "connection lost"));
  }
  world_.hold_changes = false;
  world_.Run(100);
  EXPECT_EQ(probing.calls + proposed.calls + forwarded.calls + waiting.calls, 4);
}

}  // namespace
}  // namespace arima::node
