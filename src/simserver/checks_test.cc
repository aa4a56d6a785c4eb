#include "simserver/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace arima::simserver {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

check::Operation Done(uint64_t id, check::Kind kind, std::optional<std::string> value,
                      uint64_t start_ns) {
  check::Operation operation;
  operation.id = id;
  operation.kind = kind;
  operation.outcome = check::Outcome::kOk;
  operation.key = "k";
  operation.value = std::move(value);
  operation.start_ns = start_ns;
  operation.end_ns = start_ns + 1;
  return operation;
}

TEST(Clients, AHistoryThatNoStoreCouldShowFailsTheRunWithItsEvidence) {
  std::vector<check::Operation> history = {Done(1, check::Kind::kPut, "a", 10),
                                           Done(2, check::Kind::kRead, "a", 20)};
  sim::Verdict verdict;
  CheckClients(history, &verdict);
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  history.push_back(Done(3, check::Kind::kRead, std::nullopt, 30));
  CheckClients(history, &verdict);
  EXPECT_THAT(verdict.text(), StartsWith("I11 linearizability: "));
  EXPECT_THAT(verdict.text(), HasSubstr("#3"));
}

TEST(ConsensusCheckerTest, FindsTwoStatesInOneCluster) {
  sim::Verdict verdict;
  ConsensusChecker checker(&verdict);
  checker.OnState(Uuid{{1}}, 7, 99);
  checker.OnState(Uuid{{2}}, 7, 98);
  checker.OnState(Uuid{{1}}, 7, 99);
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  EXPECT_EQ(checker.states_compared(), 1u);
  checker.OnState(Uuid{{1}}, 7, 98);
  EXPECT_THAT(verdict.text(), StartsWith("I14 equal states"));
}

}  // namespace
}  // namespace arima::simserver
