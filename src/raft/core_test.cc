#include "raft/core.h"

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

TEST(Core, FreshSingleNodeLeadsOnItsFirstTickAndCommitsAlone) {
  TestCluster c({1});
  c.Tick(1);
  EXPECT_TRUE(c[1].leads());
  c.Propose(1, "a");
  ASSERT_EQ(c[1].applied.size(), 2u);
  EXPECT_EQ(c[1].applied[1].entry.payload.view(), "a");
  EXPECT_EQ(c[1].accepted.at(0).index, c[1].applied[1].entry.index);
}

TEST(Core, ThreeNodesElectReplicateAndApply) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  ASSERT_TRUE(c[1].leads());
  c.Propose(1, "a");
  for (uint64_t id : {1u, 2u, 3u}) {
    ASSERT_EQ(c[id].applied.size(), 2u) << id;
    EXPECT_EQ(c[id].applied[1].entry.payload.view(), "a");
    EXPECT_EQ(c[id].leader(), 1u);
  }
}

TEST(Core, FollowerForwardsProposalsAndReads) {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  uint64_t tag = c.Propose(2, "a");
  ASSERT_EQ(c[2].accepted.size(), 1u);
  EXPECT_EQ(c[2].accepted[0].tag, tag);
  EXPECT_EQ(c[2].accepted[0].index, Index(3));
  uint64_t read = c.Read(3);
  c.Deliver();
  ASSERT_EQ(c[3].reads.size(), 1u);
  EXPECT_EQ(c[3].reads[0].tag, read);
  EXPECT_EQ(c[3].reads[0].reason, RejectReason::kNone);
  EXPECT_EQ(c[3].reads[0].index, Index(3));
}

}  // namespace
}  // namespace arima::raft
