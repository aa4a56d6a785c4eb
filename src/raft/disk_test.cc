// Leaders and followers whose disks have little space or are slow (docs/design/raft.md 4.7).

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

TestCluster Led(const std::vector<uint64_t>& voters = {1, 2, 3}) {
  TestCluster c(voters);
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

int Ticks(uint32_t ticks) { return static_cast<int>(ticks); }

// The followers' answers to the next heartbeat bring what they say of their disks.
void Tell(TestCluster& c) { c.TickAll(Ticks(c[1].config.heartbeat_ticks)); }

void SetDisk(TestCluster& c, uint64_t node, DiskLevel level) {
  c.Step(node, DiskLow{level});
  Tell(c);
}

// kNone if the leader took it.
RejectReason Offer(TestCluster& c, bool from_reserve) {
  const size_t before = c[1].rejected.size();
  Proposal proposal{99, EntryKind::kCommand, EntryChecksum(EntryKind::kCommand, "x"),
                    SharedBytes::Copy("x"), from_reserve};
  c.Step(1, Propose{{proposal}});
  c.Deliver();
  return c[1].rejected.size() == before ? RejectReason::kNone : c[1].rejected.back().reason;
}

constexpr bool kGrows = false;
constexpr bool kFromReserve = true;

TEST(Disk, ALeaderOnALowDiskTakesOnlyWhatMakesDataNoLarger) {
  TestCluster c = Led();
  SetDisk(c, 1, DiskLevel::kLow);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kDiskLow);
  EXPECT_EQ(Offer(c, kFromReserve), RejectReason::kNone);
  SetDisk(c, 1, DiskLevel::kStuck);
  EXPECT_EQ(Offer(c, kFromReserve), RejectReason::kDiskLow);
  SetDisk(c, 1, DiskLevel::kOk);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
}

TEST(Disk, MembershipChangesAreTakenOnALowDisk) {
  TestCluster c = Led();
  SetDisk(c, 1, DiskLevel::kLow);
  ConfChange change;
  MemberInfo removed;
  removed.id = MemberId(3);
  change.changes.push_back({ConfOp::kRemove, removed});
  c.Step(1, ProposeConf{7, change});
  c.Deliver();
  EXPECT_TRUE(c[1].rejected.empty());
  EXPECT_EQ(c[1].status().conf->voters, (std::vector{MemberId(1), MemberId(2)}));
}

TEST(Disk, OneLowFollowerOfThreeStopsNobody) {
  TestCluster c = Led();
  SetDisk(c, 2, DiskLevel::kLow);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  EXPECT_EQ(c[2].commit(), c[1].commit()) << "it still takes entries";
}

TEST(Disk, AMajorityOfLowDisksStopsGrowth) {
  TestCluster c = Led();
  SetDisk(c, 2, DiskLevel::kLow);
  SetDisk(c, 3, DiskLevel::kLow);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kDiskLow);
  EXPECT_FALSE(c[1].status().takes_growth);
  EXPECT_EQ(Offer(c, kFromReserve), RejectReason::kNone);
  SetDisk(c, 3, DiskLevel::kOk);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  EXPECT_TRUE(c[1].status().takes_growth);
  EXPECT_FALSE(c[2].status().takes_growth) << "it does not lead";
}

TEST(Disk, AMajorityThatTakesNoEntriesStopsEverything) {
  TestCluster c = Led();
  SetDisk(c, 2, DiskLevel::kFull);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  SetDisk(c, 3, DiskLevel::kFull);
  EXPECT_EQ(Offer(c, kFromReserve), RejectReason::kDiskLow);
}

// The one that is left would be filled up alone, and then nothing could be committed.
TEST(Disk, AVoterThatIsNotThereCountsAsOneWithoutSpace) {
  for (bool since_the_start : {false, true}) {
    TestCluster c({1, 2, 3});
    if (since_the_start) c.Isolate(2);
    c.Campaign(1);
    ASSERT_TRUE(c[1].leads());
    c.Isolate(2);
    c.TickAll(2 * Ticks(c[1].config.election_ticks));
    ASSERT_TRUE(c[1].leads());
    EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
    SetDisk(c, 3, DiskLevel::kLow);
    EXPECT_EQ(Offer(c, kGrows), RejectReason::kDiskLow);
    EXPECT_EQ(Offer(c, kFromReserve), RejectReason::kNone);
    SetDisk(c, 3, DiskLevel::kFull);
    EXPECT_EQ(Offer(c, kFromReserve), RejectReason::kDiskLow);
    c.Heal();
    Tell(c);
    EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  }
}

