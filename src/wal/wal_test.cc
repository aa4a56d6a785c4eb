// The log as its users see it: append, read, restart, cut, roll, fail.
#include "wal/wal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "codec/conf_codec.h"
#include "env/posix_env.h"
#include "wal/format.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using env::FaultKind;
using env::Op;
using raft::Entry;
using raft::EntryId;
using raft::EntryKind;
using raft::Index;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class WalTest : public testing::Test {
 protected:
  void Create() {
    auto made = Wal::Create(fault_, options_, Point(1, 1), Hard(1, 0, 1));
    ASSERT_TRUE(made.has_value()) << made.error().message;
    wal_ = std::move(*made);
  }
  // As if the process had died and the machine gone on, unless Close was called.
  void Reopen() {
    wal_.reset();
    found_ = RecoveredLog();
    auto opened = Wal::Open(fault_, options_, &found_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    wal_ = std::move(*opened);
  }
  Error ReopenError() {
    wal_.reset();
    found_ = RecoveredLog();
    auto opened = Wal::Open(fault_, options_, &found_);
    EXPECT_FALSE(opened.has_value());
    return opened ? Error{} : opened.error();
  }
  // Everything that is not durable is gone.
  void LosePower() {
    wal_.reset();
    env::DropAll drop_all;
    mem_.PowerLoss(drop_all);
  }
  Status Append(const std::vector<Entry>& entries, bool sync = true) {
    return wal_->Append({.hard_state = Hard(entries.back().term.value, 1, 1), .entries = entries},
                        sync);
  }
  void MustAppend(const std::vector<Entry>& entries, bool sync = true) {
    Status done = Append(entries, sync);
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  void PrepareAll() {
    Result<bool> more = true;
    while (more && *more) more = wal_->preparer().PrepareOne();
    EXPECT_TRUE(more.has_value()) << more.error().message;
  }
  std::vector<Entry> ReadAll() {
    const WalStats stats = wal_->Stats();
    auto entries = wal_->Read(stats.first, stats.last + 1, UINT64_MAX);
    EXPECT_TRUE(entries.has_value()) << entries.error().message;
    return entries ? *entries : std::vector<Entry>();
  }
  std::vector<std::string> Files(const std::string& suffix) {
    std::vector<std::string> names;
    const auto all = mem_.List("/wal");
    for (const std::string& name : *all) {
      if (name.ends_with(suffix)) names.push_back(name);
    }
    return names;
  }

  env::MemEnv mem_;
  env::FaultEnv fault_{mem_, 1};
  WalOptions options_ = TestOptions();
  std::unique_ptr<Wal> wal_;
  RecoveredLog found_;
};

// ---------------------------------------------------------------- creation

TEST_F(WalTest, NewLogIsEmptyBehindItsSnapshotPointAndDurable) {
  Create();
  EXPECT_THAT(ReadAll(), IsEmpty());
  LosePower();
  Reopen();
  EXPECT_EQ(found_.snapshot_index, Index(1));
  EXPECT_EQ(found_.snapshot_term, raft::Term(1));
  EXPECT_EQ(found_.last, Index(1));
  EXPECT_EQ(found_.hard_state, Hard(1, 0, 1));
  EXPECT_THAT(found_.term_runs, IsEmpty());
}

TEST_F(WalTest, NewLogIsDurableInADirectoryThatADeadProcessMadeAndDidNotSync) {
  ASSERT_TRUE(mem_.MakeDir("/wal").has_value());
  Create();
  MustAppend(MakeEntries(2, 4, 1));
  LosePower();
  Reopen();
  EXPECT_EQ(found_.last, Index(3));
}

TEST_F(WalTest, WhatADeadProcessRecycledIsDurableBeforeTheNextOneWritesToIt) {
  Create();
  uint64_t next = 2;
  auto append = [&] {
    const std::vector<Entry> entries = MakeEntries(next, next + 1, 1, 9000);
    return wal_->Append({.entries = entries}, true).has_value();
  };
  for (; wal_->Stats().rolls < 2; ++next) ASSERT_TRUE(append());
  ASSERT_TRUE(wal_->Append({.hard_state = Hard(1, 1, next - 1)}, true));
  ASSERT_TRUE(wal_->CompactTo(Index(next - 1)));
  // It dies here, without a word.
  fault_.Inject({.op = Op::kSyncDir, .lasting = true});
  fault_.Inject({.op = Op::kCreate, .lasting = true, .path_part = "io_poison"});
  while (append()) ++next;
  ASSERT_EQ(mem_.PendingDirChanges(), 1u);  // the first segment is a free file
  fault_.ClearFaults();
  fault_.SetObserver([&](Op op, const std::string& path) {
    if (op == Op::kWrite) {
      EXPECT_EQ(mem_.PendingDirChanges(), 0u) << path;
    }
  });
  Reopen();
  EXPECT_EQ(found_.last, Index(next - 1));
  EXPECT_THAT(Files(".free"), IsEmpty());
}

TEST_F(WalTest, CreateRefusesWhereALogIs) {
  Create();
  EXPECT_EQ(Wal::Create(fault_, options_, Point(1, 1), Hard(1, 0, 1)).error().code,
            Code::kAlreadyExists);
}

TEST_F(WalTest, OpenFindsNothingInAnEmptyDirectory) {
  EXPECT_EQ(ReopenError().code, Code::kNotFound);
  ASSERT_TRUE(mem_.MakeDir("/wal").has_value());
  EXPECT_EQ(ReopenError().code, Code::kNotFound);
}

TEST_F(WalTest, InterruptedCreationLeavesNoLogAndCanBeRepeated) {
  fault_.Inject({.op = Op::kRename});
  EXPECT_FALSE(Wal::Create(fault_, options_, Point(1, 1), Hard(1, 0, 1)).has_value());
  EXPECT_EQ(ReopenError().code, Code::kNotFound);
  Create();
}

TEST_F(WalTest, OptionsOutOfRangeAreRefused) {
  for (uint64_t bytes : {uint64_t{4096}, kSegmentBytesMin + 1, kSegmentBytesMax + 4096}) {
    options_.segment_bytes = bytes;
    EXPECT_EQ(Wal::Create(fault_, options_, Point(1, 1), Hard(1, 0, 1)).error().code,
              Code::kInvalidArgument);
  }
}

TEST_F(WalTest, LogOfAnotherNodeIsRefused) {
  Create();
  options_.incarnation.bytes[0] = 9;
  EXPECT_EQ(ReopenError().code, Code::kConflict);
  options_ = TestOptions();
  options_.cluster_id.bytes[0] = 9;
  EXPECT_EQ(ReopenError().code, Code::kConflict);
}

// ---------------------------------------------------------------- append and read

TEST_F(WalTest, SyncedEntriesAndHardStateSurviveLossOfPower) {
  Create();
  const auto entries = MakeEntries(2, 30, 3, 200);
  ASSERT_TRUE(wal_->Append({.hard_state = Hard(3, 7, 20), .entries = entries}, true).has_value());
  LosePower();
  Reopen();
  EXPECT_EQ(found_.hard_state, Hard(3, 7, 20));
  EXPECT_EQ(found_.last, Index(29));
  EXPECT_THAT(found_.term_runs, ElementsAre(Point(2, 3)));
  EXPECT_EQ(found_.tail, entries);
  EXPECT_EQ(ReadAll(), entries);
}

TEST_F(WalTest, UnsyncedAppendIsReadableAndMadeDurableByTheNextSync) {
  Create();
  MustAppend(MakeEntries(2, 3, 1), false);
  EXPECT_EQ(ReadAll(), MakeEntries(2, 3, 1));
  ASSERT_TRUE(wal_->Append(Batch{}, true).has_value());
  LosePower();
  Reopen();
  EXPECT_EQ(ReadAll(), MakeEntries(2, 3, 1));
}

TEST_F(WalTest, UnsyncedAppendIsLostWithPower) {
  Create();
  MustAppend(MakeEntries(2, 3, 1));
  MustAppend(MakeEntries(3, 4, 1), false);
  LosePower();
  Reopen();
  EXPECT_EQ(ReadAll(), MakeEntries(2, 3, 1));
}

TEST_F(WalTest, UnsyncedAppendSurvivesTheDeathOfTheProcess) {
  Create();
  MustAppend(MakeEntries(2, 3, 1), false);
  Reopen();
  EXPECT_EQ(ReadAll(), MakeEntries(2, 3, 1));
  LosePower();  // and then it counts as durable
  Reopen();
  EXPECT_EQ(ReadAll(), MakeEntries(2, 3, 1));
}

TEST_F(WalTest, ManyBatchesCostOneWriteAndOneSync) {
  Create();
  const auto first = MakeEntries(2, 5, 1);
  const auto second = MakeEntries(5, 9, 2);
  const Batch batches[] = {{.hard_state = Hard(1, 1, 1), .entries = first},
                           {.hard_state = Hard(2, 0, 4)},
                           {.entries = second}};
  const uint64_t writes = fault_.count(Op::kWrite);
  const uint64_t syncs = fault_.count(Op::kSync);
  ASSERT_TRUE(wal_->Append(batches, true).has_value());
  EXPECT_EQ(fault_.count(Op::kWrite), writes + 1);
  EXPECT_EQ(fault_.count(Op::kSync), syncs + 1);
  Reopen();
  EXPECT_EQ(found_.hard_state, Hard(2, 0, 4));
  EXPECT_THAT(found_.term_runs, ElementsAre(Point(2, 1), Point(5, 2)));
}

TEST_F(WalTest, EmptyAppendWritesNothing) {
  Create();
  const uint64_t writes = fault_.count(Op::kWrite);
  const uint64_t syncs = fault_.count(Op::kSync);
  ASSERT_TRUE(wal_->Append(Batch{}, true).has_value());
  EXPECT_EQ(fault_.count(Op::kWrite), writes);
  EXPECT_EQ(fault_.count(Op::kSync), syncs);
}

TEST_F(WalTest, OverwritingDropsTheSuffix) {
  Create();
  MustAppend(MakeEntries(2, 10, 1));
  MustAppend(MakeEntries(5, 7, 2));
  std::vector<Entry> expected = MakeEntries(2, 5, 1);
  for (const Entry& entry : MakeEntries(5, 7, 2)) expected.push_back(entry);
  EXPECT_EQ(ReadAll(), expected);
  Reopen();
  EXPECT_EQ(ReadAll(), expected);
  EXPECT_THAT(found_.term_runs, ElementsAre(Point(2, 1), Point(5, 2)));
  EXPECT_EQ(found_.last, Index(6));
}

TEST_F(WalTest, OverwritingWithinOneAppendCounts) {
  Create();
  const auto old = MakeEntries(2, 6, 1);
  const auto fresh = MakeEntries(3, 5, 2);
  const Batch batches[] = {{.hard_state = Hard(1, 1, 1), .entries = old},
                           {.hard_state = Hard(2, 1, 1), .entries = fresh}};
  ASSERT_TRUE(wal_->Append(batches, true).has_value());
  std::vector<Entry> expected = MakeEntries(2, 3, 1);
  expected.insert(expected.end(), fresh.begin(), fresh.end());
  EXPECT_EQ(ReadAll(), expected);
  Reopen();
  EXPECT_EQ(ReadAll(), expected);
}

TEST_F(WalTest, ResetReplacesTheLogByASnapshotPoint) {
  Create();
  MustAppend(MakeEntries(2, 10, 1));
  const auto behind = MakeEntries(101, 103, 5);
  ASSERT_TRUE(
      wal_->Append({.hard_state = Hard(5, 0, 100), .reset = Point(100, 4), .entries = behind}, true)
          .has_value());
  EXPECT_EQ(wal_->Read(Index(5), Index(9), 1000).error().code, Code::kCompacted);
  EXPECT_EQ(ReadAll(), behind);
  Reopen();
  EXPECT_EQ(found_.snapshot_index, Index(100));
  EXPECT_EQ(found_.snapshot_term, raft::Term(4));
  EXPECT_EQ(ReadAll(), behind);
}

TEST_F(WalTest, ReadKeepsToItsLimits) {
  Create();
  MustAppend(MakeEntries(2, 12, 1, 100));
  EXPECT_EQ(wal_->Read(Index(4), Index(8), UINT64_MAX)->size(), 4u);
  EXPECT_EQ(wal_->Read(Index(4), Index(8), 250)->size(), 2u);
  EXPECT_EQ(wal_->Read(Index(4), Index(8), 200)->size(), 2u);
  EXPECT_EQ(wal_->Read(Index(4), Index(8), 0)->size(), 1u) << "at least one";
  EXPECT_EQ(wal_->Read(Index(10), Index(50), UINT64_MAX)->size(), 2u) << "the log ends";
  EXPECT_THAT(*wal_->Read(Index(12), Index(50), 1000), IsEmpty());
  EXPECT_THAT(*wal_->Read(Index(5), Index(5), 1000), IsEmpty());
  EXPECT_EQ(wal_->Read(Index(1), Index(5), 1000).error().code, Code::kCompacted);
}

TEST_F(WalTest, LargeAndSmallEntriesAreReadAcrossSegments) {
  Create();
  std::vector<Entry> all;
  SeededRandom random(3);
  for (uint64_t i = 2; i < 120; ++i) {
    const uint64_t bytes = random.Percent(20) ? random.Below(50'000) : random.Below(300);
    auto entries = MakeEntries(i, i + 1, 1, std::max<uint64_t>(bytes, 1));
    MustAppend(entries);
    all.push_back(entries[0]);
  }
  EXPECT_GT(wal_->Stats().segments, 5u);
  EXPECT_EQ(ReadAll(), all);
  for (uint64_t low = 2; low < 120; low += 7) {
    auto got = *wal_->Read(Index(low), Index(low + 5), UINT64_MAX);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), all.begin() + static_cast<ptrdiff_t>(low - 2)));
  }
  Reopen();
  EXPECT_EQ(ReadAll(), all);
}

