// Members that say that their log is lost, replaced by the leader without being asked
// (docs/design/raft.md 8.6).
#include <string>

#include "node/conf_lookup.h"
#include "node/test_membership.h"

namespace arima::node {
namespace {

class DamagedMemberTest : public MembershipTest {
 protected:
  // n1 leads n2 (id 2) and n3 (id 3).
  DamagedMemberTest() {
    n2_ = &world_.AddMemberTarget(2, true);
    n3_ = &world_.AddMemberTarget(3, true);
  }
  void Damage(Target* target, MemberId id) {
    target->probe.state = NodeState::kDamaged;
    world_.silent.insert(id);
  }
  static void ExpectReplaced(World& world, const std::string& name, MemberId successor) {
    auto members = FindAllByName(world.conf(), name);
    ASSERT_EQ(members.size(), 1u);
    EXPECT_EQ(members[0]->id, successor);
    EXPECT_TRUE(IsVoter(world.conf(), successor));
    EXPECT_FALSE(world.conf().joint());
    EXPECT_EQ(world.conf().voters.size(), 3u);
  }

  Target* n2_ = nullptr;
  Target* n3_ = nullptr;
};

TEST_F(DamagedMemberTest, IsReplacedUnderANewIdInOneJointChange) {
  Damage(n2_, MemberId(2));
  world_.learners_catch_up = false;
  world_.Run(6000);
  EXPECT_TRUE(IsVoter(world_.conf(), MemberId(2))) << "until its successor has caught up";
  ASSERT_EQ(n2_->absorbed.size(), 1u);
  EXPECT_EQ(n2_->absorbed[0].member, MemberId(4));
  EXPECT_EQ(n2_->absorbed[0].expected_cluster_id, world_.own().cluster_id);
  world_.learners_catch_up = true;
  world_.Run(3000);
  ExpectReplaced(world_, "n2", MemberId(4));
  EXPECT_TRUE(world_.seen_joint);
  EXPECT_EQ(world_.CountLog("member_damaged"), 1u);
  int proposals = world_.proposals;
  world_.Run(10'000);
  EXPECT_EQ(world_.proposals, proposals) << "and that was all";
}

TEST_F(DamagedMemberTest, ThatTheCoreFoundIsProbedAtOnce) {
  n2_->probe.state = NodeState::kDamaged;
  raft::PeerStatus peer = world_.LevelPeer();
  peer.damaged = true;
  world_.peers[MemberId(2)] = peer;
  world_.Run(1000);
  ExpectReplaced(world_, "n2", MemberId(4));
}

TEST_F(DamagedMemberTest, ThatSaysNothingOfTheKindIsLeftAlone) {
  world_.silent.insert(MemberId(2));
  world_.Run(20'000);
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_GT(n2_->probes, 3);
  EXPECT_LT(n2_->probes, 15) << "silence costs a probe every two seconds";
}

TEST_F(DamagedMemberTest, OfAnotherDirectoryClusterOrIdIsNotTouched) {
  world_.silent.insert(MemberId(2));
  n2_->probe.state = NodeState::kDamaged;
  transport::ProbeAnswer right = n2_->probe;
  n2_->probe.incarnation = Id(99);
  world_.Run(6000);
  n2_->probe = right;
  n2_->probe.cluster_id = Id(98);
  world_.Run(6000);
  n2_->probe = right;
  n2_->probe.member = MemberId(9);
  world_.Run(6000);
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_TRUE(n2_->absorbed.empty());
}

TEST_F(DamagedMemberTest, IsNotReplacedWithoutAQuorumOfTheOthers) {
  Damage(n2_, MemberId(2));
  world_.silent.insert(MemberId(3));
  world_.Run(20'000);
  EXPECT_EQ(world_.proposals, 0);
  EXPECT_LT(n2_->probes, 40);
  world_.silent.erase(MemberId(3));
  world_.Run(6000);
  ExpectReplaced(world_, "n2", MemberId(4));
}

TEST_F(DamagedMemberTest, ARequestToJoinItDoesTheSame) {
  n2_->probe.state = NodeState::kDamaged;
  world_.silent.insert(MemberId(2));
  auto& answer = Join(2);
  world_.Run(1000);
  EXPECT_TRUE(answer.ok()) << answer.text();
  ExpectReplaced(world_, "n2", MemberId(4));
}

TEST_F(DamagedMemberTest, AnOldCopyOfTheDirectoryIsReplacedAgain) {
  Damage(n2_, MemberId(2));
  world_.Run(6000);
  ExpectReplaced(world_, "n2", MemberId(4));
  // What became member 4 is gone; who is back was told that member 2 is none any more.
  n2_->probe.member = MemberId(2);
  n2_->probe.state = NodeState::kRemoved;
  world_.silent.insert(MemberId(4));
  world_.Run(8000);
  ExpectReplaced(world_, "n2", MemberId(5));
  EXPECT_EQ(n2_->absorbed.back().member, MemberId(5));
}

TEST_F(DamagedMemberTest, ThatWasRemovedStaysOutUntilItIsAskedFor) {
  Damage(n2_, MemberId(2));
  auto& removed = Remove("n2");
  world_.Run(500);
  EXPECT_TRUE(removed.ok()) << removed.text();
  world_.Run(10'000);
  EXPECT_EQ(world_.Find("n2"), nullptr);
  auto& answer = Join(2);
  world_.Run(1000);
  EXPECT_TRUE(answer.ok()) << answer.text();
  ExpectReplaced(world_, "n2", MemberId(4));
}

TEST_F(DamagedMemberTest, ThatIsALearnerIsReplacedByAVoterAsItWasPromised) {
  Target& n4 = world_.AddMemberTarget(4, false);
  world_.conf().members[MemberId(4)].attributes[kAutoPromote] = "1";
  world_.learners_catch_up = false;
  Damage(&n4, MemberId(4));
  world_.Run(4000);
  world_.learners_catch_up = true;
  world_.Run(8000);
  auto members = FindAllByName(world_.conf(), "n4");
  ASSERT_EQ(members.size(), 1u);
  EXPECT_EQ(members[0]->id, MemberId(5));
  EXPECT_TRUE(IsVoter(world_.conf(), MemberId(5)));
  EXPECT_EQ(n4.absorbed.back().member, MemberId(5));
}

// A disk that goes bad damages more than one log. The vote it had first must not stay behind.
TEST_F(DamagedMemberTest, DamagedAgainBeforeItsSuccessorHasCaughtUpLeavesNoVoteBehind) {
  Damage(n2_, MemberId(2));
  world_.learners_catch_up = false;
  world_.Run(6000);
  ASSERT_EQ(n2_->absorbed.size(), 1u);
  for (uint64_t id : {4u, 5u}) {
    Damage(n2_, MemberId(id));
    world_.Run(6000);
    ASSERT_EQ(n2_->absorbed.back().member, MemberId(id + 1));
    EXPECT_EQ(FindAllByName(world_.conf(), "n2").size(), 2u) << "the vote and who is to have it";
  }
  world_.learners_catch_up = true;
  world_.Run(6000);
  ExpectReplaced(world_, "n2", MemberId(6));
}

TEST_F(DamagedMemberTest, WipedMeanwhileWaitsForARequest) {
  Damage(n2_, MemberId(2));
  world_.hold_calls = true;
  world_.Run(5000);
  int proposals = world_.proposals;
  world_.AddTarget(2);
  world_.targets[AddressOf(2)].probe.incarnation = Id(66);
  world_.hold_calls = false;
  world_.Run(10'000);
  EXPECT_EQ(world_.proposals, proposals);
}

// Whatever step the leader dies at, the next one ends what it began, knowing nothing of it.
TEST_F(DamagedMemberTest, ALeaderCrashAtEveryStepIsFinishedByTheNextOne) {
  for (uint64_t crash_ms = 10; crash_ms <= 3000; crash_ms += 20) {
    SCOPED_TRACE(crash_ms);
    World world;
    Target& target = world.AddMemberTarget(2, true);
    world.AddMemberTarget(3, true);
    target.probe.state = NodeState::kDamaged;
    target.loses_absorb_answer = crash_ms % 40 == 10;
    world.silent.insert(MemberId(2));
    world.Run(crash_ms);
    world.membership->FailAll({Code::kUnavailable, "crashed"});
    world.calls.clear();
    world.membership = std::make_unique<Membership>(&world);
    world.membership->OnConfChanged(world.conf());
    world.Run(8000);
    ExpectReplaced(world, "n2", MemberId(4));
    EXPECT_EQ(target.absorbed.size(), 1u);
  }
}

TEST_F(DamagedMemberTest, ATargetThatCrashesBeforeItTookOverIsAskedAgain) {
  Damage(n2_, MemberId(2));
  n2_->refuses_absorb = Error{Code::kUnavailable, "it just died"};
  world_.Run(6000);
  EXPECT_EQ(world_.proposals, 1) << "the learner stays and waits";
  EXPECT_LT(world_.CountLog("absorb_failed"), 6u);
  n2_->up = false;
  world_.Run(3000);
  n2_->up = true;
  n2_->refuses_absorb.reset();
  world_.Run(6000);
  ExpectReplaced(world_, "n2", MemberId(4));
}

}  // namespace
}  // namespace arima::node