TEST(Disk, AFullFollowerTakesNoEntriesAndGoesOnWhereItWas) {
  TestCluster c = Led();
  const uint64_t last = c[3].last();
  c.Step(3, DiskLow{DiskLevel::kFull});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  EXPECT_EQ(c[3].last(), last);
  EXPECT_EQ(c[1].commit(), c[1].last()) << "the other two are a majority";
  c.TickAll(3 * Ticks(c[1].config.election_ticks));
  EXPECT_TRUE(c[1].leads()) << "it is still heard";
  EXPECT_EQ(c[3].last(), last);
  SetDisk(c, 3, DiskLevel::kOk);
  c.TickAll(2 * Ticks(c[1].config.heartbeat_ticks));
  EXPECT_EQ(c[3].commit(), c[1].commit());
}

TEST(Disk, AFullFollowerIsSentNoEntries) {
  TestCluster c = Led();
  SetDisk(c, 3, DiskLevel::kFull);
  size_t entries = 0;
  c.SetFilter([&](const Message& m) {
    if (m.to == MemberId(3)) entries += m.entries.size();
    return true;
  });
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  c.TickAll(2 * Ticks(c[1].config.election_ticks));
  EXPECT_EQ(entries, 0u);
  c.Step(3, DiskLow{DiskLevel::kOk});
  c.TickAll(2 * Ticks(c[1].config.heartbeat_ticks));
  EXPECT_GT(entries, 0u);
  EXPECT_EQ(c[3].commit(), c[1].commit());
}

TEST(Disk, AFullNodeStillVotes) {
  TestCluster c = Led();
  c.Step(3, DiskLow{DiskLevel::kFull});
  c.Isolate(1);
  c.TickAll(3 * Ticks(c[1].config.election_ticks));
  EXPECT_TRUE(c[2].leads());
  EXPECT_EQ(c[3].leader(), 2u);
}

TEST(Disk, ANodeThatIsWorseOffLeavesOthersTimeToWin) {
  for (uint64_t low : {2u, 3u}) {
    TestCluster c = Led();
    c.Step(low, DiskLow{DiskLevel::kLow});
    c.Isolate(1);
    c.TickAll(3 * Ticks(c[1].config.election_ticks));
    EXPECT_TRUE(c[5 - low].leads()) << low;
    EXPECT_FALSE(c[low].Saw(EventKind::kCampaign)) << low;
  }
}

TEST(Disk, ANodeThatIsWorseOffLeadsIfNobodyElseCan) {
  TestCluster c = Led();
  // The other one lacks an entry that the low one has.
  c.Isolate(3);
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  c.Heal();
  c.Step(2, DiskLow{DiskLevel::kLow});
  c.Isolate(1);
  c.TickAll(8 * Ticks(c[1].config.election_ticks));
  EXPECT_TRUE(c[2].leads());
}

TEST(HandOver, OfALowLeaderGoesToAVoterWithSpace) {
  TestCluster c = Led();
  c.Step(1, DiskLow{DiskLevel::kLow});
  SetDisk(c, 2, DiskLevel::kLow);
  c.Step(1, MoveLeadership{});
  c.Deliver();
  EXPECT_TRUE(c[3].leads());
}

TEST(HandOver, GoesNowhereIfAllAreAsLow) {
  TestCluster c = Led();
  for (uint64_t id : {1u, 2u, 3u}) SetDisk(c, id, DiskLevel::kLow);
  c.Step(1, MoveLeadership{});
  EXPECT_FALSE(c[1].status().soft.transferring);
  EXPECT_TRUE(c[1].leads());
}

