// Every step of a join, times everything that may happen then: docs/design/raft.md 8.7. The table
// of what is tested where is docs/membership-tests.md.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "node/test_clusters.h"

namespace arima::node {
namespace {

using raft::ConfOp;
using raft::MemberId;
using transport::ControlKind;

// How far a join has come when something happens (J1 to J7 of 8.4).
enum class At : uint8_t {
  kProbeSent,         // J1
  kProbeAnswered,     // J1: the answer is on its way
  kLearnerProposed,   // J2 decided, J3 proposed
  kLearnerCommitted,  // J3
  kAbsorbSent,        // J4
  kAbsorbed,          // J4: carried out, the answer is on its way
  kCatchingUp,        // J5
  kPromoteProposed,   // J6
  kVoter,             // J7: a voter, nobody was told yet
};
constexpr At kSteps[] = {At::kProbeSent,        At::kProbeAnswered,   At::kLearnerProposed,
                         At::kLearnerCommitted, At::kAbsorbSent,      At::kAbsorbed,
                         At::kCatchingUp,       At::kPromoteProposed, At::kVoter};

std::string NameOf(At at) {
  switch (at) {
    case At::kProbeSent:
      return "J1ProbeSent";
    case At::kProbeAnswered:
      return "J1ProbeAnswered";
    case At::kLearnerProposed:
      return "J3LearnerProposed";
    case At::kLearnerCommitted:
      return "J3LearnerCommitted";
    case At::kAbsorbSent:
      return "J4AbsorbSent";
    case At::kAbsorbed:
      return "J4Absorbed";
    case At::kCatchingUp:
      return "J5CatchingUp";
    case At::kPromoteProposed:
      return "J6PromoteProposed";
    case At::kVoter:
      return "J7Voter";
  }
  return "";
}

// (step, number of voters before, asked at a follower)
using Param = std::tuple<At, int, bool>;

class JoinMatrix : public testing::TestWithParam<Param> {
 protected:
  JoinMatrix() {
    const auto [at, voters, at_follower] = GetParam();
    at_ = at;
    alone_ = voters == 1;
    for (int i = 1; i <= voters; ++i) {
      nodes_.push_back(&world_.Add("n" + std::to_string(i)));
      if (i == 1) continue;
      auto& joined = world_.Join(n(1), *nodes_.back());
      EXPECT_TRUE(world_.RunUntil([&] { return joined.ok(); })) << joined.text();
    }
    world_.Run(2500);  // the leader knows its peers
    cluster_ = n(1).cluster;
    target_ = &world_.Add("t");
    answer_ = &world_.Join(at_follower ? n(2) : n(1), *target_);
    EXPECT_TRUE(Reach(at)) << "never came there";
  }

  SimNode& n(size_t number) { return *nodes_[number - 1]; }
  SimNode& leader() {
    EXPECT_TRUE(world_.RunUntil([&] { return world_.LeaderOf(*cluster_) != nullptr; }));
    return *world_.LeaderOf(*cluster_);
  }
  const raft::MemberInfo* Member() const { return FindByName(cluster_->conf, "t"); }
  bool IsLearner() const { return Member() != nullptr && !IsVoter(cluster_->conf, Member()->id); }
  bool Votes() const { return Member() != nullptr && IsVoter(cluster_->conf, Member()->id); }
  bool Ours() const { return target_->cluster == cluster_; }

  bool Reach(At at) {
    world_.learners_catch_up = at != At::kCatchingUp;
    bool there = world_.RunUntil([&] { return Is(at); });
    if (at == At::kCatchingUp) world_.Run(500);
    return there;
  }
  bool Is(At at) const {
    switch (at) {
      case At::kProbeSent:
        return world_.Pending(ControlKind::kProbe, target_->address, false);
      case At::kProbeAnswered:
        return world_.Pending(ControlKind::kProbe, target_->address, true);
      case At::kLearnerProposed:
        return world_.Proposes(ConfOp::kAddLearner);
      case At::kLearnerCommitted:
        return IsLearner();
      case At::kAbsorbSent:
        return world_.Pending(ControlKind::kAbsorb, target_->address, false);
      case At::kAbsorbed:
        return world_.Pending(ControlKind::kAbsorb, target_->address, true);
      case At::kCatchingUp:
        return IsLearner() && Ours();
      case At::kPromoteProposed:
        return world_.Proposes(ConfOp::kAddVoter);
      case At::kVoter:
        return Votes();
    }
    return false;
  }
  // The change stands in the log of whoever leads next, or is in force.
  bool Begun() const { return Member() != nullptr || world_.Proposes(ConfOp::kAddLearner); }

