#include "raft/progress.h"

#include <gtest/gtest.h>

namespace arima::raft {
namespace {

Config SmallWindow() {
  Config config;
  config.max_inflight_msgs = 3;
  config.max_inflight_bytes = 100;
  config.max_msg_bytes = 100;
  return config;
}

Progress Peer(uint64_t match, uint64_t next) {
  Progress p(MemberId(2), Index(next), SmallWindow());
  p.match = Index(match);
  return p;
}

TEST(Inflights, AreFullByCount) {
  Inflights in(2, 1000);
  in.Add(Index(5), 1);
  EXPECT_FALSE(in.Full());
  in.Add(Index(6), 1);
  EXPECT_TRUE(in.Full());
}

TEST(Inflights, AreFullOnceTheBytesReachTheLimitSoOneMessageMayExceedIt) {
  Inflights in(10, 100);
  in.Add(Index(5), 500);
  EXPECT_TRUE(in.Full());
  EXPECT_EQ(in.bytes(), 500u);
}

TEST(Inflights, AnAcknowledgementFreesEverythingUpToIt) {
  Inflights in(3, 1000);
  for (uint64_t i : {5u, 6u, 7u}) in.Add(Index(i), 10);
  in.FreeTo(Index(4));
  EXPECT_EQ(in.count(), 3u);
  in.FreeTo(Index(6));
  EXPECT_EQ(in.count(), 1u);
  EXPECT_EQ(in.bytes(), 10u);
  EXPECT_EQ(in.At(0).last, Index(7));
  in.FreeTo(Index(100));
  EXPECT_EQ(in.count(), 0u);
}

TEST(Inflights, TheRingGoesRoundAndGrowsWithoutLosingItsOrder) {
  Inflights in(100, 1 << 20);
  uint64_t next = 1;
  uint64_t oldest = 1;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 7 && !in.Full(); ++i) in.Add(Index(next++), 1);
    for (int i = 0; i < 5; ++i) in.FreeTo(Index(oldest++));
    ASSERT_EQ(in.count(), next - oldest);
    for (uint32_t i = 0; i < in.count(); ++i) ASSERT_EQ(in.At(i).last, Index(oldest + i));
  }
}

TEST(Inflights, ThePeersWishLowersTheLimitButNeverRaisesIt) {
  Inflights in(10, 100);
  in.LimitBytes(20);
  in.Add(Index(5), 20);
  EXPECT_TRUE(in.Full());
  in.LimitBytes(1000);
  EXPECT_FALSE(in.Full());
  in.Add(Index(6), 80);
  EXPECT_TRUE(in.Full());
}

TEST(Inflights, ResetForgetsEverything) {
  Inflights in(2, 100);
  in.Add(Index(5), 1);
  in.Reset();
  EXPECT_EQ(in.count(), 0u);
  EXPECT_EQ(in.bytes(), 0u);
}

TEST(Progress, ProbingSendsOneMessageAndWaits) {
  Progress p = Peer(0, 5);
  EXPECT_FALSE(p.IsPaused());
  p.SentEntries(3, 10);
  EXPECT_TRUE(p.IsPaused());
  EXPECT_EQ(p.next, Index(5)) << "a probe moves nothing";
}

TEST(Progress, ReplicationMovesNextAheadUntilTheWindowIsFull) {
  Progress p = Peer(4, 5);
  p.BecomeReplicate();
  p.SentEntries(2, 10);
  p.SentEntries(1, 10);
  EXPECT_EQ(p.next, Index(8));
  EXPECT_FALSE(p.IsPaused());
  p.SentEntries(1, 10);
  EXPECT_TRUE(p.IsPaused());
}

TEST(Progress, AnAcknowledgementRaisesMatchAndNext) {
  Progress p = Peer(3, 4);
  EXPECT_TRUE(p.Acked(Index(6)));
  EXPECT_EQ(p.match, Index(6));
  EXPECT_EQ(p.next, Index(7));
  EXPECT_FALSE(p.Acked(Index(5))) << "old news";
  EXPECT_EQ(p.match, Index(6));
}

TEST(Progress, ARejectedProbeMovesNextToTheHint) {
  Progress p = Peer(0, 10);
  p.SentEntries(1, 1);
  EXPECT_TRUE(p.Rejected(Index(9), Index(4)));
  EXPECT_EQ(p.next, Index(5));
  EXPECT_FALSE(p.IsPaused());
}

TEST(Progress, ARejectedProbeNeverGoesUpOrBelowMatch) {
  Progress p = Peer(3, 10);
  EXPECT_TRUE(p.Rejected(Index(9), Index(50)));
  EXPECT_EQ(p.next, Index(9));
  EXPECT_TRUE(p.Rejected(Index(8), Index(0)));
  EXPECT_EQ(p.next, Index(4));
}

TEST(Progress, ARejectionOfAnotherProbeIsOutOfDate) {
  Progress p = Peer(0, 10);
  EXPECT_FALSE(p.Rejected(Index(5), Index(2)));
  EXPECT_EQ(p.next, Index(10));
}

TEST(Progress, ARejectionWhileReplicatingFallsBackToMatch) {
  Progress p = Peer(4, 5);
  p.BecomeReplicate();
  p.SentEntries(5, 1);
  EXPECT_TRUE(p.Rejected(Index(9), Index(7)));
  EXPECT_EQ(p.state, ProgressState::kProbe);
  EXPECT_EQ(p.next, Index(5));
  EXPECT_EQ(p.inflights.count(), 0u);
}

TEST(Progress, ARejectionAtOrBelowMatchIsOutOfDate) {
  Progress p = Peer(4, 5);
  p.BecomeReplicate();
  EXPECT_FALSE(p.Rejected(Index(4), Index(0)));
  EXPECT_EQ(p.state, ProgressState::kReplicate);
}

TEST(Progress, AfterASnapshotTheProbeStartsAboveIt) {
  Progress p = Peer(2, 3);
  p.BecomeSnapshot();
  EXPECT_TRUE(p.IsPaused());
  p.pending_snapshot = Index(20);
  p.BecomeProbe();
  EXPECT_EQ(p.next, Index(21));
  EXPECT_FALSE(p.pending_snapshot);
}

TEST(Progress, NextNeverGoesBackToZeroWhenASnapshotIsRetried) {
  Progress p = Peer(2, 3);
  p.BecomeSnapshot();
  p.BecomeProbe();  // it could not be made
  EXPECT_EQ(p.next, Index(3));
}

TEST(Progress, ALoadInProgressAndADamagedLogStopSending) {
  Progress p = Peer(2, 3);
  p.loading = true;
  EXPECT_TRUE(p.IsPaused());
  p.loading = false;
  p.damaged = true;
  EXPECT_TRUE(p.IsPaused());
}

TEST(Progress, HasCaughtUpWhenARoundEndsWithinOneTimeout) {
  Progress p = Peer(0, 1);
  p.StartCatchUp(Index(10), 1000);
  EXPECT_FALSE(p.CaughtUp(1000, 100));
  p.match = Index(10);
  p.UpdateCatchUp(Index(15), 1500, 100);  // slow round
  EXPECT_FALSE(p.CaughtUp(1500, 100));
  p.match = Index(15);
  p.UpdateCatchUp(Index(16), 1550, 100);  // fast round
  EXPECT_TRUE(p.CaughtUp(1550, 100));
  EXPECT_TRUE(p.CaughtUp(1650, 100));
  EXPECT_FALSE(p.CaughtUp(1651, 100)) << "the next round takes too long";
}

}  // namespace
}  // namespace arima::raft