TEST_F(WalTest, EntryLargerThanASegmentAndBatchLargerThanAFrameAreStored) {
  Create();
  std::vector<Entry> entries = MakeEntries(2, 4, 1, 9 << 20);
  for (const Entry& entry : MakeEntries(4, 6, 2, 100)) entries.push_back(entry);
  const Batch batch{.hard_state = Hard(2, 1, 5), .entries = entries};
  ASSERT_TRUE(wal_->Append(batch, true).has_value());
  EXPECT_EQ(wal_->Stats().frames, 3u) << "checkpoint and two";
  EXPECT_EQ(ReadAll(), entries);
  LosePower();
  Reopen();
  EXPECT_EQ(ReadAll(), entries);
  EXPECT_EQ(found_.hard_state, Hard(2, 1, 5));
}

TEST_F(WalTest, EntryOverTheLimitIsRefusedAndTheLogGoesOn) {
  Create();
  EXPECT_EQ(Append(MakeEntries(2, 3, 1, kEntryPayloadBytesMax + 1)).error().code, Code::kTooLarge);
  MustAppend(MakeEntries(2, 3, 1));
}

TEST_F(WalTest, EntryWithAWrongChecksumIsRefusedAndTheLogGoesOn) {
  Create();
  auto entries = MakeEntries(2, 3, 1);
  entries[0].checksum ^= 1;
  EXPECT_EQ(Append(entries).error().code, Code::kCorruption);
  MustAppend(MakeEntries(2, 3, 1));
}

