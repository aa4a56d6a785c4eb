// POST /raft/transfer, on the leader and on its way there (node/test_membership.h).
#include "node/leader_transfer.h"

#include <string>
#include <utility>

#include "node/test_membership.h"

namespace arima::node {
namespace {

class TransferTest : public MembershipTest {
 protected:
  // n1 leads n2 and n3; n4 learns.
  TransferTest() {
    for (uint64_t id : {2u, 3u}) world_.AddMemberTarget(id, true);
    world_.AddMemberTarget(4, false);
    world_.Run(10);
  }
  // The attempt under way succeeds: that member leads now.
  void Lose(uint64_t to) {
    world_.transferring = false;
    world_.Follow(to);
  }
  void Abort() { world_.transferring = false; }
};

TEST_F(TransferTest, IsAnsweredWhenTheTargetLeads) {
  auto& answer = Transfer("n2");
  EXPECT_EQ(world_.transfers, 1);
  EXPECT_EQ(world_.transfer_target, MemberId(2));
  world_.Run(50);
  EXPECT_TRUE(answer.pending());
  Lose(0);
  world_.Run(100);
  EXPECT_TRUE(answer.pending()) << "nobody leads yet";
  world_.Follow(2);
  world_.Run(10);
  ASSERT_TRUE(answer.ok()) << answer.text();
  EXPECT_EQ(answer.result->leader, "n2");
  EXPECT_TRUE(answer.result->moved);
  EXPECT_FALSE(answer.result->stats.empty());
  EXPECT_EQ(world_.transfers, 1);
}

TEST_F(TransferTest, ToTheLeaderItselfChangesNothing) {
  auto& answer = Transfer("n1");
  ASSERT_TRUE(answer.ok()) << answer.text();
  EXPECT_FALSE(answer.result->moved);
  EXPECT_EQ(answer.result->leader, "n1");
  EXPECT_EQ(world_.transfers, 0);
}

TEST_F(TransferTest, ToAnUnknownNodeIsNotFound) {
  auto& answer = Transfer("n9");
  world_.Run(1500);
  EXPECT_TRUE(answer.failed(Code::kNotFound)) << answer.text();
  EXPECT_TRUE(Transfer(std::string(300, 'n')).failed(Code::kInvalidArgument));
  EXPECT_EQ(world_.transfers, 0);
}

TEST_F(TransferTest, ToWhoCannotLeadIsAConflictThatSaysWhy) {
  world_.Run(1500);  // in office for long enough to know its peers
  auto why = [&](const std::string& name) {
    auto& answer = Transfer(name);
    world_.Run(20);
    EXPECT_TRUE(answer.failed(Code::kConflict)) << name << ": " << answer.text();
    return answer.text();
  };
  EXPECT_NE(why("n4").find("learner"), std::string::npos);

  raft::PeerStatus peer = world_.LevelPeer();
  peer.match = Index(1);
  world_.last = Index(LeaderTransfer::kLagMax + 2);
  world_.peers[MemberId(2)] = peer;
  EXPECT_NE(why("n2").find("10001 entries behind"), std::string::npos);
  peer = world_.LevelPeer();
  peer.apply_lag = LeaderTransfer::kLagMax + 1;
  world_.peers[MemberId(2)] = peer;
  EXPECT_NE(why("n2").find("10001 entries behind"), std::string::npos);
  peer = world_.LevelPeer();
  peer.state = raft::ProgressState::kSnapshot;
  world_.peers[MemberId(2)] = peer;
  EXPECT_NE(why("n2").find("snapshot"), std::string::npos);
  peer = world_.LevelPeer();
  peer.damaged = true;
  world_.peers[MemberId(2)] = peer;
  EXPECT_NE(why("n2").find("lost entries"), std::string::npos);
  world_.peers.clear();
  world_.silent.insert(MemberId(2));
  EXPECT_NE(why("n2").find("not heard of"), std::string::npos);
  EXPECT_EQ(world_.transfers, 0);
}

TEST_F(TransferTest, AVoterAsFarBehindAsIsAllowedTakesOver) {
  raft::PeerStatus peer = world_.LevelPeer();
  peer.match = Index(1);
  world_.last = Index(LeaderTransfer::kLagMax + 1);
  world_.peers[MemberId(2)] = peer;
  Transfer("n2");
  EXPECT_EQ(world_.transfer_target, MemberId(2));
}

TEST_F(TransferTest, ANewLeaderWaitsUntilItHasHeardOfTheTarget) {
  world_.Follow(2);
  world_.Run(10);
  world_.Lead();
  world_.silent.insert(MemberId(2));
  auto& answer = Transfer("n2");
  world_.Run(500);
  EXPECT_TRUE(answer.pending()) << answer.text();
  world_.silent.clear();
  world_.Run(20);
  EXPECT_EQ(world_.transfer_target, MemberId(2));
  Lose(2);
  world_.Run(20);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(TransferTest, WithoutANameTheBestVoterTakesOver) {
  raft::PeerStatus behind = world_.LevelPeer();
  behind.match = Index(90);
  world_.peers[MemberId(2)] = behind;
  auto& answer = Transfer("");
  EXPECT_EQ(world_.transfer_target, MemberId(3));
  Lose(3);
  world_.Run(20);
  ASSERT_TRUE(answer.ok()) << answer.text();
  EXPECT_EQ(answer.result->leader, "n3");

  world_.Lead();
  world_.silent.insert(MemberId(3));
  Transfer("");
  EXPECT_EQ(world_.transfer_target, MemberId(2));
}

TEST_F(TransferTest, WithoutAnybodyFitItIsAConflictThatNamesThem) {
  world_.Run(1500);
  world_.silent = {MemberId(2), MemberId(3)};
  auto& answer = Transfer("");
  world_.Run(20);
  ASSERT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("n2 is not heard of; n3 is not heard of"), std::string::npos)
      << answer.text();
}

TEST_F(MembershipTest, TheOnlyVoterHasNobodyToHandOverTo) {
  world_.Run(1500);
  auto& answer = Transfer("");
  world_.Run(20);
  ASSERT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("only voter"), std::string::npos) << answer.text();
}

TEST_F(TransferTest, AnAttemptThatFailsIsRepeatedAFewTimesAndThenLeadershipStays) {
  auto& answer = Transfer("n2", 60'000);
  for (uint32_t attempt = 1; attempt <= LeaderTransfer::kAttemptsMax; ++attempt) {
    EXPECT_EQ(world_.transfers, static_cast<int>(attempt));
    EXPECT_TRUE(answer.pending());
    world_.Run(400);
    Abort();
    world_.Run(250);
  }
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
  EXPECT_NE(answer.text().find("leadership stays with n1"), std::string::npos);
  world_.Run(5000);
  EXPECT_EQ(world_.transfers, static_cast<int>(LeaderTransfer::kAttemptsMax));
  EXPECT_EQ(answer.calls, 1);
}

// Writes wait while an attempt runs: in between they are taken for a moment.
TEST_F(TransferTest, BetweenTwoAttemptsIsAPause) {
  Transfer("n2", 60'000);
  Abort();
  world_.Run(150);
  EXPECT_EQ(world_.transfers, 1);
  world_.Run(100);
  EXPECT_EQ(world_.transfers, 2);
}

TEST_F(TransferTest, TheDeadlineEndsItWhenTheAttemptUnderWayHasEnded) {
  auto& answer = Transfer("n2", 300);
  world_.Run(390);
  EXPECT_TRUE(answer.pending()) << "it may still succeed";
  Abort();
  world_.Run(20);
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
  EXPECT_EQ(world_.transfers, 1);
}

TEST_F(TransferTest, AnAttemptThatTheCoreRefusesIsNotRepeatedForEver) {
  world_.transfers_run = false;
  auto& answer = Transfer("n2");
  world_.Run(3000);
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
  EXPECT_EQ(world_.transfers, static_cast<int>(LeaderTransfer::kAttemptsMax));
}

TEST_F(TransferTest, WithoutANewLeaderTheOutcomeIsUnknown) {
  auto& answer = Transfer("n2", 1000);
  Lose(0);
  world_.Run(1900);
  EXPECT_TRUE(answer.pending());
  world_.Run(200);
  EXPECT_TRUE(answer.failed(Code::kOutcomeUnknown)) << answer.text();
}

TEST_F(TransferTest, IfAnotherOneWinsTheRequestGoesOnThere) {
  auto& answer = Transfer("n2");
  world_.hold_calls = true;
  Lose(3);
  world_.Run(20);
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(3));
  EXPECT_EQ(world_.calls[0].kind, ControlKind::kTransfer);
  EXPECT_EQ(transport::DecodeTransferForward(world_.calls[0].body)->name, "n2");
  world_.calls[0].done(EncodeTransferAnswer(service::TransferResponse{"n2", true, {}}));
  world_.calls.clear();
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(TransferTest, TwoRequestsToOneNodeAreOneTransfer) {
  auto& first = Transfer("n2");
  auto& second = Transfer("n2");
  world_.Run(50);
  EXPECT_EQ(world_.transfers, 1);
  Lose(2);
  world_.Run(20);
  EXPECT_TRUE(first.ok());
  EXPECT_TRUE(second.ok());
}

TEST_F(TransferTest, RequestsToTwoNodesAreCarriedOutOneAfterTheOther) {
  auto& first = Transfer("n2");
  auto& second = Transfer("n3");
  world_.Run(50);
  EXPECT_EQ(world_.transfers, 1) << "nobody replaces the transfer under way";
  world_.hold_calls = true;
  Lose(2);
  world_.Run(20);
  EXPECT_TRUE(first.ok());
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(2));
  world_.calls[0].done(EncodeTransferAnswer(service::TransferResponse{"n3", true, {}}));
  world_.calls.clear();
  EXPECT_TRUE(second.ok());
}

TEST_F(TransferTest, AreBoundedInNumber) {
  for (size_t i = 0; i < LeaderTransfer::kTasksMax; ++i) EXPECT_TRUE(Transfer("n2").pending());
  EXPECT_TRUE(Transfer("n2").failed(Code::kOverloaded));
}

TEST_F(TransferTest, StoppingAnswersEverybodyOnce) {
  auto& begun = Transfer("n2");
  auto& waiting = Transfer("n3");
  world_.membership->FailAll({Code::kUnavailable, "stopping"});
  EXPECT_TRUE(begun.failed(Code::kOutcomeUnknown)) << begun.text();
  EXPECT_TRUE(waiting.failed(Code::kUnavailable)) << waiting.text();
  world_.Run(50);
  EXPECT_EQ(begun.calls + waiting.calls, 2);
}

// ---------------------------------------------------------------- not the leader

TEST_F(TransferTest, AFollowerAsksTheLeaderAndGivesItsAnswer) {
  world_.Follow(2);
  world_.hold_calls = true;
  auto& moved = Transfer("n3");
  auto& stays = Transfer("n3");
  ASSERT_EQ(world_.calls.size(), 2u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(2));
  EXPECT_EQ(world_.calls[0].kind, ControlKind::kTransfer);
  EXPECT_EQ(world_.calls[0].timeout_ms, 5000 + kForwardMarginMs);
  world_.calls[0].done(EncodeTransferAnswer(service::TransferResponse{"n3", true, {{"a", "b"}}}));
  // Of a leader, "unavailable" is final: it is the one it was.
  world_.calls[1].done(EncodeTransferAnswer(Fail(Code::kUnavailable, "leadership stays with n2")));
  world_.calls.clear();
  ASSERT_TRUE(moved.ok()) << moved.text();
  EXPECT_EQ(moved.result->leader, "n3");
  EXPECT_EQ(moved.result->stats.size(), 1u);
  EXPECT_TRUE(stays.failed(Code::kUnavailable)) << stays.text();
}

TEST_F(TransferTest, WhoDoesNotLeadIsFollowedByWhoDoes) {
  world_.Follow(2);
  world_.hold_calls = true;
  auto& answer = Transfer("n2");
  ASSERT_EQ(world_.calls.size(), 1u);
  world_.calls[0].done(Fail(Code::kUnavailable, "the leader just changed"));
  world_.calls.clear();
  world_.Follow(3);
  world_.Run(100);
  ASSERT_EQ(world_.calls.size(), 1u);
  EXPECT_EQ(world_.calls[0].address, AddressOf(3));
  world_.calls[0].done(EncodeTransferAnswer(service::TransferResponse{"n2", true, {}}));
  world_.calls.clear();
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(TransferTest, ALostAnswerIsAskedForAgainOnlyWhereThatIsSafe) {
  world_.Follow(2);
  world_.hold_calls = true;
  auto& named = Transfer("n3");
  auto& any = Transfer("");
  ASSERT_EQ(world_.calls.size(), 2u);
  for (PendingCall& call : std::exchange(world_.calls, {})) {
    call.done(Fail(Code::kOutcomeUnknown, "connection lost"));
  }
  EXPECT_TRUE(any.failed(Code::kOutcomeUnknown)) << any.text();
  EXPECT_TRUE(named.pending());
  world_.Follow(3);
  world_.Run(100);
  ASSERT_EQ(world_.calls.size(), 1u);
  world_.calls[0].done(EncodeTransferAnswer(service::TransferResponse{"n3", false, {}}));
  world_.calls.clear();
  EXPECT_TRUE(named.ok()) << named.text();
}

TEST_F(TransferTest, ALeaderOfAnOlderReleaseSaysThatItCannot) {
  world_.Follow(2);
  world_.hold_calls = true;
  auto& answer = Transfer("n3");
  ASSERT_EQ(world_.calls.size(), 1u);
  world_.calls[0].done(Fail(Code::kNotSupported, "unknown kind of control request"));
  world_.calls.clear();
  EXPECT_TRUE(answer.failed(Code::kNotSupported)) << answer.text();
}

TEST_F(TransferTest, WithoutALeaderItIsUnavailable) {
  world_.Follow(0);
  auto& answer = Transfer("n2");
  world_.Run(2200);
  EXPECT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
}

TEST_F(TransferTest, ARemovedNodeSaysSo) {
  world_.own().state = IdentityState::kRemoved;
  world_.Follow(0);
  EXPECT_TRUE(Transfer("n2").failed(Code::kRemoved));
}

}  // namespace
}  // namespace arima::node
