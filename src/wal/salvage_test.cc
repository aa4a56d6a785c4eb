// What is saved of a damaged log: never a wrong entry, never less than is certain.
#include "wal/salvage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "wal/segment_files.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using env::MemEnv;
using raft::Entry;
using raft::Index;

class SalvageTest : public testing::Test {
 protected:
  static constexpr uint64_t kLast = 120;

  // Entries 2 to kLast of rising terms, one frame each, in several segments, overwritten here and
  // there; ends with a frame that holds an entry and a hard state.
  void Build() {
    auto made = Wal::Create(mem_, options_, Point(1, 1), Hard(1, 0, 1));
    ASSERT_TRUE(made) << made.error().message;
    auto append = [&](uint64_t low, uint64_t high, uint64_t term) {
      const auto entries = MakeEntries(low, high, term, 3000);
      const Batch batch{.hard_state = Hard(term, term % 3, low - 1), .entries = entries};
      ASSERT_TRUE((*made)->Append(batch, true));
      model_.Apply(batch);
    };
    for (uint64_t i = 2; i <= kLast; ++i) {
      append(i, i + 1, 1 + i / 20);
      // A later leader replaces the newest two.
      if (i % 20 == 18) append(i - 1, i + 1, 1 + i / 20);
    }
    ASSERT_TRUE((*made)->Close());
  }
  std::vector<FoundSegment> Active() {
    auto files = FindFiles(mem_, options_);
    std::erase_if(files->segments, [](const FoundSegment& segment) {
      return segment.state != FoundSegment::State::kActive;
    });
    return files->segments;
  }
  raft::EntryId BaseAt(uint64_t index) {
    return index == 1 ? model_.base : model_.entries[index - 2].id();
  }
  // What `target` holds; nothing if it is no log.
  std::vector<Entry> ReadTarget(MemEnv& disk, const Salvaged& salvaged) {
    WalOptions options = options_;
    options.dir = "/new";
    RecoveredLog found;
    auto wal = Wal::Open(disk, options, &found);
    EXPECT_TRUE(wal) << wal.error().message;
    if (!wal) return {};
    EXPECT_EQ(found.snapshot_index, salvaged.base.index);
    EXPECT_EQ(found.snapshot_term, salvaged.base.term);
    EXPECT_EQ(found.last, salvaged.last);
    EXPECT_EQ(found.hard_state, salvaged.hard_state);
    EXPECT_EQ(found.ending, Ending::kClosed);
    auto entries = (*wal)->Read(found.snapshot_index + 1, found.last + 1, UINT64_MAX);
    EXPECT_TRUE(entries) << entries.error().message;
    return entries ? *entries : std::vector<Entry>();
  }
  std::vector<Entry> Behind(uint64_t base, uint64_t last) {
    return {model_.entries.begin() + static_cast<ptrdiff_t>(base - 1),
            model_.entries.begin() + static_cast<ptrdiff_t>(last - 1)};
  }
  // kTail: all or nothing. True: all.
  bool TailIsWholeOrRefused(MemEnv& disk, uint64_t base) {
    auto tail = SalvageLog(disk, options_, BaseAt(base), SalvageMode::kTail, "/new");
    if (!tail) {
      EXPECT_EQ(tail.error().code, Code::kCorruption) << tail.error().message;
      return false;
    }
    EXPECT_EQ(tail->last, Index(kLast));
    EXPECT_EQ(tail->hard_state.term, model_.hard_state.term);
    EXPECT_EQ(tail->hard_state.vote, model_.hard_state.vote);
    EXPECT_EQ(ReadTarget(disk, *tail), Behind(base, kLast));
    return true;
  }
  // kPrefix: whatever it is, it is a beginning of the truth. Its length.
  uint64_t PrefixIsTrue(MemEnv& disk, uint64_t base) {
    auto prefix = SalvageLog(disk, options_, BaseAt(base), SalvageMode::kPrefix, "/new");
    EXPECT_TRUE(prefix) << prefix.error().message;
    if (!prefix) return 0;
    EXPECT_GT(prefix->hard_state.term, model_.hard_state.term);
    EXPECT_EQ(prefix->hard_state.vote, raft::MemberId());
    EXPECT_EQ(prefix->hard_state.commit <= prefix->last, true);
    const std::vector<Entry> entries = ReadTarget(disk, *prefix);
    // What was replaced later may stand where the replacement is lost.
    for (const Entry& entry : entries) {
      EXPECT_TRUE(std::ranges::find(written_, entry) != written_.end()) << entry.index.value;
    }
    return entries.size();
  }
  void NoteWritten() {
    auto files = Active();
    written_ = model_.entries;
    for (uint64_t i = 18; i <= kLast; i += 20) {
      for (const Entry& entry : MakeEntries(i - 1, i + 1, 1 + (i - 1) / 20, 3000)) {
        written_.push_back(entry);
      }
    }
  }

