// The scenarios are in raft/testdata; here only what a scenario should never contain.

#include "testing/raft_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace arima::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Say(RaftScript& script, const std::string& line) {
  Result<ScriptCommand> command = ParseScriptCommand(line);
  EXPECT_TRUE(command) << line;
  return command ? script.Handle(*command) : "";
}

TEST(RaftScript, MistakesAreErrorsInTheOutput) {
  RaftScript script;
  for (const char* line :
       {"fly 1", "add-nodes", "campaign 1", "propose x", "tick", "compact 1 5", "log 7",
        "add-nodes 1 voters=(1) inflight=0", "unreachable 1", "lose-log 1 2"}) {
    EXPECT_THAT(Say(script, line), StartsWith("error: ")) << line;
  }
  EXPECT_THAT(Say(script, "add-nodes 1 voters=(1)"), HasSubstr("1: follower"));
  for (const char* line : {"compact 1 11", "propose-conf 1 z9", "election-timeout 1",
                           "lose-log 1 9", "forge-app 1 1 prev=7"}) {
    EXPECT_THAT(Say(script, line), StartsWith("error: ")) << line;
  }
}

TEST(RaftScript, QuietHidesOutputButNotErrors) {
  RaftScript script;
  EXPECT_EQ(Say(script, "add-nodes 1 voters=(1) quiet=true"), "");
  EXPECT_THAT(Say(script, "log 5 quiet=true"), StartsWith("error: "));
}

TEST(RaftScript, StabilizeComesToRest) {
  RaftScript script;
  Say(script, "add-nodes 3 voters=(1,2,3)");
  Say(script, "campaign 1");
  EXPECT_THAT(Say(script, "stabilize"), HasSubstr("state leader"));
  EXPECT_EQ(Say(script, "stabilize"), "");
  EXPECT_EQ(Say(script, "network"), "");
}

TEST(RaftScript, DroppedMessagesAreShownAsLost) {
  RaftScript script;
  Say(script, "add-nodes 3 voters=(1,2,3)");
  Say(script, "campaign 1");
  Say(script, "ready 1");
  EXPECT_THAT(Say(script, "deliver drop=(2)"), StartsWith("lost 1->2 Vote"));
  EXPECT_THAT(Say(script, "network"), HasSubstr("1->3 Vote"));
}

TEST(RaftScript, RestartForgetsWhatWasNotWritten) {
  RaftScript script;
  Say(script, "add-nodes 1 voters=(1) async=true");
  Say(script, "campaign 1");
  Say(script, "ready 1");
  Say(script, "restart 1");
  EXPECT_THAT(Say(script, "state 1"), HasSubstr("follower term=1"));
}

}  // namespace
}  // namespace arima::testing
