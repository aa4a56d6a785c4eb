#include "raft/reads.h"

#include <gtest/gtest.h>

namespace arima::raft {
namespace {

WaitingRead Local(uint64_t tag) { return {MemberId(0), {}, tag, Index(0), 0}; }

TEST(ReadRounds, AReadNeedsARoundThatStartsAfterIt) {
  ReadRounds rounds;
  uint64_t before = rounds.Start(100, Index(5), true);
  rounds.Add(Local(1), Index(5));
  EXPECT_TRUE(rounds.wanted());
  EXPECT_TRUE(rounds.Confirm(before).empty()) << "that round was already on its way";
  uint64_t after = rounds.Start(200, Index(5), true);
  EXPECT_FALSE(rounds.wanted());
  std::vector<WaitingRead> done = rounds.Confirm(after);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].tag, 1u);
  EXPECT_EQ(done[0].index, Index(5));
}

TEST(ReadRounds, OneRoundServesAllReadsThatWaited) {
  ReadRounds rounds;
  for (uint64_t tag = 1; tag <= 3; ++tag) rounds.Add(Local(tag), Index(tag));
  std::vector<WaitingRead> done = rounds.Confirm(rounds.Start(1, Index(3), true));
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[2].index, Index(3)) << "each keeps the commit of its arrival";
}

TEST(ReadRounds, ANewRoundMayStartWhileOthersAreOut) {
  ReadRounds rounds;
  rounds.Add(Local(1), Index(1));
  uint64_t first = rounds.Start(1, Index(1), true);
  rounds.Add(Local(2), Index(2));
  EXPECT_TRUE(rounds.wanted());
  uint64_t second = rounds.Start(2, Index(2), true);
  EXPECT_EQ(rounds.Confirm(first).size(), 1u);
  EXPECT_EQ(rounds.Confirm(second).size(), 1u);
  EXPECT_EQ(rounds.size(), 0u);
}

TEST(ReadRounds, EarlyReadsWaitForTheFirstCommitOfTheTerm) {
  ReadRounds rounds;
  rounds.AddEarly(Local(1));
  EXPECT_FALSE(rounds.wanted());
  EXPECT_TRUE(rounds.Confirm(UINT64_MAX).empty());
  rounds.ReleaseEarly(Index(9));
  std::vector<WaitingRead> done = rounds.Confirm(rounds.Start(1, Index(9), true));
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].index, Index(9));
}

TEST(ReadRounds, AConfirmedRoundDatesTheLeadersCommit) {
  ReadRounds rounds;
  rounds.Start(100, Index(5), false);  // before the term's first commit: says nothing
  rounds.Start(200, Index(7), true);
  rounds.Start(300, Index(8), true);
  rounds.Confirm(1);
  EXPECT_EQ(rounds.confirmed_ns(), 0u);
  rounds.Confirm(2);
  EXPECT_EQ(rounds.confirmed_ns(), 200u);
  EXPECT_EQ(rounds.confirmed_commit(), Index(7));
}

TEST(ReadRounds, RoundsWithoutAQuorumAreBounded) {
  ReadRounds rounds;
  for (uint64_t i = 0; i < 100'000; ++i) rounds.Start(i, Index(1), true);
  EXPECT_LE(rounds.rounds().size(), 4096u);
}

TEST(ForwardedReads, AllReadsOfABatchShareOneRequest) {
  ForwardedReads reads;
  reads.Add(1);
  reads.Add(2);
  uint64_t counter = reads.Send(MemberId(7), 10);
  EXPECT_FALSE(reads.has_unsent());
  EXPECT_EQ(reads.Answer(counter, MemberId(7)), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(reads.size(), 0u);
}

TEST(ForwardedReads, AnAnswerCountsOnceAndOnlyFromTheOneAsked) {
  ForwardedReads reads;
  reads.Add(1);
  uint64_t counter = reads.Send(MemberId(7), 10);
  EXPECT_TRUE(reads.Answer(counter, MemberId(8)).empty());
  EXPECT_EQ(reads.Answer(counter, MemberId(7)).size(), 1u);
  EXPECT_TRUE(reads.Answer(counter, MemberId(7)).empty());
}

TEST(ForwardedReads, AnAnswerToAForgottenAttemptConfirmsNothing) {
  ForwardedReads reads;
  reads.Add(1);
  uint64_t old = reads.Send(MemberId(7), 10);
  EXPECT_EQ(reads.TakeSent().size(), 1u);
  reads.Add(1);  // the retry
  uint64_t fresh = reads.Send(MemberId(7), 11);
  EXPECT_NE(old, fresh);
  EXPECT_TRUE(reads.Answer(old, MemberId(7)).empty());
  EXPECT_EQ(reads.Answer(fresh, MemberId(7)).size(), 1u);
}

TEST(ForwardedReads, RequestsWithoutAnswerExpire) {
  ForwardedReads reads;
  reads.Add(1);
  reads.Send(MemberId(7), 10);
  reads.Add(2);
  reads.Send(MemberId(7), 20);
  EXPECT_TRUE(reads.Expire(10).empty());
  EXPECT_EQ(reads.Expire(11), (std::vector<uint64_t>{1}));
  EXPECT_EQ(reads.size(), 1u);
}

TEST(ForwardedReads, AnswersMayComeOutOfOrder) {
  ForwardedReads reads;
  std::vector<uint64_t> counters;
  for (uint64_t tag = 1; tag <= 3; ++tag) {
    reads.Add(tag);
    counters.push_back(reads.Send(MemberId(7), tag));
  }
  EXPECT_EQ(reads.Answer(counters[1], MemberId(7)), (std::vector<uint64_t>{2}));
  EXPECT_EQ(reads.Answer(counters[0], MemberId(7)), (std::vector<uint64_t>{1}));
  EXPECT_EQ(reads.sent().size(), 1u) << "answered ones at the front are gone";
  EXPECT_EQ(reads.size(), 1u);
}

}  // namespace
}  // namespace arima::raft
