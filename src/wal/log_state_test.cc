#include "wal/log_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "wal/entry_index.h"
#include "wal/wal_test_util.h"

namespace arima::wal {
namespace {

using raft::EntryId;
using raft::Index;
using raft::Term;
using testing::ElementsAre;
using testing::IsEmpty;

TermRuns Runs() {
  TermRuns runs(Point(10, 2));
  for (uint64_t i = 11; i <= 13; ++i) runs.Append(Point(i, 2));
  for (uint64_t i = 14; i <= 15; ++i) runs.Append(Point(i, 4));
  runs.Append(Point(16, 7));
  return runs;
}

TEST(TermRuns, TermOfEveryIndexIsKnown) {
  const TermRuns runs = Runs();
  EXPECT_THAT(runs.runs(), ElementsAre(Point(11, 2), Point(14, 4), Point(16, 7)));
  EXPECT_EQ(runs.TermAt(Index(10)), Term(2));
  EXPECT_EQ(runs.TermAt(Index(13)), Term(2));
  EXPECT_EQ(runs.TermAt(Index(14)), Term(4));
  EXPECT_EQ(runs.TermAt(Index(16)), Term(7));
  EXPECT_EQ(runs.last_term(), Term(7));
}

TEST(TermRuns, AppendOverwritesTheSuffix) {
  TermRuns runs = Runs();
  runs.Append(Point(12, 9));
  EXPECT_EQ(runs.last(), Index(12));
  EXPECT_THAT(runs.runs(), ElementsAre(Point(11, 2), Point(12, 9)));
  runs.Append(Point(11, 9));
  EXPECT_THAT(runs.runs(), ElementsAre(Point(11, 9)));
}

TEST(TermRuns, PrefixIsCutWithinAndBetweenRuns) {
  TermRuns runs = Runs();
  runs.TruncatePrefix(Point(12, 2));
  EXPECT_THAT(runs.runs(), ElementsAre(Point(13, 2), Point(14, 4), Point(16, 7)));
  runs.TruncatePrefix(Point(13, 2));
  EXPECT_THAT(runs.runs(), ElementsAre(Point(14, 4), Point(16, 7)));
  EXPECT_EQ(runs.TermAt(Index(13)), Term(2));
  runs.TruncatePrefix(Point(16, 7));
  EXPECT_THAT(runs.runs(), IsEmpty());
  EXPECT_EQ(runs.last(), Index(16));
  EXPECT_EQ(runs.last_term(), Term(7));
}

TEST(TermRuns, AgreesWithAMapUnderRandomChanges) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    TermRuns runs(Point(0, 0));
    std::map<uint64_t, uint64_t> terms = {{0, 0}};
    uint64_t term = 1;
    for (int step = 0; step < 60; ++step) {
      const uint64_t first = terms.begin()->first;
      const uint64_t last = terms.rbegin()->first;
      if (random.Percent(20)) {
        const uint64_t cut = random.Between(first, last);
        runs.TruncatePrefix(Point(cut, terms[cut]));
        terms.erase(terms.begin(), terms.find(cut));
      } else {
        term += random.Below(2);
        const uint64_t index = random.Percent(70) ? last + 1 : random.Between(first + 1, last + 1);
        runs.Append(Point(index, term));
        terms.erase(terms.lower_bound(index), terms.end());
        terms[index] = term;
      }
      ASSERT_EQ(runs.last().value, terms.rbegin()->first);
      for (const auto& [i, t] : terms) ASSERT_EQ(runs.TermAt(Index(i)).value, t);
    }
  }
}

TEST(LogState, ChecksTellWhatDoesNotFollow) {
  LogState state(Point(10, 2), Hard(3, 0, 10));
  EXPECT_TRUE(state.CheckAppend(Point(11, 2)).has_value());
  EXPECT_FALSE(state.CheckAppend(Point(12, 2)).has_value()) << "a gap";
  EXPECT_FALSE(state.CheckAppend(Point(10, 2)).has_value()) << "at the snapshot point";
  EXPECT_FALSE(state.CheckAppend(Point(11, 1)).has_value()) << "a lower term";
  state.Append(Point(11, 3));
  EXPECT_TRUE(state.CheckTruncatePrefix(Point(11, 3)).has_value());
  EXPECT_FALSE(state.CheckTruncatePrefix(Point(11, 2)).has_value()) << "another entry";
  EXPECT_FALSE(state.CheckTruncatePrefix(Point(12, 3)).has_value()) << "beyond the end";
  EXPECT_TRUE(state.CheckFrameEnd().has_value());
  state.SetHardState(Hard(3, 0, 12));
  EXPECT_FALSE(state.CheckFrameEnd().has_value()) << "commit beyond the end";
  state.SetHardState(Hard(2, 0, 11));
  EXPECT_FALSE(state.CheckFrameEnd().has_value()) << "term below the last entry's";
}

