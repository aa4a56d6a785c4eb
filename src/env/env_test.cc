// What every Env promises, checked against each implementation.
#include "env/env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "env/fault_env.h"
#include "env/mem_env.h"
#include "env/posix_env.h"

namespace arima::env {
namespace {

using testing::ElementsAre;

// An Env and a directory in it that is empty at the start and gone at the end.
struct Place {
  virtual ~Place() = default;
  virtual Env& env() = 0;
  std::string dir;
};

struct PosixPlace final : Place {
  PosixPlace() {
    std::string pattern = (std::filesystem::temp_directory_path() / "arima-env-XXXXXX").string();
    dir = ::mkdtemp(pattern.data());
  }
  ~PosixPlace() override { std::filesystem::remove_all(dir); }
  Env& env() override { return posix; }
  PosixEnv posix;
};

struct MemPlace final : Place {
  MemPlace() {
    dir = "/data";
    EXPECT_TRUE(mem.MakeDir(dir).has_value());
  }
  Env& env() override { return mem; }
  MemEnv mem;
};

struct FaultPlace final : Place {
  FaultPlace() : fault(mem.mem, 1) { dir = mem.dir; }
  Env& env() override { return fault; }
  MemPlace mem;
  FaultEnv fault;
};

class EveryEnv : public testing::TestWithParam<std::string> {
 protected:
  EveryEnv() {
    if (GetParam() == "Posix") place_ = std::make_unique<PosixPlace>();
    if (GetParam() == "Mem") place_ = std::make_unique<MemPlace>();
    if (GetParam() == "Fault") place_ = std::make_unique<FaultPlace>();
  }
  Env& env() { return place_->env(); }
  std::string Path(std::string_view name) { return JoinPath(place_->dir, name); }
  const std::string& dir() { return place_->dir; }

 private:
  std::unique_ptr<Place> place_;
};

INSTANTIATE_TEST_SUITE_P(Envs, EveryEnv, testing::Values("Posix", "Mem", "Fault"),
                         [](const auto& place) { return place.param; });

TEST_P(EveryEnv, WrittenBytesAreReadBackThroughAnyHandle) {
  auto writer = *env().Open(Path("a"), OpenMode::kCreateNew);
  auto reader = *env().Open(Path("a"), OpenMode::kRead);
  ASSERT_TRUE(writer->WriteAt(3, "hello").has_value());
  EXPECT_EQ(*reader->Read(0, 8), std::string("\0\0\0hello", 8));
  EXPECT_EQ(*reader->Size(), 8u);
}

TEST_P(EveryEnv, GatherWriteWritesThePartsOneAfterAnother) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  std::vector<std::string> owners;
  for (int i = 0; i < 200; ++i) owners.push_back("<" + std::to_string(i) + ">");
  std::vector<std::string_view> parts(owners.begin(), owners.end());
  parts.insert(parts.begin() + 100, "");
  std::string expected;
  for (const auto& part : owners) expected += part;
  ASSERT_TRUE(file->WriteAt(5, parts).has_value());
  EXPECT_EQ(*file->Read(5, expected.size()), expected);
}

TEST_P(EveryEnv, ReadStopsAtTheEndOfTheFile) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  char buffer[8];
  EXPECT_EQ(*file->ReadAt(1, buffer, sizeof buffer), 2u);
  EXPECT_EQ(*file->ReadAt(3, buffer, sizeof buffer), 0u);
  EXPECT_EQ(*file->ReadAt(100, buffer, sizeof buffer), 0u);
  EXPECT_EQ(file->Read(1, 3).error().code, Code::kCorruption);
}

