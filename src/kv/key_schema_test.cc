#include "kv/key_schema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/hex.h"
#include "base/random.h"
#include "kv/test_seed.h"

namespace arima::kv {
namespace {

std::string Escaped(std::string_view key) {
  std::string out;
  AppendEscaped(key, &out);
  return out;
}

// Keys made of few different bytes, with the special ones among them: the traps are there.
std::string RandomKey(SeededRandom* random) {
  static constexpr char kBytes[] = {'\x00', '\x01', '\x02', 'a', '\xFE', '\xFF'};
  std::string key(random->Between(1, 6), '\0');
  for (char& c : key) c = kBytes[random->Below(sizeof kBytes)];
  return key;
}

TEST(KeySchema, EscapedBytesAreAsWritten) {
  EXPECT_EQ(Escaped("ab"), std::string("ab\x00", 3));
  EXPECT_EQ(Escaped(std::string("a\x00", 2)), std::string("a\x01\x01\x00", 4));
  EXPECT_EQ(Escaped("a\x01"), std::string("a\x01\x02\x00", 4));
  EXPECT_EQ(Escaped("a\x02"), std::string("a\x02\x00", 3));
}

TEST(KeySchema, EscapingKeepsOrderForAllShortKeys) {
  // Every key of one and two bytes over a byte set that holds all special cases, and the longest.
  const std::string bytes("\x00\x01\x02\x03 a\x7F\x80\xFE\xFF", 10);
  std::vector<std::string> keys{std::string(kUserKeyBytesMax, '\x00'),
                                std::string(kUserKeyBytesMax, '\xFF')};
  for (char a : bytes) {
    keys.emplace_back(1, a);
    for (char b : bytes) keys.push_back({a, b});
  }
  for (const std::string& x : keys) {
    for (const std::string& y : keys) {
      ASSERT_EQ(x < y, Escaped(x) < Escaped(y)) << Printable(x) << " " << Printable(y);
    }
  }
}

TEST(KeySchema, OrderRoundTripAndPrefixFreedomOnRandomKeys) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  for (int i = 0; i < 20000; ++i) {
    std::string x = RandomKey(&random);
    std::string y = RandomKey(&random);
    if (random.Percent(30)) y = x + y;  // one key a prefix of the other
    std::string ex = Escaped(x);
    std::string ey = Escaped(y);
    ASSERT_EQ(x < y, ex < ey) << Printable(x) << " " << Printable(y);
    ASSERT_EQ(x == y, ex == ey);
    ASSERT_EQ(x == y, ey.starts_with(ex)) << Printable(x) << " " << Printable(y);
    // Whatever revisions follow, versions of x and y never interleave.
    if (x < y) {
      ASSERT_LT(VersionKey(x, random.Next()), VersionKey(y, random.Next()));
    }
    std::string_view in = ex;
    ASSERT_EQ(TakeEscaped(&in).value(), x);
    ASSERT_TRUE(in.empty());
  }
}

TEST(KeySchema, NewerVersionsComeFirst) {
  const uint64_t revisions[] = {0, 1, 255, 256, 65536, 1ull << 63, ~0ull};
  for (uint64_t older : revisions) {
    for (uint64_t newer : revisions) {
      if (older < newer) {
        EXPECT_LT(VersionKey("k", newer), VersionKey("k", older));
      }
    }
    EXPECT_EQ(ParseVersionKey(VersionKey("k", older))->revision, older);
    EXPECT_EQ(RevisionOfVersionKey(VersionKey("k", older)), older);
  }
}

TEST(KeySchema, DeletionsAreOrderedByRevisionThenKey) {
  auto deletion = [](uint64_t revision, std::string_view key) {
    std::string out;
    SetDeletionKey(revision, key, &out);
    return out;
  };
  EXPECT_LT(deletion(2, "z"), deletion(3, "a"));
  EXPECT_LT(deletion(255, "z"), deletion(256, "a"));
  EXPECT_LT(deletion(3, "a"), deletion(3, "b"));
  Result<KeyAndRevision> parsed = ParseDeletionKey(deletion(300, std::string("a\x00z", 3)));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->revision, 300u);
  EXPECT_EQ(parsed->user_key, std::string("a\x00z", 3));
}

TEST(KeySchema, FilterPrefixIsWhatAllVersionsOfAKeyShare) {
  const std::string key("a\x00\x01 b", 5);
  std::string_view expected = "ka\x01\x01\x01\x02 b";
  std::string with_end = std::string(expected) + '\0';
  // Revisions whose bytes hold zeros must not be taken for the end of the key.
  for (uint64_t revision : {uint64_t{1}, uint64_t{255}, ~uint64_t{0}, uint64_t{0}}) {
    std::string version = VersionKey(key, revision);
    EXPECT_EQ(FilterPrefix(version), with_end);
    EXPECT_EQ(version.size(), with_end.size() + kRevisionBytes);
  }
  EXPECT_EQ(FilterPrefix(with_end), with_end);
  EXPECT_EQ(FilterPrefix(kAppliedKey), "");
  EXPECT_EQ(FilterPrefix("kno terminator"), "");
  EXPECT_EQ(FilterPrefix(""), "");
}

TEST(KeySchema, ParsersRefuseDamagedKeys) {
  const std::string good = VersionKey("key", 7);
  for (size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_EQ(ParseVersionKey(good.substr(0, cut)).error().code, Code::kCorruption) << cut;
  }
  EXPECT_FALSE(ParseVersionKey(good + "x"));
  EXPECT_FALSE(ParseVersionKey("m" + good.substr(1)));
  EXPECT_FALSE(ParseVersionKey(std::string("k\x00", 2) + std::string(8, 'r'))) << "empty user key";
  EXPECT_FALSE(ParseVersionKey(std::string("k\x01\x00", 3) + std::string(8, 'r')));
  EXPECT_FALSE(ParseVersionKey(std::string("k\x01\x03\x00", 4) + std::string(8, 'r')));
  std::string deletion;
  SetDeletionKey(7, "key", &deletion);
  for (size_t cut = 0; cut < deletion.size(); ++cut) {
    EXPECT_EQ(ParseDeletionKey(deletion.substr(0, cut)).error().code, Code::kCorruption) << cut;
  }
  EXPECT_FALSE(ParseDeletionKey(deletion + "x"));
}

TEST(KeySchema, KeyLengthsAreChecked) {
  EXPECT_EQ(CheckUserKey("").error().code, Code::kInvalidArgument);
  EXPECT_TRUE(CheckUserKey("x"));
  EXPECT_TRUE(CheckUserKey(std::string(kUserKeyBytesMax, 'x')));
  EXPECT_EQ(CheckUserKey(std::string(kUserKeyBytesMax + 1, 'x')).error().code,
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace arima::kv
