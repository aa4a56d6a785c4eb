#include "node/checked_file.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "env/fault_env.h"
#include "env/mem_env.h"

namespace arima::node {
namespace {

constexpr char kPath[] = "dir/file";
constexpr char kCopy[] = "dir/file.copy";

class CheckedFileTest : public ::testing::Test {
 protected:
  CheckedFileTest() { EXPECT_TRUE(env::MakeDirs(env_, "dir")); }

  void Write(const std::string& bytes, uint64_t generation) {
    Status written = WriteCheckedFile(env_, kPath, bytes, generation);
    ASSERT_TRUE(written) << written.error().ToString();
  }
  void Flip(const char* path, uint64_t offset) {
    Status flipped = env_.FlipBit(path, offset, 3);
    ASSERT_TRUE(flipped) << flipped.error().ToString();
  }
  void Expect(const std::string& bytes, uint64_t generation, bool mended) {
    auto content = ReadCheckedFile(env_, kPath);
    ASSERT_TRUE(content) << content.error().ToString();
    EXPECT_EQ(content->bytes, bytes);
    EXPECT_EQ(content->generation, generation);
    EXPECT_EQ(content->mended, mended);
  }

  env::MemEnv env_;
};

TEST_F(CheckedFileTest, GivesBackWhatWasWritten) {
  Write("hello", 1);
  Expect("hello", 1, false);
  Write("", 2);
  Expect("", 2, false);
  Write(std::string(100'000, 'x'), 3);
  Expect(std::string(100'000, 'x'), 3, false);
}

TEST_F(CheckedFileTest, WithoutAnyCopyItIsNotFound) {
  EXPECT_EQ(ReadCheckedFile(env_, kPath).error().code, Code::kNotFound);
}

TEST_F(CheckedFileTest, OneMissingCopyIsMadeAgain) {
  for (const char* path : {kPath, kCopy}) {
    Write("hello", 1);
    ASSERT_TRUE(env_.Unlink(path));
    Expect("hello", 1, true);
    Expect("hello", 1, false);
  }
}

TEST_F(CheckedFileTest, EachDamagedByteOfOneCopyIsSeenAndMended) {
  Write("hello", 7);
  uint64_t bytes = env_.Stat(kPath)->bytes;
  for (const char* path : {kPath, kCopy}) {
    for (uint64_t offset = 0; offset < bytes; ++offset) {
      Flip(path, offset);
      Expect("hello", 7, true);
      Expect("hello", 7, false);
    }
  }
}

TEST_F(CheckedFileTest, ACopyThatIsCutOffOrHasATailIsDamaged) {
  Write("hello", 1);
  uint64_t bytes = env_.Stat(kPath)->bytes;
  for (uint64_t size : {uint64_t{0}, uint64_t{1}, bytes - 1, bytes + 1}) {
    auto file = env_.Open(kPath, env::OpenMode::kReadWrite);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->Truncate(size));
    Expect("hello", 1, true);
  }
}

TEST_F(CheckedFileTest, TwoDamagedCopiesAreCorruptionThatNamesBothAndChangesNothing) {
  Write("hello", 1);
  Flip(kPath, 30);
  Flip(kCopy, 31);
  std::string before = *env::ReadFile(env_, kPath, 1 << 20);
  auto content = ReadCheckedFile(env_, kPath);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, Code::kCorruption);
  EXPECT_NE(content.error().message.find(kCopy), std::string::npos);
  EXPECT_EQ(*env::ReadFile(env_, kPath, 1 << 20), before);
}

TEST_F(CheckedFileTest, AnEndlessFileIsDamage) {
  Write("hello", 1);
  ASSERT_TRUE(env::WriteFileAtomically(env_, kPath, std::string(2 << 20, 'x')));
  Expect("hello", 1, true);
}

TEST_F(CheckedFileTest, TheNewerCopyWins) {
  Write("old", 1);
  std::string old_frame = *env::ReadFile(env_, kPath, 1 << 20);
  Write("new", 2);
  for (const char* path : {kPath, kCopy}) {
    ASSERT_TRUE(env::WriteFileAtomically(env_, path, old_frame));
    Expect("new", 2, true);
  }
}

// Every moment of a write, every way to lose power there: the old content or the new one, whole;
// the new one once the write has returned.
TEST_F(CheckedFileTest, ALossOfPowerAtAnyMomentLeavesTheOldOrTheNewContent) {
  Write("old", 1);
  std::vector<std::unique_ptr<env::MemEnv>> moments;
  env::FaultEnv observed(env_, 1);
  observed.SetObserver([&](env::Op, const std::string&) { moments.push_back(env_.Clone()); });
  ASSERT_TRUE(WriteCheckedFile(observed, kPath, "new", 2));
  moments.push_back(env_.Clone());
  ASSERT_GE(moments.size(), 9u);  // two times create, write, sync, rename, sync of the directory
  size_t news = 0;
  for (size_t moment = 0; moment < moments.size(); ++moment) {
    for (uint64_t seed = 1; seed <= 24; ++seed) {
      SCOPED_TRACE("moment " + std::to_string(moment) + " seed " + std::to_string(seed));
      std::unique_ptr<env::MemEnv> after = moments[moment]->Clone();
      env::RandomCrash crash(seed);
      after->PowerLoss(crash);
      auto content = ReadCheckedFile(*after, kPath);
      ASSERT_TRUE(content) << content.error().ToString();
      bool is_new = content->generation == 2;
      EXPECT_EQ(content->bytes, is_new ? "new" : "old");
      EXPECT_TRUE(is_new || moment + 1 < moments.size());
      news += is_new ? 1 : 0;
      // What was mended is durable: a second loss of power changes nothing.
      env::RandomCrash again(seed + 100);
      after->PowerLoss(again);
      auto second = ReadCheckedFile(*after, kPath);
      ASSERT_TRUE(second);
      EXPECT_EQ(second->generation, content->generation);
    }
  }
  EXPECT_GT(news, 24u);
}

TEST_F(CheckedFileTest, AFailedWriteIsReported) {
  env::FaultEnv sick(env_, 1);
  for (env::Op op :
       {env::Op::kCreate, env::Op::kWrite, env::Op::kSync, env::Op::kRename, env::Op::kSyncDir}) {
    for (uint64_t nth : {uint64_t{1}, uint64_t{2}}) {
      sick.ClearFaults();
      sick.Inject({.op = op, .nth = nth});
      EXPECT_FALSE(WriteCheckedFile(sick, kPath, "x", 1)) << static_cast<int>(op) << " " << nth;
    }
  }
}

// A disk that cannot be read is not an empty one: nobody may found a new cluster on it.
TEST_F(CheckedFileTest, AReadErrorIsNeitherNotFoundNorDamage) {
  Write("hello", 1);
  env::FaultEnv sick(env_, 1);
  sick.Inject({.op = env::Op::kOpen, .lasting = true});
  EXPECT_EQ(ReadCheckedFile(sick, kPath).error().code, Code::kIo);
  sick.ClearFaults();
  sick.Inject({.op = env::Op::kRead, .nth = 1});
  EXPECT_EQ(ReadCheckedFile(sick, kPath).error().code, Code::kIo);
}

}  // namespace
}  // namespace arima::node
