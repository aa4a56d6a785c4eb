#include "wal/segment_preparer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "wal/format.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using env::Op;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kBytes = kSegmentBytesMin;

class SegmentPreparerTest : public testing::Test {
 protected:
  SegmentPreparerTest() { EXPECT_TRUE(env::MakeDirs(mem_, "/wal").has_value()); }

  SegmentPreparer Make(uint64_t next_seq, std::vector<uint64_t> free_files = {}) {
    return SegmentPreparer(fault_,
                           {"/wal", Uuid{}, Uuid{}, kBytes, /*free_segments_min=*/1,
                            /*free_segments_max=*/2, SeededSalt(1)},
                           next_seq, free_files);
  }
  std::vector<std::string> Names() { return *mem_.List("/wal"); }
  SegmentHeader Block0(uint64_t seq) {
    const std::string bytes = *env::ReadFile(mem_, "/wal/" + SegmentName(seq), 1 << 20);
    return *DecodeSegmentHeader(std::string_view(bytes).substr(0, kBlockBytes));
  }

  env::MemEnv mem_;
  env::FaultEnv fault_{mem_, 1};
};

TEST_F(SegmentPreparerTest, OneCallDoesOneStepUntilNothingIsLeft) {
  auto preparer = Make(5);
  EXPECT_EQ(*preparer.PrepareOne(), true);
  EXPECT_THAT(Names(), ElementsAre(SegmentName(5)));
  EXPECT_EQ(*preparer.PrepareOne(), true);
  EXPECT_EQ(Names().size(), 2u);
  EXPECT_EQ(preparer.ready(), 2u);
  EXPECT_EQ(*preparer.PrepareOne(), false);
}

TEST_F(SegmentPreparerTest, PreparedSegmentIsDurableBeforeItHasItsName) {
  auto preparer = Make(5);
  fault_.SetObserver([&](Op op, const std::string&) {
    if (op != Op::kRename) return;
    EXPECT_THAT(mem_.DirtySectors(), IsEmpty());
  });
  ASSERT_TRUE(preparer.PrepareOne().has_value());
  EXPECT_EQ(mem_.PendingDirChanges(), 0u);
  EXPECT_EQ(Block0(5).kind, BlockKind::kPrepared);
  EXPECT_EQ(Block0(5).seq, 5u);
  EXPECT_EQ(mem_.Stat("/wal/" + SegmentName(5))->bytes, kBytes);
}

TEST_F(SegmentPreparerTest, TakeHandsOutThePreparedSegmentWithoutIo) {
  auto preparer = Make(5);
  ASSERT_TRUE(preparer.PrepareOne().has_value());
  const uint64_t writes = fault_.count(Op::kWrite);
  bool made_inline = true;
  auto segment = *preparer.Take(5, kBytes, &made_inline);
  EXPECT_FALSE(made_inline);
  EXPECT_EQ(segment->seq, 5u);
  EXPECT_EQ(segment->salt, Block0(5).salt);
  EXPECT_EQ(fault_.count(Op::kWrite), writes);
}

TEST_F(SegmentPreparerTest, TakeMakesTheSegmentWhenNoneIsReady) {
  auto preparer = Make(5);
  bool made_inline = false;
  EXPECT_EQ((*preparer.Take(5, kBytes, &made_inline))->seq, 5u);
  EXPECT_TRUE(made_inline);
  EXPECT_EQ((*preparer.Take(6, kBytes, &made_inline))->seq, 6u);
}

TEST_F(SegmentPreparerTest, TakeReplacesAPreparedSegmentThatIsTooSmall) {
  auto preparer = Make(5);
  ASSERT_TRUE(preparer.PrepareOne().has_value());
  bool made_inline = false;
  auto segment = *preparer.Take(5, kBytes + 1, &made_inline);
  EXPECT_TRUE(made_inline);
  EXPECT_EQ(segment->bytes, kBytes + kBlockBytes);
  EXPECT_EQ(mem_.Stat("/wal/" + SegmentName(5))->bytes, kBytes + kBlockBytes);
}