// A leader that could not commit its first entry could not even serve reads.
TEST(HandOver, GoesNowhereIfTheNextLeaderCouldCommitNothing) {
  for (bool stalled : {false, true}) {
    TestCluster c = Led();
    if (stalled) {
      c.Step(1, SyncLatency{2'000'000, true});
    } else {
      c.Step(1, DiskLow{DiskLevel::kFull});
    }
    SetDisk(c, 2, DiskLevel::kFull);
    c.Step(1, MoveLeadership{});
    EXPECT_FALSE(c[1].status().soft.transferring) << stalled;
    SetDisk(c, 2, DiskLevel::kOk);
    c.Step(1, MoveLeadership{});
    EXPECT_TRUE(c[1].status().soft.transferring) << stalled;
  }
}

TEST(HandOver, OfALeaderInNoNeedIsNothing) {
  TestCluster c = Led();
  Tell(c);
  c.Step(1, MoveLeadership{});
  EXPECT_FALSE(c[1].status().soft.transferring);
}

TEST(HandOver, OfAStalledLeaderGoesToAFasterVoter) {
  TestCluster c = Led();
  c.Step(1, SyncLatency{2'000'000, true});
  c.Step(2, SyncLatency{1'100'000, false});
  c.Step(3, SyncLatency{5'000, false});
  Tell(c);
  c.Step(1, MoveLeadership{});
  c.Deliver();
  EXPECT_TRUE(c[3].leads());
}

TEST(HandOver, OfAStalledLeaderGoesNowhereIfAllDisksAreSlow) {
  TestCluster c = Led();
  c.Step(1, SyncLatency{2'000'000, true});
  for (uint64_t id : {2u, 3u}) c.Step(id, SyncLatency{1'500'000, true});
  Tell(c);
  c.Step(1, MoveLeadership{});
  EXPECT_FALSE(c[1].status().soft.transferring);
}

TEST(HandOver, NeverGoesToADiskWithLessSpaceOrToASlowOne) {
  TestCluster c = Led();
  c.Step(1, SyncLatency{2'000'000, true});
  c.Step(2, DiskLow{DiskLevel::kLow});
  c.Step(3, DiskLow{DiskLevel::kFull});
  Tell(c);
  c.Step(1, MoveLeadership{});
  EXPECT_FALSE(c[1].status().soft.transferring);

  c.Step(1, SyncLatency{10'000, false});
  c.Step(1, DiskLow{DiskLevel::kLow});
  c.Step(2, DiskLow{});
  c.Step(2, SyncLatency{3'000'000, true});
  Tell(c);
  c.Step(1, MoveLeadership{});
  EXPECT_FALSE(c[1].status().soft.transferring);
}

TEST(HandOver, GoesToNobodyWhoIsNotHeardOf) {
  TestCluster c = Led();
  c.Isolate(2);
  c.Isolate(3);
  c.Step(1, DiskLow{DiskLevel::kLow});
  c.TickAll(Ticks(c[1].config.election_ticks) / 2);
  c.Heal();
  c.Isolate(3);
  Tell(c);
  c.Step(1, MoveLeadership{});
  c.Deliver();
  EXPECT_TRUE(c[2].leads());
}

// The leader's own sync hangs, so its vote and its log write never end; nothing of that is needed.
TEST(HandOver, WorksWhileTheLeadersOwnWritesHang) {
  TestCluster c = Led();
  Tell(c);
  c[1].hold_writes = true;
  EXPECT_EQ(Offer(c, kGrows), RejectReason::kNone);
  EXPECT_EQ(c[1].commit(), c[1].last()) << "the other two have it";
  c.Step(1, SyncLatency{2'000'000, true});
  c.Step(1, MoveLeadership{});
  c.Deliver();
  EXPECT_FALSE(c[1].leads());
  EXPECT_TRUE(c[2].leads() || c[3].leads());
}

TEST(HandOver, AnOperatorsTransferWithoutATargetPrefersSpace) {
  TestCluster c = Led();
  SetDisk(c, 2, DiskLevel::kLow);
  c.Step(1, Transfer{});
  c.Deliver();
  EXPECT_TRUE(c[3].leads());
}

}  // namespace
}  // namespace arima::raft
