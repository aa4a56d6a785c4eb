// What recovery does with a log whose frames are sound and contradict each other, and when an
// operation of its own fails: it says what and where, changes nothing that counts, and never takes
// for a log what is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "wal/format.h"
#include "wal/frame.h"
#include "wal/salvage.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using env::MemEnv;
using env::Op;
using raft::EntryKind;
using raft::Index;
using testing::HasSubstr;

constexpr uint64_t kSalt = 7;

Checkpoint Start() { return {Point(1, 1), Point(1, 1), Hard(1, 0, 1)}; }

Record EntryRecord(uint64_t index, uint64_t term) {
  static const std::string kBody = "some data";
  return {.type = RecordType::kEntry,
          .sub_type = static_cast<uint8_t>(EntryKind::kCommand),
          .index = index,
          .term = term,
          .checksum = raft::EntryChecksum(EntryKind::kCommand, kBody),
          .body = kBody};
}

Record CutRecord(uint64_t index, uint64_t term) {
  return {.type = RecordType::kTruncatePrefix, .index = index, .term = term};
}

// Writes segments that no writer of this program would write, with right checksums.
class Forger {
 public:
  using Fill = std::function<void(FrameBuilder*)>;

  explicit Forger(MemEnv* mem) : mem_(*mem) {
    EXPECT_TRUE(mem_.MakeDir("/wal"));
    NextSegment();
  }
  // A frame that attests the log up to `attested`.
  Forger& Frame(const Fill& fill, uint64_t attested = 0) {
    FrameBuilder builder(header_.seq, kSalt, cursor_, &frames_);
    builder.Begin();
    fill(&builder);
    builder.End(attested, raft::Term(1));
    cursor_ = builder.cursor();
    return *this;
  }
  Forger& Checkpoint(const wal::Checkpoint& checkpoint) {
    return Frame([&](FrameBuilder* f) { f->Add(checkpoint); });
  }
  Forger& Roll() {
    Write();
    header_.previous_seq = header_.seq;
    header_.previous_length = cursor_.offset;
    header_.previous_chain = cursor_.chain;
    NextSegment();
    return *this;
  }
  void Write() {
    std::string bytes;
    for (BlockKind kind : {BlockKind::kPrepared, BlockKind::kActive}) {
      SegmentHeader header = header_;
      header.kind = kind;
      if (kind == BlockKind::kPrepared) {
        header = SegmentHeader{.cluster_id = header_.cluster_id,
                               .incarnation = header_.incarnation,
                               .seq = header_.seq,
                               .salt = kSalt,
                               .segment_bytes = header_.segment_bytes};
      }
      bytes += EncodeSegmentHeader(header);
    }
    bytes += frames_;
    bytes.resize(kSegmentBytesMin);
    auto file = mem_.Open("/wal/" + SegmentName(header_.seq), env::OpenMode::kCreate);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->WriteAt(0, bytes));
    ASSERT_TRUE((*file)->Sync());
    ASSERT_TRUE(mem_.SyncDir("/wal"));
  }

 private:
  void NextSegment() {
    const WalOptions options = TestOptions();
    header_.cluster_id = options.cluster_id;
    header_.incarnation = options.incarnation;
    header_.salt = kSalt;
    header_.segment_bytes = kSegmentBytesMin;
    header_.reason = header_.seq == 0 ? SegmentReason::kCreated : SegmentReason::kRoll;
    header_.first_frame = cursor_.number;
    ++header_.seq;
    header_.attested = Position{header_.seq, kFirstFrameOffset}.Pack();
    cursor_.offset = kFirstFrameOffset;
    frames_.clear();
  }

  MemEnv& mem_;
  SegmentHeader header_;
  FrameCursor cursor_;
  std::string frames_;
};

// Opened, it is corrupt for this reason, and is left as it is.
void ExpectCorrupt(MemEnv* mem, const std::string& why) {
  const auto files = *mem->List("/wal");
  RecoveredLog found;
  auto wal = Wal::Open(*mem, TestOptions(), &found);
  ASSERT_FALSE(wal) << found.text;
  EXPECT_EQ(wal.error().code, Code::kCorruption) << wal.error().message;
  EXPECT_THAT(wal.error().message, HasSubstr(why));
  EXPECT_THAT(wal.error().message, HasSubstr("next step"));
  EXPECT_TRUE(found.damage.has_value());
  EXPECT_EQ(*mem->List("/wal"), files);
}

