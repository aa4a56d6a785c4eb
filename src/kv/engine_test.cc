// What every engine promises (engine.h), over each of them.
#include "kv/engine.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "base/hex.h"
#include "base/random.h"
#include "kv/key_schema.h"
#include "kv/test_seed.h"
#include "kv/test_stores.h"

namespace arima::kv {
namespace {

using std::string_literals::operator""s;

template <class Store>
class EngineTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen(uint64_t position = 0) {
    engine_.reset();
    engine_ = store_.Open();
    engine_->StartAt(position);
  }
  void Crash() {
    store_.CaptureCrash(engine_.get());
    Reopen();
  }
  void Put(const std::string& key, const std::string& value, uint64_t position) {
    Batch batch;
    batch.Put(key, value);
    Write(batch, position);
  }
  void Write(const Batch& batch, uint64_t position) {
    Status status = engine_->Write(batch, position);
    ASSERT_TRUE(status) << status.error().ToString();
  }
  std::string Get(const std::string& key) {
    std::string value;
    return Must(engine_->Get(key, &value)) ? value : "(none)";
  }
  std::string Scan(IterateOptions options = {}, const std::string& from = "") {
    std::unique_ptr<Iterator> it = engine_->NewIterator(std::move(options));
    std::string out;
    for (it->Seek(from); it->Valid(); it->Next()) {
      out.append(it->key()).append("=").append(it->value()).append(" ");
    }
    EXPECT_TRUE(it->status());
    return out;
  }

  Store store_;
  std::unique_ptr<Engine> engine_;
};

TYPED_TEST_SUITE(EngineTest, AllStores, StoreName);

TYPED_TEST(EngineTest, ABatchIsVisibleWhenWriteReturns) {
  Batch batch;
  batch.Put("a", "1");
  batch.Put("b", "he", "ad and body");
  batch.Put("empty", "");
  this->Write(batch, 1);
  EXPECT_EQ(this->Get("a"), "1");
  EXPECT_EQ(this->Get("b"), "head and body");
  EXPECT_EQ(this->Get("empty"), "");
  EXPECT_EQ(this->Get("c"), "(none)");
}

TYPED_TEST(EngineTest, LaterOperationsOfABatchWin) {
  Batch batch;
  batch.Put("a", "1");
  batch.Put("a", "2");
  batch.Put("b", "1");
  batch.Delete("b");
  batch.Delete("c");
  batch.Put("c", "3");
  this->Write(batch, 1);
  EXPECT_EQ(this->Scan(), "a=2 c=3 ");
}

TYPED_TEST(EngineTest, DeletesWhatEarlierBatchesWrote) {
  this->Put("a", "1", 1);
  this->Put("b", "1", 2);
  Batch batch;
  batch.Delete("a");
  batch.Delete("never there");
  this->Write(batch, 3);
  EXPECT_EQ(this->Scan(), "b=1 ");
  this->Put("a", "2", 4);
  EXPECT_EQ(this->Scan(), "a=2 b=1 ");
}

TYPED_TEST(EngineTest, AClearedBatchIsEmptyAndCanBeUsedAgain) {
  Batch batch;
  batch.Put("a", "1");
  EXPECT_EQ(batch.count(), 1u);
  EXPECT_GT(batch.bytes(), 2u);
  batch.Clear();
  EXPECT_TRUE(batch.empty());
  batch.Put("b", "2");
  this->Write(batch, 1);
  EXPECT_EQ(this->Scan(), "b=2 ");
}

TYPED_TEST(EngineTest, ScansInByteOrderWithinBounds) {
  Batch batch;
  for (const std::string& key : {"b"s, "a"s, "a\x00"s, "\xFF"s, "\x7F"s}) {
    batch.Put(key, "");
  }
  this->Write(batch, 1);
  EXPECT_EQ(this->Scan(), "a= a\x00= b= \x7F= \xFF= "s);
  EXPECT_EQ(this->Scan({.lower = "b"}), "b= \x7F= \xFF= ");
  EXPECT_EQ(this->Scan({.upper = "b"}), "a= a\x00= "s);
  EXPECT_EQ(this->Scan({.lower = "aa", .upper = "\x7F"}), "b= ");
  EXPECT_EQ(this->Scan({.lower = "aa", .upper = "\x80"}, "c"), "\x7F= ");
}

TYPED_TEST(EngineTest, AnIteratorShowsTheStateItWasMadeAt) {
  this->Put("a", "old", 1);
  this->Put("b", "old", 2);
  std::unique_ptr<Iterator> it = this->engine_->NewIterator({});
  Batch batch;
  batch.Put("a", "new");
  batch.Delete("b");
  batch.Put("c", "new");
  this->Write(batch, 3);
  ASSERT_TRUE(this->engine_->Flush(true));
  std::string seen;
  for (it->Seek(""); it->Valid(); it->Next()) seen.append(it->key()).append(it->value());
  EXPECT_EQ(seen, "aoldbold");
  it.reset();
  EXPECT_EQ(this->Scan(), "a=new c=new ");
}

TYPED_TEST(EngineTest, OneUserKeyShowsThatKeysVersionsOnly) {
  Batch batch;
  for (std::string_view key : {"a", "ab", "b"}) {
    for (uint64_t revision : {3u, 5u, 9u}) batch.Put(VersionKey(key, revision), "");
  }
  this->Write(batch, 1);
  std::unique_ptr<Iterator> it = this->engine_->NewIterator({.one_user_key = true});
  it->Seek(VersionKey("ab", 8));
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), VersionKey("ab", 5));
  it->Next();
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), VersionKey("ab", 3));
  it->Next();
  EXPECT_FALSE(it->Valid());
  it->Seek(VersionKey("ab", 2));
  EXPECT_FALSE(it->Valid());
  it->Seek(VersionKey("aa", 100));
  EXPECT_FALSE(it->Valid());
  it->Seek(VersionKey("b", 100));
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), VersionKey("b", 9));
}