TEST_P(EveryEnv, UncachedReadSeesUnalignedRangesOfWhatWasSynced) {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes.push_back(static_cast<char>(i * 31 >> 4));
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, bytes).has_value());
  ASSERT_TRUE(file->Sync().has_value());
  auto reader = *env().Open(Path("a"), OpenMode::kReadUncached);
  EXPECT_EQ(*reader->Read(0, bytes.size()), bytes);
  EXPECT_EQ(*reader->Read(4097, 70'001), bytes.substr(4097, 70'001));
  char buffer[16];
  EXPECT_EQ(*reader->ReadAt(bytes.size() - 3, buffer, sizeof buffer), 3u);
  EXPECT_EQ(*reader->ReadAt(bytes.size(), buffer, sizeof buffer), 0u);
}

TEST_P(EveryEnv, AppendWritesAtTheEnd) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->Append("one").has_value());
  ASSERT_TRUE(file->Append("two").has_value());
  EXPECT_EQ(*ReadFile(env(), Path("a"), 100), "onetwo");
}

TEST_P(EveryEnv, TruncateCutsAndLaterGrowthReadsAsZeros) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "abcdef").has_value());
  ASSERT_TRUE(file->Truncate(2).has_value());
  ASSERT_TRUE(file->WriteAt(4, "x").has_value());
  EXPECT_EQ(*file->Read(0, 5), std::string("ab\0\0x", 5));
}

TEST_P(EveryEnv, OpenModesDoWhatTheySay) {
  EXPECT_EQ(env().Open(Path("a"), OpenMode::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(env().Open(Path("a"), OpenMode::kReadUncached).error().code, Code::kNotFound);
  EXPECT_EQ(env().Open(Path("a"), OpenMode::kReadWrite).error().code, Code::kNotFound);
  ASSERT_TRUE((*env().Open(Path("a"), OpenMode::kCreateNew))->WriteAt(0, "abc").has_value());
  EXPECT_EQ(env().Open(Path("a"), OpenMode::kCreateNew).error().code, Code::kAlreadyExists);
  EXPECT_EQ(*(*env().Open(Path("a"), OpenMode::kCreate))->Size(), 3u);
  EXPECT_EQ(*(*env().Open(Path("a"), OpenMode::kCreateTruncate))->Size(), 0u);
  EXPECT_EQ(env().Open(Path("no/a"), OpenMode::kCreate).error().code, Code::kNotFound);
  auto reader = *env().Open(Path("a"), OpenMode::kRead);
  EXPECT_EQ(reader->WriteAt(0, "x").error().code, Code::kIo);
}

TEST_P(EveryEnv, ErrorsNameOperationAndPath) {
  Error error = env().Open(Path("missing"), OpenMode::kRead).error();
  EXPECT_NE(error.message.find("open"), std::string::npos);
  EXPECT_NE(error.message.find(Path("missing")), std::string::npos);
}

TEST_P(EveryEnv, RenameReplacesTheTarget) {
  ASSERT_TRUE(WriteFileAtomically(env(), Path("a"), "new").has_value());
  ASSERT_TRUE(WriteFileAtomically(env(), Path("b"), "old").has_value());
  ASSERT_TRUE(env().Rename(Path("a"), Path("b")).has_value());
  EXPECT_EQ(*ReadFile(env(), Path("b"), 100), "new");
  EXPECT_EQ(env().Rename(Path("a"), Path("b")).error().code, Code::kNotFound);
}

TEST_P(EveryEnv, ListIsSortedAndWithoutDots) {
  for (const char* name : {"b", "a", "c"}) {
    ASSERT_TRUE(env().Open(Path(name), OpenMode::kCreate).has_value());
  }
  ASSERT_TRUE(env().Unlink(Path("b")).has_value());
  ASSERT_TRUE(env().MakeDir(Path("d")).has_value());
  EXPECT_THAT(*env().List(dir()), ElementsAre("a", "c", "d"));
  EXPECT_EQ(env().List(Path("none")).error().code, Code::kNotFound);
}

TEST_P(EveryEnv, UnlinkedFileStaysReadableThroughItsHandle) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "abc").has_value());
  ASSERT_TRUE(env().Unlink(Path("a")).has_value());
  EXPECT_EQ(*file->Read(0, 3), "abc");
  EXPECT_EQ(env().Unlink(Path("a")).error().code, Code::kNotFound);
}