  MemEnv mem_;
  WalOptions options_ = TestOptions();
  Model model_;
  std::vector<Entry> written_;
};

TEST_F(SalvageTest, ASoundLogIsCopiedFromAnyPoint) {
  Build();
  for (uint64_t base : {1u, 2u, 50u, 119u, 120u}) {
    auto disk = mem_.Clone();
    EXPECT_TRUE(TailIsWholeOrRefused(*disk, base)) << base;
  }
}

TEST_F(SalvageTest, WithoutATargetNothingIsWritten) {
  Build();
  auto told = SalvageLog(mem_, options_, BaseAt(50), SalvageMode::kTail, "");
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(told->last, Index(kLast));
  EXPECT_FALSE(env::Exists(mem_, "/new").value_or(true));
}

TEST_F(SalvageTest, ALogThatEndsBeforeTheBaseIsRefused) {
  Build();
  auto tail = SalvageLog(mem_, options_, Point(kLast + 3, 9), SalvageMode::kTail, "/new");
  ASSERT_FALSE(tail);
  EXPECT_NE(tail.error().message.find("ends at entry 120"), std::string::npos);
}

TEST_F(SalvageTest, AnotherTermAtTheBaseIsRefused) {
  Build();
  auto tail = SalvageLog(mem_, options_, Point(50, 7), SalvageMode::kTail, "/new");
  ASSERT_FALSE(tail);
  EXPECT_NE(tail.error().message.find("another term"), std::string::npos);
}

