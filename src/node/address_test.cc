#include "node/address.h"

#include <gtest/gtest.h>

#include <string>

namespace arima::node {
namespace {

void ExpectParsed(std::string_view text, const std::string& host, uint16_t port) {
  auto parsed = ParseHostPort(text);
  ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
  EXPECT_EQ(parsed->host, host) << text;
  EXPECT_EQ(parsed->port, port) << text;
}

TEST(ParseHostPort, TakesNamesAndAddresses) {
  ExpectParsed("127.0.0.1:1111", "127.0.0.1", 1111);
  ExpectParsed("db1.example:1", "db1.example", 1);
  ExpectParsed("my_host-2:65535", "my_host-2", 65535);
  ExpectParsed("[::1]:1111", "::1", 1111);
  ExpectParsed("[fe80::1%eth0]:1111", "fe80::1%eth0", 1111);
}

TEST(ParseHostPort, RefusesWhatIsNoAddressAndShowsTheForm) {
  for (const char* text : {"",        ":",           "host",
                           "host:",   ":1111",       "[]:1111",
                           "host:0",  "host:65536",  "host:99999999999",
                           "host:-1", "host:+1",     "host:1x",
                           "host: 1", "host:1 ",     "::1:1111",
                           "[::1",    "[::1]",       "::1]:1",
                           "a b:1",   "host/path:1", "http://host:1",
                           "höst:1",  "ho\nst:1"}) {
    auto parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find("127.0.0.1:1111"), std::string::npos) << text;
  }
}

TEST(ParseHostPort, DoesNotRepeatAnEndlessAddress) {
  auto parsed = ParseHostPort(std::string(100'000, 'a') + ":1");
  ASSERT_FALSE(parsed);
  EXPECT_LT(parsed.error().message.size(), 300u);
}

}  // namespace
}  // namespace arima::node
