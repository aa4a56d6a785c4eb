#include "env/mem_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace arima::env {
namespace {

using testing::ElementsAre;

// Fates by sector number, the rest one default; all sizes and directory changes kept or dropped.
struct Chosen final : CrashChooser {
  explicit Chosen(SectorFate all, bool keep_rest = true) : rest(all), keep(keep_rest) {}
  SectorFate Sector(const std::string&, uint64_t sector) override {
    auto it = by_sector.find(sector);
    return it == by_sector.end() ? rest : it->second;
  }
  bool KeepSize(const std::string&) override { return keep; }
  bool KeepDirChange(const std::string&, const std::string& change) override {
    return keep != except.contains(change);
  }
  SectorFate rest;
  bool keep;
  std::map<uint64_t, SectorFate> by_sector;
  std::set<std::string> except;
};

std::unique_ptr<File> MustOpen(Env& env, const std::string& path, OpenMode mode) {
  auto file = env.Open(path, mode);
  EXPECT_TRUE(file.has_value()) << path;
  return std::move(*file);
}

// A durable file of three sectors of 'o'.
void MakeDurable(MemEnv& env) {
  auto file = MustOpen(env, "f", OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, std::string(1536, 'o')).has_value());
  ASSERT_TRUE(file->Sync().has_value());
  ASSERT_TRUE(env.SyncDir("/").has_value());
}

std::string Content(MemEnv& env) { return *ReadFile(env, "f", 1 << 20); }

TEST(MemEnvPowerLoss, SyncedBytesSurvive) {
  MemEnv env;
  MakeDurable(env);
  Chosen all_old(SectorFate::kOld, false);
  env.PowerLoss(all_old);
  EXPECT_EQ(Content(env), std::string(1536, 'o'));
}

TEST(MemEnvPowerLoss, UnsyncedSectorsTakeTheirFatesOneByOne) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(0, std::string(1536, 'n')).has_value());
  EXPECT_THAT(env.DirtySectors(),
              ElementsAre(DirtySector{"/f", 0}, DirtySector{"/f", 1}, DirtySector{"/f", 2}));
  Chosen mixed(SectorFate::kOld);
  mixed.by_sector = {{1, SectorFate::kNew}, {2, SectorFate::kZero}};
  env.PowerLoss(mixed);
  EXPECT_EQ(Content(env), std::string(512, 'o') + std::string(512, 'n') + std::string(512, '\0'));
}

TEST(MemEnvPowerLoss, GarbageIsNeitherOldNorNew) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(0, std::string(512, 'n')).has_value());
  Chosen garbage(SectorFate::kGarbage);
  env.PowerLoss(garbage);
  std::string first = Content(env).substr(0, 512);
  EXPECT_NE(first, std::string(512, 'o'));
  EXPECT_NE(first, std::string(512, 'n'));
}

TEST(MemEnvPowerLoss, ATornSectorIsNewUpToSomeByteAndOldBehindIt) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(512, std::string(512, 'n')).has_value());
  Chosen torn(SectorFate::kTorn);
  env.PowerLoss(torn);
  const std::string sector = Content(env).substr(512, 512);
  const size_t at = sector.find('o');
  ASSERT_GT(at, 0u);
  ASSERT_LT(at, 512u);
  EXPECT_EQ(sector, std::string(at, 'n') + std::string(512 - at, 'o'));
}

TEST(MemEnvPowerLoss, ASectorWrittenWithTheSameBytesIsWrittenAndNotDirty) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(512, std::string(512, 'o')).has_value());
  EXPECT_EQ(env.DirtySectors(), std::vector<DirtySector>());
  EXPECT_EQ(env.WrittenSectors(), (std::vector<DirtySector>{{"/f", 1}}));
  ASSERT_TRUE(file->Sync().has_value());
  EXPECT_EQ(env.WrittenSectors(), std::vector<DirtySector>());
}

