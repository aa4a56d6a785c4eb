#include "testing/memory_log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace arima::testing {
namespace {

using raft::Entry;
using raft::EntryId;
using raft::EntryKind;
using raft::Index;
using raft::MemberId;
using raft::Term;

Entry MakeEntry(uint64_t term, uint64_t index, EntryKind kind = EntryKind::kCommand) {
  Entry entry{Term(term), Index(index), kind, 0, SharedBytes::Copy("12345678")};
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  return entry;
}

MemoryLog LogWith(std::vector<Entry> entries) {
  MemoryLog log({Term(1), MemberId(0), Index(10)}, EntryId{Term(1), Index(10)});
  raft::Write write;
  write.entries = std::move(entries);
  log.Append(write);
  return log;
}

TEST(MemoryLog, LaterWritesReplaceASuffix) {
  MemoryLog log = LogWith({MakeEntry(1, 11), MakeEntry(1, 12), MakeEntry(1, 13)});
  raft::Write write;
  write.hard_state = raft::HardState{Term(2), MemberId(3), Index(11)};
  write.entries = {MakeEntry(2, 12)};
  log.Append(write);
  EXPECT_EQ(log.last(), Index(12));
  EXPECT_EQ(log.TermAt(Index(12)), Term(2));
  EXPECT_EQ(log.hard_state().vote, MemberId(3));
}

TEST(MemoryLog, ResetComesBeforeTheEntriesOfItsWrite) {
  MemoryLog log = LogWith({MakeEntry(1, 11)});
  raft::Write write;
  write.reset = raft::LogReset{Index(20), Term(3)};
  write.entries = {MakeEntry(3, 21)};
  log.Append(write);
  EXPECT_EQ(log.snapshot(), (EntryId{Term(3), Index(20)}));
  EXPECT_EQ(log.last(), Index(21));
}

TEST(MemoryLog, ReadsAtLeastOneEntryAndThenWhatFits) {
  MemoryLog log = LogWith({MakeEntry(1, 11), MakeEntry(1, 12), MakeEntry(1, 13)});
  EXPECT_EQ(log.Read(Index(11), Index(14), 1).size(), 1u);
  EXPECT_EQ(log.Read(Index(11), Index(14), 16).size(), 2u);
  EXPECT_EQ(log.Read(Index(12), Index(13), 1000).size(), 1u);
  EXPECT_EQ(log.Read(Index(12), Index(99), 1000).size(), 2u);
}

TEST(MemoryLog, CompactionKeepsTheTermOfItsPoint) {
  MemoryLog log = LogWith({MakeEntry(1, 11), MakeEntry(2, 12), MakeEntry(2, 13)});
  log.CompactTo(Index(12));
  EXPECT_EQ(log.snapshot(), (EntryId{Term(2), Index(12)}));
  EXPECT_FALSE(log.Has(Index(12)));
  EXPECT_EQ(log.TermAt(Index(12)), Term(2));
  log.CompactTo(Index(11));  // already gone
  EXPECT_EQ(log.last(), Index(13));
}

TEST(MemoryLog, RecoveryFindsTermRunsAndUnappliedConfEntries) {
  MemoryLog log = LogWith({MakeEntry(1, 11, EntryKind::kConf), MakeEntry(1, 12),
                           MakeEntry(4, 13, EntryKind::kConf), MakeEntry(4, 14)});
  const raft::InitialState initial = log.Recover(Index(11), {});
  EXPECT_EQ(initial.last, Index(14));
  EXPECT_EQ(initial.term_runs, (std::vector<EntryId>{{Term(1), Index(11)}, {Term(4), Index(13)}}));
  ASSERT_EQ(initial.conf_entries.size(), 1u);
  EXPECT_EQ(initial.conf_entries[0].index, Index(13));
  EXPECT_EQ(initial.tail.size(), 4u);
}

TEST(MemoryLog, LostEntriesTakeTheCommitWithThem) {
  MemoryLog log = LogWith({MakeEntry(1, 11), MakeEntry(1, 12)});
  raft::Write write;
  write.hard_state = raft::HardState{Term(1), MemberId(0), Index(12)};
  log.Append(write);
  log.LoseAfter(Index(11));
  EXPECT_EQ(log.last(), Index(11));
  EXPECT_EQ(log.hard_state().commit, Index(11));
}

}  // namespace
}  // namespace arima::testing