  // As a client that is not sure asks again, at whoever leads, until it is told.
  void AskUntilItJoins() {
    world_.learners_catch_up = true;
    for (int round = 0; round < 5; ++round) {
      auto& again = world_.Join(leader(), *target_);
      ASSERT_TRUE(world_.RunUntil([&] { return again.calls > 0; }));
      if (again.ok() && again.result->caught_up) return;
      EXPECT_FALSE(again.failed(Code::kConflict)) << again.text();
    }
    ADD_FAILURE() << "five requests and not joined";
  }
  // Whatever happened: time to finish, then the target is a voter, once, and knows it.
  void ExpectJoined() {
    world_.learners_catch_up = true;
    EXPECT_TRUE(world_.RunUntil([&] { return Votes() && !cluster_->conf.joint(); }));
    world_.Run(1000);
    ASSERT_EQ(FindAllByName(cluster_->conf, "t").size(), 1u);
    ASSERT_TRUE(Votes());
    EXPECT_EQ(cluster_->conf.voters.size(), nodes_.size() + 1);
    EXPECT_TRUE(cluster_->conf.learners.empty());
    EXPECT_TRUE(Ours());
    EXPECT_EQ(target_->identity().member_id, Member()->id);
    EXPECT_EQ(target_->identity().incarnation, Member()->incarnation);
    EXPECT_EQ(target_->identity().state, IdentityState::kMember);
    EXPECT_FALSE(leader().membership->HasOutboundJoin());
    EXPECT_LE(answer_->calls, 1);
  }
  // Nothing is left of it in the cluster, and it keeps what is its own.
  void ExpectNotJoined() {
    world_.Run(5000);
    EXPECT_EQ(FindAllByName(cluster_->conf, "t").size(), 0u);
    EXPECT_EQ(cluster_->conf.voters.size(), nodes_.size());
    EXPECT_TRUE(cluster_->conf.learners.empty());
    EXPECT_FALSE(leader().membership->HasOutboundJoin());
  }

  At at_ = At::kProbeSent;
  bool alone_ = false;
  Clusters world_;
  std::vector<SimNode*> nodes_;
  SimNode* target_ = nullptr;
  SimCluster* cluster_ = nullptr;
  SimAnswer<service::JoinResponse>* answer_ = nullptr;
};

// Where another node can lead.
class LeaderMatrix : public JoinMatrix {};

TEST_P(JoinMatrix, NothingHappens) {
  ExpectJoined();
  ASSERT_TRUE(answer_->ok()) << answer_->text();
  EXPECT_TRUE(answer_->result->caught_up);
}

// What a dead leader began is finished by the next one without being asked again; what it had not
// begun, the client asks for again.
TEST_P(JoinMatrix, TheLeaderCrashes) {
  SimNode& crashed = leader();
  bool begun = Begun();
  crashed.Crash();
  if (alone_) {
    world_.Run(1000);
    crashed.Start();
  }
  // A follower that was asked goes to the next leader itself.
  bool forwarded = std::get<2>(GetParam());
  if (!begun && !forwarded) AskUntilItJoins();
  if (!alone_) {
    world_.learners_catch_up = true;
    EXPECT_TRUE(world_.RunUntil([&] { return Votes(); }));
    crashed.Start();
  }
  ExpectJoined();
  if (forwarded) {
    EXPECT_TRUE(answer_->ok()) << answer_->text();
  }
}

// The same, but what it had proposed reached nobody.
TEST_P(JoinMatrix, TheLeaderCrashesAndItsProposalIsLost) {
  SimNode& crashed = leader();
  world_.DropProposals();
  bool begun = Begun();
  crashed.Crash();
  world_.Run(1000);
  crashed.Start();
  if (!begun) AskUntilItJoins();
  ExpectJoined();
}

TEST_P(JoinMatrix, TheTargetCrashes) {
  target_->Crash();
  world_.Run(1000);
  target_->Start();
  // Before it is a member nobody waits for it: 502, and the client asks again.
  if (answer_->failed(Code::kPeerUnreachable)) AskUntilItJoins();
  ExpectJoined();
}

TEST_P(JoinMatrix, BothCrash) {
  SimNode& crashed = leader();
  bool begun = Begun();
  crashed.Crash();
  target_->Crash();
  world_.Run(700);
  crashed.Start();
  world_.Run(700);
  target_->Start();
  if (!begun) AskUntilItJoins();
  ExpectJoined();
}

// The old leader lives and brings the request to the new one.
TEST_P(LeaderMatrix, TheLeaderChanges) {
  world_.DropProposals();
  ASSERT_TRUE(world_.MoveLeadership(*cluster_));
  ExpectJoined();
  EXPECT_TRUE(answer_->ok()) << answer_->text();
}

TEST_P(LeaderMatrix, TheLeaderChangesAgainAndAgain) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(world_.MoveLeadership(*cluster_));
    world_.Run(70);
  }
  ExpectJoined();
  EXPECT_TRUE(answer_->ok()) << answer_->text();
}

