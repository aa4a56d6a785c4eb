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
  EXPECT_EQ(CheckClients(history, &verdict), 0u);
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  history.push_back(Done(3, check::Kind::kRead, std::nullopt, 30));
  EXPECT_EQ(CheckClients(history, &verdict), 0u);
  EXPECT_THAT(verdict.text(), StartsWith("I11 linearizability: "));
  EXPECT_THAT(verdict.text(), HasSubstr("#3"));
}

TEST(ConsensusCheckerTest, FindsTwoLeadersTwoEntriesAndTwoStates) {
  const Uuid cluster{{1}};
  const Uuid another{{2}};
  for (int which = 0; which < 3; ++which) {
    sim::Verdict verdict;
    ConsensusChecker checker(&verdict);
    raft::Entry entry;
    entry.index = raft::Index(7);
    entry.term = raft::Term(3);
    checker.OnLeader(cluster, raft::Term(3), raft::MemberId(1));
    checker.OnLeader(another, raft::Term(3), raft::MemberId(2));
    checker.OnCommitted(cluster, entry);
    checker.OnState(cluster, 7, 99);
    EXPECT_TRUE(verdict.ok()) << verdict.text();
    if (which == 0) checker.OnLeader(cluster, raft::Term(3), raft::MemberId(2));
    entry.term = raft::Term(4);
    if (which == 1) checker.OnCommitted(cluster, entry);
    if (which == 2) checker.OnState(cluster, 7, 98);
    EXPECT_FALSE(verdict.ok());
  }
}

}  // namespace
}  // namespace arima::simserver
