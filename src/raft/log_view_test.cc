#include "raft/log_view.h"

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

InitialState Empty() {
  InitialState s;
  s.hard_state = {Term(1), MemberId(0), Index(1)};
  s.snapshot_index = s.last = s.applied = kFirstSnapshotIndex;
  s.snapshot_term = kFirstSnapshotTerm;
  return s;
}

// Entries 2, 3, ... with these terms, nothing written.
LogView Log(const std::vector<uint64_t>& terms) {
  LogView log(Empty(), Index(1), 1 << 20);
  uint64_t index = 1;
  for (uint64_t term : terms) log.Append(TestEntry(term, ++index, "payload"));
  return log;
}

Write Start(LogView* log, bool sync = true) {
  Write write;
  log->StartWrite(sync, &write);
  return write;
}

TEST(LogView, ANewEntryIsNeitherStableNorCommitted) {
  LogView log = Log({2});
  EXPECT_EQ(log.last(), Index(2));
  EXPECT_EQ(log.stable(), Index(1));
  EXPECT_EQ(log.commit(), Index(1));
  EXPECT_TRUE(log.has_unwritten());
}

TEST(LogView, AWriteTakesEverythingNotYetWrittenOnce) {
  LogView log = Log({2, 2});
  Write first = Start(&log);
  EXPECT_EQ(first.entries.size(), 2u);
  EXPECT_FALSE(log.has_unwritten());
  log.Append(TestEntry(2, 4));
  Write second = Start(&log);
  ASSERT_EQ(second.entries.size(), 1u);
  EXPECT_EQ(second.entries[0].index, Index(4));
  EXPECT_EQ(second.seq, first.seq + 1);
}

TEST(LogView, CompletionsMakeTheLogStableInOrder) {
  LogView log = Log({2});
  uint64_t first = Start(&log).seq;
  log.Append(TestEntry(2, 3));
  uint64_t second = Start(&log).seq;
  EXPECT_TRUE(log.FinishWrite(first));
  EXPECT_EQ(log.stable(), Index(2));
  EXPECT_TRUE(log.FinishWrite(second));
  EXPECT_EQ(log.stable(), Index(3));
  EXPECT_FALSE(log.FinishWrite(second)) << "told twice";
}

TEST(LogView, OneCompletionMayCoverSeveralWrites) {
  LogView log = Log({2});
  Start(&log);
  log.Append(TestEntry(2, 3));
  uint64_t second = Start(&log).seq;
  log.FinishWrite(second);
  EXPECT_EQ(log.stable(), Index(3));
  EXPECT_TRUE(log.writes().empty());
}

TEST(LogView, ACompletionNeverVouchesForEntriesThatReplacedWhatItWrote) {
  LogView log = Log({2, 2, 2});
  uint64_t first = Start(&log).seq;  // 2, 3, 4 of term 2
  log.TruncateFrom(Index(3));
  log.Append(TestEntry(3, 3));
  uint64_t second = Start(&log).seq;  // 3 of term 3
  log.FinishWrite(first);
  EXPECT_EQ(log.stable(), Index(2));
  log.FinishWrite(second);
  EXPECT_EQ(log.stable(), Index(3));
}

// A is overwritten by B, B by A again; the first completion of A comes when the log holds A.
TEST(LogView, TheFirstAOfAnABARaceDoesNotVouchForTheLastA) {
  LogView log = Log({2, 2});
  uint64_t a1 = Start(&log).seq;
  log.TruncateFrom(Index(3));
  log.Append(TestEntry(3, 3));
  uint64_t b = Start(&log).seq;
  log.TruncateFrom(Index(3));
  log.Append(TestEntry(4, 3));
  uint64_t a2 = Start(&log).seq;
  log.FinishWrite(a1);
  EXPECT_EQ(log.stable(), Index(2));
  log.FinishWrite(b);
  EXPECT_EQ(log.stable(), Index(2));
  log.FinishWrite(a2);
  EXPECT_EQ(log.stable(), Index(3)) << "and it is not forgotten either";
}

TEST(LogView, TruncationLowersStable) {
  LogView log = Log({2, 2, 2});
  log.FinishWrite(Start(&log).seq);
  log.TruncateFrom(Index(3));
  EXPECT_EQ(log.stable(), Index(2));
  EXPECT_EQ(log.last(), Index(2));
}

