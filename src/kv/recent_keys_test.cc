#include "kv/recent_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/random.h"
#include "kv/test_seed.h"

namespace arima::kv {
namespace {

constexpr uint64_t kPlenty = 64 << 20;

KeyState Version(uint64_t version) {
  return {.create_revision = 1, .mod_revision = version, .version = version};
}

TEST(RecentKeys, FindsWhatWasInsertedAndNothingElse) {
  RecentKeys keys(kPlenty, 1);
  keys.Insert("a", Version(7));
  ASSERT_NE(keys.Find("a"), nullptr);
  EXPECT_EQ(keys.Find("a")->version, 7u);
  EXPECT_EQ(keys.Find("b"), nullptr);
  EXPECT_EQ(keys.Find(""), nullptr);
}

TEST(RecentKeys, PointersOutliveGrowth) {
  RecentKeys keys(0, 1);
  KeyState* first = keys.Insert("first", Version(1));
  for (int i = 0; i < 10000; ++i) keys.Insert("key" + std::to_string(i), Version(2));
  EXPECT_EQ(keys.Find("first"), first);
  EXPECT_EQ(first->version, 1u);
}

TEST(RecentKeys, EvictsNothingBeforeItIsTold) {
  RecentKeys keys(0, 1);
  for (int i = 0; i < 1000; ++i) keys.Insert(std::to_string(i), Version(1));
  EXPECT_EQ(keys.size(), 1000u);
  keys.EvictOverflow();
  EXPECT_EQ(keys.size(), 0u);
}

TEST(RecentKeys, StaysWithinItsBytes) {
  constexpr uint64_t kBytesMax = 256 << 10;
  RecentKeys keys(kBytesMax, 1);
  for (int i = 0; i < 20000; ++i) {
    keys.Insert(std::string(static_cast<size_t>(1 + i % 500), 'x') + std::to_string(i), Version(1));
    keys.EvictOverflow();
    ASSERT_LE(keys.bytes(), kBytesMax);
  }
  EXPECT_GT(keys.size(), 100u) << "a table that forgets everything is of no use";
}

TEST(RecentKeys, KeysInUseSurviveKeysSeenOnce) {
  RecentKeys keys(128 << 10, 1);
  keys.Insert("hot", Version(1));
  for (int i = 0; i < 20000; ++i) {
    ASSERT_NE(keys.Find("hot"), nullptr) << "after " << i << " others";
    keys.Insert("cold" + std::to_string(i), Version(1));
    keys.EvictOverflow();
  }
}

// Keys that are seen once, many times as many as fit: what a store of 10 million keys does to it.
TEST(RecentKeys, StaysQuickWhenFarMoreKeysPassThanFit) {
  RecentKeys keys(6 << 20, 1);
  size_t longest = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    keys.Insert("key" + std::to_string(i), Version(1));
    keys.EvictOverflow();
    if (i % 50'000 == 0) longest = std::max(longest, keys.LongestRun());
  }
  EXPECT_GT(keys.size(), 40'000u);
  EXPECT_LT(longest, 500u) << "slots that a lookup may pass";
}

// Everything the table says must be what was put in last; what it forgets may only go in
// EvictOverflow or Erase.
TEST(RecentKeys, AgreesWithAModelUnderRandomUse) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  RecentKeys keys(16 << 10, random.Next());
  std::map<std::string, uint64_t> model;
  for (int step = 0; step < 50000; ++step) {
    std::string key = "k" + std::to_string(random.Below(400));
    KeyState* found = keys.Find(key);
    ASSERT_EQ(found != nullptr, model.contains(key)) << key;
    if (found != nullptr) {
      ASSERT_EQ(found->version, model[key]);
    }
    uint64_t version = random.Between(1, 1000);
    if (random.Percent(30)) {
      keys.Erase(key);
      model.erase(key);
    } else if (found != nullptr) {
      found->version = model[key] = version;
    } else {
      keys.Insert(key, Version(version));
      model[key] = version;
    }
    ASSERT_EQ(keys.size(), model.size());
    if (random.Percent(1)) {
      keys.EvictOverflow();
      std::erase_if(model, [&](const auto& entry) { return keys.Find(entry.first) == nullptr; });
      ASSERT_EQ(keys.size(), model.size());
    }
  }
}

}  // namespace
}  // namespace arima::kv
