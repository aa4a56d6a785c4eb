#include "http/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace arima::http {
namespace {

std::string Encode(uint32_t point) {
  std::string out;
  const auto byte = [&out](uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (point < 0x80) {
    byte(point);
  } else if (point < 0x800) {
    byte(0xC0 | (point >> 6));
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    byte(0xE0 | (point >> 12));
    byte(0x80 | ((point >> 6) & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else {
    byte(0xF0 | (point >> 18));
    byte(0x80 | ((point >> 12) & 0x3F));
    byte(0x80 | ((point >> 6) & 0x3F));
    byte(0x80 | (point & 0x3F));
  }
  return out;
}

TEST(Utf8, EveryCodePointButSurrogatesIsText) {
  for (uint32_t point = 0; point <= 0x10FFFF; ++point) {
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    ASSERT_EQ(IsUtf8(Encode(point)), !surrogate) << point;
  }
  EXPECT_FALSE(IsUtf8(Encode(0x110000)));
}

TEST(Utf8, EveryPairOfBytesIsJudgedAsTheStandardSays) {
  for (uint32_t first = 0; first < 256; ++first) {
    for (uint32_t second = 0; second < 256; ++second) {
      const std::string pair = {static_cast<char>(first), static_cast<char>(second)};
      const bool ascii = first < 0x80 && second < 0x80;
      const bool two_bytes = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
      ASSERT_EQ(IsUtf8(pair), ascii || two_bytes) << first << " " << second;
    }
  }
}

TEST(Utf8, OverlongTruncatedAndStrayBytesAreNotText) {
  for (std::string_view bytes :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80",
        "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
        "\xE2\x82", "\xF0\x9F\x98", "\xE2\x28\xA1", "\xE2\x82\x28"}) {
    EXPECT_FALSE(IsUtf8(bytes));
    // Wherever it stands: before, inside and after the word-at-a-time path.
    for (size_t before = 0; before < 20; ++before) {
      const std::string text = std::string(before, 'a') + std::string(bytes) + "tail of text";
      EXPECT_FALSE(IsUtf8(text)) << before;
    }
  }
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8(std::string_view("\0", 1)));
  EXPECT_TRUE(IsUtf8("eight..bytes of text \xE2\x82\xAC and \xF0\x9F\x98\x80 more"));
}

}  // namespace
}  // namespace arima::http
