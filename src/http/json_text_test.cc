#include "http/json_text.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace arima::http {
namespace {

std::string Quote(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

std::string Bytes(std::string_view bytes) {
  std::string out;
  AppendJsonBytes("key", bytes, &out);
  return out;
}

TEST(JsonText, PlainTextStandsAsItIs) {
  EXPECT_EQ(Quote(""), "\"\"");
  EXPECT_EQ(Quote("a/b c%20"), "\"a/b c%20\"");
  EXPECT_EQ(Quote("\xE2\x82\xAC"), "\"\xE2\x82\xAC\"");
}

TEST(JsonText, QuotesBackslashesAndControlsAreEscaped) {
  EXPECT_EQ(Quote("a\"b"), R"("a\"b")");
  EXPECT_EQ(Quote("a\\b"), R"("a\\b")");
  EXPECT_EQ(Quote("\n\r\t\b\f"), R"("\n\r\t\b\f")");
  EXPECT_EQ(Quote(std::string_view("\0\x1F", 2)), R"("\u0000\u001f")");
}

TEST(JsonText, EveryAsciiCharacterReadsBack) {
  for (int c = 0; c < 128; ++c) {
    const std::string text(3, static_cast<char>(c));
    EXPECT_EQ(boost::json::parse(Quote(text)).as_string(), text) << c;
  }
  const std::string large = std::string(10'000, 'x') + "\n" + std::string(10'000, '"');
  EXPECT_EQ(boost::json::parse(Quote(large)).as_string(), large);
}

TEST(JsonText, BytesThatAreNotTextTravelInBase64BesideNull) {
  EXPECT_EQ(Bytes("k"), R"("key":"k")");
  EXPECT_EQ(Bytes("\xFF\xFE\xFD"), R"("key":null,"key_base64":"//79")");
  EXPECT_EQ(Bytes(std::string_view("\0", 1)), R"("key":"\u0000")");
}

TEST(JsonText, MessagesAreAlwaysValidJson) {
  std::string out;
  AppendJsonMessage("bad \xFF byte", &out);
  EXPECT_EQ(out, "\"bad ? byte\"");
}

TEST(JsonText, MessagesStayOnOneLineWhateverTheyQuote) {
  std::string out;
  AppendJsonMessage("no key \"a\r\nb\x7f\"", &out);
  EXPECT_EQ(out, R"("no key \"a??b?\"")");
}

}  // namespace
}  // namespace arima::http