TEST_P(JoinMatrix, RepliesAreLost) {
  bool known = Member() != nullptr;
  world_.LoseReplies();
  world_.Step();
  if (!known && answer_->failed(Code::kPeerUnreachable)) AskUntilItJoins();
  ExpectJoined();
  EXPECT_EQ(answer_->calls, 1);
}

TEST_P(JoinMatrix, TheRequestComesTwice) {
  auto& second = world_.Join(leader(), *target_);
  auto& third = world_.Join(*nodes_.back(), *target_);
  ExpectJoined();
  for (const auto* answer : {answer_, &second, &third}) {
    EXPECT_TRUE(answer->ok()) << answer->text();
  }
}

TEST_P(JoinMatrix, AnotherNodeJoinsToo) {
  SimNode& other = world_.Add("u");
  auto& second = world_.Join(*nodes_.back(), other);
  world_.learners_catch_up = true;
  EXPECT_TRUE(world_.RunUntil([&] { return answer_->calls > 0 && second.calls > 0; }));
  EXPECT_TRUE(answer_->ok()) << answer_->text();
  EXPECT_TRUE(second.ok()) << second.text();
  nodes_.push_back(&other);
  ExpectJoined();
  EXPECT_EQ(other.cluster, cluster_);
}

// The write is refused or kept: a node with a promise of its own belongs to nobody else.
TEST_P(JoinMatrix, TheTargetIsWrittenTo) {
  bool promised = target_->WriteOwn();
  EXPECT_EQ(promised, !Ours());
  if (!promised) return ExpectJoined();
  ExpectNotJoined();
  EXPECT_TRUE(target_->standalone());
  EXPECT_EQ(target_->own_writes, 1u);
  EXPECT_TRUE(target_->leads());
  EXPECT_TRUE(answer_->failed(Code::kConflict)) << answer_->text();
}

TEST_P(JoinMatrix, TheTargetIsRemoved) {
  bool known = Member() != nullptr;
  auto& removed = world_.Remove(leader(), "t");
  EXPECT_TRUE(world_.RunUntil([&] { return removed.calls > 0; }));
  if (!known) {
    EXPECT_TRUE(removed.failed(Code::kNotFound)) << removed.text();
    return ExpectJoined();
  }
  EXPECT_TRUE(removed.ok()) << removed.text();
  ExpectNotJoined();
  EXPECT_TRUE(answer_->failed(Code::kConflict)) << answer_->text();
  // It may come back: under a new id.
  AskUntilItJoins();
  ExpectJoined();
}

TEST_P(JoinMatrix, TheTargetLosesItsDisk) {
  target_->Wipe();
  world_.Run(100);
  bool votes = Votes() || world_.Proposes(ConfOp::kAddVoter);
  world_.learners_catch_up = true;
  if (alone_ && votes) {
    // Of two votes one is lost: nothing can be decided any more, and nobody pretends otherwise.
    auto& again = world_.Join(n(1), *target_);
    EXPECT_TRUE(world_.RunUntil([&] { return again.calls > 0; }));
    EXPECT_TRUE(again.failed(Code::kUnavailable)) << again.text();
    EXPECT_EQ(cluster_->conf.voters.size(), 2u);
    return;
  }
  AskUntilItJoins();
  ExpectJoined();
}

TEST_P(JoinMatrix, TheTargetMovesToAnotherAddress) {
  target_->Crash();
  target_->address = "127.0.0.2:9999";
  target_->Start();
  world_.Run(200);
  // A request that waits insists on the address it named; it ends, and the new one counts.
  world_.RunUntil([&] { return answer_->calls > 0; });
  world_.learners_catch_up = true;
  bool joined = false;
  for (int round = 0; round < 40 && !joined; ++round) {
    auto& again = world_.Join(leader(), *target_);
    ASSERT_TRUE(world_.RunUntil([&] { return again.calls > 0; }));
    joined = again.ok() && again.result->caught_up;
    if (!joined) world_.Run(1000);
  }
  EXPECT_TRUE(joined);
  ExpectJoined();
  EXPECT_EQ(Member()->raft_address, target_->address);
}

