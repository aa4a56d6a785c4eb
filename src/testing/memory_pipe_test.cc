#include "testing/memory_pipe.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace arima::testing {
namespace {

TEST(MemoryPipe, CarriesMoreThanItHoldsBothWaysInOrder) {
  auto [a, b] = PipeEnd::MakePipe(7);
  std::string sent;
  for (int i = 0; i < 1000; ++i) sent += std::to_string(i);
  std::thread echo([&far = b, size = sent.size()] {
    std::string got(size, '\0');
    ASSERT_TRUE(far->Read(got));
    ASSERT_TRUE(far->Write(got));
  });
  ASSERT_TRUE(a->Write(sent));
  std::string back(sent.size(), '\0');
  ASSERT_TRUE(a->Read(back));
  EXPECT_EQ(back, sent);
  echo.join();
}

TEST(MemoryPipe, WhatWasWrittenCanBeReadAfterTheWriterIsGone) {
  auto [a, b] = PipeEnd::MakePipe();
  ASSERT_TRUE(a->Write("ab"));
  a.reset();
  std::string got(2, '\0');
  ASSERT_TRUE(b->Read(got));
  EXPECT_EQ(got, "ab");
  EXPECT_EQ(b->Read(got).error().code, Code::kUnavailable);
  EXPECT_EQ(b->Write("x").error().code, Code::kUnavailable);
}

TEST(MemoryPipe, AnEndThatClosedItsWritingStillReads) {
  auto [a, b] = PipeEnd::MakePipe();
  ASSERT_TRUE(a->Write("ab"));
  a->CloseWriting();
  EXPECT_EQ(a->Write("x").error().code, Code::kUnavailable);
  std::string got(2, '\0');
  ASSERT_TRUE(b->Read(got));
  EXPECT_EQ(got, "ab");
  EXPECT_EQ(b->Read(got).error().code, Code::kUnavailable);
  ASSERT_TRUE(b->Write("cd"));
  ASSERT_TRUE(a->Read(got));
  EXPECT_EQ(got, "cd");
}

TEST(MemoryPipe, CancelEndsAReadThatWaits) {
  auto [a, b] = PipeEnd::MakePipe();
  std::thread reader([&near = a] {
    std::string got(1, '\0');
    EXPECT_EQ(near->Read(got).error().code, Code::kUnavailable);
  });
  a->Cancel();
  reader.join();
  EXPECT_EQ(a->Write("x").error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace arima::testing
