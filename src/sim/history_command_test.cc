#include "sim/history_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sim/sim_main.h"

namespace arima::sim {
namespace {

using ::testing::HasSubstr;

constexpr char kPut[] =
    R"({"client":1,"op":"put","key":"k","value":"a","start_ns":1,"end_ns":2,"outcome":"ok"})";

constexpr char kStaleRead[] =
    R"({"client":2,"op":"read","key":"k","value":null,"start_ns":3,"end_ns":4,"outcome":"ok"})";

class HistoryCommandTest : public ::testing::Test {
 protected:
  ~HistoryCommandTest() override { std::filesystem::remove(path_); }

  void Write(const std::vector<std::string>& lines) {
    std::ofstream out(path_);
    out << "{\"arima_history\":1}\n";
    for (const std::string& line : lines) out << line << "\n";
  }
  int Run(const std::vector<std::string>& args) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = Main(args, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  const std::string path_ = testing::TempDir() + "history-" + std::to_string(getpid()) + ".jsonl";
  std::string out_;
  std::string err_;
};

TEST_F(HistoryCommandTest, ALinearizableHistoryIsZero) {
  Write({kPut});
  EXPECT_EQ(Run({"--check-history", path_}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("linearizable: 1 operations, 1 keys"));
}

TEST_F(HistoryCommandTest, AViolatedHistoryIsOneWithEvidence) {
  Write({kPut, kStaleRead});
  EXPECT_EQ(Run({"--check-history", path_}), 1);
  EXPECT_THAT(out_, HasSubstr("no order: key \"k\""));
  EXPECT_THAT(out_, HasSubstr("#3 ")) << "operations go by their lines";
  EXPECT_THAT(out_, HasSubstr("VIOLATED"));
}

TEST_F(HistoryCommandTest, NoJudgementIsTwo) {
  Write({"{"});
  EXPECT_EQ(Run({"--check-history", path_}), 2);
  EXPECT_THAT(err_, HasSubstr("line 2"));
  EXPECT_EQ(Run({"--check-history", path_ + ".none"}), 2);
  EXPECT_THAT(err_, HasSubstr("cannot be opened"));
  EXPECT_EQ(Run({"--check-history"}), 2);
  EXPECT_THAT(err_, HasSubstr("usage"));
  EXPECT_EQ(Run({"--check-history", path_, path_}), 2);
}

}  // namespace
}  // namespace arima::sim