TEST(WalForged, WhatTheForgerWritesIsALogWhereItIsSound) {
  MemEnv mem;
  Forger(&mem)
      .Checkpoint(Start())
      .Frame([](FrameBuilder* f) { f->Add(EntryRecord(2, 1)); })
      .Roll()
      .Checkpoint({Point(1, 1), Point(2, 1), Hard(1, 0, 1)})
      .Frame([](FrameBuilder* f) { f->Add(EntryRecord(3, 1)); })
      .Write();
  RecoveredLog found;
  auto wal = Wal::Open(mem, TestOptions(), &found);
  ASSERT_TRUE(wal) << wal.error().message;
  EXPECT_EQ(found.last, Index(3));
  EXPECT_EQ((*wal)->Read(Index(2), Index(4), UINT64_MAX)->size(), 2u);
}

TEST(WalForged, FramesThatContradictTheLogAreCorruptionWithTheReason) {
  struct Case {
    Forger::Fill fill;
    std::string why;
  };
  const Record conf = {.type = RecordType::kEntry,
                       .sub_type = static_cast<uint8_t>(EntryKind::kConf),
                       .index = 2,
                       .term = 1,
                       .checksum = 1,
                       .body = "changed"};
  const Case cases[] = {
      {[](FrameBuilder* f) { f->Add(EntryRecord(3, 1)); },
       "entry 3 does not continue a log of (1, 1]"},
      {[](FrameBuilder* f) { f->Add(EntryRecord(1, 1)); },
       "entry 1 does not continue a log of (1, 1]"},
      {[](FrameBuilder* f) {
         f->Add(Hard(3, 0, 1));
         f->Add(EntryRecord(2, 3));
         f->Add(EntryRecord(3, 2));
       },
       "entry 3 has term 2, below that of the entry before"},
      {[](FrameBuilder* f) { f->Add(EntryRecord(2, 5)); },
       "hard state of term 1 is below the last entry's term 5"},
      {[](FrameBuilder* f) { f->Add(Hard(1, 0, 9)); }, "commit 9 is beyond the last entry 1"},
      {[](FrameBuilder* f) { f->Add(CutRecord(5, 1)); },
       "log is cut at 5 of term 1, which it does not hold"},
      {[](FrameBuilder* f) {
         f->Add(EntryRecord(2, 1));
         f->Add(CutRecord(2, 4));
       },
       "log is cut at 2 of term 4, which it does not hold"},
      {[](FrameBuilder* f) { f->Add(CutRecord(0, 0)); }, "the log is cut below its beginning"},
      {[](FrameBuilder* f) { f->Add(Start()); }, "a checkpoint amid a segment"},
      {[&](FrameBuilder* f) { f->Add(conf); }, "checksum of configuration entry 2 does not match"},
      {[](FrameBuilder* f) {
         f->Add({.type = RecordType::kHardState, .index = 1, .term = 1, .body = "short"});
       },
       "hard state has a wrong size"},
  };
  for (const Case& t : cases) {
    SCOPED_TRACE(t.why);
    MemEnv mem;
    Forger(&mem).Checkpoint(Start()).Frame(t.fill).Write();
    ExpectCorrupt(&mem, t.why);
  }
}

TEST(WalForged, ASegmentThatDoesNotBeginWithOneCheckpointIsCorrupt) {
  struct Case {
    Forger::Fill fill;
    std::string why;
  };
  const Case cases[] = {
      {[](FrameBuilder* f) { f->Add(EntryRecord(2, 1)); }, "the first frame is not a checkpoint"},
      {[](FrameBuilder* f) {
         f->Add(Start());
         f->Add(Start());
       },
       "the first frame is not a checkpoint"},
      {[](FrameBuilder* f) {
         f->Add({.type = RecordType::kCheckpoint, .index = 1, .term = 1, .body = "short"});
       },
       "checkpoint has a wrong size"},
      {[](FrameBuilder* f) { f->Add({.type = RecordType::kAttest}); },
       "the first frame is not a checkpoint"},
  };
  for (const Case& t : cases) {
    SCOPED_TRACE(t.why);
    MemEnv mem;
    Forger(&mem).Frame(t.fill).Write();
    ExpectCorrupt(&mem, t.why);
  }
  MemEnv mem;
  Forger(&mem).Write();  // no frame at all
  ExpectCorrupt(&mem, "its checkpoint was never finished");
}

