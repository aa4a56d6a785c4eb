#include "check/history_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "check/test_histories.h"

namespace arima::check {
namespace {

using ::testing::HasSubstr;

constexpr char kHeader[] = "{\"arima_history\":1}\n";

Result<std::vector<Operation>> Read(const std::string& text) {
  std::istringstream in(text);
  return ReadHistory(in);
}

// The example of docs/testing/linearizability.md, as it stands there.
std::string Example() {
  std::ifstream in(std::string(ARIMA_SOURCE_DIR) + "/../../docs/testing/linearizability.md");
  std::string text;
  std::string line;
  while (std::getline(in, line)) {
    if (!text.empty() && line.starts_with("```")) break;
    if (!text.empty() || line + "\n" == kHeader) text += line + "\n";
  }
  return text;
}

TEST(HistoryFile, ReadsEveryMember) {
  const Result<std::vector<Operation>> read = Read(Example());
  ASSERT_TRUE(read.has_value()) << read.error().message;
  const std::vector<Operation>& history = *read;
  ASSERT_EQ(history.size(), 5u);
  EXPECT_EQ(history[0].id, 2u) << "the line in the file";
  EXPECT_EQ(history[0].client, 1u);
  EXPECT_EQ(history[0].kind, Kind::kPut);
  EXPECT_EQ(history[0].outcome, Outcome::kOk);
  EXPECT_EQ(history[0].key, "k");
  EXPECT_EQ(history[0].value, "c1-1");
  EXPECT_EQ(history[0].start_ns, 1000u);
  EXPECT_EQ(history[0].end_ns, 2000u);
  EXPECT_EQ(history[0].revision, 2u);
  EXPECT_EQ(history[1].kind, Kind::kRead);
  EXPECT_EQ(history[1].store_revision, 2u);
  EXPECT_EQ(history[2].kind, Kind::kCompareAndSet);
  EXPECT_EQ(history[2].expected, "c1-1");
  EXPECT_EQ(history[2].outcome, Outcome::kUnknown);
  EXPECT_EQ(history[2].end_ns, kNever);
  EXPECT_TRUE(history[3].stale);
  EXPECT_EQ(history[3].value, std::nullopt);
  EXPECT_EQ(history[4].kind, Kind::kDelete);
  EXPECT_EQ(history[4].outcome, Outcome::kFailed);
  EXPECT_EQ(history[4].note, "n2: 503");
}

TEST(HistoryFile, GivesBackWhatWasWritten) {
  SeededRandom random(7);
  RandomHistoryOptions options;
  options.keys = 3;
  std::vector<Operation> history = RandomHistory(options, &random).Make();
  history[0].note = "n1: \"quoted\"\n";
  const std::string text = FormatHistory(history);
  const Result<std::vector<Operation>> read = Read(text);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  ASSERT_EQ(read->size(), history.size());
  EXPECT_EQ(FormatHistory(*read), text);
}

TEST(HistoryFile, NamesTheLineAndTheMistake) {
  const std::string begin = "{\"client\":1,\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,";
  const std::string open = "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "is not JSON"},
      {"7", "no JSON object"},
      {begin + R"("op":"put","value":"a"})", "outcome is missing"},
      {begin + R"("op":"put","outcome":"ok"})", "value is missing"},
      {begin + R"("op":"read","outcome":"ok"})", "value is missing"},
      {begin + R"("op":"cas","value":"a","outcome":"ok"})", "expected is missing"},
      {begin + R"("op":"put","value":null,"outcome":"ok"})", "needs a value"},
      {begin + R"("op":"put","value":7,"outcome":"ok"})", "neither text nor null"},
      {begin + R"("op":"get","value":"a","outcome":"ok"})", "op cannot be \"get\""},
      {begin + R"("op":"put","value":"a","outcome":"yes"})", "outcome cannot be \"yes\""},
      {begin + R"("op":"put","value":"a","outcome":"ok","colour":1})", "colour is not known"},
      {begin + R"("op":"put","value":"a","outcome":"ok","revision":-1})", "whole number"},
      {begin + R"("op":"put","value":"a","outcome":"ok","revision":1.5})", "whole number"},
      {begin + R"("op":"put","value":"a","outcome":"ok","revision":null})", "whole number"},
      {begin + R"("op":"delete","outcome":"ok","deleted":"yes"})", "true nor false"},
      {begin + R"("op":"put","value":"a","outcome":"ok","consistency":"stale"})", "not known"},
      {begin + R"("op":"read","value":"a","outcome":"ok","consistency":"old"})", "cannot be"},
      {open + R"("start_ns":1,"end_ns":null,"outcome":"ok"})", "needs an end"},
      {open + R"("start_ns":3,"end_ns":2,"outcome":"ok"})", "before it starts"},
  };
  for (const auto& [line, mistake] : cases) {
    const Result<std::vector<Operation>> read = Read(kHeader + line + "\n");
    ASSERT_FALSE(read.has_value()) << line;
    EXPECT_EQ(read.error().code, Code::kInvalidArgument);
    EXPECT_THAT(read.error().message, HasSubstr("line 2: ")) << line;
    EXPECT_THAT(read.error().message, HasSubstr(mistake)) << line;
  }
}

TEST(HistoryFile, TheFirstLineSaysTheFormat) {
  for (const std::string text : {"", "\n\n"}) {
    EXPECT_THAT(Read(text).error().message, HasSubstr("empty"));
  }
  EXPECT_THAT(Read("{\"arima_history\":2}\n").error().message, HasSubstr("format 2 is not known"));
  EXPECT_THAT(Read("{\"client\":1}\n").error().message, HasSubstr("arima_history is missing"));
  EXPECT_TRUE(Read(kHeader)->empty());
}

}  // namespace
}  // namespace arima::check