// ---------------------------------------------------------------- EntryIndex

std::shared_ptr<SegmentFile> Segment(uint64_t seq) {
  auto segment = std::make_shared<SegmentFile>();
  segment->seq = seq;
  segment->bytes = 1 << 20;
  return segment;
}

std::vector<IndexChange> Appends(uint64_t low, uint64_t high, uint64_t term, uint64_t offset) {
  std::vector<IndexChange> changes;
  for (uint64_t i = low; i < high; ++i) {
    changes.push_back({IndexChange::Kind::kAppend, Point(i, term), offset + (i - low) * 64});
  }
  return changes;
}

struct EntryIndexTest : testing::Test {
  EntryIndexTest() {
    index.Start(Point(1, 1));
    index.AddSegment(Segment(1));
    index.Apply(Appends(2, 6, 1, 8192), 8192 + 256);
    index.Apply(Appends(6, 9, 2, 8192), 8192 + 192, Segment(2));
  }
  EntryIndex index;
};

TEST_F(EntryIndexTest, FindReturnsPlacesOfOneSegment) {
  auto places = *index.Find(Index(3), Index(100), UINT64_MAX);
  EXPECT_EQ(places.segment->seq, 1u);
  EXPECT_THAT(places.offsets, ElementsAre(8192 + 64, 8192 + 128, 8192 + 192));
  EXPECT_THAT(places.terms, ElementsAre(Term(1), Term(1), Term(1)));
  EXPECT_EQ(places.end, 8192u + 256);
  places = *index.Find(Index(6), Index(8), UINT64_MAX);
  EXPECT_EQ(places.segment->seq, 2u);
  EXPECT_EQ(places.offsets.size(), 2u);
  EXPECT_EQ(places.end, 8192u + 128) << "where the next entry begins";
}

TEST_F(EntryIndexTest, FindKeepsToTheSpan) {
  EXPECT_EQ(index.Find(Index(2), Index(6), 64)->offsets.size(), 2u);
  EXPECT_EQ(index.Find(Index(2), Index(6), 0)->offsets.size(), 1u);
}

TEST_F(EntryIndexTest, FindKnowsBothEnds) {
  EXPECT_THAT(index.Find(Index(9), Index(20), 1000)->offsets, IsEmpty());
  EXPECT_EQ(index.Find(Index(1), Index(20), 1000).error().code, Code::kCompacted);
}

TEST_F(EntryIndexTest, OverwritingMovesEntriesToTheNewestSegment) {
  index.Apply(Appends(4, 5, 3, 20'000), 24'000, Segment(3));
  EXPECT_EQ(index.Find(Index(3), Index(20), UINT64_MAX)->offsets.size(), 1u);
  EXPECT_EQ(index.Find(Index(4), Index(20), UINT64_MAX)->segment->seq, 3u);
  EXPECT_EQ(index.terms().last(), Index(4));
}

TEST_F(EntryIndexTest, OnlyOldSegmentsWithoutEntriesAreUnused) {
  EXPECT_THAT(index.TakeUnused(), IsEmpty());
  index.TruncatePrefix(Point(4, 1));
  EXPECT_THAT(index.TakeUnused(), IsEmpty());
  index.TruncatePrefix(Point(5, 1));
  EXPECT_EQ(index.TakeUnused().size(), 1u);
  index.TruncatePrefix(Point(8, 2));
  EXPECT_THAT(index.TakeUnused(), IsEmpty()) << "the newest stays";
  EXPECT_EQ(index.segments(), 1u);
}

TEST_F(EntryIndexTest, ResetEmptiesAllSegments) {
  const IndexChange reset{IndexChange::Kind::kReset, Point(50, 4), 0};
  index.Apply({&reset, 1}, 9000);
  EXPECT_EQ(index.Find(Index(5), Index(9), 10).error().code, Code::kCompacted);
  EXPECT_EQ(index.TakeUnused().size(), 1u);
  index.Apply(Appends(51, 52, 4, 12'288), 16'384);
  EXPECT_EQ(index.Find(Index(51), Index(60), 10)->offsets.size(), 1u);
}

TEST_F(EntryIndexTest, TailStartCountsBytesFromTheEnd) {
  EXPECT_EQ(index.TailStart(0), Index(9));
  EXPECT_EQ(index.TailStart(64), Index(8));
  EXPECT_EQ(index.TailStart(192), Index(6));
  EXPECT_EQ(index.TailStart(192 + 64), Index(5));
  EXPECT_EQ(index.TailStart(UINT64_MAX), Index(2));
}

}  // namespace
}  // namespace arima::wal