TEST(MemEnvPowerLoss, UnsyncedGrowthMayHaveBeenCutAtAnyByte) {
  struct Cut final : CrashChooser {
    SectorFate Sector(const std::string&, uint64_t) override { return SectorFate::kNew; }
    bool KeepSize(const std::string&) override { return true; }
    uint64_t Size(const std::string&, uint64_t synced, uint64_t written) override {
      EXPECT_EQ(written, synced + 1000);
      return synced + 700;
    }
    bool KeepDirChange(const std::string&, const std::string&) override { return true; }
  };
  MemEnv env;
  MakeDurable(env);
  const std::string before = Content(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(before.size(), std::string(1000, 'n')).has_value());
  Cut cut;
  env.PowerLoss(cut);
  EXPECT_EQ(Content(env), before + std::string(700, 'n'));
}

TEST(MemEnvPowerLoss, UnsyncedGrowthMayBeLost) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(1536, "more").has_value());
  auto copy = env.Clone();
  Chosen lost(SectorFate::kNew, false);
  env.PowerLoss(lost);
  EXPECT_EQ(Content(env).size(), 1536u);
  Chosen kept(SectorFate::kNew, true);
  copy->PowerLoss(kept);
  EXPECT_EQ(Content(*copy).substr(1536), "more");
}

TEST(MemEnvPowerLoss, UnsyncedCutMayComeBack) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->Truncate(10).has_value());
  Chosen lost(SectorFate::kOld, false);
  env.PowerLoss(lost);
  EXPECT_EQ(Content(env), std::string(1536, 'o'));
}

TEST(MemEnvPowerLoss, NamesNeedSyncDir) {
  MemEnv env;
  auto file = MustOpen(env, "a", OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "x").has_value());
  ASSERT_TRUE(file->Sync().has_value());
  auto copy = env.Clone();
  Chosen lost(SectorFate::kNew, false);
  copy->PowerLoss(lost);
  EXPECT_THAT(*copy->List("/"), ElementsAre());

  ASSERT_TRUE(env.SyncDir("/").has_value());
  EXPECT_EQ(env.PendingDirChanges(), 0u);
  env.PowerLoss(lost);
  EXPECT_THAT(*env.List("/"), ElementsAre("a"));
}

TEST(MemEnvPowerLoss, RenameIsBothNamesOrNeither) {
  MemEnv env;
  MakeDurable(env);
  ASSERT_TRUE(env.Rename("f", "g").has_value());
  auto copy = env.Clone();
  Chosen lost(SectorFate::kNew, false);
  copy->PowerLoss(lost);
  EXPECT_THAT(*copy->List("/"), ElementsAre("f"));
  Chosen kept(SectorFate::kNew, true);
  env.PowerLoss(kept);
  EXPECT_THAT(*env.List("/"), ElementsAre("g"));
}

TEST(MemEnvPowerLoss, DirectoryChangesAreDroppedIndependently) {
  MemEnv env;
  MustOpen(env, "a", OpenMode::kCreate);
  MustOpen(env, "b", OpenMode::kCreate);
  ASSERT_TRUE(env.SyncDir("/").has_value());
  ASSERT_TRUE(env.Unlink("a").has_value());
  ASSERT_TRUE(env.Rename("b", "c").has_value());
  Chosen mixed(SectorFate::kNew, true);
  mixed.except = {"unlink a"};
  env.PowerLoss(mixed);
  EXPECT_THAT(*env.List("/"), ElementsAre("a", "c"));
}

TEST(MemEnvPowerLoss, OldHandlesAreDeadAndLocksAreFree) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  auto held = env.Lock("LOCK");
  ASSERT_TRUE(held.has_value());
  Chosen lost(SectorFate::kNew, true);
  env.PowerLoss(lost);
  EXPECT_EQ(file->WriteAt(0, "x").error().code, Code::kIo);
  EXPECT_EQ(file->Read(0, 1).error().code, Code::kIo);
  auto again = env.Lock("LOCK");
  EXPECT_TRUE(again.has_value());
  held->reset();  // must not release the lock of the new life
  EXPECT_EQ(env.Lock("LOCK").error().code, Code::kConflict);
}

TEST(MemEnvPowerLoss, RandomCrashReplaysFromItsSeed) {
  auto run = [](uint64_t seed) {
    MemEnv env;
    MakeDurable(env);
    auto file = MustOpen(env, "f", OpenMode::kReadWrite);
    EXPECT_TRUE(file->WriteAt(0, std::string(5000, 'n')).has_value());
    RandomCrash crash(seed);
    env.PowerLoss(crash);
    return Content(env);
  };
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    EXPECT_EQ(run(seed), run(seed));
    outcomes.insert(run(seed));
  }
  EXPECT_GT(outcomes.size(), 10u);
}

