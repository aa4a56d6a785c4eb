// A member whose data directory is gone, replaced by a fresh node of its name: docs/design/raft.md
// 8.6, at every step at which somebody may crash.
#include <algorithm>
#include <string>
#include <utility>

#include "node/conf_lookup.h"
#include "node/test_membership.h"

namespace arima::node {
namespace {

class ReplaceTest : public MembershipTest {
 protected:
  // n1 leads, n2 (id 2) is a voter whose disk was wiped, n3 votes.
  ReplaceTest() {
    old_id_ = world_.AddMember("n2", 99, true, AddressOf(2));
    world_.AddMemberTarget(3, true);
    target_ = &world_.AddTarget(2);
    world_.silent.insert(old_id_);
  }

  size_t CountN2() { return FindAllByName(world_.conf(), "n2").size(); }
  // The lost member is out, its successor votes, and no third one is left over.
  void ExpectReplaced(MemberId successor) {
    ASSERT_EQ(CountN2(), 1u);
    EXPECT_EQ(world_.Find("n2")->id, successor);
    EXPECT_TRUE(world_.HasVoter("n2"));
    EXPECT_EQ(world_.Find("n2")->incarnation, target_->probe.incarnation);
    EXPECT_FALSE(world_.conf().joint());
    EXPECT_EQ(world_.conf().voters.size(), 3u);
  }
  // Another node takes over the lead, knowing nothing but the configuration.
  void ChangeLeader() {
    world_.membership->FailAll({Code::kUnavailable, "crashed"});
    world_.calls.clear();
    world_.membership = std::make_unique<Membership>(&world_);
    world_.membership->OnConfChanged(world_.conf());
  }

