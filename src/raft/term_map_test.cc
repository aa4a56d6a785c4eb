#include "raft/term_map.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace arima::raft {
namespace {

EntryId Id(uint64_t term, uint64_t index) { return {Term(term), Index(index)}; }

// Snapshot point (1, 1), then these terms from index 2 on.
TermMap Map(const std::vector<uint64_t>& terms) {
  TermMap map(Id(1, 1));
  uint64_t index = 1;
  for (uint64_t term : terms) map.Append(Id(term, ++index));
  return map;
}

TEST(TermMap, KnowsTheTermOfTheSnapshotPointAndOfEveryEntryAndNothingElse) {
  TermMap map = Map({2, 2, 5});
  EXPECT_EQ(map.At(Index(0)), std::nullopt);
  EXPECT_EQ(map.At(Index(1)), Term(1));
  EXPECT_EQ(map.At(Index(2)), Term(2));
  EXPECT_EQ(map.At(Index(3)), Term(2));
  EXPECT_EQ(map.At(Index(4)), Term(5));
  EXPECT_EQ(map.At(Index(5)), std::nullopt);
}

TEST(TermMap, EntriesOfOneTermAreOneRun) {
  TermMap map = Map({2, 2, 2, 5, 5});
  EXPECT_EQ(map.runs().size(), 2u);
}

TEST(TermMap, LastTermOfAnEmptyLogIsThatOfItsSnapshot) {
  TermMap map(Id(7, 40));
  EXPECT_EQ(map.last(), Index(40));
  EXPECT_EQ(map.last_term(), Term(7));
}

TEST(TermMap, TruncationMayEndInsideARun) {
  TermMap map = Map({2, 2, 2, 5});
  map.TruncateFrom(Index(4));
  EXPECT_EQ(map.last(), Index(3));
  EXPECT_EQ(map.last_term(), Term(2));
  map.Append(Id(3, 4));
  EXPECT_EQ(map.At(Index(4)), Term(3));
}

TEST(TermMap, TruncationOfEverythingLeavesTheSnapshotPoint) {
  TermMap map = Map({2, 3});
  map.TruncateFrom(Index(2));
  EXPECT_EQ(map.last(), Index(1));
  EXPECT_EQ(map.last_term(), Term(1));
  EXPECT_TRUE(map.runs().empty());
}

TEST(TermMap, CompactionKeepsTheTermOfItsPoint) {
  TermMap map = Map({2, 2, 3, 3});
  map.CompactTo(Index(3));
  EXPECT_EQ(map.snapshot(), Id(2, 3));
  EXPECT_EQ(map.At(Index(2)), std::nullopt);
  EXPECT_EQ(map.At(Index(4)), Term(3));
  map.CompactTo(Index(5));
  EXPECT_EQ(map.snapshot(), Id(3, 5));
  EXPECT_TRUE(map.runs().empty());
}

TEST(TermMap, CompactionBelowTheSnapshotPointDoesNothing) {
  TermMap map = Map({2});
  map.CompactTo(Index(2));
  map.CompactTo(Index(1));
  EXPECT_EQ(map.snapshot(), Id(2, 2));
}

TEST(TermMap, FindAtMostSkipsWholeTermsThatAreTooNew) {
  TermMap map = Map({2, 2, 4, 4, 6});
  EXPECT_EQ(map.FindAtMost(Index(6), Term(9)), Id(6, 6));
  EXPECT_EQ(map.FindAtMost(Index(6), Term(5)), Id(4, 5));
  EXPECT_EQ(map.FindAtMost(Index(4), Term(5)), Id(4, 4));
  EXPECT_EQ(map.FindAtMost(Index(6), Term(3)), Id(2, 3));
  EXPECT_EQ(map.FindAtMost(Index(6), Term(1)), Id(1, 1));
}

TEST(TermMap, FindAtMostIsBoundedByTheEndOfTheLog) {
  EXPECT_EQ(Map({2}).FindAtMost(Index(100), Term(2)), Id(2, 2));
}

TEST(TermMap, FindAtMostBelowWhatIsRetainedSaysThatItDoesNotKnow) {
  TermMap map(Id(5, 10));
  map.Append(Id(6, 11));
  EXPECT_EQ(map.FindAtMost(Index(11), Term(4)), Id(0, 9));
  EXPECT_EQ(map.FindAtMost(Index(3), Term(9)), Id(0, 3));
  EXPECT_EQ(TermMap(Id(0, 0)).FindAtMost(Index(5), Term(0)), Id(0, 0));
}

TEST(TermMap, BehavesLikeAPlainListOfTerms) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    std::vector<uint64_t> terms = {1};  // of index 1, 2, ...
    uint64_t snapshot = 1;
    TermMap map(Id(1, 1));
    for (int step = 0; step < 60; ++step) {
      uint64_t last = terms.size();
      uint64_t dice = random.Below(10);
      if (dice < 7) {
        terms.push_back(terms.back() + random.Below(2));
        map.Append(Id(terms.back(), last + 1));
      } else if (dice < 9 && last > snapshot) {
        uint64_t from = random.Between(snapshot + 1, last);
        terms.resize(from - 1);
        map.TruncateFrom(Index(from));
      } else {
        snapshot = random.Between(snapshot, last);
        map.CompactTo(Index(snapshot));
      }
      ASSERT_EQ(map.last(), Index(terms.size()));
      for (uint64_t i = snapshot; i <= terms.size(); ++i) {
        ASSERT_EQ(map.At(Index(i)), Term(terms[i - 1])) << i;
      }
      uint64_t limit = random.Between(snapshot, terms.size());
      uint64_t term = random.Below(terms.back() + 2);
      uint64_t naive = limit;
      while (naive >= snapshot && terms[naive - 1] > term) --naive;
      ASSERT_EQ(map.FindAtMost(Index(limit), Term(term)).index, Index(naive));
    }
  }
}

}  // namespace
}  // namespace arima::raft