TYPED_TEST(EngineTest, OneUserKeyEndsWhereTheNextTableBegins) {
  Batch batch;
  batch.Put("d before", "");
  batch.Put(VersionKey("a", 3), "");
  batch.Put(kAppliedKey, "");
  this->Write(batch, 1);
  for (bool flushed : {false, true}) {
    std::unique_ptr<Iterator> it = this->engine_->NewIterator({.one_user_key = true});
    it->Seek(VersionKey("a", 3));
    ASSERT_TRUE(it->Valid());
    it->Next();
    EXPECT_FALSE(it->Valid());
    it->Seek(VersionKey("b", 3));
    EXPECT_FALSE(it->Valid());
    it->Seek(VersionKey("A", 3));
    EXPECT_FALSE(it->Valid());
    EXPECT_TRUE(it->status());
    ASSERT_TRUE(flushed || this->engine_->Flush(true));
  }
}

// With filters (one user key) and without (total order), in memory and in many tables.
TYPED_TEST(EngineTest, FiltersHideNothing) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  auto random_key = [&random] {
    std::string key = "key" + std::to_string(random.Below(3000));
    if (random.Percent(20)) key += std::string(1, static_cast<char>(random.Below(3)));
    return key;
  };
  std::set<std::string> model;
  uint64_t position = 0;
  for (uint64_t revision = 1; revision < 6000;) {
    Batch batch;
    for (uint64_t n = random.Between(1, 50); n > 0; --n) {
      std::string key = VersionKey(random_key(), revision++);
      batch.Put(key, std::string(random.Below(200), 'v'));
      model.insert(key);
    }
    this->Write(batch, ++position);
    if (random.Percent(2)) {
      ASSERT_TRUE(this->engine_->Flush(true));
    }
  }
  std::unique_ptr<Iterator> filtered = this->engine_->NewIterator({.one_user_key = true});
  std::unique_ptr<Iterator> all = this->engine_->NewIterator({});
  int hits = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string from = VersionKey(random_key(), random.Between(1, 7000));
    all->Seek(from);
    auto expected = model.lower_bound(from);
    ASSERT_EQ(all->Valid(), expected != model.end()) << Printable(from);
    ASSERT_TRUE(!all->Valid() || all->key() == *expected) << Printable(from);
    for (filtered->Seek(from); filtered->Valid(); filtered->Next(), all->Next(), ++hits) {
      ASSERT_TRUE(all->Valid());
      ASSERT_EQ(filtered->key(), all->key());
      ASSERT_EQ(filtered->value(), all->value());
    }
    ASSERT_TRUE(filtered->status());
    ASSERT_TRUE(!all->Valid() || FilterPrefix(all->key()) != FilterPrefix(from)) << Printable(from);
  }
  EXPECT_GT(hits, 1000);
}

