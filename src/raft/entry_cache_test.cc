#include "raft/entry_cache.h"

#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

EntryCache Cache(uint64_t first, uint64_t count, std::string_view data = "0123456789") {
  EntryCache cache{Index(first)};
  for (uint64_t i = 0; i < count; ++i) cache.Append(TestEntry(1, first + i, data));
  return cache;
}

constexpr uint64_t kSize = 10 + kEntryOverheadBytes;

TEST(EntryCache, HoldsAContiguousRun) {
  EntryCache cache = Cache(5, 3);
  EXPECT_EQ(cache.first(), Index(5));
  EXPECT_EQ(cache.next(), Index(8));
  EXPECT_FALSE(cache.Has(Index(4)));
  EXPECT_TRUE(cache.Has(Index(5)));
  EXPECT_FALSE(cache.Has(Index(8)));
  EXPECT_EQ(cache.At(Index(6)).index, Index(6));
  EXPECT_EQ(cache.bytes(), 3 * kSize);
}

TEST(EntryCache, TruncationInsideKeepsTheOlderEntries) {
  EntryCache cache = Cache(5, 3);
  cache.TruncateFrom(Index(6));
  EXPECT_EQ(cache.next(), Index(6));
  EXPECT_EQ(cache.bytes(), kSize);
}

TEST(EntryCache, TruncationBelowItEmptiesItAndMovesTheNextEntryDown) {
  EntryCache cache = Cache(5, 3);
  cache.TruncateFrom(Index(3));
  EXPECT_EQ(cache.next(), Index(3));
  EXPECT_EQ(cache.bytes(), 0u);
  cache.Append(TestEntry(2, 3));
  EXPECT_TRUE(cache.Has(Index(3)));
}

TEST(EntryCache, EvictionTakesTheOldestAndStopsAtWhatMustStay) {
  EntryCache cache = Cache(5, 4);
  cache.EvictTo(2 * kSize, Index(100));
  EXPECT_EQ(cache.first(), Index(7));
  cache.EvictTo(0, Index(7));
  EXPECT_EQ(cache.first(), Index(8)) << "8 is above the bound";
  EXPECT_EQ(cache.bytes(), kSize);
}

TEST(EntryCache, CopyTakesAtLeastOneEntryAndThenWhatFits) {
  EntryCache cache = Cache(5, 4);
  std::vector<Entry> out;
  EXPECT_EQ(cache.Copy(Index(5), Index(9), 1, &out), kSize);
  EXPECT_EQ(out.size(), 1u);
  out.clear();
  cache.Copy(Index(6), Index(9), 2 * kSize, &out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].index, Index(6));
  out.clear();
  cache.Copy(Index(6), Index(8), UINT64_MAX, &out);
  EXPECT_EQ(out.size(), 2u) << "up to and without 8";
}

TEST(EntryCache, PayloadsAreSharedNotCopied) {
  EntryCache cache = Cache(5, 1);
  std::vector<Entry> out;
  cache.Copy(Index(5), Index(6), UINT64_MAX, &out);
  EXPECT_EQ(out[0].payload.view().data(), cache.At(Index(5)).payload.view().data());
}

TEST(EntryCache, DropBelowForgetsCompactedEntries) {
  EntryCache cache = Cache(5, 4);
  cache.DropBelow(Index(7));
  EXPECT_EQ(cache.first(), Index(7));
  EXPECT_EQ(cache.bytes(), 2 * kSize);
}

TEST(ByteLedger, BytesBetweenTwoIndexesAreADifferenceOfSums) {
  ByteLedger ledger{Index(10)};
  for (uint64_t bytes : {1u, 20u, 300u}) ledger.Append(bytes);  // 11, 12, 13
  EXPECT_EQ(ledger.Between(Index(10), Index(13)), 321u);
  EXPECT_EQ(ledger.Between(Index(11), Index(12)), 20u);
  EXPECT_EQ(ledger.Between(Index(13), Index(13)), 0u);
  EXPECT_EQ(ledger.Between(Index(0), Index(11)), 1u) << "below the base nothing is known";
}

TEST(ByteLedger, TruncatedBytesDoNotCount) {
  ByteLedger ledger{Index(10)};
  for (uint64_t bytes : {1u, 20u, 300u}) ledger.Append(bytes);
  ledger.TruncateFrom(Index(12));
  ledger.Append(7);
  EXPECT_EQ(ledger.Between(Index(10), Index(12)), 8u);
  ledger.TruncateFrom(Index(5));
  ledger.Append(9);
  EXPECT_EQ(ledger.Between(Index(4), Index(5)), 9u);
}

TEST(ByteLedger, DroppingThePastKeepsTheRest) {
  ByteLedger ledger{Index(10)};
  for (uint64_t bytes : {1u, 20u, 300u}) ledger.Append(bytes);
  ledger.DropTo(Index(12));
  EXPECT_EQ(ledger.Between(Index(10), Index(13)), 300u);
  ledger.DropTo(Index(50));
  ledger.Append(5);
  EXPECT_EQ(ledger.Between(Index(13), Index(14)), 5u);
}

}  // namespace
}  // namespace arima::raft