TEST_F(SalvageTest, ABitFlipAnywhereNeverYieldsAWrongEntry) {
  Build();
  NoteWritten();
  SeededRandom random(5);
  int whole = 0;
  int refused = 0;
  for (const FoundSegment& segment : Active()) {
    const std::string bytes = *env::ReadFile(mem_, segment.path, 1 << 30);
    for (uint64_t offset = 0; offset < bytes.size(); offset += 2048) {
      if (bytes.substr(offset, 2048).find_first_not_of('\0') == std::string::npos) continue;
      SCOPED_TRACE(segment.path + " at " + std::to_string(offset));
      auto disk = mem_.Clone();
      ASSERT_TRUE(disk->FlipBit(segment.path, offset + random.Below(2048), 3));
      const uint64_t base = 1 + random.Below(kLast);
      (TailIsWholeOrRefused(*disk, base) ? whole : refused)++;
      PrefixIsTrue(*disk, base);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(whole, 20);
  EXPECT_GT(refused, 20);
}

// Where it is cut tells nothing about where the log ended.
TEST_F(SalvageTest, ACutFileNeverPassesForTheEndOfTheLog) {
  Build();
  NoteWritten();
  // One that stands ready behind the log, and all others.
  auto files = FindFiles(mem_, options_);
  int refused = 0;
  for (const FoundSegment& segment : files->segments) {
    for (uint64_t bytes = 0; bytes < segment.file_bytes; bytes += 4096) {
      SCOPED_TRACE(segment.path + " cut to " + std::to_string(bytes));
      auto disk = mem_.Clone();
      auto file = disk->Open(segment.path, env::OpenMode::kReadWrite);
      ASSERT_TRUE(file) << file.error().message;
      ASSERT_TRUE((*file)->Truncate(bytes));
      if (!TailIsWholeOrRefused(*disk, 100)) ++refused;
      PrefixIsTrue(*disk, 100);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(refused, 10);
}

// The point of it all: what the state machine holds need not be in the log.
TEST_F(SalvageTest, DamageBelowTheBaseCostsNothing) {
  Build();
  const auto segments = Active();
  ASSERT_GE(segments.size(), 4u);
  // In a sealed segment, its header, and the active one; behind all of it lie entries from here on.
  const uint64_t base = 118;
  const FoundSegment& sealed = segments[1];
  const FoundSegment& newest = segments.back();
  const std::vector<std::pair<std::string, uint64_t>> places = {
      {sealed.path, kFirstFrameOffset + 5000},
      {sealed.path, kActiveBlockOffset + 20},
      {newest.path, kFirstFrameOffset + kFrameAlign + 100}};
  for (const auto& [path, offset] : places) {
    SCOPED_TRACE(path + " at " + std::to_string(offset));
    auto disk = mem_.Clone();
    ASSERT_TRUE(disk->FlipBit(path, offset, 1));
    EXPECT_TRUE(TailIsWholeOrRefused(*disk, base));
  }
  auto disk = mem_.Clone();
  ASSERT_TRUE(disk->Unlink(sealed.path));
  EXPECT_TRUE(TailIsWholeOrRefused(*disk, base));
}

TEST_F(SalvageTest, WithTheEndDamagedTheVoteIsUnknownSoTheTailIsRefused) {
  Build();
  const FoundSegment newest = Active().back();
  const std::string bytes = *env::ReadFile(mem_, newest.path, 1 << 30);
  // The payload of the last frame with an entry; only the shutdown mark follows.
  const size_t at = bytes.rfind("entry 120");
  ASSERT_NE(at, std::string::npos);
  ASSERT_TRUE(mem_.FlipBit(newest.path, at, 1));
  EXPECT_FALSE(TailIsWholeOrRefused(mem_, kLast));
  NoteWritten();
  EXPECT_EQ(PrefixIsTrue(mem_, 100), 19u);
  EXPECT_EQ(PrefixIsTrue(mem_, kLast), 0u);
}

TEST_F(SalvageTest, ThePrefixEndsAtTheFirstDamage) {
  Build();
  NoteWritten();
  bool found = false;
  for (const FoundSegment& segment : Active()) {
    const std::string bytes = *env::ReadFile(mem_, segment.path, 1 << 30);
    const size_t at = bytes.find("entry 45 ");
    if (at == std::string::npos) continue;
    found = true;
    ASSERT_TRUE(mem_.FlipBit(segment.path, at, 1));
  }
  ASSERT_TRUE(found);
  EXPECT_EQ(PrefixIsTrue(mem_, 40), 4u);
  EXPECT_EQ(PrefixIsTrue(mem_, 60), 0u) << "nothing behind the damage is taken for the beginning";
  EXPECT_TRUE(TailIsWholeOrRefused(mem_, 45));
  EXPECT_FALSE(TailIsWholeOrRefused(mem_, 44));
}

TEST_F(SalvageTest, WithoutAnyLogThePrefixIsEmpty) {
  auto prefix = SalvageLog(mem_, options_, Point(7, 3), SalvageMode::kPrefix, "/new");
  ASSERT_TRUE(prefix) << prefix.error().message;
  EXPECT_EQ(prefix->last, Index(7));
  EXPECT_TRUE(ReadTarget(mem_, *prefix).empty());
  EXPECT_FALSE(SalvageLog(mem_, options_, Point(7, 3), SalvageMode::kTail, "/new"));
}

TEST_F(SalvageTest, ALogOfAnotherNodeIsRefused) {
  Build();
  options_.incarnation.bytes.fill(0x77);
  auto tail = SalvageLog(mem_, options_, BaseAt(50), SalvageMode::kTail, "/new");
  ASSERT_FALSE(tail);
  EXPECT_EQ(tail.error().code, Code::kConflict);
}

}  // namespace
}  // namespace arima::wal