TEST(MemEnv, CloneIsIndependent) {
  MemEnv env;
  MakeDurable(env);
  auto copy = env.Clone();
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(0, "changed").has_value());
  EXPECT_EQ(Content(*copy), std::string(1536, 'o'));
}

TEST(MemEnv, LostPagesAreReadableUntilPowerGoes) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(0, "NEW").has_value());
  env.LoseUnsynced("f");
  ASSERT_TRUE(file->Sync().has_value());  // succeeds and repairs nothing
  EXPECT_EQ(*file->Read(0, 3), "NEW");
  EXPECT_EQ(*MustOpen(env, "f", OpenMode::kReadUncached)->Read(0, 3), "ooo");
  Chosen kept(SectorFate::kNew, true);
  env.PowerLoss(kept);
  EXPECT_EQ(Content(env).substr(0, 3), "ooo");
}

TEST(MemEnv, UncachedReadSeesDirtySectors) {
  MemEnv env;
  MakeDurable(env);
  auto file = MustOpen(env, "f", OpenMode::kReadWrite);
  ASSERT_TRUE(file->WriteAt(600, "NEW").has_value());
  EXPECT_EQ(*MustOpen(env, "f", OpenMode::kReadUncached)->Read(598, 6), "ooNEWo");
}

TEST(MemEnv, FlippedBitIsRotOnDiskAndInCache) {
  MemEnv env;
  MakeDurable(env);
  ASSERT_TRUE(env.FlipBit("f", 700, 3).has_value());
  EXPECT_EQ(Content(env)[700], 'o' ^ 8);
  EXPECT_TRUE(env.DirtySectors().empty());
  EXPECT_FALSE(env.FlipBit("f", 1536, 0).has_value());
}

TEST(MemEnv, CapacityBoundsTheSumOfSizes) {
  MemEnv env(2000);
  MakeDurable(env);
  EXPECT_EQ(*env.FreeBytes("/"), 464u);
  EXPECT_EQ(env.Space("/")->total_bytes, 2000u);
  auto file = MustOpen(env, "g", OpenMode::kCreate);
  EXPECT_EQ(file->WriteAt(0, std::string(465, 'x')).error().code, Code::kDiskFull);
  EXPECT_TRUE(file->WriteAt(0, std::string(464, 'x')).has_value());
  ASSERT_TRUE(env.Unlink("f").has_value());
  ASSERT_TRUE(env.SyncDir("/").has_value());
  EXPECT_EQ(*env.FreeBytes("/"), 1536u);
}

TEST(WriteFileAtomically, LeavesTheOldOrTheNewContent) {
  // Power goes before each step of the write and takes what it can.
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    MemEnv env;
    ASSERT_TRUE(WriteFileAtomically(env, "f", "old").has_value());
    {
      auto tmp = MustOpen(env, "f.tmp", OpenMode::kCreateTruncate);
      const uint64_t steps = seed % 4;
      if (steps > 0) {
        ASSERT_TRUE(tmp->WriteAt(0, "brand new").has_value());
      }
      if (steps > 1) {
        ASSERT_TRUE(tmp->Sync().has_value());
      }
      if (steps > 2) {
        ASSERT_TRUE(env.Rename("f.tmp", "f").has_value());
      }
    }
    RandomCrash crash(seed);
    env.PowerLoss(crash);
    EXPECT_THAT(Content(env), testing::AnyOf("old", "brand new"));
  }
}

TEST(WriteFileAtomically, IsDurableWhenItReturns) {
  MemEnv env;
  ASSERT_TRUE(WriteFileAtomically(env, "f", "first").has_value());
  ASSERT_TRUE(WriteFileAtomically(env, "f", "second").has_value());
  Chosen lost(SectorFate::kOld, false);
  env.PowerLoss(lost);
  EXPECT_EQ(Content(env), "second");
}

}  // namespace
}  // namespace arima::env
