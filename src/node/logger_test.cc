// What operators read, to the letter but for the time.
#include "node/logger.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>

namespace arima::node {
namespace {

std::string LineOf(LogFormat format, LogLevel lowest = LogLevel::kInfo) {
  testing::internal::CaptureStderr();
  Logger logger("n1", lowest, format);
  logger.Info("became_leader", "won with \"2\" of 3",
              {{"term", 7}, {"member", ""}, {"address", "a b"}});
  return testing::internal::GetCapturedStderr();
}

TEST(LoggerTest, TextLinesLeaveOutWhatDoesNotApplyAndQuoteWhatBlurs) {
  std::string line = LineOf(LogFormat::kText);
  size_t time_end = line.find(' ');
  ASSERT_NE(time_end, std::string::npos);
  EXPECT_EQ(line.substr(time_end),
            " info  n1 became_leader: won with \"2\" of 3 term=7 address=\"a b\"\n");
  EXPECT_EQ(line[time_end - 1], 'Z');
}

TEST(LoggerTest, JsonLinesAreJsonWhateverTheyHold) {
  auto line = boost::json::parse(LineOf(LogFormat::kJson)).as_object();
  EXPECT_EQ(line.at("level"), "info");
  EXPECT_EQ(line.at("node"), "n1");
  EXPECT_EQ(line.at("event"), "became_leader");
  EXPECT_EQ(line.at("message"), "won with \"2\" of 3");
  EXPECT_EQ(line.at("term").to_number<int>(), 7);
  EXPECT_EQ(line.at("address"), "a b");
  EXPECT_FALSE(line.contains("member"));
}

TEST(LoggerTest, LessImportantLinesAreNotWritten) {
  EXPECT_EQ(LineOf(LogFormat::kText, LogLevel::kWarn), "");
}

}  // namespace
}  // namespace arima::node