TYPED_TEST(EngineTest, ACrashLeavesThePrefixThatWasFlushed) {
  this->Put("a", "1", 11);
  this->Put("b", "1", 12);
  EXPECT_EQ(this->engine_->durable_position(), 0u);
  ASSERT_TRUE(this->engine_->Flush(true));
  EXPECT_EQ(this->engine_->durable_position(), 12u);
  this->Put("a", "2", 13);
  Batch batch;
  batch.Delete("b");
  this->Write(batch, 14);
  EXPECT_EQ(this->engine_->durable_position(), 12u);
  this->Crash();
  EXPECT_EQ(this->Scan(), "a=1 b=1 ");
}

TYPED_TEST(EngineTest, ACrashBeforeAnyFlushLeavesNothing) {
  this->Put("a", "1", 1);
  this->Crash();
  EXPECT_EQ(this->Scan(), "");
}

TYPED_TEST(EngineTest, EachLifeContinuesFromTheLast) {
  for (uint64_t life = 1; life <= 4; ++life) {
    this->Put("kept" + std::to_string(life), "", life * 10);
    ASSERT_TRUE(this->engine_->Flush(true));
    this->Put("lost" + std::to_string(life), "", life * 10 + 1);
    this->Crash();
  }
  EXPECT_EQ(this->Scan(), "kept1= kept2= kept3= kept4= ");
}

TYPED_TEST(EngineTest, StartsDurableAtTheGivenPosition) {
  this->Reopen(42);
  EXPECT_EQ(this->engine_->durable_position(), 42u);
  ASSERT_TRUE(this->engine_->Flush(true)) << "nothing to flush is no error";
  EXPECT_EQ(this->engine_->durable_position(), 42u);
  this->Put("a", "1", 43);
  EXPECT_EQ(this->engine_->durable_position(), 42u);
  ASSERT_TRUE(this->engine_->Flush(true));
  EXPECT_EQ(this->engine_->durable_position(), 43u);
}

TYPED_TEST(EngineTest, DigestsOfEqualContentsAreEqualHoweverTheyCameAbout) {
  this->Put("a", "1", 1);
  this->Put("b", "2", 2);
  MemEngine other;
  other.StartAt(0);
  Batch batch;
  batch.Put("b", "2");
  batch.Put("a", "0");
  ASSERT_TRUE(other.Write(batch, 1));
  EXPECT_NE(Must(ContentDigest(*this->engine_)), Must(ContentDigest(other)));
  batch.Clear();
  batch.Put("a", "1");
  ASSERT_TRUE(other.Write(batch, 2));
  EXPECT_EQ(Must(ContentDigest(*this->engine_)), Must(ContentDigest(other)));
}

TYPED_TEST(EngineTest, DigestsTellWhereAKeyEnds) {
  MemEngine other;
  other.StartAt(0);
  Batch batch;
  batch.Put("ab", "c");
  ASSERT_TRUE(other.Write(batch, 1));
  this->Put("a", "bc", 1);
  EXPECT_NE(Must(ContentDigest(*this->engine_)), Must(ContentDigest(other)));
}

TYPED_TEST(EngineTest, AgreesWithAMapUnderRandomBatchesAndCrashes) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  std::map<std::string, std::string> model;
  std::map<std::string, std::string> durable;
  uint64_t position = 0;
  auto expect_same = [&] {
    std::map<std::string, std::string> seen;
    std::unique_ptr<Iterator> it = this->engine_->NewIterator({});
    for (it->Seek(""); it->Valid(); it->Next()) seen.emplace(it->key(), it->value());
    ASSERT_EQ(seen, model);
  };
  for (int step = 0; step < 400; ++step) {
    Batch batch;
    for (uint64_t n = random.Below(8); n > 0; --n) {
      std::string key = "k" + std::to_string(random.Below(30));
      if (random.Percent(30)) {
        batch.Delete(key);
        model.erase(key);
      } else {
        batch.Put(key, std::to_string(random.Next()));
        batch.ForEach([&](std::string_view k, std::optional<std::string_view> v) {
          if (k == key && v) model[key] = *v;
        });
      }
    }
    this->Write(batch, ++position);
    if (random.Percent(5)) {
      ASSERT_TRUE(this->engine_->Flush(true));
      durable = model;
      ASSERT_EQ(this->engine_->durable_position(), position);
    }
    if (random.Percent(2)) {
      this->Crash();
      model = durable;
      position = 0;
    }
    if (random.Percent(10)) expect_same();
  }
  expect_same();
}

}  // namespace
}  // namespace arima::kv
