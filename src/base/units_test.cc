#include "base/units.h"

#include <gtest/gtest.h>

namespace arima {
namespace {

TEST(Units, SizesTakeBinaryAndDecimalUnits) {
  EXPECT_EQ(ParseBytes("0"), 0u);
  EXPECT_EQ(ParseBytes("17B"), 17u);
  EXPECT_EQ(ParseBytes("32KiB"), 32u << 10);
  EXPECT_EQ(ParseBytes("1.5MiB"), 1536u << 10);
  EXPECT_EQ(ParseBytes("2GiB"), 2ull << 30);
  EXPECT_EQ(ParseBytes("1TiB"), 1ull << 40);
  EXPECT_EQ(ParseBytes("3kB"), 3000u);
  EXPECT_EQ(ParseBytes("1GB"), 1'000'000'000u);
}

TEST(Units, DurationsAreMilliseconds) {
  EXPECT_EQ(ParseDurationMs("250ms"), 250u);
  EXPECT_EQ(ParseDurationMs("1.5s"), 1500u);
  EXPECT_EQ(ParseDurationMs("2m"), 120'000u);
  EXPECT_EQ(ParseDurationMs("1h"), 3'600'000u);
}

TEST(Units, WhatIsNotAnAmountIsRefusedWithItsText) {
  for (std::string_view text : {"", "5", "ms", "-1s", "+1s", "1 s", "1.s", "1.2.3s", "1e3s", "5S",
                                "0.5ms", "99999999999999999999ms", "18446744073709551615h"}) {
    const Result<uint64_t> parsed = ParseDurationMs(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find("\"" + std::string(text) + "\""), std::string::npos);
  }
  EXPECT_FALSE(ParseBytes("64M").has_value()) << "64M may mean two things";
  EXPECT_FALSE(ParseBytes("0.3KiB").has_value());
  EXPECT_FALSE(ParseBytes("18014398509481985KiB").has_value());
}

TEST(Units, NumbersAreDecimalDigitsThatFit) {
  EXPECT_EQ(ParseNumber("0"), 0u);
  EXPECT_EQ(ParseNumber("18446744073709551615"), UINT64_MAX);
  for (std::string_view text : {"", "18446744073709551616", "-1", "+1", " 1", "0x10", "1.0"}) {
    EXPECT_FALSE(ParseNumber(text).has_value()) << text;
  }
}

TEST(Units, FormattingIsExactAndReadsBack) {
  EXPECT_EQ(FormatBytes(0), "0B");
  EXPECT_EQ(FormatBytes(1536u << 10), "1536KiB");
  EXPECT_EQ(FormatBytes(64u << 20), "64MiB");
  EXPECT_EQ(FormatDurationMs(0), "0ms");
  EXPECT_EQ(FormatDurationMs(400), "400ms");
  EXPECT_EQ(FormatDurationMs(90'000), "90s");
  EXPECT_EQ(FormatDurationMs(7'200'000), "2h");
  for (uint64_t amount : {1ull, 999ull, 1000ull, 1024ull, 60'000ull, 1ull << 40, 1ull << 50}) {
    EXPECT_EQ(ParseBytes(FormatBytes(amount)), amount);
    EXPECT_EQ(ParseDurationMs(FormatDurationMs(amount)), amount);
  }
}

}  // namespace
}  // namespace arima
