// Crash states of the log, one by one: scripts of every kind of write are cut before each operation
// that changes the disk, and for each cut every subset of what was not synced is lost where there
// are few (each 512-byte sector old, new, torn, zero or garbage; each change of a directory made or
// not), and seeded samples of them where there are many. Then the recovery itself is cut, and bits
// are flipped in what was synced. docs/testing/crash-states.md says what is asked of each state.
//
// Each script runs twice: in new files, and in files that hold a longer run of the same script, so
// that what lies behind each write differs from what could stand there only by its salt.
//
// ARIMA_CRASH_STATES is the number of states to try (all tests together, about), ARIMA_CRASH_SEED
// the seed; a failure names script, cut and state. script/crash-states sets both.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "wal/format.h"
#include "wal/test_crash_states.h"
#include "wal/test_crash_workload.h"
#include "wal/wal.h"

namespace arima::wal {
namespace {

using env::MemEnv;
using env::Op;

uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}
uint64_t StatesWanted() { return Setting("ARIMA_CRASH_STATES", 1000); }
uint64_t Seed() { return Setting("ARIMA_CRASH_SEED", 1); }

// ---------------------------------------------------------------- scripts

void Appends(Workload& work) {
  work.AppendEntries(1, 10, true);
  work.AppendEntries(3, 400, true);
  work.Append({.hard_state = Hard(2, 3, 2)}, true);
  work.AppendEntries(1, 10, false);
  work.AppendEntries(2, 700, true);
  work.AppendEntries(1, 1, false);
  work.Append({.hard_state = Hard(2, 3, 4)}, false);
  work.Sync();
  const auto first = MakeEntries(9, 11, 2, 300);
  const auto second = MakeEntries(10, 13, 3, 30);
  const Batch both[] = {{.hard_state = Hard(2, 1, 5), .entries = first},
                        {.hard_state = Hard(3, 0, 7), .entries = second}};
  work.Append(both, true);
  work.AppendEntries(2, 5'000, true);
}

void Rolls(Workload& work) {
  work.Roll(9'000);  // nobody prepared a segment
  while (work.Prepare()) {
  }
  work.AppendEntries(1, 10, true);
  work.Roll(3'000);
  work.AppendEntries(2, 100, true);
}

// The last frames before the roll were not asked to be durable.
void RollsBehindUnsyncedFrames(Workload& work) {
  work.AppendEntries(1, 14'000, true);
  work.Prepare();
  for (int i = 0; i < 14; ++i) work.AppendEntries(1, 1'200, false);
  work.AppendEntries(1, 30, true);
  work.AppendEntries(1, 30, false);
}

void OneBatchLargerThanASegment(Workload& work) {
  work.AppendEntries(2, 300, true);
  work.Prepare();
  work.AppendEntries(3, 30'000, true);
  work.AppendEntries(1, 30, true);
  work.Roll(2'000);
}

void CutAndRecycle(Workload& work) {
  for (int rolls = 0; rolls < 3; ++rolls) {
    work.Roll(7'000);
    const uint64_t last = work.newest().last();
    work.Append({.hard_state = Hard(1, 0, last)}, true);
    work.CompactTo(last - 1);
    work.AppendEntries(1, 50, rolls != 1);
    work.Sync();
    while (work.Prepare()) {
    }
  }
  work.AppendEntries(2, 2'000, true);
}

void CutsWithoutEntries(Workload& work) {
  work.AppendEntries(3, 200, true);
  work.Append({.hard_state = Hard(1, 0, 4)}, true);
  work.CompactTo(2);
  work.Sync();
  work.CompactTo(3);
  work.Append({.hard_state = Hard(2, 2, 4)}, false);
  work.CompactTo(4);
  work.Attest();
  work.AppendEntries(1, 10, true);
}

void ResetForASnapshot(Workload& work) {
  work.AppendEntries(3, 200, true);
  work.AppendEntries(2, 200, false);
  work.Append(work.ResetBatch(40), true);
  work.AppendEntries(2, 500, true);
  Batch reset = work.ResetBatch(60);
  const auto entries = MakeEntries(61, 64, work.NextTerm(), 100);
  reset.entries = entries;
  work.Append(reset, false);
  work.AppendEntries(1, 10, true);
  work.Roll(8'000);
  work.Append(work.ResetBatch(work.newest().last() + 5), true);
  while (work.Prepare()) {
  }
  work.AppendEntries(1, 10, true);
}

void ConflictingTail(Workload& work) {
  work.AppendEntries(5, 100, true);
  work.Overwrite(4, 2, 100, true);
  work.Overwrite(5, 3, 600, false);
  work.Overwrite(6, 1, 10, false);
  work.Overwrite(6, 2, 10, true);
  work.Roll(9'000);
  work.Overwrite(5, 1, 10, true);  // what the older segment holds is replaced in the newer one
  work.AppendEntries(2, 100, true);
}

void AttestsAndCloses(Workload& work) {
  work.AppendEntries(1, 10, true);
  work.Attest();
  work.AppendEntries(1, 10, true);
  work.Attest();
  work.AppendEntries(1, 10, false);
  work.Restart(true);
  work.AppendEntries(2, 10, true);
  work.Restart(true);
  work.Restart(true);
  work.AppendEntries(1, 10, true);
}

// Frames that only the page cache had are read, and copied, by the next life.
void ProcessDeaths(Workload& work) {
  work.AppendEntries(2, 300, true);
  work.AppendEntries(1, 300, false);
  work.Restart(false);
  work.Prepare();
  for (int i = 0; i < 3; ++i) work.AppendEntries(1, 3'000, i == 0);
  work.Restart(false);
  work.Restart(false);
  while (work.Prepare()) {
  }
  work.AppendEntries(1, 30, true);
}

void ByChance(Workload& work) {
  for (int step = 0; step < 60; ++step) work.Step();
}

struct Script {
  const char* name;
  void (*run)(Workload& work);
};
constexpr Script kScripts[] = {
    {"Appends", Appends},
    {"Rolls", Rolls},
    {"RollsBehindUnsyncedFrames", RollsBehindUnsyncedFrames},
    {"OneBatchLargerThanASegment", OneBatchLargerThanASegment},
    {"CutAndRecycle", CutAndRecycle},
    {"CutsWithoutEntries", CutsWithoutEntries},
    {"ResetForASnapshot", ResetForASnapshot},
    {"ConflictingTail", ConflictingTail},
    {"AttestsAndCloses", AttestsAndCloses},
    {"ProcessDeaths", ProcessDeaths},
    {"ByChance", ByChance},
};

struct Case {
  Script script;
  bool old_files;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Script& script : kScripts) {
    for (const bool old_files : {false, true}) cases.push_back({script, old_files});
  }
  return cases;
}

std::string NameOf(const Case& one) {
  return one.script.name + std::string(one.old_files ? "InOldFiles" : "");
}
std::string CaseName(const testing::TestParamInfo<Case>& info) { return NameOf(info.param); }
void PrintTo(const Case& one, std::ostream* out) { *out << NameOf(one); }

std::vector<std::string> NamesEnding(env::Env& disk, std::string_view ending) {
  std::vector<std::string> names;
  auto all = disk.List("/wal");
  if (!all) return names;
  for (const std::string& name : *all) {
    if (name.ends_with(ending)) names.push_back(name);
  }
  return names;
}

// ---------------------------------------------------------------- the tests

class WalEnumeration : public testing::TestWithParam<Case> {
 protected:
  static void TearDownTestSuite() {
    std::printf("[  STATES  ] %llu states of %llu cuts; of %llu flipped bits %llu were found\n",
                static_cast<unsigned long long>(states_), static_cast<unsigned long long>(cuts_),
                static_cast<unsigned long long>(flips_), static_cast<unsigned long long>(found_));
    // A part of the cases may have been chosen; the few sectors of one may all be alive.
    if (flips_ > 1000) {
      EXPECT_GT(found_, 0u);
      EXPECT_LT(found_, flips_);
    }
  }

  // Of all the states wanted, those of one test of one case.
  static uint64_t Share(uint64_t percent) {
    const uint64_t cases = 2 * std::size(kScripts);
    return (StatesWanted() * percent / 100 + cases - 1) / cases;
  }
  // Up to so many states of one cut are tried all.
  static uint64_t ExhaustiveMax() { return std::clamp<uint64_t>(StatesWanted() / 96, 8, 1024); }

  std::unique_ptr<MemEnv> StartDisk() {
    auto disk = std::make_unique<MemEnv>();
    if (!GetParam().old_files) return disk;
    // Their order is that of use.
    Workload old(Seed(), MemEnv(), MixSeed(Seed(), 0));
    old.Start();
    GetParam().script.run(old);
    for (int i = 0; i < 8; ++i) old.AppendEntries(1, 3000, true);
    old.Drop();
    EXPECT_TRUE(disk->MakeDir("/wal"));
    uint64_t number = 0;
    for (const std::string& name : NamesEnding(old.mem(), ".seg")) {
      auto bytes = env::ReadFile(old.mem(), "/wal/" + name, 1 << 20);
      if (bytes && !OldHeaders()) bytes->replace(kBlockBytes, kBlockBytes, kBlockBytes, '\0');
      auto file = disk->Open("/wal/" + FreeName(++number), env::OpenMode::kCreateNew);
      EXPECT_TRUE(bytes && file && (*file)->WriteAt(0, *bytes) && (*file)->Sync());
    }
    EXPECT_TRUE(disk->SyncDir("/wal") && disk->SyncDir("/"));
    return disk;
  }

  // As after a failed fsync: what was not synced can be read, and is not on the disk.
  static void LosePages(Workload& work) {
    for (const std::string& name : NamesEnding(work.mem(), ".seg")) {
      work.mem().LoseUnsynced("/wal/" + name);
    }
  }

  // Whether old files show the active header of their earlier use.
  virtual bool OldHeaders() const { return true; }

  // The disk before each operation of the script that changes it, and at its end.
  std::vector<Moment> Moments() {
    std::vector<Moment> moments;
    Workload work(Seed(), *StartDisk());
    auto note = [&](const std::string& text) {
      moments.push_back({text, work.mem().Clone(), work.allowed(), work.exposed()});
    };
    work.Visit([&](const MemEnv&, const Allowed&) { note("cut before " + work.operation()); });
    work.Start();
    GetParam().script.run(work);
    note("end");
    EXPECT_FALSE(work.broken()) << work.operation();
    cuts_ += moments.size();
    return moments;
  }

  // `lose` takes from a copy of the disk what was not synced.
  template <class Lose>
  static void Try(const Moment& moment, uint64_t seed, Lose lose) {
    SCOPED_TRACE(moment.text);
    ++states_;
    auto disk = moment.disk->Clone();
    lose(*disk);
    AfterCrash(std::move(disk), seed).Check(moment.allowed);
  }

  static inline uint64_t states_ = 0;
  static inline uint64_t cuts_ = 0;
  static inline uint64_t flips_ = 0;
  static inline uint64_t found_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Scripts, WalEnumeration, testing::ValuesIn(Cases()), CaseName);

TEST_P(WalEnumeration, NoCutLosesOrInventsAnything) {
  const std::vector<Moment> moments = Moments();
  const uint64_t end = states_ + Share(50);
  std::vector<const Moment*> sampled;
  uint64_t seed = MixSeed(Seed(), 1);
  for (const Moment& moment : moments) {
    // The machine goes on, with all that it has in memory.
    Try(moment, ++seed, [](MemEnv&) {});
    CountQuestions count;
    moment.disk->Clone()->PowerLoss(count);
    const bool all = count.Lists(env::kSectorFates, ExhaustiveMax() + 1) <= ExhaustiveMax();
    if (!all) sampled.push_back(&moment);
    const uint64_t fates = all ? env::kSectorFates : 2;
    if (count.Lists(fates, ExhaustiveMax() + 1) > ExhaustiveMax()) continue;
    EveryAnswer every(fates);
    do {
      Try(moment, ++seed, [&](MemEnv& disk) { disk.PowerLoss(every); });
      if (HasFailure()) FAIL() << every.text() << " of " << fates << " fates";
    } while (every.Next());
  }
  for (size_t i = 0; states_ < end && !sampled.empty(); ++i) {
    MixedCrash crash(++seed);
    Try(*sampled[i % sampled.size()], seed, [&](MemEnv& disk) { disk.PowerLoss(crash); });
    if (HasFailure()) FAIL() << "state of seed " << seed;
  }
}

// Power goes, and goes again before any operation of the recovery.
TEST_P(WalEnumeration, NoCutOfARecoveryLosesOrInventsAnything) {
  const std::vector<Moment> moments = Moments();
  SeededRandom random(MixSeed(Seed(), 2));
  for (const uint64_t end = states_ + Share(20); states_ < end;) {
    const Moment& moment = moments[random.Below(moments.size())];
    SCOPED_TRACE(moment.text);
    const uint64_t seed = random.Next();
    auto disk = moment.disk->Clone();
    MixedCrash crash(seed);
    if (random.Percent(85)) disk->PowerLoss(crash);

    std::vector<Moment> again;
    env::FaultEnv observed(*disk, 1);
    observed.SetObserver([&](Op, const std::string& path) {
      again.push_back({"cut of the recovery before " + path, disk->Clone(), moment.allowed, {}});
    });
    RecoveredLog found;
    auto wal = Wal::Open(observed, TestOptions(seed), &found);
    if (!wal && !(moment.allowed.none && wal.error().code == Code::kNotFound)) {
      FAIL() << "not recovered, seed " << seed << ": " << wal.error().message;
    }
    for (const Moment& second : again) {
      const uint64_t second_seed = random.Next();
      MixedCrash second_crash(second_seed);
      const bool power = second_seed % 8 != 0;
      Try(second, second_seed, [&](MemEnv& d) {
        if (power) d.PowerLoss(second_crash);
      });
      if (HasFailure()) FAIL() << "state of seeds " << seed << " and " << second_seed;
    }
    if (again.empty()) ++states_;  // there was no log to recover
  }
}

// A write or sync that fails ends the process; the kernel has then marked the pages clean, so they
// can be read, but are not on the disk.
TEST_P(WalEnumeration, NoFailedWriteOrSyncLosesAnythingAcknowledged) {
  for (const Op op : {Op::kWrite, Op::kSync}) {
    for (uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE((op == Op::kWrite ? "write " : "sync ") + std::to_string(nth));
      Workload work(Seed(), *StartDisk());
      bool failed = false;
      work.Visit([&](const MemEnv&, const Allowed&) {
        if (failed || work.fault().count(op) < nth) return;
        failed = true;  // this very operation
        LosePages(work);
      });
      work.Inject({.op = op, .nth = nth});
      work.Start();
      GetParam().script.run(work);
      ASSERT_EQ(work.broken(), failed) << "an operation has failed, and nobody was told";
      if (!failed) break;
      work.Drop();
      work.fault().ClearFaults();
      LosePages(work);
      work.fault().SetCachedReadsOnly(nth % 2 == 0);
      ++states_;
      RecoveredLog found;
      auto wal = Wal::Open(work.fault(), TestOptions(MixSeed(Seed(), nth)), &found);
      if (!wal && work.allowed().none && wal.error().code == Code::kNotFound) continue;
      ASSERT_TRUE(wal) << wal.error().message;
      auto model = Match(**wal, found, work.allowed());
      ASSERT_TRUE(model);
      wal->reset();
      // From here on it counts as durable, whatever the page cache showed.
      MixedCrash crash(nth);
      work.mem().PowerLoss(crash);
      AfterCrash(work.mem().Clone(), nth).Check({{*model}, work.allowed().cut_max});
      if (HasFailure()) return;
    }
  }
}

// ---------------------------------------------------------------- flipped bits

class WalRot : public WalEnumeration {
 protected:
  // Where the header that prepared a file rots, an active one of the same sequence would count, and
  // its log come back. Only these tests make two uses of a file under one sequence: a data
  // directory never uses a sequence again, and what is of another one never counts.
  bool OldHeaders() const override { return false; }

  struct Target {
    const Moment* moment = nullptr;
    env::DirtySector sector;
  };

  // Whatever a bit of a sector says: the log is found corrupt, or holds what it should.
  void Flip(const Moment& moment, const MemEnv& damaged, const env::DirtySector& sector,
            uint64_t seed) {
    SCOPED_TRACE(moment.text + ", bit flipped in " + sector.path + " sector " +
                 std::to_string(sector.sector) + ", seed " + std::to_string(seed));
    ++states_;
    ++flips_;
    auto disk = damaged.Clone();
    SeededRandom random(seed);
    const uint64_t byte = sector.sector * env::kSectorBytes + random.Below(env::kSectorBytes);
    if (!disk->FlipBit(sector.path, byte, static_cast<int>(random.Below(8)))) return;  // gone
    Allowed allowed = moment.allowed;
    if (std::binary_search(moment.exposed.sectors.begin(), moment.exposed.sectors.end(), sector)) {
      allowed.models.insert(allowed.models.end(), moment.exposed.models.begin(),
                            moment.exposed.models.end());
    }
    RecoveredLog found;
    auto wal = Wal::Open(*disk, TestOptions(random.Next()), &found);
    if (!wal) {
      ++found_;
      EXPECT_EQ(wal.error().code, Code::kCorruption) << wal.error().message;
      EXPECT_TRUE(found.damage.has_value());
      return;
    }
    auto model = Match(**wal, found, allowed);
    if (!model) return;
    wal->reset();
    MixedCrash crash(random.Next());
    disk->PowerLoss(crash);
    AfterCrash(std::move(disk), seed).Check({{*model}, found.snapshot_index.value});
  }

  static void Shuffle(std::vector<Target>* targets, SeededRandom* random) {
    for (size_t i = targets->size(); i > 1; --i) {
      std::swap((*targets)[i - 1], (*targets)[random->Below(i)]);
    }
  }

  // Those that hold anything, and a few of the others.
  static std::vector<env::DirtySector> SectorsOf(const MemEnv& disk, SeededRandom* random) {
    std::vector<env::DirtySector> sectors;
    auto copy = disk.Clone();
    for (const std::string& name : NamesEnding(*copy, ".seg")) {
      const std::string path = "/wal/" + name;
      const std::string bytes = *env::ReadFile(*copy, path, 1 << 20);
      for (uint64_t at = 0; at < bytes.size(); at += env::kSectorBytes) {
        const bool zeros =
            bytes.substr(at, env::kSectorBytes).find_first_not_of('\0') == std::string::npos;
        if (!zeros || random->Percent(5)) sectors.push_back({path, at / env::kSectorBytes});
      }
    }
    return sectors;
  }
};
INSTANTIATE_TEST_SUITE_P(Scripts, WalRot, testing::ValuesIn(Cases()), CaseName);

TEST_P(WalRot, ABitFlippedInAnySyncedSectorIsFoundOrHarmless) {
  const std::vector<Moment> moments = Moments();
  SeededRandom random(MixSeed(Seed(), 3));
  std::vector<Target> targets;
  auto add = [&](const Moment& moment, const std::vector<env::DirtySector>& sectors) {
    for (const env::DirtySector& sector : sectors) targets.push_back({&moment, sector});
  };
  add(moments.back(), SectorsOf(*moments.back().disk, &random));
  const size_t sure = std::min<size_t>(targets.size(), std::max<uint64_t>(Share(20), 60));
  // After each sync: what it made durable, and what was there.
  std::vector<Target> all = std::move(targets);
  targets.clear();
  for (size_t i = 1; i + 1 < moments.size(); ++i) {
    const auto& synced = moments[i].exposed.sectors;
    if (synced.empty() || synced == moments[i - 1].exposed.sectors) continue;
    add(moments[i], synced);
    add(moments[i], SectorsOf(*moments[i].disk, &random));
  }
  Shuffle(&all, &random);
  Shuffle(&targets, &random);
  all.resize(sure);
  if (Share(20) > all.size()) {
    const size_t more = std::min<size_t>(targets.size(), Share(20) - all.size());
    all.insert(all.end(), targets.begin(), targets.begin() + static_cast<ptrdiff_t>(more));
  }
  for (const Target& target : all) {
    // What was not synced is on the disk or not, as it pleases.
    auto disk = target.moment->disk->Clone();
    Flip(*target.moment, *disk, target.sector, random.Next());
    if (HasFailure()) return;
  }
}

TEST_P(WalRot, ABitFlippedBesidesALossOfPowerIsFoundOrHarmless) {
  const std::vector<Moment> moments = Moments();
  SeededRandom random(MixSeed(Seed(), 4));
  const uint64_t end = states_ + Share(10);
  for (uint64_t tries = 0; states_ < end && tries < 10 * Share(10); ++tries) {
    const Moment& moment = moments[random.Below(moments.size())];
    if (moment.allowed.none) continue;
    auto dirty = moment.disk->WrittenSectors();
    std::sort(dirty.begin(), dirty.end());
    auto disk = moment.disk->Clone();
    const uint64_t seed = random.Next();
    MixedCrash crash(seed);
    disk->PowerLoss(crash);
    const auto sectors = SectorsOf(*disk, &random);
    if (sectors.empty()) continue;
    const env::DirtySector& sector = sectors[random.Below(sectors.size())];
    if (std::binary_search(dirty.begin(), dirty.end(), sector)) continue;  // torn already
    SCOPED_TRACE("loss of power of seed " + std::to_string(seed));
    Flip(moment, *disk, sector, random.Next());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace arima::wal
