// History that ends at a revision, over every engine: what stays readable, what goes, and that no
// crash brings back half of it.
#include <gtest/gtest.h>

#include <map>

#include "base/checksum.h"
#include "base/coding.h"
#include "base/random.h"
#include "kv/applied_record.h"
#include "kv/command.h"
#include "kv/history_cleaner.h"
#include "kv/history_floor.h"
#include "kv/key_schema.h"
#include "kv/state_machine.h"
#include "kv/test_seed.h"
#include "kv/test_stores.h"
#include "kv/visible_digest.h"

namespace arima::kv {
namespace {

uint64_t CountEntries(const Engine& engine, std::string_view lower, std::string_view upper) {
  uint64_t count = 0;
  auto it = engine.NewIterator({.lower = std::string(lower), .upper = std::string(upper)});
  for (it->Seek({}); it->Valid(); it->Next()) ++count;
  EXPECT_TRUE(it->status());
  return count;
}
uint64_t CountVersions(const Engine& engine) { return CountEntries(engine, "k", "l"); }
uint64_t CountDeletions(const Engine& engine) { return CountEntries(engine, "d", "e"); }

template <class Store>
class History : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    machine_.reset();
    machine_ = Must(StateMachine::Open(store_.Open(), {}, {.recent_keys_bytes = 4 << 10}));
  }
  void Crash() {
    store_.CaptureCrash(&machine_->engine());
    Reopen();
  }
  ApplyResult Apply(const Command& command) {
    const std::string bytes = EncodeCommand(command);
    std::vector<ApplyResult> results;
    Status status = machine_->Apply({{{.index = machine_->applied_index() + 1,
                                       .term = 1,
                                       .kind = RecordKind::kCommand,
                                       .bytes = bytes,
                                       .conf = {}}}},
                                    &results);
    EXPECT_TRUE(status) << status.error().ToString();
    return results.empty() ? ApplyResult{} : results.front();
  }
  void Put(std::string_view key, std::string_view value) {
    Apply(PutCommand{.key = key, .value = value});
  }
  void Delete(std::string_view key) { Apply(DeleteCommand{.key = key}); }
  ApplyResult Compact(uint64_t revision) { return Apply(CompactCommand{revision}); }
  void Clean() {
    for (Result<bool> more = true; *more;) {
      more = machine_->CleanStep();
      ASSERT_TRUE(more) << more.error().ToString();
    }
  }
  void Sweep() {
    ASSERT_TRUE(machine_->Flush(true));
    ASSERT_TRUE(machine_->engine().CompactAll());
  }
  std::string Value(std::string_view key, uint64_t revision = 0) {
    Result<ReadResult> read = machine_->Get(key, revision);
    if (!read) return read.error().code == Code::kCompacted ? "(compacted)" : "(error)";
    return read->found ? std::string(read->value.view()) : "(none)";
  }

  Store store_;
  std::unique_ptr<StateMachine> machine_;
};
TYPED_TEST_SUITE(History, AllStores, StoreName);

TYPED_TEST(History, ACompactCommandMovesOnlyTheCompactionRevision) {
  for (int i = 0; i < 4; ++i) this->Put("k", std::to_string(i));  // revisions 2 to 5
  const uint64_t user_ops = this->machine_->applied().user_op_count;
  EXPECT_EQ(this->machine_->compact_revision(), 1u);
  ApplyResult result = this->Compact(4);
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.revision, 5u);
  EXPECT_EQ(this->machine_->compact_revision(), 4u);
  EXPECT_EQ(this->machine_->store_revision(), 5u);
  EXPECT_EQ(this->machine_->applied().user_op_count, user_ops);
  EXPECT_TRUE(this->Compact(3).ok);
  EXPECT_EQ(this->machine_->compact_revision(), 4u) << "never back";
  EXPECT_TRUE(this->Compact(~0ull).ok);
  EXPECT_EQ(this->machine_->compact_revision(), 5u) << "never beyond the store revision";
}

