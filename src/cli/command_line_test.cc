#include "cli/command_line.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

namespace arima::cli {
namespace {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
  std::vector<std::string> args;  // that the command got; {"-"} = it did not run
};

Ran RunWords(const std::vector<std::string>& args) {
  Ran ran;
  ran.args = {"-"};
  std::vector<Command> commands = {
      {"run", "r", "Run the server",
       [&ran](const std::vector<std::string>& given, std::ostream&, std::ostream&) {
         ran.args = given;
         return 7;
       }}};
  std::ostringstream out;
  std::ostringstream err;
  ran.code = RunCommandLine(commands, args, out, err);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

constexpr char kHelp[] = R"(NAME:
   arima - A simple fault tolerant key-value store

USAGE:
   arima [global options] command [command options] [arguments...]

DESCRIPTION:
   A distributed fault-tolerant key-value store which uses Raft for consensus.

COMMANDS:
   run, r   Run the server
   help, h  Shows a list of commands or help for one command

GLOBAL OPTIONS:
   --help, -h  show help (default: false)
)";

TEST(CommandLine, HelpIsThePublishedTextToTheLetter) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {}, {"--help"}, {"-h"}, {"help"}, {"h"}, {"help", "help"}}) {
    Ran ran = RunWords(args);
    EXPECT_EQ(ran.code, 0);
    EXPECT_EQ(ran.out, kHelp);
    EXPECT_EQ(ran.err, "");
  }
}

TEST(CommandLine, NameAndAliasRunTheCommandWithTheRestOfTheWords) {
  for (const char* name : {"run", "r"}) {
    Ran ran = RunWords({name, "-s", "1"});
    EXPECT_EQ(ran.code, 7);
    EXPECT_EQ(ran.args, (std::vector<std::string>{"-s", "1"}));
  }
}

TEST(CommandLine, HelpForOneCommandIsAskedOfTheCommand) {
  EXPECT_EQ(RunWords({"help", "run"}).args, std::vector<std::string>{"--help"});
  EXPECT_EQ(RunWords({"h", "r"}).args, std::vector<std::string>{"--help"});
}

TEST(CommandLine, UnknownWordsAreNamedInOneLineAndNothingRuns) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"rum"}, {"--fast"}, {"help", "rum"}, {""}}) {
    Ran ran = RunWords(args);
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err.find("\"" + args.back() + "\""), std::string::npos) << ran.err;
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1);
    EXPECT_EQ(ran.args, std::vector<std::string>{"-"});
  }
}

}  // namespace
}  // namespace arima::cli
