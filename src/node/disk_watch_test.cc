#include "node/disk_watch.h"

#include <gtest/gtest.h>

#include <thread>

#include "env/fault_env.h"
#include "env/mem_env.h"
#include "testing/wait_until.h"

namespace arima::node {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;

TEST(EffectiveReserve, IsAtMostATenthOfTheDisk) {
  EXPECT_EQ(EffectiveReserve(512 * kMiB, 100 * kGiB), 512 * kMiB);
  EXPECT_EQ(EffectiveReserve(512 * kMiB, 200 * kMiB), 20 * kMiB);
  EXPECT_EQ(EffectiveReserve(0, 100 * kGiB), 0u);
}

TEST(IsDiskLow, HasHysteresis) {
  EXPECT_FALSE(IsDiskLow(false, 100, 100));
  EXPECT_TRUE(IsDiskLow(false, 99, 100));
  EXPECT_TRUE(IsDiskLow(true, 124, 100));
  EXPECT_FALSE(IsDiskLow(true, 125, 100));
  EXPECT_FALSE(IsDiskLow(true, 0, 0)) << "without a reserve it is never low";
}

class DiskWatchTest : public testing::Test {
 protected:
  DiskWatchTest() { EXPECT_TRUE(env_.MakeDir("v")); }

  // One look at a disk of 100 GiB with so much free.
  DiskFigures Look(uint64_t free_bytes) {
    env_.SetSpace(env::DiskSpace{free_bytes, 100 * kGiB});
    watch_.Look();
    return watch_.figures();
  }
  uint64_t BallastOnDisk() {
    auto info = disk_.Stat("v/ballast");
    return info ? info->bytes : 0;
  }

  env::MemEnv disk_;
  env::FaultEnv env_{disk_, 1};
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
  DiskWatch watch_{&env_, "v", 400 * kMiB, &logger_};
};

TEST_F(DiskWatchTest, SaysWhenTheReserveIsTouchedAndWhenNoMore) {
  EXPECT_FALSE(Look(400 * kMiB).low);
  EXPECT_TRUE(Look(399 * kMiB).low);
  EXPECT_TRUE(Look(499 * kMiB).low);
  EXPECT_FALSE(Look(500 * kMiB).low);
}

TEST(FitToReserve, OnASmallDiskSegmentsAndWriteBuffersAreSmaller) {
  EXPECT_EQ(FitToReserve(64 * kMiB, 512 * kMiB), 64 * kMiB);
  EXPECT_EQ(FitToReserve(64 * kMiB, 57 * kMiB), 11 * kMiB);
  EXPECT_EQ(FitToReserve(64 * kMiB, kMiB), kMiB) << "not ever smaller than this";
  EXPECT_EQ(FitToReserve(64 << 10, kMiB), 64u << 10) << "but where that is wanted";
  EXPECT_EQ(FitToReserve(64 * kMiB, 0), 64 * kMiB) << "no reserve is wanted";
}

TEST(FitToReserve, ADiskIsLowBeforeItsLogIsFull) {
  for (uint64_t reserve = 20 * kMiB; reserve < kGiB; reserve += kMiB) {
    const uint64_t piece = FitToReserve(64 * kMiB, reserve);
    ASSERT_LE(piece + FlushBytes(3 * piece), reserve);
  }
}

TEST_F(DiskWatchTest, TextNamesPathSpaceAndFlag) {
  Look(12 * kMiB);
  EXPECT_EQ(watch_.Describe(), "v has 12 MiB of 100 GiB free, --disk-reserve keeps 400 MiB");
}

TEST_F(DiskWatchTest, BallastIsHeldWhileThereIsSpace) {
  const DiskFigures figures = Look(kGiB);
  EXPECT_EQ(figures.ballast_bytes, 64 * kMiB);
  EXPECT_EQ(BallastOnDisk(), 64 * kMiB);
  EXPECT_EQ(figures.free_bytes, kGiB - 64 * kMiB) << "it counts as used";
}

TEST_F(DiskWatchTest, BallastIsNotMadeIfTheDiskIsLowWithIt) {
  EXPECT_EQ(Look(560 * kMiB).ballast_bytes, 0u);
  EXPECT_EQ(Look(564 * kMiB).ballast_bytes, 64 * kMiB);
}

TEST_F(DiskWatchTest, BallastIsGivenUpWhenTheDiskIsFullAndComesBackWithSpace) {
  Look(kGiB);
  EXPECT_EQ(Look(64 * kMiB).ballast_bytes, 64 * kMiB) << "low, but not full";
  EXPECT_EQ(Look(63 * kMiB).ballast_bytes, 0u);
  EXPECT_EQ(BallastOnDisk(), 0u);
  EXPECT_EQ(Look(127 * kMiB).ballast_bytes, 0u);
  EXPECT_EQ(Look(kGiB).ballast_bytes, 64 * kMiB);
}

TEST_F(DiskWatchTest, WithoutReserveThereIsNoBallastAndAnOldOneGoes) {
  Look(kGiB);
  DiskWatch none(&env_, "v", 0, &logger_);
  none.Look();
  EXPECT_EQ(BallastOnDisk(), 0u);
  env_.SetSpace(env::DiskSpace{0, 100 * kGiB});
  none.Look();
  EXPECT_FALSE(none.low());
}

TEST_F(DiskWatchTest, AnUnfinishedBallastIsCompleted) {
  auto file = env_.Open("v/ballast", env::OpenMode::kCreate);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->Allocate(kMiB));
  EXPECT_EQ(Look(kGiB).ballast_bytes, 64 * kMiB);
  EXPECT_EQ(BallastOnDisk(), 64 * kMiB);
}

TEST_F(DiskWatchTest, TheThreadSeesTheDiskChange) {
  Look(kGiB);
  watch_.Start();
  env_.SetSpace(env::DiskSpace{kMiB, 100 * kGiB});
  WaitUntil([&] { return watch_.low(); });
  env_.SetSpace(env::DiskSpace{kGiB, 100 * kGiB});
  WaitUntil([&] { return !watch_.low(); });
  watch_.Stop();
}

}  // namespace
}  // namespace arima::node