TYPED_TEST(History, ReadsBelowItAreRefusedAndNameTheOldest) {
  for (int i = 0; i < 4; ++i) this->Put("k", std::to_string(i));
  this->Compact(4);
  EXPECT_EQ(this->Value("k", 4), "2");
  EXPECT_EQ(this->Value("k", 5), "3");
  EXPECT_EQ(this->Value("k"), "3");
  Result<ReadResult> read = this->machine_->Get("k", 3);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kCompacted);
  EXPECT_EQ(read.error().message, "revision 3 is no longer kept; the oldest that can be read is 4");
}

TYPED_TEST(History, OnlyWhatNoReaderCanSeeIsDropped) {
  for (int i = 0; i < 9; ++i) this->Put("k", std::to_string(i));  // revisions 2 to 10
  this->Put("other", "x");                                        // 11
  this->Compact(6);
  this->Sweep();
  EXPECT_EQ(CountVersions(this->machine_->engine()), 6u) << "6 to 10, and the other key";
  for (uint64_t r = 6; r <= 10; ++r) EXPECT_EQ(this->Value("k", r), std::to_string(r - 2));
  EXPECT_EQ(this->Value("k", 5), "(compacted)");
  EXPECT_EQ(this->Value("other"), "x");
  EXPECT_EQ(this->machine_->engine().stats().dropped_count, 4u);
}

TYPED_TEST(History, OnlyADurableCompactionRevisionDropsAnything) {
  for (int i = 0; i < 9; ++i) this->Put("k", std::to_string(i));  // revisions 2 to 10
  ASSERT_TRUE(this->machine_->Flush(true));
  this->Compact(9);
  const uint64_t applied = this->machine_->applied_index();
  // RocksDB would flush first: the engine is asked as a background compaction finds it.
  if constexpr (std::is_same_v<TypeParam, MemStore>) {
    ASSERT_TRUE(this->machine_->engine().CompactAll());
    EXPECT_EQ(CountVersions(this->machine_->engine()), 9u);
  }
  this->Crash();
  ASSERT_EQ(this->machine_->applied_index(), applied - 1);
  EXPECT_EQ(this->machine_->compact_revision(), 1u);
  for (uint64_t r = 2; r <= 10; ++r) EXPECT_EQ(this->Value("k", r), std::to_string(r - 2));
  this->Compact(9);
  ASSERT_TRUE(this->machine_->Flush(true));
  this->Crash();
  EXPECT_EQ(this->machine_->compact_revision(), 9u) << "it is in the applied record";
  this->Sweep();
  EXPECT_EQ(CountVersions(this->machine_->engine()), 2u) << "the next life goes on with it";
}

TYPED_TEST(History, ADeletionGoesWithAllThatItHides) {
  this->Put("a", "1");  // 2
  this->Put("a", "2");  // 3
  this->Delete("a");    // 4
  this->Put("b", "1");  // 5
  this->Delete("b");    // 6
  this->Put("b", "2");  // 7
  this->Compact(3);
  this->Clean();
  EXPECT_EQ(CountDeletions(this->machine_->engine()), 2u) << "still visible";
  EXPECT_EQ(this->Value("a", 3), "2");
  this->Compact(6);
  const uint64_t digest = Must(VisibleDigest(this->machine_->engine()));
  this->Clean();
  EXPECT_EQ(CountDeletions(this->machine_->engine()), 0u);
  EXPECT_EQ(CountVersions(this->machine_->engine()), 1u) << "the second life of b";
  EXPECT_EQ(Must(VisibleDigest(this->machine_->engine())), digest);
  EXPECT_EQ(this->Value("a"), "(none)");
  EXPECT_EQ(this->Value("b", 6), "(none)");
  EXPECT_EQ(this->Value("b"), "2");
  EXPECT_EQ(Must(this->machine_->CleanStep()), false);
  this->Put("a", "new");
  EXPECT_EQ(Must(this->machine_->Get("a")).version, 1u);
}

TYPED_TEST(History, ADroppedDeletionLeavesOnlyItsListEntry) {
  this->Put("a", "1");  // 2
  this->Delete("a");    // 3
  this->Put("a", "2");  // 4
  this->Compact(4);
  this->Sweep();
  EXPECT_EQ(CountVersions(this->machine_->engine()), 1u);
  EXPECT_EQ(CountDeletions(this->machine_->engine()), 1u);
  this->Clean();
  EXPECT_EQ(CountDeletions(this->machine_->engine()), 0u);
  EXPECT_EQ(this->Value("a"), "2");
}

