#include "node/stats.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

namespace arima::node {
namespace {

using raft::Index;
using raft::MemberId;
using raft::Term;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1000 * kMs;

TEST(GoDuration, PrintsAsGoDoes) {
  EXPECT_EQ(GoDuration(0), "0s");
  EXPECT_EQ(GoDuration(1), "1ns");
  EXPECT_EQ(GoDuration(999), "999ns");
  EXPECT_EQ(GoDuration(1'000), "1µs");
  EXPECT_EQ(GoDuration(1'500), "1.5µs");
  EXPECT_EQ(GoDuration(12'345), "12.345µs");
  EXPECT_EQ(GoDuration(kMs), "1ms");
  EXPECT_EQ(GoDuration(12'500'000), "12.5ms");
  EXPECT_EQ(GoDuration(12'000'001), "12.000001ms");
  EXPECT_EQ(GoDuration(999'999'999), "999.999999ms");
  EXPECT_EQ(GoDuration(kSecond), "1s");
  EXPECT_EQ(GoDuration(1'250 * kMs), "1.25s");
  EXPECT_EQ(GoDuration(59 * kSecond + 1), "59.000000001s");
  EXPECT_EQ(GoDuration(60 * kSecond), "1m0s");
  EXPECT_EQ(GoDuration(123 * kSecond + 500 * kMs), "2m3.5s");
  EXPECT_EQ(GoDuration(3600 * kSecond), "1h0m0s");
  EXPECT_EQ(GoDuration(90'061 * kSecond), "25h1m1s");
}

raft::ConfState Conf() {
  raft::ConfState conf;
  conf.voters = {MemberId(1), MemberId(2)};
  conf.learners = {MemberId(3)};
  conf.next_member_id = MemberId(4);
  conf.index = Index(17);
  for (uint64_t id = 1; id <= 3; ++id) {
    raft::MemberInfo& info = conf.members[MemberId(id)];
    info.id = MemberId(id);
    info.name = "n" + std::to_string(id);
    info.raft_address = "127.0.0.1:111" + std::to_string(id);
  }
  return conf;
}

TEST(ConfigurationText, PrintsAsHashicorpRaftDoes) {
  EXPECT_EQ(ConfigurationText(Conf()),
            "[{Suffrage:Voter ID:n1 Address:127.0.0.1:1111} "
            "{Suffrage:Voter ID:n2 Address:127.0.0.1:1112} "
            "{Suffrage:Nonvoter ID:n3 Address:127.0.0.1:1113}]");
  EXPECT_EQ(ConfigurationText({}), "[]");
}

TEST(ConfigurationText, AVoterThatIsBeingReplacedStillVotes) {
  raft::ConfState conf = Conf();
  conf.voters = {MemberId(1)};
  conf.voters_outgoing = {MemberId(1), MemberId(2)};
  EXPECT_NE(ConfigurationText(conf).find("{Suffrage:Voter ID:n2"), std::string::npos);
}

TEST(StateName, KnowsTheFourNames) {
  raft::SoftState soft;
  soft.role = raft::Role::kLeader;
  EXPECT_EQ(StateName(soft), "Leader");
  soft.role = raft::Role::kFollower;
  EXPECT_EQ(StateName(soft), "Follower");
  soft.role = raft::Role::kPreCandidate;
  EXPECT_EQ(StateName(soft), "Candidate");
  soft.role = raft::Role::kCandidate;
  EXPECT_EQ(StateName(soft), "Candidate");
  soft.role = raft::Role::kFollower;
  soft.disabled = raft::Disabled::kRemoved;
  EXPECT_EQ(StateName(soft), "Shutdown");
}

class BuildStatsTest : public ::testing::Test {
 protected:
  BuildStatsTest() {
    core_.id = MemberId(1);
    core_.soft.role = raft::Role::kLeader;
    core_.soft.leader = MemberId(1);
    core_.hard_state = {Term(4), MemberId(1), Index(20)};
    core_.snapshot_index = raft::kFirstSnapshotIndex;
    core_.snapshot_term = raft::kFirstSnapshotTerm;
    core_.last = Index(22);
    core_.last_term = Term(4);
    core_.applied = Index(18);
    core_.conf = std::make_shared<raft::ConfState>(Conf());
    identity_.name = "n1";
    identity_.member_id = MemberId(1);
    identity_.cluster_id.bytes.fill(0xab);
  }
  std::map<std::string, std::string> Build() {
    std::map<std::string, std::string> stats;
    for (auto& [name, value] : BuildStats({core_, identity_, kNow, 7, 15, 3})) {
      EXPECT_TRUE(stats.emplace(name, value).second) << name << " appears twice";
    }
    return stats;
  }

  static constexpr uint64_t kNow = 100 * kSecond;
  raft::CoreStatus core_;
  Identity identity_;
};

TEST_F(BuildStatsTest, HasTheNamesThatUsersKnow) {
  auto stats = Build();
  EXPECT_EQ(stats["state"], "Leader");
  EXPECT_EQ(stats["term"], "4");
  EXPECT_EQ(stats["last_log_index"], "22");
  EXPECT_EQ(stats["last_log_term"], "4");
  EXPECT_EQ(stats["commit_index"], "20");
  EXPECT_EQ(stats["applied_index"], "18");
  EXPECT_EQ(stats["fsm_pending"], "2");
  EXPECT_EQ(stats["num_peers"], "1");
  EXPECT_EQ(stats["last_contact"], "0");
  EXPECT_EQ(stats["latest_configuration_index"], "17");
  EXPECT_EQ(stats["protocol_version"], "1");
  EXPECT_EQ(stats["node_id"], "n1");
  EXPECT_EQ(stats["leader_id"], "n1");
  EXPECT_EQ(stats["cluster_id"], "abababababababababababababababab");
  EXPECT_EQ(stats["latest_configuration"], ConfigurationText(Conf()));
  EXPECT_EQ(stats["snapshot_state"], "idle");
}

TEST_F(BuildStatsTest, TheSyntheticFirstPointIsNoSnapshot) {
  auto stats = Build();
  EXPECT_EQ(stats["last_snapshot_index"], "0");
  EXPECT_EQ(stats["last_snapshot_term"], "0");
  core_.snapshot_index = Index(9);
  core_.snapshot_term = Term(3);
  stats = Build();
  EXPECT_EQ(stats["first_log_index"], "10");
  EXPECT_EQ(stats["last_snapshot_index"], "9");
  EXPECT_EQ(stats["last_snapshot_term"], "3");
}

TEST_F(BuildStatsTest, LastContactIsNeverZeroOrADuration) {
  core_.soft.role = raft::Role::kFollower;
  EXPECT_EQ(Build()["last_contact"], "never");
  core_.last_leader_contact_ns = kNow - 12'500'000;
  EXPECT_EQ(Build()["last_contact"], "12.5ms");
  core_.last_leader_contact_ns = kNow + 1;  // a reading of the same moment, taken later
  EXPECT_EQ(Build()["last_contact"], "0s");
}

TEST_F(BuildStatsTest, ALearnerCountsNoPeerLessAndAVoterNotItself) {
  core_.id = MemberId(3);
  EXPECT_EQ(Build()["num_peers"], "2");
}

TEST_F(BuildStatsTest, NobodyLeads) {
  core_.soft.role = raft::Role::kCandidate;
  core_.soft.leader = MemberId(0);
  auto stats = Build();
  EXPECT_EQ(stats["leader_id"], "");
  EXPECT_EQ(stats["state"], "Candidate");
}

TEST(BuildMembers, SaysWhoIsWhatAndOnTheLeaderHowFar) {
  raft::ConfState conf = Conf();
  conf.members[MemberId(3)].name = "n2";
  conf.members[MemberId(3)].attributes = {{"auto_promote", "1"}, {"replaces", "2"}};
  conf.members[MemberId(1)].http_address = "127.0.0.1:2221";
  raft::CoreStatus core;
  core.id = MemberId(1);
  core.soft.leader = MemberId(1);
  raft::PeerStatus silent;
  silent.id = MemberId(2);
  raft::PeerStatus learner;
  learner.id = MemberId(3);
  learner.state = raft::ProgressState::kSnapshot;
  learner.match = Index(7);
  learner.next = Index(9);
  learner.last_contact_ns = 10 * kSecond - 12'500'000;
  learner.damaged = true;
  core.peers = {silent, learner};

  service::Members members = BuildMembers(core, conf, 10 * kSecond);
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].id, 1u);
  EXPECT_EQ(members[0].name, "n1");
  EXPECT_EQ(members[0].raft_address, "127.0.0.1:1111");
  EXPECT_EQ(members[0].http_address, "127.0.0.1:2221");
  EXPECT_EQ(members[0].role, "voter");
  EXPECT_TRUE(members[0].is_leader);
  EXPECT_FALSE(members[0].progress.has_value()) << "nobody replicates to itself";

  ASSERT_TRUE(members[1].progress.has_value());
  EXPECT_EQ(members[1].progress->state, "probe");
  EXPECT_EQ(members[1].progress->last_contact, "never");
  EXPECT_FALSE(members[1].progress->reachable);
  EXPECT_FALSE(members[1].is_leader);
  EXPECT_EQ(members[1].replaces, 0u);

  EXPECT_EQ(members[2].role, "learner");
  EXPECT_EQ(members[2].replaces, 2u);
  ASSERT_TRUE(members[2].progress.has_value());
  EXPECT_EQ(members[2].progress->match, 7u);
  EXPECT_EQ(members[2].progress->next, 9u);
  EXPECT_EQ(members[2].progress->state, "snapshot");
  EXPECT_EQ(members[2].progress->last_contact, "12.5ms");
  EXPECT_TRUE(members[2].progress->reachable);
  EXPECT_TRUE(members[2].progress->damaged);
  EXPECT_FALSE(BuildMembers(core, conf, 11 * kSecond)[2].progress->reachable);
}

TEST(BuildMembers, AFollowerKnowsRolesAndTheLeaderButNoProgress) {
  raft::ConfState conf = Conf();
  conf.voters = {MemberId(1)};
  conf.voters_outgoing = {MemberId(1), MemberId(2)};
  raft::CoreStatus core;
  core.id = MemberId(3);
  core.soft.leader = MemberId(1);
  service::Members members = BuildMembers(core, conf, kSecond);
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].role, "voter");
  EXPECT_TRUE(members[0].is_leader);
  EXPECT_EQ(members[1].role, "leaving");
  EXPECT_EQ(members[2].role, "learner");
  for (const service::MemberView& member : members) EXPECT_FALSE(member.progress.has_value());
  core.soft.leader = MemberId(0);
  EXPECT_FALSE(BuildMembers(core, conf, kSecond)[0].is_leader);
}

}  // namespace
}  // namespace arima::node