TEST(WalForged, ACheckpointThatDisagreesWithTheSegmentsBeforeIsCorrupt) {
  for (const Checkpoint& wrong :
       {Checkpoint{Point(1, 1), Point(3, 1), Hard(1, 0, 1)},     // one entry more
        Checkpoint{Point(1, 1), Point(2, 2), Hard(2, 0, 1)}}) {  // of another term
    MemEnv mem;
    Forger(&mem)
        .Checkpoint(Start())
        .Frame([](FrameBuilder* f) { f->Add(EntryRecord(2, 1)); })
        .Roll()
        .Checkpoint(wrong)
        .Write();
    ExpectCorrupt(&mem, "the segments before it at 2");
  }
}

TEST(WalForged, AnAttestedPositionInsideAFrameIsCorrupt) {
  MemEnv mem;
  Forger forger(&mem);
  forger.Checkpoint(Start());
  for (uint64_t i = 2; i < 6; ++i) {
    // More than what is copied whole, so that the log is cut where it is attested.
    forger.Frame([&](FrameBuilder* f) { f->Add(EntryRecord(i, 1)); },
                 Position{1, kFirstFrameOffset + 512}.Pack());
  }
  forger.Write();
  ExpectCorrupt(&mem, "a frame attests half a frame");
}

// What can be saved of such a log is what was certain before the contradiction.
TEST(WalForged, NothingDoubtfulIsSavedOfALogThatContradictsItself) {
  struct Case {
    Forger::Fill fill;
    std::string why;  // nothing can be saved as a tail
    uint64_t last;    // of the prefix
  };
  const Case cases[] = {
      {[](FrameBuilder* f) {
         f->Add(EntryRecord(2, 1));
         f->Add(EntryRecord(4, 1));
       },
       "entries behind 1 cannot be read", 1},
      {[](FrameBuilder* f) {
         f->Add(Hard(3, 0, 1));
         f->Add(EntryRecord(2, 3));
         f->Add(EntryRecord(3, 2));
       },
       "terms of entries behind 1 are out of order", 2},
      {[](FrameBuilder* f) { f->Add(EntryRecord(2, 5)); },
       "the newest term is older than the newest entry", 2},
      {[](FrameBuilder* f) {
         f->Add({.type = RecordType::kReset, .index = 1, .term = 4});
         f->Add(EntryRecord(2, 4));
         f->Add(Hard(4, 0, 1));
       },
       "entry 1 has another term in the log", 1},
      {[](FrameBuilder* f) {
         f->Add({.type = RecordType::kReset, .index = 1, .term = 1});
         f->Add(EntryRecord(2, 4));
         f->Add(Hard(4, 0, 1));
       },
       "", 2},
  };
  for (const Case& t : cases) {
    SCOPED_TRACE(t.why);
    MemEnv mem;
    Forger(&mem).Checkpoint(Start()).Frame(t.fill).Write();
    auto tail = SalvageLog(mem, TestOptions(), Point(1, 1), SalvageMode::kTail, "");
    EXPECT_EQ(tail.has_value(), t.why.empty());
    if (!tail) {
      EXPECT_THAT(tail.error().message, HasSubstr(t.why));
    }
    auto prefix = SalvageLog(mem, TestOptions(), Point(1, 1), SalvageMode::kPrefix, "/new");
    ASSERT_TRUE(prefix) << prefix.error().message;
    EXPECT_EQ(prefix->last, Index(t.last));
    WalOptions options = TestOptions();
    options.dir = "/new";
    RecoveredLog found;
    auto wal = Wal::Open(mem, options, &found);
    ASSERT_TRUE(wal) << wal.error().message;
    EXPECT_EQ(found.last, Index(t.last));
  }
}

// ---------------------------------------------------------------- operations that fail

// A log of several segments, its beginning cut off, the last life ended by a failed sync, so that
// recovery has everything to do: to copy, to seal, to release, to clean up.
class Failing : public testing::Test {
 protected:
  void SetUp() override {
    env::FaultEnv fault(mem_, 1);
    WalOptions options = TestOptions();
    auto made = Wal::Create(fault, options, Point(1, 1), Hard(1, 0, 1));
    ASSERT_TRUE(made) << made.error().message;
    auto append = [&](uint64_t low, uint64_t high, size_t bytes) {
      const auto entries = MakeEntries(low, high, 1, bytes);
      const Batch batch{.hard_state = Hard(1, 2, low - 1), .entries = entries};
      Status done = (*made)->Append(batch, true);
      if (done) model_.Apply(batch);
      return done;
    };
    for (uint64_t i = 2; i <= 40; ++i) ASSERT_TRUE(append(i, i + 1, 5000));
    ASSERT_TRUE((*made)->CompactTo(Index(20)));
    ASSERT_TRUE(append(41, 43, 5000));
    ASSERT_TRUE((*made)->preparer().PrepareOne());
    fault.Inject({.op = Op::kSync});
    ASSERT_FALSE(append(43, 44, 100));
    made->reset();
    auto stray = mem_.Open("/wal/0000000000000099.tmp", env::OpenMode::kCreate);
    ASSERT_TRUE(stray);
    ASSERT_TRUE((*stray)->WriteAt(0, "unfinished"));
  }
  // The last, refused append may be there or not.
  void ExpectWhole(const Wal& wal, const RecoveredLog& found) {
    Model more = model_;
    const auto entries = MakeEntries(43, 44, 1, 100);
    more.Apply({.hard_state = Hard(1, 2, 42), .entries = entries});
    const std::string without = Difference(wal, found, model_, 20);
    const std::string with = Difference(wal, found, more, 20);
    EXPECT_TRUE(without.empty() || with.empty()) << without << "; " << with;
  }

