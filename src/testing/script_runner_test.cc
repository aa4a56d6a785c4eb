#include "testing/script_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace arima::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ScriptFile : public ::testing::Test {
 protected:
  ScriptFile() {
    std::string name = (std::filesystem::temp_directory_path() / "arima_script_XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~ScriptFile() override {
    unsetenv("ARIMA_REWRITE");
    std::filesystem::remove_all(directory_);
  }

  std::string Write(const std::string& name, const std::string& text) {
    std::string path = (directory_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::string Echo(const ScriptCommand& command) {
    std::string out;
    for (const std::string& value : command.Positional()) out += value + "\n";
    for (const std::string& line : command.input) out += "> " + line + "\n";
    return out;
  }

  std::filesystem::path directory_;
};

TEST(ScriptCommand, ParsesPositionalNamedAndListArguments) {
  Result<ScriptCommand> command =
      ParseScriptCommand("add-nodes 3 voters=(1, 2,3) index=10 on=true");
  ASSERT_TRUE(command);
  EXPECT_EQ(command->name, "add-nodes");
  EXPECT_THAT(command->Positional(), ElementsAre("3"));
  ASSERT_NE(command->Find("voters"), nullptr);
  EXPECT_THAT(*command->Find("voters"), ElementsAre("1", "2", "3"));
  EXPECT_EQ(command->Number("index", 0), 10u);
  EXPECT_EQ(command->Number("absent", 7), 7u);
  EXPECT_TRUE(command->Flag("on"));
  EXPECT_FALSE(command->Flag("off"));
}

TEST(ScriptCommand, RefusesUnbalancedParentheses) {
  EXPECT_FALSE(ParseScriptCommand("x (1,2"));
  EXPECT_FALSE(ParseScriptCommand("x 1)"));
  EXPECT_FALSE(ParseScriptCommand(""));
}

TEST(ScriptCommand, NumbersAreDigitsOnly) {
  EXPECT_EQ(ParseNumber("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseNumber("12x"), std::nullopt);
  EXPECT_EQ(ParseNumber("-1"), std::nullopt);
  EXPECT_EQ(ParseNumber(""), std::nullopt);
}

TEST_F(ScriptFile, PassesWhenEachOutputIsAsExpected) {
  std::string path = Write("a.txt", "# head\n\necho 1 2\n----\n1\n2\n\necho\nin\n----\n> in\n");
  EXPECT_TRUE(RunScriptFile(path, Echo));
}

TEST_F(ScriptFile, NamesThePlaceOfEachDifference) {
  std::string path = Write("a.txt", "echo 1\n----\n2\n\necho 3\n----\n4\n");
  Status status = RunScriptFile(path, Echo);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("a.txt:1: echo"));
  EXPECT_THAT(status.error().message, HasSubstr("a.txt:5: echo"));
}

TEST_F(ScriptFile, MissingSeparatorIsAnErrorEvenWhenRewriting) {
  std::string path = Write("a.txt", "echo 1\n\necho 2\n----\n2\n");
  EXPECT_FALSE(RunScriptFile(path, Echo));
  setenv("ARIMA_REWRITE", "1", 1);
  EXPECT_FALSE(RunScriptFile(path, Echo));
}

TEST_F(ScriptFile, RewritesOutputsAndKeepsEverythingElse) {
  std::string path = Write("a.txt", "# head\necho 1\n----\nold\n\n# next\necho 2\n----\n\n# end\n");
  setenv("ARIMA_REWRITE", "1", 1);
  ASSERT_TRUE(RunScriptFile(path, Echo));
  EXPECT_EQ(Read(path), "# head\necho 1\n----\n1\n\n# next\necho 2\n----\n2\n\n# end\n");
  unsetenv("ARIMA_REWRITE");
  EXPECT_TRUE(RunScriptFile(path, Echo));
}

TEST_F(ScriptFile, ListsScriptsSorted) {
  std::string b = Write("b.txt", "");
  std::string a = Write("a.txt", "");
  Write("c.md", "");
  EXPECT_THAT(ScriptFiles(directory_.string()), ElementsAre(a, b));
}

}  // namespace
}  // namespace arima::testing