TYPED_TEST(History, AStepIsBoundedAndStepsComeToAnEnd) {
  constexpr int kKeys = 1000;
  for (int i = 0; i < kKeys; ++i) this->Put("key" + std::to_string(i), "v");
  for (int i = 0; i < kKeys; ++i) this->Delete("key" + std::to_string(i));
  this->Compact(~0ull);
  int steps = 0;
  for (bool more = true; more; ++steps) {
    const uint64_t before = CountDeletions(this->machine_->engine());
    more = Must(this->machine_->CleanStep());
    ASSERT_LE(before - CountDeletions(this->machine_->engine()), HistoryCleaner::kStepDeletionsMax);
  }
  EXPECT_EQ(steps, 4);
  EXPECT_EQ(CountEntries(this->machine_->engine(), "", ""), 1u) << "the applied record";
  // Of each key the deletion and its list entry; its value unless a compaction was there first.
  EXPECT_GE(this->machine_->cleaned_count(), 2u * kKeys);
  EXPECT_LE(this->machine_->cleaned_count(), 3u * kKeys);
}

TYPED_TEST(History, AKeyWithManyVersionsWaitsForCompactions) {
  for (uint64_t i = 0; i <= HistoryCleaner::kOlderMax; ++i) this->Put("hot", "v");
  this->Delete("hot");
  this->Put("cold", "v");
  this->Delete("cold");
  this->Compact(~0ull);
  this->Clean();
  EXPECT_EQ(CountDeletions(this->machine_->engine()), 1u) << "the hot one waits";
  EXPECT_EQ(this->Value("hot"), "(none)");
  this->Sweep();
  EXPECT_EQ(CountVersions(this->machine_->engine()), 1u);
  this->Put("more", "v");
  this->Compact(~0ull);
  this->Clean();
  EXPECT_EQ(CountDeletions(this->machine_->engine()), 0u);
  EXPECT_EQ(CountVersions(this->machine_->engine()), 1u);
}

TYPED_TEST(History, ADeletionListedWithAValueIsDamage) {
  this->Put("a", "1");  // 2
  Batch batch;
  std::string key;
  SetDeletionKey(2, "a", &key);
  batch.Put(key, {});
  ASSERT_TRUE(this->machine_->engine().Write(batch, this->machine_->applied_index()));
  this->Compact(2);
  Result<bool> step = this->machine_->CleanStep();
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().code, Code::kCorruption);
  EXPECT_EQ(this->Value("a"), "1");
}

TEST(HistoryFloorTest, CountsOnlyOnceItsBatchIsDurable) {
  HistoryFloor floor;
  EXPECT_EQ(floor.At(~0ull), 1u);
  floor.Raise(10, 100);
  floor.Raise(20, 200);
  floor.Raise(15, 250);
  EXPECT_EQ(floor.At(99), 1u);
  EXPECT_EQ(floor.At(100), 10u);
  EXPECT_EQ(floor.At(199), 10u);
  EXPECT_EQ(floor.At(200), 20u);
  for (uint64_t i = 1; i <= 1000; ++i) floor.Raise(1000 + i, 1000 + i);
  EXPECT_EQ(floor.At(1999), 1063u) << "the last of those that wait took the place of others";
  EXPECT_EQ(floor.At(2000), 2000u);
}

TEST(AppliedRecord, AVersionOneRecordIsReadAsOneWithAllHistory) {
  AppliedState state;
  state.index = 7;
  state.term = 2;
  state.revision = 9;
  std::string current;
  EncodeApplied(state, &current);
  std::string old = current.substr(0, 41) + current.substr(49);
  old[0] = 1;
  old.resize(old.size() - 8);
  ByteWriter(&old).U64(Checksum64(old));
  AppliedState decoded = Must(DecodeApplied(old));
  EXPECT_EQ(decoded.compact_revision, 1u);
  EXPECT_EQ(decoded.revision, 9u);
  state.compact_revision = 10;
  EncodeApplied(state, &current);
  EXPECT_EQ(DecodeApplied(current).error().code, Code::kCorruption);
}

}  // namespace
}  // namespace arima::kv
