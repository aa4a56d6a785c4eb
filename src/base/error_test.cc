#include "base/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

namespace arima {
namespace {

Result<int> HalfOf(int n) {
  if (n % 2 != 0) return Fail(Code::kInvalidArgument, "halve 7: it is odd");
  return n / 2;
}

TEST(Error, TravelsAsAValue) {
  EXPECT_EQ(HalfOf(8).value(), 4);
  Result<int> failed = HalfOf(7);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Code::kInvalidArgument);
  EXPECT_EQ(failed.error().ToString(), "invalid_argument: halve 7: it is odd");
}

// The words are part of the public contract ("code" of an error body) and of the wire protocol.
TEST(Error, EveryCodeHasAWordOfItsOwn) {
  std::set<std::string_view> words;
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    std::string_view word = CodeName(static_cast<Code>(i));
    EXPECT_FALSE(word.empty());
    EXPECT_EQ(word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos);
    EXPECT_TRUE(words.insert(word).second) << word << " stands for two codes";
  }
  EXPECT_TRUE(words.contains("outcome_unknown"));
  EXPECT_TRUE(words.contains("unavailable"));
}

TEST(Error, StatusIsAResultOfNothing) {
  Status fine;
  EXPECT_TRUE(fine.has_value());
  Status bad = Fail(Code::kIo, "write wal/1: input/output error");
  EXPECT_EQ(bad.error().ToString(), "io: write wal/1: input/output error");
}

}  // namespace
}  // namespace arima
