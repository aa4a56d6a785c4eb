// The log against loss of power, process death, failing disks and rot, at every step.
//
// A random workload runs on an in-memory disk that knows what is durable. Before each operation
// that changes the disk, copies of it are taken, lose power in some way (every un-synced sector is
// independently old, new, zero or garbage, every un-synced directory change is kept or dropped),
// and are recovered. What comes back must be the acknowledged state or one that a later,
// unacknowledged append would have made - and after further appends and another loss of power
// exactly what was acknowledged then. No copy may be called corrupt.
//
// ARIMA_CRASH_STATES sets how many random states are tried (default 600). A failure names the
// seed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wal/format.h"
#include "wal/segment_files.h"
#include "wal/test_crash_workload.h"
#include "wal/wal.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using env::MemEnv;
using env::Op;
using env::SectorFate;
using raft::Entry;
using raft::EntryKind;
using raft::Index;

uint64_t StatesWanted() {
  const char* wanted = std::getenv("ARIMA_CRASH_STATES");
  return wanted == nullptr ? 600 : std::strtoull(wanted, nullptr, 10);
}

// The digits of a number decide: base 3 for sectors, base 2 for the rest.
struct Numbered final : env::CrashChooser {
  explicit Numbered(uint64_t choices) : left(choices) {}
  uint64_t Digit(uint64_t base) {
    const uint64_t digit = left % base;
    left /= base;
    return digit;
  }
  SectorFate Sector(const std::string&, uint64_t) override {
    return static_cast<SectorFate>(Digit(3));
  }
  bool KeepSize(const std::string&) override { return Digit(2) == 1; }
  bool KeepDirChange(const std::string&, const std::string&) override { return Digit(2) == 1; }
  uint64_t left;
};

// Recovers the disk, checks, appends, loses power and checks again.
void CheckDisk(std::unique_ptr<MemEnv> disk, const Allowed& allowed, uint64_t seed) {
  SeededRandom random(seed);
  WalOptions options = TestOptions(seed);
  RecoveredLog found;
  auto wal = MustOpen(*disk, options, &found);
  if (wal == nullptr) return;
  auto model = Match(*wal, found, allowed);
  if (!model) return;

  // Something else where unacknowledged entries may have been.
  Allowed next{{*model}, allowed.cut_max};
  const uint64_t term = std::max(model->last_term(), model->hard_state.term.value) + 1;
  const uint64_t low = model->last() + 1;
  for (bool sync : {true, false}) {
    const auto entries =
        MakeEntries(low, low + 1 + random.Below(3), term + (sync ? 0 : 1), 1 + random.Below(3000));
    const Batch batch{.hard_state = Hard(entries[0].term.value, 9, model->base.index.value),
                      .entries = entries};
    if (auto s = wal->Append(batch, sync); !s) {
      ADD_FAILURE() << s.error().message;
      return;
    }
    model->Apply(batch);
    if (sync) next.models.clear();
    next.models.push_back(*model);
  }
  wal.reset();
  env::RandomCrash crash(seed + 1);
  disk->PowerLoss(crash);
  wal = MustOpen(*disk, options, &found);
  if (wal != nullptr) Match(*wal, found, next);
}