  MemEnv mem_;
  Model model_;
};

constexpr Op kOps[] = {Op::kOpen, Op::kCreate, Op::kRead,   Op::kWrite,
                       Op::kSync, Op::kRename, Op::kUnlink, Op::kSyncDir};

TEST_F(Failing, AnyOperationOfRecoveryIsReportedAndTheNextStartFindsEverything) {
  int failed = 0;
  for (Op op : kOps) {
    for (uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE("operation " + std::to_string(static_cast<int>(op)) + " number " +
                   std::to_string(nth));
      auto disk = mem_.Clone();
      env::FaultEnv sick(*disk, nth);
      sick.Inject({.op = op, .nth = nth});
      RecoveredLog found;
      auto wal = Wal::Open(sick, TestOptions(9), &found);
      const bool reached = sick.count(op) >= nth;
      sick.ClearFaults();
      if (wal) {
        ExpectWhole(**wal, found);
      } else {
        ++failed;
        EXPECT_EQ(wal.error().code, Code::kIo) << wal.error().message;
        EXPECT_FALSE(wal.error().message.empty());
        wal = Wal::Open(*disk, TestOptions(10), &found);
        ASSERT_TRUE(wal) << wal.error().message;
        ExpectWhole(**wal, found);
      }
      if (HasFailure() || !reached) break;
    }
  }
  EXPECT_GT(failed, 20);
}

// What the newest segment says of the log is in its first frame, or else in the segment before.
TEST(FailingRead, IsNoDamageWhereTheNewestSegmentHasNothingYet) {
  MemEnv mem;
  Forger(&mem)
      .Checkpoint(Start())
      .Frame([](FrameBuilder* f) { f->Add(EntryRecord(2, 1)); })
      .Roll()
      .Write();
  int failed = 0;
  for (uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE("read number " + std::to_string(nth));
    auto disk = mem.Clone();
    env::FaultEnv sick(*disk, nth);
    sick.Inject({.op = Op::kRead, .nth = nth});
    RecoveredLog found;
    auto wal = Wal::Open(sick, TestOptions(9), &found);
    if (sick.count(Op::kRead) < nth) break;
    if (wal) continue;
    ++failed;
    EXPECT_EQ(wal.error().code, Code::kIo) << wal.error().message;
    sick.ClearFaults();
    wal = Wal::Open(*disk, TestOptions(10), &found);
    ASSERT_TRUE(wal) << wal.error().message;
    EXPECT_EQ(found.last, Index(2));
  }
  EXPECT_GT(failed, 2);
}

TEST_F(Failing, AnyOperationOfASalvageIsReportedAndNothingWrongIsMade) {
  int failed = 0;
  for (Op op : kOps) {
    for (uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE("operation " + std::to_string(static_cast<int>(op)) + " number " +
                   std::to_string(nth));
      auto disk = mem_.Clone();
      env::FaultEnv sick(*disk, nth);
      sick.Inject({.op = op, .nth = nth});
      auto saved = SalvageLog(sick, TestOptions(9), Point(20, 1), SalvageMode::kTail, "/new");
      const bool reached = sick.count(op) >= nth;
      sick.ClearFaults();
      if (!saved) {
        ++failed;
        EXPECT_EQ(saved.error().code, Code::kIo) << saved.error().message;
      } else {
        EXPECT_GE(saved->last, Index(42));
        WalOptions options = TestOptions(10);
        options.dir = "/new";
        RecoveredLog found;
        auto wal = Wal::Open(*disk, options, &found);
        ASSERT_TRUE(wal) << wal.error().message;
        EXPECT_EQ(found.last, saved->last);
      }
      if (HasFailure() || !reached) break;
    }
  }
  EXPECT_GT(failed, 20);
}

}  // namespace
}  // namespace arima::wal
