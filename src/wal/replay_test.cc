#include "wal/replay.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>

#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

// A frame as a reader would hand it out, with the records that `add` puts into it.
class OneFrame {
 public:
  explicit OneFrame(const std::function<void(FrameBuilder*)>& add) {
    bytes_.resize(kFirstFrameOffset);
    FrameBuilder builder(1, 7, {}, &bytes_);
    builder.Begin();
    add(&builder);
    builder.End(0, raft::Term(0));
  }
  Frame Get() const { return *FrameReader(bytes_, 1, 7).Read({}); }

 private:
  std::string bytes_;
};

Status Start(Replay* replay, const Checkpoint& checkpoint) {
  return replay->StartSegment(OneFrame([&](FrameBuilder* f) { f->Add(checkpoint); }).Get());
}

Record EntryRecord(uint64_t index, uint64_t term) {
  return {.type = RecordType::kEntry, .sub_type = 1, .index = index, .term = term};
}

Record CutRecord(uint64_t index, uint64_t term) {
  return {.type = RecordType::kTruncatePrefix, .index = index, .term = term};
}

// Entries 1 to 8 lie in segments that are gone; 9 follows, of term 3.
Replay WithMissingEntries() {
  Replay replay;
  EXPECT_TRUE(Start(&replay, {Point(0, 0), Point(8, 2), Hard(3, 0, 8)}));
  EXPECT_TRUE(replay.Apply(OneFrame([](FrameBuilder* f) { f->Add(EntryRecord(9, 3)); }).Get()));
  EXPECT_EQ(replay.missing(), raft::Index(8));
  return replay;
}

TEST(Replay, MissingEntriesAreForgivenWhenTheLogIsCutAboveThem) {
  Replay replay = WithMissingEntries();
  ASSERT_TRUE(replay.Apply(OneFrame([](FrameBuilder* f) { f->Add(CutRecord(8, 2)); }).Get()));
  EXPECT_EQ(replay.missing(), std::nullopt);
  EXPECT_EQ(replay.checkpoint().snapshot, Point(8, 2));
  EXPECT_EQ(replay.state().last(), raft::Index(9));
}

// What was accepted once would be refused after the restart that wrote it down.
TEST(Replay, ACutAmongMissingEntriesIsNotOfALaterTermThanWhatFollows) {
  Replay replay = WithMissingEntries();
  for (const Record& record : {CutRecord(8, 4), CutRecord(5, 3)}) {
    Status cut = replay.Apply(OneFrame([&](FrameBuilder* f) { f->Add(record); }).Get());
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code, Code::kCorruption);
  }
}

TEST(Replay, AnEntryThatReplacesMissingOnesIsNotOfATermBeforeTheLogsBeginning) {
  Replay replay;
  ASSERT_TRUE(Start(&replay, {Point(1, 2), Point(8, 2), Hard(3, 0, 8)}));
  EXPECT_FALSE(replay.Apply(OneFrame([](FrameBuilder* f) { f->Add(EntryRecord(5, 1)); }).Get()));
  replay.Restart();
  ASSERT_TRUE(Start(&replay, {Point(1, 2), Point(8, 2), Hard(3, 0, 5)}));
  EXPECT_TRUE(replay.Apply(OneFrame([](FrameBuilder* f) { f->Add(EntryRecord(5, 2)); }).Get()));
  EXPECT_EQ(replay.missing(), raft::Index(4));
}

}  // namespace
}  // namespace arima::wal