  MemberId old_id_;
  Target* target_ = nullptr;
};

TEST_F(ReplaceTest, AWipedNodeTakesOverItsVoteInOneJointChange) {
  world_.learners_catch_up = false;
  auto& answer = Join(2);
  world_.Run(4000);
  ASSERT_TRUE(world_.HasLearner("n2") || CountN2() == 2) << world_.log.size();
  // Until it has caught up the lost vote still counts: the quorum is what it was.
  EXPECT_TRUE(IsVoter(world_.conf(), old_id_));
  EXPECT_EQ(world_.conf().voters.size(), 3u);
  EXPECT_FALSE(world_.seen_joint);
  EXPECT_TRUE(answer.pending());
  world_.learners_catch_up = true;
  world_.Run(500);
  EXPECT_TRUE(answer.ok()) << answer.text();
  EXPECT_TRUE(world_.seen_joint);
  ExpectReplaced(MemberId(4));
  ASSERT_EQ(target_->absorbed.size(), 1u);
}

TEST_F(ReplaceTest, AMemberThatIsHeardOfKeepsItsName) {
  world_.silent.clear();
  int before = world_.proposals;
  auto& answer = Join(2);
  world_.Run(10'000);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_NE(answer.text().find("stop one of the two"), std::string::npos) << answer.text();
  EXPECT_EQ(world_.proposals, before);
  EXPECT_TRUE(target_->absorbed.empty());
}

// Killed and wiped a moment ago: its last words are still fresh.
TEST_F(ReplaceTest, AMemberThatFallsSilentIsAwaited) {
  world_.silent.clear();
  auto& answer = Join(2);
  world_.Run(1000);
  world_.silent.insert(old_id_);
  world_.Run(5000);
  EXPECT_TRUE(answer.ok()) << answer.text();
  ExpectReplaced(MemberId(4));
}

TEST_F(ReplaceTest, ANewLeaderDoesNotTakeSilenceForDeathAtOnce) {
  auto& answer = Join(2);
  world_.Run(1000);
  EXPECT_EQ(CountN2(), 1u);
  EXPECT_TRUE(answer.pending());
}

TEST_F(ReplaceTest, ANodeThatHoldsDataReplacesNobody) {
  target_->probe.pristine = false;
  target_->probe.user_operations = 3;
  auto& answer = Join(2);
  world_.Run(5000);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  EXPECT_EQ(world_.proposals, 0);
}

TEST_F(ReplaceTest, WithoutAQuorumOfTheOthersNothingIsProposed) {
  world_.silent.insert(MemberId(3));
  auto& answer = Join(2);
  world_.Run(4000);
  EXPECT_EQ(world_.proposals, 0);
  // The leader gives up its office, and nobody can take it.
  world_.Follow(0);
  world_.Run(4000);
  ASSERT_TRUE(answer.failed(Code::kUnavailable)) << answer.text();
  EXPECT_NE(answer.text().find("counts as a voter"), std::string::npos) << answer.text();
}

TEST_F(ReplaceTest, ALeaderCrashAtEveryStepIsFinishedByTheNextOne) {
  // The request is repeated once: before the learner is committed nothing remembers it.
  for (uint64_t crash_ms = 10; crash_ms <= 3000; crash_ms += 30) {
    SCOPED_TRACE(crash_ms);
    World world;
    MemberId lost = world.AddMember("n2", 99, true, AddressOf(2));
    world.AddMemberTarget(3, true);
    Target& target = world.AddTarget(2);
    world.silent.insert(lost);
    world.membership->Join({"n2", AddressOf(2), 30'000}, [](const auto&) {}, world.now_ns);
    world.Run(crash_ms);
    bool admitted = FindAllByName(world.conf(), "n2").size() == 2 || !IsVoter(world.conf(), lost);
    world.membership->FailAll({Code::kUnavailable, "crashed"});
    world.calls.clear();
    world.membership = std::make_unique<Membership>(&world);
    world.membership->OnConfChanged(world.conf());
    if (!admitted) {
      world.membership->Join({"n2", AddressOf(2), 30'000}, [](const auto&) {}, world.now_ns);
    }
    world.Run(6000);
    auto members = FindAllByName(world.conf(), "n2");
    ASSERT_EQ(members.size(), 1u);
    EXPECT_EQ(members[0]->incarnation, target.probe.incarnation);
    EXPECT_TRUE(IsVoter(world.conf(), members[0]->id));
    EXPECT_FALSE(world.conf().joint());
    EXPECT_EQ(target.absorbed.size(), 1u);
  }
}

TEST_F(ReplaceTest, ATargetThatIsWipedAgainWhileItCatchesUpStartsOver) {
  world_.learners_catch_up = false;
  auto& answer = Join(2);
  world_.Run(4000);
  MemberId first = FindByName(world_.conf(), "n2")->id;
  ASSERT_NE(first, old_id_);
  world_.silent.insert(first);
  Target fresh;
  world_.AddTarget(2);
  target_->probe.incarnation = Id(77);
  target_->probe.cluster_id = Id(177);
  // The one who waits does not know of it; the operator repeats the request.
  auto& again = Join(2);
  world_.Run(5000);
  world_.learners_catch_up = true;
  world_.Run(5000);
  EXPECT_TRUE(answer.ok()) << answer.text();
  EXPECT_TRUE(again.ok()) << again.text();
  ExpectReplaced(MemberId(5));
}

TEST_F(ReplaceTest, ATargetThatIsDownWhileItCatchesUpIsAwaited) {
  world_.learners_catch_up = false;
  auto& answer = Join(2);
  world_.Run(4000);
  ASSERT_EQ(CountN2(), 2u);
  target_->up = false;
  ChangeLeader();
  world_.Run(5000);
  EXPECT_TRUE(IsVoter(world_.conf(), old_id_));
  target_->up = true;
  world_.learners_catch_up = true;
  world_.Run(5000);
  ExpectReplaced(MemberId(4));
  EXPECT_EQ(answer.calls, 1);
}

TEST_F(ReplaceTest, ARemovalWhileItIsReplacedTakesOutBoth) {
  world_.learners_catch_up = false;
  auto& joining = Join(2);
  world_.Run(4000);
  ASSERT_EQ(CountN2(), 2u);
  auto& removed = Remove("n2");
  EXPECT_TRUE(joining.failed(Code::kConflict)) << joining.text();
  world_.Run(1000);
  EXPECT_TRUE(removed.ok()) << removed.text();
  EXPECT_EQ(CountN2(), 0u);
  EXPECT_EQ(world_.conf().voters.size(), 2u);
}

TEST_F(ReplaceTest, TheAnswerWaitsUntilAQuorumKnowsWhoIsOut) {
  world_.removals_confirmed = false;
  auto& answer = Join(2);
  world_.Run(6000);
  EXPECT_TRUE(world_.HasVoter("n2"));
  EXPECT_TRUE(answer.pending());
  world_.removals_confirmed = true;
  world_.Run(100);
  EXPECT_TRUE(answer.ok()) << answer.text();
}

TEST_F(ReplaceTest, AJoinDuringARemovalOfTheSameNodeIsAConflict) {
  world_.removals_confirmed = false;
  auto& removed = Remove("n2");
  world_.Run(200);
  EXPECT_TRUE(removed.pending());
  auto& answer = Join(2);
  EXPECT_TRUE(answer.failed(Code::kConflict)) << answer.text();
  world_.removals_confirmed = true;
  world_.Run(100);
  EXPECT_TRUE(removed.ok()) << removed.text();
  auto& again = Join(2);
  world_.Run(1000);
  EXPECT_TRUE(again.ok()) << again.text();
}

}  // namespace
}  // namespace arima::node
