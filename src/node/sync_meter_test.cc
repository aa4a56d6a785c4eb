#include "node/sync_meter.h"

#include <gtest/gtest.h>

#include "node/hand_over_pacer.h"

namespace arima::node {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kS = 1000 * kMs;

class SyncMeterTest : public testing::Test {
 protected:
  void Sync(uint64_t spent_ns, bool synced = true) {
    meter_.Begin(now_ns_);
    now_ns_ += spent_ns;
    meter_.End(now_ns_, synced);
  }
  SyncReading Read() { return meter_.Read(now_ns_); }

  SyncMeter meter_{2 * kS};
  uint64_t now_ns_ = 1;
};

TEST_F(SyncMeterTest, KnowsNothingAtFirst) {
  EXPECT_EQ(Read().latency_ns(), 0u);
  EXPECT_FALSE(Read().stalled);
}

TEST_F(SyncMeterTest, AHangShowsWhileItLasts) {
  Sync(5 * kMs);
  meter_.Begin(now_ns_);
  now_ns_ += 2 * kS - 1;
  EXPECT_FALSE(Read().stalled);
  now_ns_ += 1;
  EXPECT_TRUE(Read().stalled);
  EXPECT_EQ(Read().latency_ns(), 2 * kS);
  meter_.End(now_ns_, true);
  EXPECT_TRUE(Read().stalled) << "that it ended does not make it fast";
  Sync(5 * kMs);
  EXPECT_FALSE(Read().stalled);
  EXPECT_EQ(Read().latency_ns(), 5 * kMs) << "one outlier is not typical";
}

TEST_F(SyncMeterTest, ACrawlingDiskIsStalledAfterAFewSyncs) {
  for (int i = 0; i < 6; ++i) Sync(300 * kMs);
  EXPECT_FALSE(Read().stalled);
  Sync(300 * kMs);
  EXPECT_TRUE(Read().stalled);
  EXPECT_EQ(Read().latency_ns(), 300 * kMs);
}

TEST_F(SyncMeterTest, SlowSyncsAmongFastOnesAreNoStall) {
  for (int i = 0; i < 100; ++i) {
    Sync(1900 * kMs);
    EXPECT_FALSE(Read().stalled);
    Sync(199 * kMs);
  }
}

TEST_F(SyncMeterTest, TimeWithoutWritesDoesNotCount) {
  Sync(1900 * kMs);
  now_ns_ += 3600 * kS;
  EXPECT_FALSE(Read().stalled);
}

TEST_F(SyncMeterTest, AStallIsForgottenWhileNothingIsWrittenButNotByTheNextSlowSync) {
  Sync(5 * kS);
  now_ns_ += SyncMeter::kForgetNs - 1;
  EXPECT_TRUE(Read().stalled);
  now_ns_ += 1;
  EXPECT_FALSE(Read().stalled) << "or a node that is given no writes would stay so for ever";
  Sync(300 * kMs);
  EXPECT_TRUE(Read().stalled);
  meter_.Begin(now_ns_);
  now_ns_ += 2 * SyncMeter::kForgetNs;
  EXPECT_TRUE(Read().stalled) << "a hang is not forgotten";
}

TEST_F(SyncMeterTest, AWriteWithoutSyncCountsOnlyIfItIsSlow) {
  Sync(1900 * kMs);
  Sync(1 * kMs, false);
  EXPECT_FALSE(Read().stalled);
  Sync(300 * kMs, false);
  EXPECT_TRUE(Read().stalled) << "fast writes into memory prove nothing about the disk";
  EXPECT_EQ(Read().typical_ns, 1900 * kMs);
}

TEST_F(SyncMeterTest, WaitingForSpaceIsNotSlowness) {
  meter_.Begin(now_ns_);
  now_ns_ += 100 * kS;
  meter_.Cancel();
  EXPECT_FALSE(Read().stalled);
  EXPECT_EQ(Read().latency_ns(), 0u);
}

TEST(HandOverPacer, TheFirstIsDueAtOnceAndLaterOnesEverLess) {
  HandOverPacer pacer;
  uint64_t now_ns = 5;
  ASSERT_TRUE(pacer.Due(now_ns));
  for (uint64_t pause_ns : {30 * kS, 60 * kS, 120 * kS, 240 * kS, 480 * kS, 960 * kS, 960 * kS}) {
    pacer.Started(now_ns);
    EXPECT_FALSE(pacer.Due(now_ns + pause_ns - 1)) << pause_ns;
    now_ns += pause_ns;
    EXPECT_TRUE(pacer.Due(now_ns)) << pause_ns;
  }
}

TEST(HandOverPacer, BeginsAnewAfterAQuietTime) {
  HandOverPacer pacer;
  pacer.Started(0);
  pacer.Started(30 * kS);
  const uint64_t later_ns = 30 * kS + 60 * kS + HandOverPacer::kPauseNsMax;
  pacer.Started(later_ns);
  EXPECT_TRUE(pacer.Due(later_ns + 30 * kS));
}

}  // namespace
}  // namespace arima::node