TEST_F(SegmentPreparerTest, EachUseOfAFileHasItsOwnSalt) {
  auto preparer = Make(1);
  bool made_inline = false;
  auto first = *preparer.Take(1, kBytes, &made_inline);
  const uint64_t salt = first->salt;
  preparer.Release(std::move(first));
  auto second = *preparer.Take(2, kBytes, &made_inline);
  EXPECT_EQ(Names().size(), 1u) << "the same file";
  EXPECT_NE(second->salt, salt);
}

TEST_F(SegmentPreparerTest, ReleasedSegmentWaitsForItsReaders) {
  auto preparer = Make(1);
  bool made_inline = false;
  auto segment = *preparer.Take(1, kBytes, &made_inline);
  auto reader = segment;
  preparer.Release(std::move(segment));
  while (*preparer.PrepareOne()) {
  }
  EXPECT_TRUE(*env::Exists(mem_, "/wal/" + SegmentName(1)));
  reader.reset();
  EXPECT_EQ(*preparer.PrepareOne(), true);
  EXPECT_FALSE(*env::Exists(mem_, "/wal/" + SegmentName(1)));
}

TEST_F(SegmentPreparerTest, RecycledFileCannotComeBackUnderItsOldName) {
  auto preparer = Make(1);
  bool made_inline = false;
  preparer.Release(*preparer.Take(1, kBytes, &made_inline));
  fault_.SetObserver([&](Op op, const std::string& path) {
    if (op == Op::kWrite) {
      EXPECT_EQ(mem_.PendingDirChanges(), 0u) << path;
    }
  });
  ASSERT_TRUE(preparer.Take(2, kBytes, &made_inline).has_value());
}

TEST_F(SegmentPreparerTest, FreeFilesOfAnotherSizeAreDeleted) {
  for (uint64_t number : {3u, 4u}) {
    auto file = std::move(*mem_.Open("/wal/" + FreeName(number), env::OpenMode::kCreate));
    ASSERT_TRUE(file->WriteAt(0, std::string(number == 3 ? 1000 : kBytes, 'x')).has_value());
  }
  auto preparer = Make(1, {3, 4});
  ASSERT_TRUE(preparer.PrepareOne().has_value());
  EXPECT_THAT(Names(), ElementsAre(SegmentName(1)));
}

TEST_F(SegmentPreparerTest, FullDiskLeavesNothingBehind) {
  mem_.SetCapacity(kBytes + kBytes / 2);
  auto preparer = Make(1);
  ASSERT_TRUE(preparer.PrepareOne().has_value());
  EXPECT_EQ(preparer.PrepareOne().error().code, Code::kDiskFull);
  EXPECT_THAT(Names(), ElementsAre(SegmentName(1)));
  EXPECT_EQ(preparer.ready(), 1u);
  mem_.SetCapacity(UINT64_MAX);
  EXPECT_EQ(*preparer.PrepareOne(), true);
}

// Others on the same disk need what is left of it.
TEST_F(SegmentPreparerTest, WhatCannotFitIsNotBegun) {
  auto preparer = Make(1);
  ASSERT_TRUE(preparer.PrepareOne().has_value());
  mem_.SetCapacity(kBytes + kBytes / 2);
  const uint64_t before = fault_.count(Op::kWrite);
  auto worked = preparer.PrepareOne();
  ASSERT_FALSE(worked);
  EXPECT_EQ(worked.error().code, Code::kDiskFull) << worked.error().ToString();
  EXPECT_EQ(fault_.count(Op::kWrite), before);
}

TEST_F(SegmentPreparerTest, HelperAndWriterShareTheWork) {
  auto preparer = Make(1);
  std::atomic<bool> stop = false;
  std::thread helper([&] {
    while (!stop) EXPECT_TRUE(preparer.PrepareOne().has_value());
  });
  for (uint64_t seq = 1; seq <= 300; ++seq) {
    bool made_inline = false;
    auto segment = preparer.Take(seq, kBytes, &made_inline);
    ASSERT_TRUE(segment.has_value()) << segment.error().message;
    EXPECT_EQ((*segment)->seq, seq);
    EXPECT_EQ(Block0(seq).salt, (*segment)->salt);
    preparer.Release(std::move(*segment));
  }
  stop = true;
  helper.join();
}

}  // namespace
}  // namespace arima::wal