TEST_F(WalTest, DamagedEntryIsNotReturned) {
  Create();
  MustAppend({MakeEntry(2, 1, std::string(1000, 'a'))});
  ASSERT_TRUE(
      mem_.FlipBit("/wal/" + SegmentName(1), kFirstFrameOffset + kFrameAlign + 500, 2).has_value());
  auto read = wal_->Read(Index(2), Index(3), 10'000);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Code::kCorruption);
  EXPECT_THAT(read.error().message, HasSubstr("entry 2 from /wal/0000000000000001.seg at byte"));
}

TEST_F(WalTest, EveryByteOfAStoredEntryIsVerifiedWhenRead) {
  Create();
  MustAppend({MakeEntry(2, 1, "payload!")});
  const uint64_t record = kFirstFrameOffset + kFrameAlign + kFrameHeaderBytes;
  for (uint64_t byte = 0; byte < kRecordHeaderBytes + 8; ++byte) {
    const std::string file = "/wal/" + SegmentName(1);
    ASSERT_TRUE(mem_.FlipBit(file, record + byte, 0).has_value());
    EXPECT_FALSE(wal_->Read(Index(2), Index(3), 10'000).has_value()) << "byte " << byte;
    ASSERT_TRUE(mem_.FlipBit(file, record + byte, 0).has_value());
  }
  EXPECT_TRUE(wal_->Read(Index(2), Index(3), 10'000).has_value());
}

TEST_F(WalTest, ConfEntriesAreHandedOutAtRestart) {
  Create();
  raft::ConfChange change;
  change.context = "c";
  const std::string bytes = codec::EncodeConfChange(change);
  MustAppend({MakeEntry(2, 1, "x"), MakeEntry(3, 1, bytes, EntryKind::kConf),
              MakeEntry(4, 1, bytes, EntryKind::kConf), MakeEntry(5, 1, "y")});
  MustAppend({MakeEntry(4, 2, "z")});
  Reopen();
  EXPECT_THAT(found_.conf_entries, ElementsAre(MakeEntry(3, 1, bytes, EntryKind::kConf)));
  EXPECT_EQ(*codec::DecodeConfChange(found_.conf_entries[0].payload.view()), change);
}

TEST_F(WalTest, TailHoldsTheNewestEntriesWithinItsLimit) {
  Create();
  for (uint64_t i = 2; i < 40; ++i) MustAppend(MakeEntries(i, i + 1, 1));
  options_.tail_bytes = 10 * kFrameAlign;
  Reopen();
  EXPECT_EQ(found_.tail, MakeEntries(30, 40, 1));
  options_.tail_bytes = 0;
  Reopen();
  EXPECT_THAT(found_.tail, IsEmpty());
}

// ---------------------------------------------------------------- endings and attestation

TEST_F(WalTest, EndingTellsHowTheLastLifeEnded) {
  Create();
  MustAppend(MakeEntries(2, 3, 1));
  Reopen();
  EXPECT_EQ(found_.ending, Ending::kUnclosed);
  MustAppend(MakeEntries(3, 4, 1));
  ASSERT_TRUE(wal_->Close().has_value());
  LosePower();
  Reopen();
  EXPECT_EQ(found_.ending, Ending::kClosed);
  EXPECT_THAT(found_.text, HasSubstr("closed cleanly"));
  EXPECT_EQ(ReadAll(), MakeEntries(2, 4, 1));
}

TEST_F(WalTest, TornTailIsDiscardedAndReported) {
  Create();
  MustAppend(MakeEntries(2, 3, 1));
  MustAppend(MakeEntries(3, 4, 1, 6000), false);
  const uint64_t torn = kFirstFrameOffset + 2 * kFrameAlign;
  ASSERT_TRUE(mem_.FlipBit("/wal/" + SegmentName(1), torn + 5000, 0).has_value());
  Reopen();
  EXPECT_EQ(found_.ending, Ending::kTornTail);
  EXPECT_EQ(found_.torn_offset, torn);
  EXPECT_EQ(found_.torn_bytes, 2 * kFrameAlign);
  EXPECT_THAT(found_.text, HasSubstr("never acknowledged, was discarded"));
  EXPECT_EQ(ReadAll(), MakeEntries(2, 3, 1));
}

TEST_F(WalTest, DamageBelowAnAttestedPositionIsCorruption) {
  Create();
  MustAppend(MakeEntries(2, 12, 1));
  MustAppend(MakeEntries(12, 15, 1));  // attests the frame before
  MustAppend(MakeEntries(15, 20, 1));
  const uint64_t offset = kFirstFrameOffset + kFrameAlign;
  ASSERT_TRUE(mem_.FlipBit("/wal/" + SegmentName(1), offset + 200, 0).has_value());
  const Error error = ReopenError();
  EXPECT_EQ(error.code, Code::kCorruption);
  EXPECT_THAT(error.message, HasSubstr("/wal/0000000000000001.seg at byte 12288"));
  EXPECT_THAT(error.message, HasSubstr("entries from 2 to 11 may be lost"));
  EXPECT_THAT(error.message, HasSubstr("next step"));
  ASSERT_TRUE(found_.damage.has_value());
  EXPECT_EQ(found_.damage->offset, offset);
  EXPECT_EQ(found_.damage->first_index, Index(2));
  EXPECT_EQ(found_.damage->last_index, Index(11));
  EXPECT_EQ(found_.damage->newest_hard_state, Hard(1, 1, 1));
}

TEST_F(WalTest, CorruptLogIsLeftAsItIs) {
  Create();
  MustAppend(MakeEntries(2, 12, 1));
  MustAppend(MakeEntries(12, 15, 1));
  ASSERT_TRUE(
      mem_.FlipBit("/wal/" + SegmentName(1), kFirstFrameOffset + kFrameAlign, 0).has_value());
  const auto files = *mem_.List("/wal");
  const uint64_t writes = fault_.count(Op::kWrite);
  EXPECT_EQ(ReopenError().code, Code::kCorruption);
  EXPECT_EQ(*mem_.List("/wal"), files);
  EXPECT_EQ(fault_.count(Op::kWrite), writes);
}

TEST_F(WalTest, AttestClosesTheWindowInWhichRotLooksLikeATear) {
  for (bool attest : {false, true}) {
    SCOPED_TRACE(attest);
    mem_.SetCapacity(UINT64_MAX);
    ASSERT_TRUE(env::RemoveTree(mem_, "/wal").has_value());
    Create();
    MustAppend(MakeEntries(2, 3, 1));
    EXPECT_TRUE(wal_->NeedsAttest());
    if (attest) {
      ASSERT_TRUE(wal_->Attest().has_value());
      EXPECT_FALSE(wal_->NeedsAttest());
    }
    ASSERT_TRUE(mem_.FlipBit("/wal/" + SegmentName(1), kFirstFrameOffset + kFrameAlign + 70, 0)
                    .has_value());
    if (attest) {
      EXPECT_EQ(ReopenError().code, Code::kCorruption);
    } else {
      Reopen();  // the residual risk that FORMAT.md states
      EXPECT_EQ(found_.ending, Ending::kTornTail);
    }
  }
}

TEST_F(WalTest, AttestCostsOneWriteAndNoSync) {
  Create();
  EXPECT_FALSE(wal_->NeedsAttest()) << "a new log is attested by its header";
  MustAppend(MakeEntries(2, 3, 1));
  const uint64_t writes = fault_.count(Op::kWrite);
  const uint64_t syncs = fault_.count(Op::kSync);
  ASSERT_TRUE(wal_->Attest().has_value());
  ASSERT_TRUE(wal_->Attest().has_value());
  EXPECT_EQ(fault_.count(Op::kWrite), writes + 1);
  EXPECT_EQ(fault_.count(Op::kSync), syncs);
  EXPECT_EQ(wal_->Stats().attest_frames, 1u);
}

TEST_F(WalTest, EverySegmentHasRoomForItsAttestFrames) {
  Create();
  for (uint64_t i = 2; i < 200; ++i) {
    MustAppend(MakeEntries(i, i + 1, 1, 1 + (i * 7919) % 9000));
    ASSERT_TRUE(wal_->Attest().has_value());
    ASSERT_FALSE(wal_->NeedsAttest());
  }
  ASSERT_TRUE(wal_->Close().has_value());
  Reopen();
  EXPECT_EQ(found_.last, Index(199));
}

// ---------------------------------------------------------------- segments

TEST_F(WalTest, RestartNeverWritesToAnOldSegment) {
  Create();
  MustAppend(MakeEntries(2, 3, 1, 20'000));
  Reopen();
  const std::string before = *env::ReadFile(mem_, "/wal/" + SegmentName(1), 1 << 20);
  MustAppend(MakeEntries(3, 4, 1));
  EXPECT_EQ(*env::ReadFile(mem_, "/wal/" + SegmentName(1), 1 << 20), before);
  EXPECT_EQ(ReadAll().size(), 2u);
}

TEST_F(WalTest, ManyRestartsDoNotFillTheDisk) {
  options_.segment_bytes = 1 << 20;
  Create();
  for (uint64_t i = 2; i < 40; ++i) {
    MustAppend(MakeEntries(i, i + 1, 1, 100));
    Reopen();
    PrepareAll();
  }
  EXPECT_EQ(ReadAll(), MakeEntries(2, 40, 1, 100));
  EXPECT_LE(Files(".seg").size(), 4u);
  for (int i = 0; i < 40; ++i) Reopen();
  PrepareAll();
  EXPECT_LE(Files(".seg").size(), 4u);
  EXPECT_EQ(ReadAll(), MakeEntries(2, 40, 1, 100));
}

TEST_F(WalTest, RollSealsTheOldSegmentAndCostsOneWriteAndOneSync) {
  Create();
  PrepareAll();
  uint64_t i = 2;
  while (wal_->Stats().rolls == 0) {
    const uint64_t writes = fault_.count(Op::kWrite);
    const uint64_t syncs = fault_.count(Op::kSync);
    const uint64_t dir_syncs = fault_.count(Op::kSyncDir);
    MustAppend(MakeEntries(i, i + 1, 1, 5000));
    EXPECT_EQ(fault_.count(Op::kWrite), writes + 1);
    EXPECT_EQ(fault_.count(Op::kSync), syncs + 1);
    EXPECT_EQ(fault_.count(Op::kSyncDir), dir_syncs);
    ++i;
  }
  EXPECT_EQ(wal_->Stats().inline_segments, 0u);
  LosePower();
  Reopen();
  EXPECT_EQ(found_.last, Index(i - 1));
}

TEST_F(WalTest, WriterMakesASegmentItselfWhenTheHelperIsLate) {
  Create();
  for (uint64_t i = 2; i < 40; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  EXPECT_GE(wal_->Stats().inline_segments, 2u);
  EXPECT_EQ(wal_->Stats().inline_segments, wal_->Stats().rolls);
}

TEST_F(WalTest, CompactToDropsReadsAtOnceAndFilesAfterTheNextSync) {
  Create();
  for (uint64_t i = 2; i < 60; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  const uint64_t segments = wal_->Stats().segments;
  ASSERT_GT(segments, 4u);
  ASSERT_TRUE(wal_->CompactTo(Index(50)).has_value());
  EXPECT_EQ(wal_->Read(Index(50), Index(52), 1000).error().code, Code::kCompacted);
  EXPECT_EQ(wal_->Read(Index(51), Index(52), 1000)->size(), 1u);
  EXPECT_EQ(wal_->Stats().segments, segments);
  MustAppend(MakeEntries(60, 61, 1, 5000));
  EXPECT_LE(wal_->Stats().segments, 3u);
  LosePower();
  Reopen();
  EXPECT_EQ(found_.snapshot_index, Index(50));
  EXPECT_EQ(ReadAll(), MakeEntries(51, 61, 1, 5000));
  EXPECT_EQ(found_.hard_state.commit, Index(50)) << "what was cut had been committed";
}

TEST_F(WalTest, SegmentsTellWhatACutWouldFree) {
  Create();
  for (uint64_t i = 2; i < 60; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  std::vector<SegmentSpan> spans = wal_->Segments();
  ASSERT_EQ(spans.size(), wal_->Stats().segments);
  ASSERT_GT(spans.size(), 4u);
  EXPECT_EQ(spans.back().last, Index(59));
  for (const SegmentSpan& span : spans) EXPECT_EQ(span.bytes, kSegmentBytesMin);
  // One entry less frees one segment less.
  ASSERT_TRUE(wal_->CompactTo(spans[2].last - 1).has_value());
  ASSERT_TRUE(wal_->Append(std::span<const Batch>(), true).has_value());
  EXPECT_EQ(wal_->Segments().size(), spans.size() - 2);
  ASSERT_TRUE(wal_->CompactTo(spans[2].last).has_value());
  ASSERT_TRUE(wal_->Append(std::span<const Batch>(), true).has_value());
  EXPECT_EQ(wal_->Segments().size(), spans.size() - 3);
  EXPECT_EQ(wal_->Segments().front().last, spans[3].last);
  // A suffix that is replaced leaves segments without entries of their own.
  const Index low = spans[3].last + 1;
  MustAppend(MakeEntries(low.value, low.value + 1, 2, 5000));
  spans = wal_->Segments();
  EXPECT_EQ(spans.back().last, low);
  for (size_t i = 1; i + 1 < spans.size(); ++i) EXPECT_EQ(spans[i].last, spans[0].last);
}

TEST_F(WalTest, CompactToIsLostOrKeptButNeverHalf) {
  Create();
  for (uint64_t i = 2; i < 60; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  ASSERT_TRUE(wal_->CompactTo(Index(50)).has_value());
  LosePower();
  Reopen();
  EXPECT_EQ(found_.snapshot_index, Index(1));
  EXPECT_EQ(ReadAll(), MakeEntries(2, 60, 1, 5000));
}

TEST_F(WalTest, CompactToTheLastEntryLeavesAnEmptyLog) {
  Create();
  MustAppend(MakeEntries(2, 30, 4));
  ASSERT_TRUE(wal_->CompactTo(Index(29)).has_value());
  ASSERT_TRUE(wal_->CompactTo(Index(10)).has_value()) << "a no-op";
  MustAppend(MakeEntries(30, 31, 4));
  Reopen();
  EXPECT_EQ(found_.snapshot_index, Index(29));
  EXPECT_EQ(found_.snapshot_term, raft::Term(4));
  EXPECT_EQ(ReadAll(), MakeEntries(30, 31, 4));
}

TEST_F(WalTest, ReleasedSegmentsAreRecycledUpToACap) {
  options_.free_segments_max = 2;
  Create();
  for (uint64_t i = 2; i < 100; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  ASSERT_TRUE(wal_->CompactTo(Index(99)).has_value());
  MustAppend(MakeEntries(100, 101, 1));
  PrepareAll();
  EXPECT_EQ(Files(".free").size(), 2u);
  EXPECT_LE(Files(".seg").size(), 3u);
  EXPECT_EQ(wal_->preparer().ready(), 3u);
}

TEST_F(WalTest, ReaderKeepsAReleasedFileFromBeingReused) {
  Create();
  std::vector<Entry> all;
  for (uint64_t i = 2; i < 60; ++i) {
    MustAppend(MakeEntries(i, i + 1, 1, 5000));
    all.push_back(MakeEntries(i, i + 1, 1, 5000)[0]);
  }
  std::atomic<bool> stop = false;
  std::atomic<int> reads = 0;
  std::thread reader([&] {
    while (!stop) {
      const Index first = wal_->Stats().first;
      auto got = wal_->Read(first, first + 20, UINT64_MAX);
      if (!got) {
        EXPECT_EQ(got.error().code, Code::kCompacted) << got.error().message;
        continue;
      }
      for (const Entry& entry : *got) EXPECT_EQ(entry.payload.size(), 5000u);
      ++reads;
    }
  });
  for (uint64_t i = 60; i < 600 || reads == 0; ++i) {  // the reader may start late
    MustAppend(MakeEntries(i, i + 1, 1, 5000));
    if (i % 3 == 0) {
      ASSERT_TRUE(wal_->CompactTo(Index(i - 30)).has_value());
      ASSERT_TRUE(wal_->preparer().PrepareOne().has_value());
    }
  }
  stop = true;
  reader.join();
}

// ---------------------------------------------------------------- failures

TEST_F(WalTest, FailedWriteOrSyncIsReportedOnceAndEverythingRefusedAfterwards) {
  for (Op op : {Op::kWrite, Op::kSync}) {
    ASSERT_TRUE(env::RemoveTree(mem_, "/wal").has_value());
    Create();
    MustAppend(MakeEntries(2, 3, 1));
    fault_.Inject({.op = op});
    EXPECT_EQ(Append(MakeEntries(3, 4, 1)).error().code, Code::kIo);
    for (const Error& error : {Append(MakeEntries(3, 4, 1)).error(),
                               wal_->CompactTo(Index(2)).error(), wal_->Attest().error(),
                               wal_->Close().error(), wal_->Read(Index(2), Index(3), 10).error()}) {
      EXPECT_EQ(error.code, Code::kIo);
      EXPECT_THAT(error.message, HasSubstr("refuses everything"));
    }
    EXPECT_TRUE(wal_->Stats().failed);
    EXPECT_TRUE(*env::Exists(mem_, "/wal/io_poison"));
    Reopen();
    EXPECT_TRUE(found_.after_io_failure);
    EXPECT_FALSE(*env::Exists(mem_, "/wal/io_poison"));
    EXPECT_GE(found_.last, Index(2));
  }
}

TEST_F(WalTest, BytesThatAFailedSyncLostAreRewrittenBeforeTheyCount) {
  // The page cache shows the frame, the disk does not have it and never will.
  fault_.SetCachedReadsOnly(true);
  Create();
  MustAppend(MakeEntries(2, 3, 1, 20'000));
  MustAppend(MakeEntries(3, 4, 1), false);
  mem_.LoseUnsynced("/wal/" + SegmentName(1));
  Reopen();
  EXPECT_EQ(found_.last, Index(3));
  LosePower();
  Reopen();
  EXPECT_EQ(found_.last, Index(3));
}

TEST_F(WalTest, FullDiskIsReportedBeforeAnythingIsWrittenAndHealsByItself) {
  Create();
  mem_.SetCapacity(2 * options_.segment_bytes - 1);
  uint64_t i = 2;
  Status done;
  while ((done = Append(MakeEntries(i, i + 1, 1, 5000)))) ++i;
  EXPECT_EQ(done.error().code, Code::kDiskFull);
  EXPECT_EQ(Append(MakeEntries(i, i + 1, 1, 5000)).error().code, Code::kDiskFull);
  EXPECT_EQ(wal_->preparer().PrepareOne().error().code, Code::kDiskFull);
  EXPECT_THAT(Files(".tmp"), IsEmpty());
  EXPECT_EQ(ReadAll(), MakeEntries(2, i, 1, 5000));
  mem_.SetCapacity(UINT64_MAX);
  MustAppend(MakeEntries(i, i + 1, 1, 5000));
  Reopen();
  EXPECT_EQ(ReadAll(), MakeEntries(2, i + 1, 1, 5000));
}

// What the writer needs now is made all the same.
TEST_F(WalTest, SegmentsAreMadeAheadOnlyIfSoMuchStaysFree) {
  Create();
  constexpr uint64_t kKept = 1 << 20;
  mem_.SetCapacity(2 * options_.segment_bytes + kKept - 1);
  EXPECT_EQ(wal_->preparer().PrepareOne(kKept).error().code, Code::kDiskFull);
  EXPECT_THAT(Files(".tmp"), IsEmpty());
  mem_.SetCapacity(2 * options_.segment_bytes + kKept);
  EXPECT_TRUE(*wal_->preparer().PrepareOne(kKept));
  uint64_t i = 2;
  for (; wal_->preparer().ready() > 0; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  EXPECT_EQ(wal_->preparer().PrepareOne(kKept).error().code, Code::kDiskFull);
  mem_.SetCapacity(4 * options_.segment_bytes);
  for (uint64_t end = i + 10; i < end; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
}

// Whether the last entries were attested or not.
TEST_F(WalTest, OnAFullDiskACutMakesRoomForWhatComesNext) {
  for (const bool attest : {false, true}) {
    mem_.SetCapacity(UINT64_MAX);
    Create();
    mem_.SetCapacity(4 * options_.segment_bytes);
    uint64_t i = 2;
    Status done;
    while ((done = Append(MakeEntries(i, i + 1, 1, 5000)))) {
      ++i;
      if (attest) {
        ASSERT_TRUE(wal_->Attest().has_value());
      }
    }
    ASSERT_EQ(done.error().code, Code::kDiskFull);
    ASSERT_TRUE(wal_->CompactTo(wal_->Segments().front().last).has_value());
    ASSERT_TRUE(wal_->Append(std::span<const Batch>(), true).has_value());
    ASSERT_TRUE(wal_->Attest().has_value());
    MustAppend(MakeEntries(i, i + 1, 1, 5000));
    EXPECT_EQ(wal_->Stats().segments, 4u);
    ASSERT_TRUE(wal_->Close().has_value());
    wal_.reset();
    ASSERT_TRUE(env::RemoveTree(mem_, "/wal").has_value());
  }
}

TEST_F(WalTest, RestartOnAFullDiskUsesWhatThePreparerLeft) {
  Create();
  PrepareAll();
  MustAppend(MakeEntries(2, 3, 1, 30'000));
  ASSERT_TRUE(fault_.FreeBytes("/").has_value());
  fault_.SetDiskFull(true);
  Reopen();
  MustAppend(MakeEntries(3, 4, 1, 100));
  Reopen();
  EXPECT_EQ(found_.last, Index(3));
}

TEST_F(WalTest, WriteErrorOfAFullDiskIsNotTakenForARetry) {
  Create();
  fault_.Inject({.op = Op::kWrite, .kind = FaultKind::kDiskFull});
  EXPECT_EQ(Append(MakeEntries(2, 3, 1)).error().code, Code::kIo);
}

TEST_F(WalTest, FailedPreparationCostsNothing) {
  Create();
  fault_.Inject({.op = Op::kSyncDir});
  EXPECT_EQ(wal_->preparer().PrepareOne().error().code, Code::kIo);
  PrepareAll();
  for (uint64_t i = 2; i < 40; ++i) MustAppend(MakeEntries(i, i + 1, 1, 5000));
  Reopen();
  EXPECT_EQ(found_.last, Index(39));
}

TEST_F(WalTest, OutOfOrderAppendsAreProgrammerErrors) {
  Create();
  MustAppend(MakeEntries(2, 10, 3));
  EXPECT_DEATH((void)Append(MakeEntries(11, 12, 3)), "assertion failed");
  EXPECT_DEATH((void)Append(MakeEntries(1, 2, 3)), "assertion failed");
  EXPECT_DEATH((void)Append(MakeEntries(10, 11, 2)), "assertion failed");
  EXPECT_DEATH((void)wal_->Append({.hard_state = Hard(3, 1, 11)}, true), "assertion failed");
  EXPECT_DEATH((void)wal_->Append({.hard_state = Hard(2, 1, 1)}, true), "assertion failed");
  EXPECT_DEATH((void)wal_->CompactTo(Index(10)), "assertion failed");
}

TEST_F(WalTest, WorksOnTheRealFileSystem) {
  std::string dir = (std::filesystem::temp_directory_path() / "arima-wal-XXXXXX").string();
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  env::PosixEnv posix;
  options_.dir = dir + "/wal";
  auto wal = *Wal::Create(posix, options_, Point(1, 1), Hard(1, 0, 1));
  for (uint64_t i = 2; i < 60; ++i) {
    const auto entries = MakeEntries(i, i + 1, 1, 5000);
    ASSERT_TRUE(wal->Append({.entries = entries}, true).has_value());
    ASSERT_TRUE(wal->preparer().PrepareOne().has_value());
  }
  ASSERT_TRUE(wal->CompactTo(Index(20)).has_value());
  ASSERT_TRUE(wal->Append({.hard_state = Hard(1, 1, 40)}, true).has_value());
  ASSERT_TRUE(wal->Close().has_value());
  wal.reset();
  wal = *Wal::Open(posix, options_, &found_);
  EXPECT_EQ(found_.ending, Ending::kClosed);
  EXPECT_EQ(found_.hard_state, Hard(1, 1, 40));
  EXPECT_EQ(*wal->Read(Index(21), Index(60), UINT64_MAX), MakeEntries(21, 60, 1, 5000));
  wal.reset();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace arima::wal
