// One test per scenario in testdata/*.txt: several cores, their messages, disks and appliers in
// slow motion. The head of each file says which facts its output shows; the verbs are described in
// testing/raft_script.h. ARIMA_REWRITE=1 writes the outputs anew.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "testing/raft_script.h"
#include "testing/script_runner.h"

namespace arima::raft {
namespace {

class RaftScriptTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RaftScriptTest, MatchesItsGoldenOutput) {
  testing::RaftScript script;
  Status status = testing::RunScriptFile(
      GetParam(), [&](const testing::ScriptCommand& command) { return script.Handle(command); });
  EXPECT_TRUE(status) << status.error().message;
}

INSTANTIATE_TEST_SUITE_P(Scenario, RaftScriptTest,
                         ::testing::ValuesIn(testing::ScriptFiles(ARIMA_SOURCE_DIR "/testdata")),
                         [](const auto& scenario) {
                           return std::filesystem::path(scenario.param).stem().string();
                         });

}  // namespace
}  // namespace arima::raft