INSTANTIATE_TEST_SUITE_P(, JoinMatrix,
                         testing::Combine(testing::ValuesIn(kSteps), testing::Values(1),
                                          testing::Values(false)),
                         [](const auto& row) { return NameOf(std::get<0>(row.param)) + "Of1"; });
constexpr auto kNameOfThree = [](const auto& row) {
  return NameOf(std::get<0>(row.param)) +
         (std::get<2>(row.param) ? "AskedAFollower" : "AskedTheLeader");
};
const auto kThree =
    testing::Combine(testing::ValuesIn(kSteps), testing::Values(3), testing::Bool());
INSTANTIATE_TEST_SUITE_P(Three, JoinMatrix, kThree, kNameOfThree);
INSTANTIATE_TEST_SUITE_P(Three, LeaderMatrix, kThree, kNameOfThree);

// ---------------------------------------------------------------- two that want something

// Nodes and clusters that reach for each other, one `offset_ms` after the other.
class JoinRace : public testing::TestWithParam<uint64_t> {
 protected:
  Clusters world_;
};

TEST_P(JoinRace, TwoStandalonesJoiningEachOtherNeverBothWin) {
  SimNode& a = world_.Add("a");
  SimNode& b = world_.Add("b");
  auto& first = world_.Join(a, b);
  world_.Run(GetParam());
  auto& second = world_.Join(b, a);
  ASSERT_TRUE(world_.RunUntil([&] { return first.calls > 0 && second.calls > 0; }));
  world_.Run(5000);
  bool first_won = first.ok() && first.result->caught_up;
  bool together = a.cluster == b.cluster;
  EXPECT_TRUE(together || !first_won);
  for (const auto* answer : {&first, &second}) {
    EXPECT_TRUE(answer->ok() || answer->failed(Code::kConflict)) << answer->text();
  }
  for (SimNode* node : {&a, &b}) {
    EXPECT_TRUE(node->cluster->conf.learners.empty());
    EXPECT_EQ(node->cluster->conf.voters.size(), together ? 2u : 1u);
    EXPECT_TRUE(world_.LeaderOf(*node->cluster) != nullptr);
    EXPECT_FALSE(node->membership->HasOutboundJoin());
  }
  // Whoever repeats one of the two gets what it wants.
  if (together) return;
  auto& again = world_.Join(a, b);
  ASSERT_TRUE(world_.RunUntil([&] { return again.calls > 0; }));
  EXPECT_TRUE(again.ok()) << again.text();
}

TEST_P(JoinRace, TwoClustersThatWantOneNodeShareNothing) {
  SimNode& a = world_.Add("a");
  SimNode& b = world_.Add("b");
  a.WriteOwn();
  b.WriteOwn();
  SimNode& t = world_.Add("t");
  auto& first = world_.Join(a, t);
  world_.Run(GetParam());
  auto& second = world_.Join(b, t);
  ASSERT_TRUE(world_.RunUntil([&] { return first.calls > 0 && second.calls > 0; }));
  world_.Run(5000);
  EXPECT_NE(first.ok(), second.ok()) << first.text() << "; " << second.text();
  SimNode& winner = first.ok() ? a : b;
  SimNode& loser = first.ok() ? b : a;
  EXPECT_TRUE((first.ok() ? second : first).failed(Code::kConflict));
  EXPECT_EQ(t.cluster, winner.cluster);
  EXPECT_EQ(winner.cluster->conf.voters.size(), 2u);
  EXPECT_EQ(loser.cluster->conf.members.size(), 1u);
  EXPECT_EQ(a.own_writes + b.own_writes, 2u);
  EXPECT_NE(a.cluster, b.cluster);
}

TEST_P(JoinRace, AMemberOfAnotherClusterIsNotTakenAway) {
  SimNode& a = world_.Add("a");
  SimNode& t = world_.Add("t");
  SimNode& b = world_.Add("b");
  auto& joined = world_.Join(a, t);
  ASSERT_TRUE(world_.RunUntil([&] { return joined.ok(); }));
  world_.Run(GetParam());
  auto& refused = world_.Join(b, t);
  auto& also_refused = world_.Join(b, a);
  ASSERT_TRUE(world_.RunUntil([&] { return refused.calls > 0 && also_refused.calls > 0; }));
  EXPECT_TRUE(refused.failed(Code::kConflict)) << refused.text();
  EXPECT_TRUE(also_refused.failed(Code::kConflict)) << also_refused.text();
  EXPECT_EQ(b.cluster->conf.members.size(), 1u);
  EXPECT_EQ(t.cluster, a.cluster);
}

