#include "wal/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using env::Op;
using raft::Index;
using testing::HasSubstr;

class InspectTest : public testing::Test {
 protected:
  // Eight segments with entries 2 to 39.
  void Fill() {
    auto made = Wal::Create(fault_, TestOptions(), Point(1, 1), Hard(1, 0, 1));
    ASSERT_TRUE(made.has_value()) << made.error().message;
    wal_ = std::move(*made);
    for (uint64_t i = 2; i < 40; ++i) Append(i, i + 1);
  }
  void Append(uint64_t low, uint64_t high, bool sync = true) {
    const auto entries = MakeEntries(low, high, 1, 6000);
    Status done = wal_->Append({.hard_state = Hard(1, 1, low - 1), .entries = entries}, sync);
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  std::map<std::string, std::string> Content() {
    std::map<std::string, std::string> content;
    const auto names = mem_.List("/wal");
    for (const std::string& name : *names) {
      content[name] = *env::ReadFile(mem_, "/wal/" + name, 1 << 20);
    }
    return content;
  }
  // Both looks at the log, after which it must be as before.
  Status Check() {
    const auto before = Content();
    const uint64_t writes = fault_.count(Op::kWrite) + fault_.count(Op::kRename);
    auto options = OptionsOfLog(fault_, "/wal");
    EXPECT_TRUE(options.has_value()) << options.error().message;
    EXPECT_EQ(options->cluster_id, TestOptions().cluster_id);
    summaries_.clear();
    records_ = 0;
    LogVisitor visitor;
    visitor.record = [this](const Record&, uint64_t) { ++records_; };
    visitor.segment_end = [this](const FoundSegment&, const SegmentSummary& summary) {
      summaries_.push_back(summary);
    };
    Status walked = WalkLog(fault_, *options, visitor);
    EXPECT_TRUE(walked.has_value()) << walked.error().message;
    found_ = RecoveredLog();
    Status sound = CheckLog(fault_, *options, &found_);
    EXPECT_EQ(Content(), before);
    EXPECT_EQ(fault_.count(Op::kWrite) + fault_.count(Op::kRename), writes);
    return sound;
  }

  env::MemEnv mem_;
  env::FaultEnv fault_{mem_, 1};
  std::unique_ptr<Wal> wal_;
  RecoveredLog found_;
  std::vector<SegmentSummary> summaries_;
  uint64_t records_ = 0;
};

TEST_F(InspectTest, ASoundLogIsToldAsAStartFindsIt) {
  Fill();
  ASSERT_TRUE(wal_->CompactTo(Index(20)).has_value());
  ASSERT_TRUE(wal_->Append(std::span<const Batch>(), true).has_value());
  const uint64_t segments = wal_->Stats().segments;
  ASSERT_TRUE(wal_->Close().has_value());
  wal_.reset();
  // Released files still lie there under their names.
  Status sound = Check();
  ASSERT_TRUE(sound.has_value()) << sound.error().message;
  EXPECT_EQ(found_.ending, Ending::kClosed);
  EXPECT_THAT(found_.text, HasSubstr("entries 21 to 39"));
  EXPECT_GT(summaries_.size(), segments);
  uint64_t entries = 0;
  for (const SegmentSummary& summary : summaries_) {
    EXPECT_EQ(summary.problem, "");
    const bool newest = &summary == &summaries_.back();
    EXPECT_EQ(summary.sealed, newest ? std::nullopt : std::optional(summary.end));
    EXPECT_EQ(summary.last - summary.first + 1, summary.entries);
    entries += summary.entries;
  }
  EXPECT_EQ(entries, 38u);
  EXPECT_EQ(summaries_.back().last, Index(39));
  EXPECT_GT(records_, 2 * entries);

  RecoveredLog opened;
  ASSERT_TRUE(Wal::Open(fault_, TestOptions(), &opened).has_value());
  EXPECT_EQ(found_.snapshot_index, opened.snapshot_index);
  EXPECT_EQ(found_.last, opened.last);
  EXPECT_EQ(found_.hard_state, opened.hard_state);
}

TEST_F(InspectTest, AnUnfinishedWriteIsSound) {
  Fill();
  const uint64_t end = wal_->Stats().segments;
  Append(40, 41, false);
  wal_.reset();
  ASSERT_TRUE(Check().has_value());
  ASSERT_EQ(summaries_.size(), end);
  const uint64_t offset = summaries_.back().end - kFrameAlign;
  ASSERT_TRUE(mem_.FlipBit("/wal/" + SegmentName(end), offset, 0).has_value());
  Status sound = Check();
  ASSERT_TRUE(sound.has_value()) << sound.error().message;
  EXPECT_EQ(found_.ending, Ending::kTornTail);
  EXPECT_THAT(found_.text, HasSubstr("never acknowledged, is to be discarded"));
}

TEST_F(InspectTest, DamageIsToldWithFileOffsetAndNextStepAsAStartTellsIt) {
  Fill();
  wal_.reset();
  const std::string path = "/wal/" + SegmentName(2);
  ASSERT_TRUE(mem_.FlipBit(path, kFirstFrameOffset + kFrameAlign + 100, 3).has_value());
  Status sound = Check();
  ASSERT_FALSE(sound.has_value());
  EXPECT_EQ(sound.error().code, Code::kCorruption);
  EXPECT_THAT(sound.error().message, HasSubstr(path + " at byte 12288"));
  EXPECT_THAT(sound.error().message, HasSubstr("next step"));
  EXPECT_NE(summaries_[1].problem, "");
  EXPECT_EQ(summaries_[1].end, kFirstFrameOffset + kFrameAlign);
  EXPECT_EQ(summaries_[0].problem + summaries_[2].problem, "");
  RecoveredLog opened;
  auto refused = Wal::Open(fault_, TestOptions(), &opened);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, sound.error().message);
}

TEST_F(InspectTest, WithoutALogOrWithoutAHeaderThereIsOneClearError) {
  ASSERT_TRUE(mem_.MakeDir("/wal").has_value());
  EXPECT_EQ(OptionsOfLog(fault_, "/wal").error().code, Code::kNotFound);
  EXPECT_EQ(OptionsOfLog(fault_, "/none").error().code, Code::kNotFound);
  auto file = mem_.Open("/wal/" + SegmentName(1), env::OpenMode::kCreate);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE((*file)->Append(std::string(3 * kBlockBytes, 'x')).has_value());
  auto options = OptionsOfLog(fault_, "/wal");
  ASSERT_FALSE(options.has_value());
  EXPECT_EQ(options.error().code, Code::kCorruption);
  EXPECT_THAT(options.error().message, HasSubstr(SegmentName(1)));
}

}  // namespace
}  // namespace arima::wal