TEST(WalCrash, RandomStatesOfRandomWorkloads) {
  uint64_t states = 0;
  for (uint64_t seed = 1; states < StatesWanted(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Workload work(seed);
    work.Start();
    SeededRandom random(seed);
    work.Visit([&](const MemEnv& disk, const Allowed& allowed) {
      if (testing::Test::HasFailure() || !random.Percent(30)) return;
      const uint64_t crash_seed = random.Next();
      SCOPED_TRACE("crash " + std::to_string(states));
      auto copy = disk.Clone();
      env::RandomCrash crash(crash_seed);
      if (!random.Percent(10)) copy->PowerLoss(crash);  // else only the process dies
      CheckDisk(std::move(copy), allowed, crash_seed);
      ++states;
    });
    for (int step = 0; step < 60; ++step) work.Step();
    ASSERT_FALSE(work.broken());
    if (testing::Test::HasFailure()) return;
  }
}

TEST(WalCrash, EverySectorSubsetOfASmallWorkload) {
  Workload work(7);
  work.Start();
  uint64_t states = 0;
  work.Visit([&](const MemEnv& disk, const Allowed& allowed) {
    if (testing::Test::HasFailure()) return;
    uint64_t choices = 4;  // sizes
    for (size_t i = 0; i < disk.DirtySectors().size() && choices < 3000; ++i) choices *= 3;
    for (size_t i = 0; i < disk.PendingDirChanges() && choices < 3000; ++i) choices *= 2;
    for (uint64_t n = 0; n < std::min<uint64_t>(choices, 3000); ++n) {
      SCOPED_TRACE("choice " + std::to_string(n));
      auto copy = disk.Clone();
      Numbered crash(n);
      copy->PowerLoss(crash);
      CheckDisk(std::move(copy), allowed, n);
      ++states;
      if (testing::Test::HasFailure()) return;
    }
  });
  work.AppendEntries(1, 10, true);
  work.AppendEntries(2, 400, true);
  work.AppendEntries(1, 10, false);
  work.AppendEntries(1, 700, true);
  ASSERT_TRUE(work.wal()->Attest().has_value());
  work.AppendEntries(3, 10, true);
  EXPECT_FALSE(work.broken());
  EXPECT_GT(states, 300u);
}

TEST(WalCrash, EverySectorSubsetOfARoll) {
  Workload work(8);
  work.Start();
  for (int i = 0; i < 2; ++i) work.AppendEntries(1, 10'000, true);
  ASSERT_TRUE(work.wal()->preparer().PrepareOne().has_value());
  uint64_t states = 0;
  work.Visit([&](const MemEnv& disk, const Allowed& allowed) {
    if (testing::Test::HasFailure()) return;
    uint64_t choices = 1;
    for (size_t i = 0; i < disk.DirtySectors().size() && choices < 3000; ++i) choices *= 3;
    for (uint64_t n = 0; n < std::min<uint64_t>(choices, 3000); ++n) {
      SCOPED_TRACE("choice " + std::to_string(n));
      auto copy = disk.Clone();
      Numbered crash(n);
      copy->PowerLoss(crash);
      CheckDisk(std::move(copy), allowed, n);
      ++states;
      if (testing::Test::HasFailure()) return;
    }
  });
  while (work.wal()->Stats().rolls == 0) work.AppendEntries(1, 1200, true);
  EXPECT_FALSE(work.broken());
  EXPECT_GT(states, 50u);
}

TEST(WalCrash, CrashesDuringRecoveryChangeNothing) {
  uint64_t states = 0;
  for (uint64_t seed = 1; states < StatesWanted() / 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Workload work(seed);
    work.Start();
    for (int step = 0; step < 30; ++step) work.Step();
    work.Drop();
    SeededRandom random(seed);
    env::RandomCrash crash(seed);
    if (random.Percent(70)) work.mem().PowerLoss(crash);

    // Recovery itself dies before each of its operations, then power goes.
    const Allowed allowed = work.allowed();
    work.Visit([&](const MemEnv& disk, const Allowed&) {
      if (testing::Test::HasFailure()) return;
      auto copy = disk.Clone();
      const uint64_t crash_seed = random.Next();
      env::RandomCrash again(crash_seed);
      if (random.Percent(80)) copy->PowerLoss(again);
      CheckDisk(std::move(copy), allowed, crash_seed);
      ++states;
    });
    work.Restart(false);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(WalCrash, FailedSyncThatLosesPagesNeverLosesAnAcknowledgedEntry) {
  for (uint64_t seed = 1; seed <= std::max<uint64_t>(40, StatesWanted() / 20); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    Workload work(seed);
    work.Start();
    for (uint64_t step = random.Below(40); step > 0; --step) work.Step();
    const Op op = random.Percent(70) ? Op::kSync : Op::kWrite;
    work.fault().Inject({.op = op, .nth = random.Between(1, 4), .path_part = ".seg"});
    for (int step = 0; step < 40 && !work.broken(); ++step) work.Step();
    work.Drop();
    work.fault().ClearFaults();
    // The kernel has marked the pages clean: they can be read, but are not on the disk.
    auto names = work.mem().List("/wal");
    for (const std::string& name : *names) {
      if (name.ends_with(".seg")) work.mem().LoseUnsynced("/wal/" + name);
    }
    work.fault().SetCachedReadsOnly(random.Percent(50));
    RecoveredLog found;
    auto wal = MustOpen(work.fault(), TestOptions(seed), &found);
    if (wal == nullptr) return;
    auto model = Match(*wal, found, work.allowed());
    ASSERT_TRUE(model.has_value());
    // From here on it counts as durable, whatever the page cache showed.
    wal.reset();
    env::DropAll drop_all;
    work.mem().PowerLoss(drop_all);
    CheckDisk(work.mem().Clone(), {{*model}, work.allowed().cut_max}, seed);
    if (testing::Test::HasFailure()) return;
  }
}

// ---------------------------------------------------------------- rot

// A log of several segments, all of it synced and attested.
class Rot : public testing::Test {
 protected:
  void Build(uint64_t seed) {
    work_ = std::make_unique<Workload>(seed);
    work_->Start();
    for (int step = 0; step < 70; ++step) work_->Step();
    work_->AppendEntries(2, 300, true);
    if (seed % 2 == 0) {
      ASSERT_TRUE(work_->wal()->Attest().has_value());
    } else {
      ASSERT_TRUE(work_->wal()->Close().has_value());
    }
    ASSERT_FALSE(work_->broken());
    work_->Drop();
  }
  // Opens the damaged disk: it is found corrupt, or holds everything.
  void ExpectNoSilentLoss(env::Env& disk) {
    RecoveredLog found;
    auto wal = Wal::Open(disk, TestOptions(99), &found);
    if (!wal) {
      ++corrupt_;
      EXPECT_EQ(wal.error().code, Code::kCorruption) << wal.error().message;
      EXPECT_TRUE(found.damage.has_value());
      return;
    }
    ++harmless_;
    Match(**wal, found, work_->allowed());
  }
  std::vector<std::string> Segments() {
    std::vector<std::string> paths;
    auto names = work_->mem().List("/wal");
    for (const std::string& name : *names) {
      if (name.ends_with(".seg")) paths.push_back("/wal/" + name);
    }
    return paths;
  }

  std::string NewestActive() {
    auto files = FindFiles(work_->mem(), TestOptions());
    std::string newest;
    for (const FoundSegment& segment : files->segments) {
      if (segment.state == FoundSegment::State::kActive) newest = segment.path;
    }
    return newest;
  }

  std::unique_ptr<Workload> work_;
  uint64_t corrupt_ = 0;
  uint64_t harmless_ = 0;
};

TEST_F(Rot, ABitFlipInAnySectorIsFoundOrHarmless) {
  for (uint64_t seed = 1; seed <= 1 + StatesWanted() / 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Build(seed);
    SeededRandom random(seed);
    for (const std::string& path : Segments()) {
      const std::string bytes = *env::ReadFile(work_->mem(), path, 1 << 30);
      for (uint64_t offset = 0; offset < bytes.size(); offset += 512) {
        // Of the sectors that were never written, some are enough.
        const bool zeros = bytes.substr(offset, 512).find_first_not_of('\0') == std::string::npos;
        if (zeros && random.Percent(90)) continue;
        SCOPED_TRACE(path + " at " + std::to_string(offset));
        auto disk = work_->mem().Clone();
        ASSERT_TRUE(disk->FlipBit(path, offset + random.Below(512), 3).has_value());
        ExpectNoSilentLoss(*disk);
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(corrupt_, 20u);
  EXPECT_GT(harmless_, 20u);
}

TEST_F(Rot, BitFlipsInHeadersAreFoundOrHarmless) {
  Build(4);
  SeededRandom random(4);
  for (const std::string& path : Segments()) {
    for (uint64_t block : {uint64_t{0}, kBlockBytes, kFirstFrameOffset}) {
      for (uint64_t byte = random.Below(3); byte < 140; byte += random.Between(1, 5)) {
        auto disk = work_->mem().Clone();
        const int bit = static_cast<int>(random.Below(8));
        ASSERT_TRUE(disk->FlipBit(path, block + byte, bit).has_value());
        ExpectNoSilentLoss(*disk);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(Rot, SectorsThatReadAsZerosAreFoundOrHarmless) {
  Build(6);
  for (const std::string& path : Segments()) {
    for (uint64_t offset = 0; offset < work_->mem().Stat(path)->bytes; offset += 2048) {
      auto disk = work_->mem().Clone();
      auto file = std::move(*disk->Open(path, env::OpenMode::kReadWrite));
      ASSERT_TRUE(file->WriteAt(offset, std::string(2048, '\0')).has_value());
      ASSERT_TRUE(file->Sync().has_value());
      ExpectNoSilentLoss(*disk);
      if (HasFailure()) return;
    }
  }
}

TEST_F(Rot, CutAndMissingAndSwappedFilesAreFoundOrHarmless) {
  for (uint64_t seed : {5u, 8u, 9u, 10u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Build(seed);
    const auto paths = Segments();
    const std::string newest_active = NewestActive();
    for (const std::string& path : paths) {
      SCOPED_TRACE(path);
      for (uint64_t bytes = 0; bytes < work_->mem().Stat(path)->bytes; bytes += 5000) {
        auto disk = work_->mem().Clone();
        auto file = std::move(*disk->Open(path, env::OpenMode::kReadWrite));
        ASSERT_TRUE(file->Truncate(bytes).has_value());
        ASSERT_TRUE(file->Sync().has_value());
        ExpectNoSilentLoss(*disk);
      }
      for (const std::string& other : paths) {
        if (other == path) continue;
        auto disk = work_->mem().Clone();
        ASSERT_TRUE(disk->Rename(path, "/wal/x").has_value());
        ASSERT_TRUE(disk->Rename(other, path).has_value());
        ASSERT_TRUE(disk->Rename("/wal/x", other).has_value());
        ExpectNoSilentLoss(*disk);
      }
      // Without the newest segment the log just ends earlier, unless the next one was prepared.
      const bool newest = path == newest_active;
      if (!newest || paths.back() != newest_active) {
        auto disk = work_->mem().Clone();
        ASSERT_TRUE(disk->Unlink(path).has_value());
        ExpectNoSilentLoss(*disk);
      }
      if (HasFailure()) return;
    }
  }
}

TEST_F(Rot, ASegmentOfADivergedCopyIsFound) {
  // Two logs with the same salts that differ only in what one entry says: an old segment of the one
  // put back into the other is sound in itself, and ends at the same place.
  auto write = [](MemEnv* mem, const std::string& text) {
    auto wal = *Wal::Create(*mem, TestOptions(), Point(1, 1), Hard(1, 0, 1));
    for (uint64_t i = 2; wal->Stats().rolls < 2; ++i) {
      const std::vector<Entry> entries = {MakeEntry(i, 1, i == 4 ? text : std::string(9000, 'x'))};
      ASSERT_TRUE(wal->Append({.entries = entries}, true).has_value());
    }
  };
  MemEnv first;
  MemEnv second;
  write(&first, "put a=1");
  write(&second, "put a=2");
  const std::string path = "/wal/" + SegmentName(1);
  auto file = std::move(*first.Open(path, env::OpenMode::kReadWrite));
  ASSERT_TRUE(file->WriteAt(0, *env::ReadFile(second, path, 1 << 20)).has_value());
  RecoveredLog found;
  auto wal = Wal::Open(first, TestOptions(), &found);
  ASSERT_FALSE(wal.has_value());
  EXPECT_EQ(wal.error().code, Code::kCorruption);
  EXPECT_THAT(wal.error().message, testing::HasSubstr("does not end as the segment after it says"));
}

TEST_F(Rot, ReadErrorsAtStartAreReportedAndNothingIsChanged) {
  Build(2);
  for (uint64_t nth = 1; nth < 12; ++nth) {
    auto disk = work_->mem().Clone();
    const auto before = *disk->List("/wal");
    env::FaultEnv sick(*disk, nth);
    sick.Inject({.op = Op::kRead, .nth = nth});
    RecoveredLog found;
    auto wal = Wal::Open(sick, TestOptions(99), &found);
    if (wal) continue;  // fewer reads than that
    EXPECT_EQ(wal.error().code, Code::kIo);
    wal = Wal::Open(*disk, TestOptions(99), &found);
    ASSERT_TRUE(wal.has_value());
    Match(**wal, found, work_->allowed());
  }
}

// ---------------------------------------------------------------- hostile content

TEST(WalHostile, FramesOfThisLogInsideAPayloadAreNotTakenForFrames) {
  // Somebody stores a copy of the log file in the store, aligned so that its frames lie where
  // frames could be, and the write that carries it is torn.
  MemEnv mem;
  WalOptions options = TestOptions();
  options.segment_bytes = 1 << 20;
  auto wal = *Wal::Create(mem, options, Point(1, 1), Hard(1, 0, 1));
  for (uint64_t i = 2; i < 10; ++i) {
    const auto entries = MakeEntries(i, i + 1, 1, 100);
    ASSERT_TRUE(wal->Append({.entries = entries}, true).has_value());
  }
  const std::string log = *env::ReadFile(mem, "/wal/" + SegmentName(1), 2 << 20);
  const uint64_t end = kFirstFrameOffset + 9 * kFrameAlign;
  const std::string pad(kFrameAlign - kFrameHeaderBytes - kRecordHeaderBytes, 'p');
  const std::vector<Entry> bait = {MakeEntry(10, 1, pad + log.substr(0, end))};
  ASSERT_TRUE(wal->Append({.entries = bait}, false).has_value());
  wal.reset();
  ASSERT_TRUE(mem.FlipBit("/wal/" + SegmentName(1), end + 3, 0).has_value());  // its header is torn
  RecoveredLog found;
  wal = MustOpen(mem, options, &found);
  ASSERT_NE(wal, nullptr);
  EXPECT_EQ(found.last, Index(9));
}

TEST(WalHostile, RecycledFileShowsNothingOfItsEarlierUse) {
  // The next segment is made of a file that holds a later, longer stretch of the same log.
  MemEnv mem;
  WalOptions options = TestOptions();
  auto wal = *Wal::Create(mem, options, Point(1, 1), Hard(1, 0, 1));
  uint64_t next = 2;
  auto append = [&](uint64_t bytes) {
    const auto entries = MakeEntries(next, next + 1, 1, bytes);
    ASSERT_TRUE(wal->Append({.entries = entries}, true).has_value());
    ++next;
  };
  while (wal->Stats().rolls < 1) append(3000);
  ASSERT_TRUE(wal->CompactTo(Index(next - 1)).has_value());
  append(3000);
  while (*wal->preparer().PrepareOne()) {
  }
  // The recycled file becomes the next segment; only its first frames are overwritten.
  while (wal->Stats().rolls < 2) append(3000);
  wal.reset();
  RecoveredLog found;
  wal = MustOpen(mem, options, &found);
  ASSERT_NE(wal, nullptr);
  EXPECT_EQ(found.last, Index(next - 1));
  EXPECT_EQ(found.ending, Ending::kUnclosed) << "old frames are no traces of a torn write";
}

TEST(WalHostile, OnlyTheSaltTellsARepeatedHistoryFromTheOldOne) {
  // The file of a discarded log is reused by a new one that begins with the very same frames: what
  // the old one wrote next would fit by sequence, number and chain.
  MemEnv mem;
  const auto shared = MakeEntries(2, 3, 1);
  const auto old = MakeEntries(3, 4, 1);
  auto wal = *Wal::Create(mem, TestOptions(1), Point(1, 1), Hard(1, 0, 1));
  ASSERT_TRUE(wal->Append({.entries = shared}, true).has_value());
  ASSERT_TRUE(wal->Append({.entries = old}, true).has_value());
  wal.reset();
  ASSERT_TRUE(mem.Rename("/wal/" + SegmentName(1), "/wal/" + FreeName(1)).has_value());
  wal = *Wal::Create(mem, TestOptions(2), Point(1, 1), Hard(1, 0, 1));
  ASSERT_TRUE(wal->Append({.entries = shared}, true).has_value());
  wal.reset();
  ASSERT_EQ(mem.List("/wal")->size(), 1u) << "the file was reused";
  RecoveredLog found;
  wal = MustOpen(mem, TestOptions(3), &found);
  ASSERT_NE(wal, nullptr);
  EXPECT_EQ(found.last, Index(2));
}

TEST(WalHostile, ArbitraryBytesAreNeverTakenForALog) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    MemEnv mem;
    ASSERT_TRUE(mem.MakeDir("/wal").has_value());
    for (uint64_t seq = 1; seq <= random.Between(1, 3); ++seq) {
      std::string bytes(random.Below(40'000), '\0');
      for (char& c : bytes) c = static_cast<char>(random.Next());
      auto file = std::move(*mem.Open("/wal/" + SegmentName(seq), env::OpenMode::kCreate));
      ASSERT_TRUE(file->WriteAt(0, bytes).has_value());
    }
    RecoveredLog found;
    auto wal = Wal::Open(mem, TestOptions(), &found);
    ASSERT_FALSE(wal.has_value());
    EXPECT_EQ(wal.error().code, Code::kCorruption);
  }
}

}  // namespace
}  // namespace arima::wal