TEST_P(JoinRace, ALeaderThatLeavesAndANodeThatJoinsBothGetTheirWay) {
  SimNode& a = world_.Add("a");
  SimNode& b = world_.Add("b");
  SimNode& c = world_.Add("c");
  for (SimNode* node : {&b, &c}) {
    auto& joined = world_.Join(a, *node);
    ASSERT_TRUE(world_.RunUntil([&] { return joined.ok(); }));
  }
  world_.Run(3000);
  SimNode& t = world_.Add("t");
  auto& joined = world_.Join(b, t);
  world_.Run(GetParam());
  auto& removed = world_.Remove(a, "a");
  ASSERT_TRUE(world_.RunUntil([&] { return joined.calls > 0 && removed.calls > 0; }));
  EXPECT_TRUE(joined.ok()) << joined.text();
  EXPECT_TRUE(removed.ok()) << removed.text();
  EXPECT_EQ(b.cluster->conf.voters.size(), 3u);
  EXPECT_EQ(FindByName(b.cluster->conf, "a"), nullptr);
  EXPECT_EQ(t.cluster, b.cluster);
  world_.Run(100);
  EXPECT_EQ(a.identity().state, IdentityState::kRemoved);
}

INSTANTIATE_TEST_SUITE_P(, JoinRace, testing::Range<uint64_t>(0, 400, 10),
                         [](const auto& row) { return std::to_string(row.param) + "ms"; });

// ---------------------------------------------------------------- addresses and names

class JoinAddresses : public testing::Test {
 protected:
  JoinAddresses() {
    for (const char* name : {"a", "b", "c"}) nodes_.push_back(&world_.Add(name));
    for (size_t i : {1u, 2u}) {
      auto& joined = world_.Join(*nodes_[0], *nodes_[i]);
      EXPECT_TRUE(world_.RunUntil([&] { return joined.ok(); }));
    }
    world_.Run(3000);
  }
  Clusters world_;
  std::vector<SimNode*> nodes_;
};

TEST_F(JoinAddresses, TwoMembersMaySwapTheirAddresses) {
  SimNode& b = *nodes_[1];
  SimNode& c = *nodes_[2];
  b.Crash();
  c.Crash();
  std::swap(b.address, c.address);
  b.Start();
  c.Start();
  ASSERT_TRUE(world_.RunUntil([&] { return world_.LeaderOf(*b.cluster) == nodes_[0]; }));
  auto& first = world_.Join(*nodes_[0], b);
  ASSERT_TRUE(world_.RunUntil([&] { return first.calls > 0; }));
  auto& second = world_.Join(b, c);
  ASSERT_TRUE(world_.RunUntil([&] { return second.calls > 0; }));
  EXPECT_TRUE(first.ok()) << first.text();
  EXPECT_TRUE(second.ok()) << second.text();
  EXPECT_EQ(FindByName(b.cluster->conf, "b")->raft_address, b.address);
  EXPECT_EQ(FindByName(b.cluster->conf, "c")->raft_address, c.address);
  EXPECT_EQ(b.cluster->conf.voters.size(), 3u);
}

TEST_F(JoinAddresses, TheWrongNameAtAnAddressChangesNothing) {
  SimNode& t = world_.Add("t");
  raft::ConfState before = nodes_[0]->cluster->conf;
  auto& wrong = world_.Join(*nodes_[1], "x", t.address);
  auto& own = world_.Join(*nodes_[1], "a", nodes_[0]->address);
  auto& members = world_.Join(*nodes_[0], "b", nodes_[2]->address);
  ASSERT_TRUE(
      world_.RunUntil([&] { return wrong.calls > 0 && own.calls > 0 && members.calls > 0; }));
  EXPECT_TRUE(wrong.failed(Code::kConflict)) << wrong.text();
  EXPECT_TRUE(own.failed(Code::kConflict)) << own.text();
  EXPECT_TRUE(members.failed(Code::kConflict)) << members.text();
  world_.Run(3000);
  EXPECT_EQ(nodes_[0]->cluster->conf, before);
  EXPECT_TRUE(t.pristine());
}

TEST_F(JoinAddresses, ANodeWithDataIsRefusedAtEveryMember) {
  SimNode& t = world_.Add("t");
  ASSERT_TRUE(t.WriteOwn());
  for (SimNode* asked : nodes_) {
    auto& refused = world_.Join(*asked, t);
    ASSERT_TRUE(world_.RunUntil([&] { return refused.calls > 0; }));
    EXPECT_TRUE(refused.failed(Code::kConflict)) << refused.text();
  }
  EXPECT_EQ(nodes_[0]->cluster->conf.members.size(), 3u);
  EXPECT_EQ(t.own_writes, 1u);
}

}  // namespace
}  // namespace arima::node
