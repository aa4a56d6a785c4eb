#include "http/json_object_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace arima::http {
namespace {

using testing::HasSubstr;

constexpr JsonMember kMembers[] = {
    {"key", JsonType::kString, 8, "8 bytes"},
    {"value", JsonType::kString, 100, "100 bytes (--some-flag)"},
    {"force", JsonType::kBool, 0, ""},
};

// Feeds `body` in pieces of `piece_bytes` and tells what came out in one line.
std::string ReadIn(std::string_view body, size_t piece_bytes) {
  JsonObjectReader reader;
  reader.Begin(kMembers);
  for (size_t position = 0; position < body.size(); position += piece_bytes) {
    reader.Write(body.substr(position, piece_bytes));
  }
  if (const Read<void> read = reader.Finish(); !read) {
    return std::to_string(read.error().status) + " " + std::string(read.error().code) + ": " +
           read.error().message;
  }
  std::string out;
  if (reader.has(0)) out += "key=" + reader.text(0) + ";";
  if (reader.has(1)) out += "value=" + reader.text(1) + ";";
  if (reader.has(2)) out += reader.flag(2) ? "force;" : "no force;";
  return out;
}

std::string ReadWhole(std::string_view body) {
  const std::string whole = ReadIn(body, std::max<size_t>(body.size(), 1));
  for (size_t piece_bytes : {1u, 2u, 3u, 7u}) {
    EXPECT_EQ(ReadIn(body, piece_bytes), whole) << "in pieces of " << piece_bytes;
  }
  return whole;
}

TEST(JsonObjectReader, MembersComeOutDecodedInAnyOrder) {
  EXPECT_EQ(ReadWhole(R"({"key":"k","value":"v"})"), "key=k;value=v;");
  EXPECT_EQ(ReadWhole(" { \"value\" : \"\" ,\n\"key\":\"a b\"} \r\n"), "key=a b;value=;");
  EXPECT_EQ(ReadWhole(R"({"force":true})"), "force;");
  EXPECT_EQ(ReadWhole(R"({"force":false})"), "no force;");
  EXPECT_EQ(ReadWhole("{}"), "");
}

TEST(JsonObjectReader, EscapesAreDecodedZeroByteIncluded) {
  EXPECT_EQ(ReadWhole(R"({"value":"\u0041\n\"\\\/\ud83d\ude00\u20ac"})"),
            "value=A\n\"\\/\xF0\x9F\x98\x80\xE2\x82\xAC;");
  EXPECT_EQ(ReadWhole(R"({"value":"a\u0000b"})"), "value=" + std::string("a\0b", 3) + ";");
}

TEST(JsonObjectReader, UnknownRepeatedAndWronglyTypedMembersAreNamed) {
  EXPECT_EQ(ReadWhole(R"({"key":"k","ttl":"5s"})"),
            "400 bad_member: unknown member \"ttl\"; known are key, value, force");
  EXPECT_EQ(ReadWhole(R"({"key":"k","key":"k"})"), "400 bad_member: member \"key\" comes twice");
  EXPECT_EQ(ReadWhole(R"({"key":"k","\u006bey":"k"})"),
            "400 bad_member: member \"key\" comes twice");
  EXPECT_EQ(ReadWhole(R"({"key":5})"),
            "400 bad_member: member \"key\" must be a string, not a number");
  EXPECT_THAT(ReadWhole(R"({"key":-5.5e3})"), HasSubstr("not a number"));
  EXPECT_THAT(ReadWhole(R"({"key":18446744073709551615})"), HasSubstr("not a number"));
  EXPECT_THAT(ReadWhole(R"({"key":null})"), HasSubstr("must be a string, not null"));
  EXPECT_THAT(ReadWhole(R"({"key":true})"), HasSubstr("must be a string, not true"));
  EXPECT_THAT(ReadWhole(R"({"key":["k"]})"), HasSubstr("must be a string, not an array"));
  EXPECT_THAT(ReadWhole(R"({"key":{"k":"v"}})"), HasSubstr("must be a string, not an object"));
  EXPECT_THAT(ReadWhole(R"({"force":"true"})"), HasSubstr("must be true or false, not a string"));
}

TEST(JsonObjectReader, BodyMustBeOneObjectAndNothingElse) {
  for (std::string_view body : {"[]", "\"k\"", "5", "null", "true"}) {
    EXPECT_THAT(ReadWhole(body), HasSubstr("400 bad_json: the body must be a JSON object")) << body;
  }
  for (std::string_view body :
       {"", "{", "{\"key\"", "{\"key\":\"k\"", "{\"key\":\"k\",}", "{'key':'k'}", "{key:\"k\"}",
        "{\"key\":\"k\"}}", "{} {}", "{}x", "{\"key\":\"a\nb\"}", "{\"key\":\"\\x\"}", "nul",
        "{\"key\":\"\\ud800\"}", "{\"key\":\"\xFF\"}", "{/*c*/}", "\xEF\xBB\xBF{}"}) {
    EXPECT_THAT(ReadWhole(body), HasSubstr("400 bad_json: the body is not valid JSON")) << body;
  }
}

TEST(JsonObjectReader, StringsBeyondTheirLimitAre413) {
  EXPECT_EQ(ReadWhole(R"({"key":"12345678"})"), "key=12345678;");
  EXPECT_EQ(ReadWhole(R"({"key":"123456789"})"),
            "413 too_large: member \"key\" is larger than 8 bytes");
  // The limit counts bytes of the decoded string.
  EXPECT_EQ(ReadWhole(R"({"key":"\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031"})"),
            "key=11111111;");
}

TEST(JsonObjectReader, EndlessMemberNameCostsNoMemoryAndIsUnknown) {
  const std::string body = "{\"" + std::string(100'000, 'n') + "\":1}";
  EXPECT_LT(ReadWhole(body).size(), 200u);
}

TEST(JsonObjectReader, ReaderIsReusableAfterAMistake) {
  JsonObjectReader reader;
  reader.Begin(kMembers);
  reader.Write("{\"key\":\"left over\", broken");
  EXPECT_FALSE(reader.Finish().has_value());
  reader.Begin(kMembers);
  reader.Write(R"({"value":"v"})");
  ASSERT_TRUE(reader.Finish().has_value());
  EXPECT_FALSE(reader.has(0));
  EXPECT_EQ(reader.text(1), "v");
}

}  // namespace
}  // namespace arima::http
