#include "env/fault_env.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "env/mem_env.h"

namespace arima::env {
namespace {

struct Sick : testing::Test {
  MemEnv mem;
  FaultEnv env{mem, 7};
  std::unique_ptr<File> file = std::move(*env.Open("f", OpenMode::kCreate));

  std::string Content() { return *ReadFile(mem, "f", 1 << 20); }
};

using FaultEnvTest = Sick;

TEST_F(FaultEnvTest, NthWriteFailsAndDoesNothing) {
  env.Inject({.op = Op::kWrite, .nth = 2});
  EXPECT_TRUE(file->WriteAt(0, "a").has_value());
  EXPECT_EQ(file->WriteAt(0, "b").error().code, Code::kIo);
  EXPECT_EQ(Content(), "a");
  EXPECT_TRUE(file->WriteAt(0, "c").has_value());
}

TEST_F(FaultEnvTest, LastingFaultStays) {
  env.Inject({.op = Op::kSync, .nth = 2, .lasting = true});
  EXPECT_TRUE(file->Sync().has_value());
  EXPECT_FALSE(file->Sync().has_value());
  EXPECT_FALSE(file->Sync().has_value());
  env.ClearFaults();
  EXPECT_TRUE(file->Sync().has_value());
}

TEST_F(FaultEnvTest, FaultCanBeBoundToAPath) {
  env.Inject({.op = Op::kWrite, .path_part = "other"});
  EXPECT_TRUE(file->WriteAt(0, "a").has_value());
  auto other = *env.Open("other", OpenMode::kCreate);
  EXPECT_FALSE(other->WriteAt(0, "a").has_value());
}

TEST_F(FaultEnvTest, FailedSyncLeavesBytesUndurable) {
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  env.Inject({.op = Op::kSync});
  EXPECT_EQ(file->Sync().error().code, Code::kIo);
  EXPECT_EQ(mem.DirtySectors().size(), 1u);
}

TEST_F(FaultEnvTest, SyncCanBeDoneAndStillReportAnError) {
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  env.Inject({.op = Op::kSync, .kind = FaultKind::kDoneError});
  EXPECT_FALSE(file->Sync().has_value());
  EXPECT_TRUE(mem.DirtySectors().empty());
}

TEST_F(FaultEnvTest, TornWriteLeavesSomeSectors) {
  ASSERT_TRUE(file->WriteAt(0, std::string(16 * 512, 'o')).has_value());
  env.Inject({.op = Op::kWrite, .kind = FaultKind::kTornWrite});
  EXPECT_EQ(file->WriteAt(0, std::string(16 * 512, 'n')).error().code, Code::kIo);
  const std::string content = Content();
  size_t fresh = 0;
  for (size_t sector = 0; sector < 16; ++sector) {
    const std::string part = content.substr(sector * 512, 512);
    EXPECT_TRUE(part == std::string(512, 'o') || part == std::string(512, 'n'));
    if (part[0] == 'n') ++fresh;
  }
  EXPECT_GT(fresh, 0u);
  EXPECT_LT(fresh, 16u);
}

TEST_F(FaultEnvTest, FlippedBitGoesUnnoticed) {
  env.Inject({.op = Op::kWrite, .kind = FaultKind::kFlipBit});
  EXPECT_TRUE(file->WriteAt(0, std::string(100, '\0')).has_value());
  int ones = 0;
  for (char c : Content()) ones += __builtin_popcount(static_cast<unsigned char>(c));
  EXPECT_EQ(ones, 1);

  env.Inject({.op = Op::kRead, .kind = FaultKind::kFlipBit});
  EXPECT_NE(*file->Read(0, 100), Content());
  EXPECT_EQ(*file->Read(0, 100), Content());
}

TEST_F(FaultEnvTest, ReadErrorIsReported) {
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  env.Inject({.op = Op::kRead});
  EXPECT_EQ(file->Read(0, 3).error().code, Code::kIo);
  EXPECT_EQ(*file->Read(0, 3), "abc");
}

TEST_F(FaultEnvTest, FullDiskRefusesGrowthButNotOverwriting) {
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  env.SetDiskFull(true);
  EXPECT_TRUE(file->WriteAt(0, "xyz").has_value());
  EXPECT_EQ(file->WriteAt(1, "xyz").error().code, Code::kDiskFull);
  EXPECT_EQ(env.Open("new", OpenMode::kCreate).error().code, Code::kDiskFull);
  EXPECT_TRUE(env.Open("f", OpenMode::kCreate).has_value());
  EXPECT_EQ(env.MakeDir("d").error().code, Code::kDiskFull);
  EXPECT_EQ(file->Allocate(4).error().code, Code::kDiskFull);
  EXPECT_TRUE(file->Allocate(3).has_value());
  EXPECT_EQ(*env.FreeBytes("/"), 0u);
  env.SetDiskFull(false);
  EXPECT_TRUE(file->WriteAt(1, "xyz").has_value());
}

TEST_F(FaultEnvTest, SpaceIsWhatIsAskedFor) {
  env.SetSpace(DiskSpace{5, 100});
  EXPECT_EQ(env.Space("/")->free_bytes, 5u);
  EXPECT_EQ(env.Space("/")->total_bytes, 100u);
  env.SetSpace({});
  EXPECT_EQ(env.Space("/")->free_bytes, mem.Space("/")->free_bytes);
}

TEST_F(FaultEnvTest, DirectoryOperationsFailToo) {
  env.Inject({.op = Op::kRename});
  env.Inject({.op = Op::kUnlink});
  env.Inject({.op = Op::kSyncDir});
  env.Inject({.op = Op::kCreate, .kind = FaultKind::kDiskFull});
  EXPECT_EQ(env.Rename("f", "g").error().code, Code::kIo);
  EXPECT_EQ(env.Unlink("f").error().code, Code::kIo);
  EXPECT_EQ(env.SyncDir("/").error().code, Code::kIo);
  EXPECT_EQ(env.Open("h", OpenMode::kCreate).error().code, Code::kDiskFull);
  EXPECT_TRUE(Exists(mem, "f").value());
}

TEST_F(FaultEnvTest, UncachedReadsCanBeTakenAway) {
  ASSERT_TRUE(file->WriteAt(0, "lost").has_value());
  mem.LoseUnsynced("f");
  EXPECT_EQ((*env.Open("f", OpenMode::kReadUncached))->Read(0, 4)->at(0), '\0');
  env.SetCachedReadsOnly(true);
  EXPECT_EQ(*(*env.Open("f", OpenMode::kReadUncached))->Read(0, 4), "lost");
}

TEST_F(FaultEnvTest, ObserverSeesEachChangeBeforeItIsDone) {
  std::vector<std::pair<Op, uint64_t>> seen;
  env.SetObserver(
      [&](Op op, const std::string&) { seen.emplace_back(op, mem.Stat("f").value().bytes); });
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  ASSERT_TRUE(file->Sync().has_value());
  ASSERT_TRUE(file->Read(0, 3).has_value());
  EXPECT_EQ(seen, (std::vector<std::pair<Op, uint64_t>>{{Op::kWrite, 0}, {Op::kSync, 3}}));
  EXPECT_EQ(env.count(Op::kWrite), 1u);
  EXPECT_EQ(env.count(Op::kRead), 1u);
}

}  // namespace
}  // namespace arima::env
