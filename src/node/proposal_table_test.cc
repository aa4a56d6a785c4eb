#include "node/proposal_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace arima::node {
namespace {

using raft::Index;
using raft::Term;

// What one waiter was told, and how often.
struct Answer {
  int calls = 0;
  std::optional<Result<kv::ApplyResult>> result;

  WriteDone Callback() {
    return [this](Result<kv::ApplyResult> r) {
      ++calls;
      result = std::move(r);
    };
  }
  bool ok() const { return calls == 1 && result->has_value(); }
  bool failed(Code code) const {
    return calls == 1 && !result->has_value() && result->error().code == code;
  }
};

std::vector<ProposalWaiter> One(uint64_t index, uint64_t term, Answer* answer,
                                uint64_t deadline_ns = UINT64_MAX) {
  std::vector<ProposalWaiter> waiters;
  waiters.push_back({Index(index), Term(term), deadline_ns, answer->Callback()});
  return waiters;
}

AppliedEntry Applied(uint64_t index, uint64_t term, uint64_t revision = 0) {
  AppliedEntry entry{Index(index), Term(term), {}};
  entry.result.revision = revision;
  return entry;
}

void Resolve(ProposalTable& table, std::vector<AppliedEntry> entries) { table.Resolve(entries); }

TEST(ProposalTable, GivesTheResultOfTheEntryToItsWaiter) {
  ProposalTable table;
  Answer answer;
  table.Register(One(5, 2, &answer));
  Resolve(table, {Applied(4, 2, 40), Applied(5, 2, 50), Applied(6, 2, 60)});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ((*answer.result)->revision, 50u);
  EXPECT_EQ(table.size(), 0u);
}

TEST(ProposalTable, SaysNotAppliedWhenAnotherTermStandsAtTheIndex) {
  ProposalTable table;
  Answer answer;
  table.Register(One(5, 2, &answer));
  Resolve(table, {Applied(5, 3)});
  EXPECT_TRUE(answer.failed(Code::kUnavailable));
}

TEST(ProposalTable, TellsTwoWaitersOfOneIndexApartByTheirTerms) {
  ProposalTable table;
  Answer older;
  Answer newer;
  table.Register(One(5, 2, &older));
  table.Register(One(5, 3, &newer));
  Resolve(table, {Applied(5, 3)});
  EXPECT_TRUE(older.failed(Code::kUnavailable));
  EXPECT_TRUE(newer.ok());
}

TEST(ProposalTable, SaysUnknownWhenTheEntryWasAppliedBeforeTheWaiterWasKnown) {
  ProposalTable table;
  Resolve(table, {Applied(5, 2)});
  Answer answer;
  table.Register(One(5, 2, &answer));
  EXPECT_TRUE(answer.failed(Code::kOutcomeUnknown));
  EXPECT_EQ(table.size(), 0u);
}

TEST(ProposalTable, SaysUnknownWhenASnapshotJumpedOverTheIndex) {
  ProposalTable table;
  Answer answer;
  table.Register(One(5, 2, &answer));
  Resolve(table, {Applied(10, 2)});
  EXPECT_TRUE(answer.failed(Code::kOutcomeUnknown));
}

TEST(ProposalTable, SaysUnknownWhenTheDeadlinePassesAndKeepsTheOthers) {
  ProposalTable table;
  Answer early;
  Answer late;
  table.Register(One(5, 2, &early, 1000));
  table.Register(One(6, 2, &late, 2000));
  table.Expire(999);
  EXPECT_EQ(early.calls, 0);
  table.Expire(1000);
  EXPECT_TRUE(early.failed(Code::kOutcomeUnknown));
  EXPECT_EQ(late.calls, 0);
  Resolve(table, {Applied(5, 2), Applied(6, 2)});
  EXPECT_EQ(early.calls, 1);
  EXPECT_TRUE(late.ok());
}

TEST(ProposalTable, ExpiresAWaiterThatCameWithAnEarlierDeadlineThanThoseBefore) {
  ProposalTable table;
  Answer first;
  Answer second;
  table.Register(One(5, 2, &first, 5000));
  table.Expire(10);
  table.Register(One(6, 2, &second, 100));
  table.Expire(100);
  EXPECT_EQ(first.calls, 0);
  EXPECT_TRUE(second.failed(Code::kOutcomeUnknown));
}

TEST(ProposalTable, KeepsOrderWhenTheAnswerOfANewLeaderNamesALowerIndex) {
  ProposalTable table;
  Answer of_old_leader;
  Answer of_new_leader;
  table.Register(One(9, 2, &of_old_leader));
  table.Register(One(7, 3, &of_new_leader));
  Resolve(table, {Applied(6, 3), Applied(7, 3)});
  EXPECT_TRUE(of_new_leader.ok());
  EXPECT_EQ(of_old_leader.calls, 0);
  Resolve(table, {Applied(8, 3), Applied(9, 3)});
  EXPECT_TRUE(of_old_leader.failed(Code::kUnavailable));
}

TEST(ProposalTable, FailAllAnswersEverybodyOnce) {
  ProposalTable table;
  Answer a;
  Answer b;
  table.Register(One(5, 2, &a));
  table.Register(One(6, 2, &b));
  table.FailAll({Code::kOutcomeUnknown, "stopping"});
  table.FailAll({Code::kOutcomeUnknown, "stopping"});
  EXPECT_TRUE(a.failed(Code::kOutcomeUnknown));
  EXPECT_TRUE(b.failed(Code::kOutcomeUnknown));
}

TEST(ProposalTable, ACallbackMayUseTheTable) {
  ProposalTable table;
  Answer next;
  std::vector<ProposalWaiter> waiters;
  waiters.push_back({Index(5), Term(2), UINT64_MAX,
                     [&](Result<kv::ApplyResult>) { table.Register(One(6, 2, &next)); }});
  table.Register(std::move(waiters));
  Resolve(table, {Applied(5, 2)});
  Resolve(table, {Applied(6, 2)});
  EXPECT_TRUE(next.ok());
}

// The core thread registers and expires while the applier resolves: nobody is lost, nobody is
// answered twice.
TEST(ProposalTable, AnswersEachWaiterExactlyOnceAcrossThreads) {
  constexpr uint64_t kCount = 20'000;
  ProposalTable table;
  std::vector<std::atomic<int>> calls(kCount + 1);
  std::atomic<uint64_t> registered = 0;
  std::thread applier([&] {
    for (uint64_t done = 0; done < kCount;) {
      uint64_t upto = registered.load();
      std::vector<AppliedEntry> entries;
      while (done < upto) entries.push_back(Applied(++done, 1));
      table.Resolve(entries);
    }
  });
  for (uint64_t index = 1; index <= kCount; ++index) {
    std::vector<ProposalWaiter> waiters;
    uint64_t deadline_ns = index % 7 == 0 ? 1 : UINT64_MAX;
    waiters.push_back({Index(index), Term(1), deadline_ns,
                       [&calls, index](Result<kv::ApplyResult>) { ++calls[index]; }});
    table.Register(std::move(waiters));
    registered = index;
    if (index % 64 == 0) table.Expire(2);
  }
  applier.join();
  EXPECT_EQ(table.size(), 0u);
  for (uint64_t index = 1; index <= kCount; ++index) ASSERT_EQ(calls[index], 1) << index;
}

}  // namespace
}  // namespace arima::node