TEST(LogView, AWriteAfterTruncationBeginsAtTheFirstReplacedEntry) {
  LogView log = Log({2, 2, 2});
  Start(&log);
  log.TruncateFrom(Index(3));
  log.Append(TestEntry(3, 3));
  log.Append(TestEntry(3, 4));
  Write write = Start(&log);
  ASSERT_EQ(write.entries.size(), 2u);
  EXPECT_EQ(write.entries[0].id(), (EntryId{Term(3), Index(3)}));
}

TEST(LogView, UpToDateComparesTermThenLength) {
  LogView log = Log({2, 3});
  EXPECT_TRUE(log.IsUpToDate({Term(3), Index(3)}));
  EXPECT_TRUE(log.IsUpToDate({Term(3), Index(9)}));
  EXPECT_TRUE(log.IsUpToDate({Term(4), Index(2)}));
  EXPECT_FALSE(log.IsUpToDate({Term(3), Index(2)}));
  EXPECT_FALSE(log.IsUpToDate({Term(2), Index(9)}));
}

TEST(LogView, BytesAreCountedExactlyFromCommitAndApplied) {
  LogView log = Log({2, 2, 2});  // 7 bytes each
  EXPECT_EQ(log.uncommitted_bytes(), 21u);
  log.FinishWrite(Start(&log).seq);
  log.CommitTo(Index(3));
  EXPECT_EQ(log.uncommitted_bytes(), 7u);
  EXPECT_EQ(log.unapplied_bytes(), 14u);
  log.AcceptApplying(Index(3));
  log.AppliedTo(Index(2));
  EXPECT_EQ(log.unapplied_bytes(), 7u);
  log.TruncateFrom(Index(4));
  EXPECT_EQ(log.uncommitted_bytes(), 0u);
}

TEST(LogView, CompactionMovesTheSnapshotPoint) {
  LogView log = Log({2, 3, 3});
  log.FinishWrite(Start(&log).seq);
  log.CommitTo(Index(4));
  log.AcceptApplying(Index(4));
  log.AppliedTo(Index(3));
  log.CompactTo(Index(3));
  EXPECT_EQ(log.first(), Index(4));
  EXPECT_EQ(log.snapshot(), (EntryId{Term(3), Index(3)}));
  EXPECT_EQ(log.TermAt(Index(2)), std::nullopt);
  EXPECT_FALSE(log.cache().Has(Index(3)));
}

TEST(LogView, ResetReplacesEverythingAndIsWrittenBeforeNewEntries) {
  LogView log = Log({2, 2, 2});
  uint64_t old = Start(&log).seq;
  log.Reset({Term(5), Index(10)});
  log.Append(TestEntry(6, 11));
  Write write = Start(&log);
  ASSERT_TRUE(write.reset.has_value());
  EXPECT_EQ(write.reset->index, Index(10));
  ASSERT_EQ(write.entries.size(), 1u);
  EXPECT_EQ(log.applied(), Index(10));
  EXPECT_EQ(log.commit(), Index(10));
  log.FinishWrite(old);
  EXPECT_EQ(log.stable(), Index(10));
  log.FinishWrite(write.seq);
  EXPECT_EQ(log.stable(), Index(11));
}

TEST(LogView, TheCacheKeepsWhatIsNotDurableEvenOverItsLimit) {
  LogView log(Empty(), Index(1), 100);
  for (uint64_t i = 2; i <= 20; ++i) log.Append(TestEntry(2, i, "payload"));
  EXPECT_EQ(log.cache().first(), Index(2));
  log.FinishWrite(Start(&log).seq);
  log.Append(TestEntry(2, 21, "payload"));
  EXPECT_GT(log.cache().first(), Index(2)) << "durable entries can be read from disk again";
  EXPECT_TRUE(log.cache().Has(Index(21)));
}

TEST(LogView, RecoveredTailWarmsTheCache) {
  InitialState s = Empty();
  s.last = Index(5);
  s.term_runs = {{Term(2), Index(2)}, {Term(3), Index(4)}};
  s.tail = {TestEntry(3, 4), TestEntry(3, 5)};
  LogView log(s, Index(3), 1 << 20);
  EXPECT_EQ(log.TermAt(Index(3)), Term(2));
  EXPECT_EQ(log.TermAt(Index(5)), Term(3));
  EXPECT_EQ(log.cache().first(), Index(4));
  EXPECT_EQ(log.stable(), Index(5));
  EXPECT_FALSE(log.has_unwritten());
}

}  // namespace
}  // namespace arima::raft
