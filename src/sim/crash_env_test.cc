#include "sim/crash_env.h"

#include <gtest/gtest.h>

#include <string>

namespace arima::sim {
namespace {

class CrashEnvTest : public ::testing::Test {
 protected:
  env::MemEnv files_;
  CrashEnv env_{&files_, 1};
};

TEST_F(CrashEnvTest, NothingHappensBehindTheStop) {
  auto file = env_.Open("/a", env::OpenMode::kCreate);
  ASSERT_TRUE(file.has_value());
  env_.StopAfter(1);
  EXPECT_TRUE((*file)->WriteAt(0, std::string_view("one")).has_value());
  EXPECT_FALSE((*file)->Sync().has_value());
  EXPECT_FALSE((*file)->WriteAt(3, std::string_view("two")).has_value());
  EXPECT_FALSE(env_.Rename("/a", "/b").has_value());
  EXPECT_FALSE(env_.Open("/a", env::OpenMode::kRead).has_value());
  EXPECT_TRUE(env_.stopped());
  EXPECT_EQ((*file)->Size().value(), 3u);
  EXPECT_EQ(files_.DirtySectors().size(), 1u);
  EXPECT_TRUE(env_.Resume());
  EXPECT_TRUE(env_.Rename("/a", "/b").has_value());
}

TEST_F(CrashEnvTest, TheWriteAtTheStopIsDoneInPart) {
  bool partial = false;
  for (int i = 0; i < 50; ++i) {
    auto file = env_.Open("/f" + std::to_string(i), env::OpenMode::kCreate);
    ASSERT_TRUE(file.has_value());
    env_.StopAfter(0);
    EXPECT_FALSE((*file)->WriteAt(0, std::string_view("0123456789")).has_value());
    EXPECT_TRUE(env_.Resume());
    const uint64_t size = (*file)->Size().value();
    ASSERT_LE(size, 10u);
    partial = partial || (size > 0 && size < 10);
  }
  EXPECT_TRUE(partial);
}

TEST_F(CrashEnvTest, FailuresComeOnceAndAreCounted) {
  auto file = env_.Open("/a", env::OpenMode::kCreate);
  ASSERT_TRUE(file.has_value());
  env_.FailNextWrite();
  EXPECT_FALSE((*file)->WriteAt(0, std::string_view("x")).has_value());
  EXPECT_TRUE((*file)->WriteAt(0, std::string_view("x")).has_value());
  env_.FailNextSync();
  EXPECT_FALSE((*file)->Sync().has_value());
  EXPECT_TRUE((*file)->Sync().has_value());
  env_.FailRead(2);
  char c = 0;
  EXPECT_TRUE((*file)->ReadAt(0, &c, 1).has_value());
  EXPECT_FALSE((*file)->ReadAt(0, &c, 1).has_value());
  EXPECT_TRUE((*file)->ReadAt(0, &c, 1).has_value());
  EXPECT_EQ(env_.failures(), 3u);
}

TEST_F(CrashEnvTest, ANameFollowsTheFile) {
  auto file = env_.Open("/a", env::OpenMode::kCreate);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE((*file)->WriteAt(4, std::string_view("x")).has_value());
  ASSERT_TRUE(env_.Rename("/a", "/b").has_value());
  EXPECT_EQ(*env_.last_write().path, "/b");
  EXPECT_EQ(env_.last_write().end, 5u);
  EXPECT_EQ(env_.appends(), 1u);
  env_.FailNextSync();  // finds the file under its new name
  EXPECT_FALSE((*file)->Sync().has_value());
}

}  // namespace
}  // namespace arima::sim