TEST_P(EveryEnv, StatTellsSizeAndKind) {
  EXPECT_EQ(env().Stat(Path("a")).error().code, Code::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(env(), Path("a"), "12345").has_value());
  EXPECT_EQ(env().Stat(Path("a"))->bytes, 5u);
  EXPECT_FALSE(env().Stat(Path("a"))->is_dir);
  EXPECT_TRUE(env().Stat(dir())->is_dir);
}

TEST_P(EveryEnv, LockIsExclusiveUntilReleased) {
  auto held = env().Lock(Path("LOCK"));
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(env().Lock(Path("LOCK")).error().code, Code::kConflict);
  held->reset();
  EXPECT_TRUE(env().Lock(Path("LOCK")).has_value());
}

TEST_P(EveryEnv, DirectoriesAreMadeWithParentsAndRemovedWithContent) {
  const std::string deep = Path("x/y/z");
  EXPECT_EQ(env().MakeDir(deep).error().code, Code::kNotFound);
  ASSERT_TRUE(MakeDirs(env(), deep).has_value());
  ASSERT_TRUE(MakeDirs(env(), deep).has_value());
  ASSERT_TRUE(WriteFileAtomically(env(), JoinPath(deep, "f"), "1").has_value());
  EXPECT_EQ(env().RemoveDir(deep).error().code, Code::kAlreadyExists);
  ASSERT_TRUE(RemoveTree(env(), Path("x")).has_value());
  EXPECT_THAT(*env().List(dir()), ElementsAre());
  EXPECT_TRUE(RemoveTree(env(), Path("x")).has_value());
}

TEST_P(EveryEnv, WriteZerosExtendsTheFileWithZeros) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "abcdef").has_value());
  const uint64_t size = (1 << 20) + 5000;
  ASSERT_TRUE(WriteZeros(*file, 3, size).has_value());
  EXPECT_EQ(*file->Size(), size);
  EXPECT_EQ(*file->Read(0, size), "abc" + std::string(size - 3, '\0'));
}

TEST_P(EveryEnv, ReadFileRefusesMoreThanAskedFor) {
  ASSERT_TRUE(WriteFileAtomically(env(), Path("a"), "12345").has_value());
  EXPECT_EQ(*ReadFile(env(), Path("a"), 5), "12345");
  EXPECT_EQ(ReadFile(env(), Path("a"), 4).error().code, Code::kTooLarge);
}

TEST_P(EveryEnv, SpaceIsKnown) {
  const DiskSpace space = *env().Space(dir());
  EXPECT_GT(space.free_bytes, 0u);
  EXPECT_LE(space.free_bytes, space.total_bytes);
}

TEST_P(EveryEnv, AllocateMakesAFileLongerAndNeverShorter) {
  auto file = *env().Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file->WriteAt(0, "abcdef").has_value());
  ASSERT_TRUE(file->Allocate(5000).has_value());
  EXPECT_EQ(*file->Read(0, 5000), "abcdef" + std::string(4994, '\0'));
  ASSERT_TRUE(file->Allocate(3).has_value());
  EXPECT_EQ(*file->Size(), 5000u);
}

TEST(Path, JoinAndParent) {
  EXPECT_EQ(JoinPath("a/b", "c"), "a/b/c");
  EXPECT_EQ(JoinPath("a/", "c"), "a/c");
  EXPECT_EQ(ParentDir("a/b/c"), "a/b");
  EXPECT_EQ(ParentDir("/a"), "/");
  EXPECT_EQ(ParentDir("a"), ".");
  EXPECT_EQ(ParentDir("a/b/"), "a");
}

}  // namespace
}  // namespace arima::env
