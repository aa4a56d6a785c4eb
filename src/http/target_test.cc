#include "http/target.h"

#include <gtest/gtest.h>

namespace arima::http {
namespace {

std::string Decode(std::string_view encoded) {
  std::string out = "old content";
  const Read<void> read = PercentDecode(encoded, &out);
  return read ? out : "refused " + std::to_string(read.error().status);
}

TEST(Target, PathAndQueryAreSplitAtTheFirstQuestionMark) {
  EXPECT_EQ(SplitTarget("/store/k")->path, "/store/k");
  EXPECT_EQ(SplitTarget("/store/k")->query, "");
  EXPECT_EQ(SplitTarget("/store/k?a=b?c")->path, "/store/k");
  EXPECT_EQ(SplitTarget("/store/k?a=b?c")->query, "a=b?c");
  EXPECT_EQ(SplitTarget("/?")->path, "/");
}

TEST(Target, AbsoluteFormIsTakenForItsPath) {
  EXPECT_EQ(SplitTarget("http://localhost:2221/store/k?x")->path, "/store/k");
  EXPECT_EQ(SplitTarget("http://localhost")->path, "/");
  EXPECT_FALSE(SplitTarget("http://localhost?x=1").has_value());
}

TEST(Target, WhatIsNoPathIsRefused) {
  for (std::string_view target : {"*", "store/k", "localhost:1", "/store/a#b", "ftp://x/y", ""}) {
    const Read<Target> read = SplitTarget(target);
    ASSERT_FALSE(read.has_value()) << target;
    EXPECT_EQ(read.error().status, 400);
  }
}

TEST(Target, NothingIsNormalised) {
  for (std::string_view path : {"/store//", "/store/.", "/store/../x", "/store/a/", "/store/./a"}) {
    EXPECT_EQ(SplitTarget(path)->path, path);
  }
  for (std::string_view key : {"", "a", "//", ".", "..", "a/", "a+b", "~!$&'()*,;=:@"}) {
    EXPECT_EQ(Decode(key), key);
  }
}

TEST(Target, AnyByteCanBeWrittenInHex) {
  EXPECT_EQ(Decode("%41%2f%2F%20"), "A// ");
  EXPECT_EQ(Decode("%00"), std::string(1, '\0'));
  EXPECT_EQ(Decode("%25%32%35"), "%25");
  EXPECT_EQ(Decode("%e2%82%AC"), "\xE2\x82\xAC");
  for (unsigned byte = 0; byte < 256; ++byte) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    const std::string encoded = {'%', digits[byte >> 4], digits[byte & 15]};
    EXPECT_EQ(Decode(encoded), std::string(1, static_cast<char>(byte)));
  }
}

TEST(Target, BrokenPercentEncodingIsRefused) {
  for (std::string_view encoded : {"%", "a%", "%4", "%G1", "%1G", "%%41", "% 1", "a%2"}) {
    EXPECT_EQ(Decode(encoded), "refused 400") << encoded;
  }
}

TEST(Target, QueryParametersAreDecodedOnceAndInOrder) {
  const Read<std::vector<Parameter>> read = ParseQuery("a=1&&b&c=&d=x%3Dy=z&e%20f=%26");
  ASSERT_TRUE(read.has_value());
  std::string seen;
  for (const Parameter& parameter : *read) seen += parameter.name + "=" + parameter.value + ";";
  EXPECT_EQ(seen, "a=1;b=;c=;d=x=y=z;e f=&;");
  EXPECT_TRUE(ParseQuery("")->empty());
  EXPECT_TRUE(ParseQuery("&")->empty());
}

TEST(Target, QueryThatRepeatsANameOrBreaksEncodingIsRefused) {
  EXPECT_FALSE(ParseQuery("a=1&a=2").has_value());
  EXPECT_FALSE(ParseQuery("a=1&%61=2").has_value());
  EXPECT_FALSE(ParseQuery("a=%zz").has_value());
  EXPECT_FALSE(ParseQuery("%=1").has_value());
}

}  // namespace
}  // namespace arima::http
