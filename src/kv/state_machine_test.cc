// What the state machine promises, over every engine. Times and sizes are small; the long random
// run is state_machine_random_test.cc.
#include "kv/state_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/hex.h"
#include "kv/applied_record.h"
#include "kv/command.h"
#include "kv/engine.h"
#include "kv/key_schema.h"
#include "kv/test_records.h"
#include "kv/test_stores.h"
#include "kv/value_record.h"

namespace arima::kv {
namespace {

using testing::HasSubstr;

Uuid ClusterId(uint8_t n) {
  Uuid id;
  id.bytes[0] = n;
  return id;
}

AppliedState Initial() {
  AppliedState state;
  state.cluster_id = ClusterId(1);
  state.conf = "first configuration";
  return state;
}

std::string Put(std::string_view key, std::string_view value, uint64_t lease = 0) {
  return EncodeCommand(PutCommand{.key = key, .value = value, .lease = lease});
}
std::string Delete(std::string_view key) { return EncodeCommand(DeleteCommand{.key = key}); }

template <class Store>
class StateMachineTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen() {
    machine_.reset();
    machine_ = Must(StateMachine::Open(store_.Open(), Initial(), options_));
  }
  void Crash() {
    store_.CaptureCrash(&machine_->engine());
    Reopen();
  }

  // One batch of commands, each with the next index.
  std::vector<ApplyResult> ApplyBatch(const std::vector<std::string>& commands) {
    return Apply(NextRecords(*machine_, commands, term_));
  }
  ApplyResult ApplyOne(const std::string& command) { return ApplyBatch({command}).front(); }
  ApplyResult ApplyKind(RecordKind kind, std::string_view bytes, std::string_view conf = {}) {
    return Apply({{.index = machine_->applied_index() + 1,
                   .term = term_,
                   .kind = kind,
                   .bytes = bytes,
                   .conf = conf}})
        .front();
  }
  std::vector<ApplyResult> Apply(const std::vector<Record>& records) {
    std::vector<ApplyResult> results;
    Status status = machine_->Apply(records, &results);
    EXPECT_TRUE(status) << status.error().ToString();
    EXPECT_EQ(results.size(), records.size());
    return results;
  }

  std::string Value(std::string_view key, uint64_t revision = 0) {
    ReadResult read = Must(machine_->Get(key, revision));
    return read.found ? std::string(read.value.view()) : "(none)";
  }
  // Replaces an engine entry behind the state machine's back.
  void Overwrite(std::string_view engine_key, std::string_view bytes) {
    Batch batch;
    batch.Put(engine_key, bytes);
    ASSERT_TRUE(machine_->engine().Write(batch, machine_->applied_index()));
  }
  std::string Stored(std::string_view engine_key) {
    std::string bytes;
    EXPECT_TRUE(Must(machine_->engine().Get(engine_key, &bytes))) << Printable(engine_key);
    return bytes;
  }

  Store store_;
  StateMachineOptions options_{.recent_keys_bytes = 64 << 10};
  uint64_t term_ = 1;
  std::unique_ptr<StateMachine> machine_;
};

TYPED_TEST_SUITE(StateMachineTest, AllStores, StoreName);

// ----------------------------------------------------------------------------------------
// revisions

TYPED_TEST(StateMachineTest, AnEmptyStoreIsAtRevisionOne) {
  EXPECT_EQ(this->machine_->store_revision(), 1u);
  EXPECT_EQ(this->machine_->applied_index(), 0u);
  EXPECT_EQ(this->machine_->applied().user_op_count, 0u);
  EXPECT_EQ(this->machine_->applied().conf, "first configuration");
  EXPECT_EQ(this->Value("any"), "(none)");
}

TYPED_TEST(StateMachineTest, EachPutTakesTheNextRevisionAndCountsVersions) {
  ApplyResult first = this->ApplyOne(Put("k", "one"));
  EXPECT_TRUE(first.ok);
  EXPECT_EQ(first.revision, 2u);
  EXPECT_EQ(first.create_revision, 2u);
  EXPECT_EQ(first.version, 1u);
  this->ApplyOne(Put("other", "x"));
  ApplyResult second = this->ApplyOne(Put("k", "two"));
  EXPECT_EQ(second.revision, 4u);
  EXPECT_EQ(second.create_revision, 2u);
  EXPECT_EQ(second.version, 2u);

  ReadResult read = Must(this->machine_->Get("k"));
  EXPECT_TRUE(read.found);
  EXPECT_EQ(read.value.view(), "two");
  EXPECT_EQ(read.create_revision, 2u);
  EXPECT_EQ(read.mod_revision, 4u);
  EXPECT_EQ(read.version, 2u);
  EXPECT_EQ(read.lease, 0u);
  EXPECT_EQ(read.store_revision, 4u);
}

TYPED_TEST(StateMachineTest, PuttingTheSameValueIsAChangeToo) {
  this->ApplyOne(Put("k", "same"));
  EXPECT_EQ(this->ApplyOne(Put("k", "same")).version, 2u);
  EXPECT_EQ(this->machine_->store_revision(), 3u);
}

TYPED_TEST(StateMachineTest, DeletingEndsTheKeyAndTheNextPutStartsANewOne) {
  this->ApplyOne(Put("k", "one"));
  this->ApplyOne(Put("k", "two"));
  ApplyResult erased = this->ApplyOne(Delete("k"));
  EXPECT_TRUE(erased.ok);
  EXPECT_TRUE(erased.deleted);
  EXPECT_EQ(erased.revision, 4u);
  EXPECT_EQ(this->Value("k"), "(none)");
  ApplyResult again = this->ApplyOne(Put("k", "three"));
  EXPECT_EQ(again.create_revision, 5u);
  EXPECT_EQ(again.version, 1u);
  EXPECT_EQ(this->Value("k"), "three");
}

TYPED_TEST(StateMachineTest, DeletingAMissingKeyChangesNothing) {
  this->ApplyOne(Put("k", "one"));
  ApplyResult erased = this->ApplyOne(Delete("missing"));
  EXPECT_TRUE(erased.ok);
  EXPECT_FALSE(erased.deleted);
  EXPECT_EQ(erased.revision, 2u);
  EXPECT_EQ(this->machine_->store_revision(), 2u);
  EXPECT_EQ(this->machine_->applied_index(), 2u) << "the record is consumed all the same";
  this->ApplyOne(Delete("k"));
  EXPECT_FALSE(this->ApplyOne(Delete("k")).deleted);
  EXPECT_EQ(this->machine_->store_revision(), 3u);
}

TYPED_TEST(StateMachineTest, EveryDeletionIsListedByRevision) {
  this->ApplyBatch({Put("a", ""), Put("b", ""), Delete("b"), Delete("c"), Delete("a")});
  std::unique_ptr<Iterator> it = this->machine_->engine().NewIterator({.lower = "d", .upper = "e"});
  std::vector<std::pair<uint64_t, std::string>> listed;
  for (it->Seek("d"); it->Valid(); it->Next()) {
    KeyAndRevision deletion = Must(ParseDeletionKey(it->key()));
    listed.emplace_back(deletion.revision, deletion.user_key);
  }
  EXPECT_THAT(listed, testing::ElementsAre(testing::Pair(4, "b"), testing::Pair(5, "a")));
}

TYPED_TEST(StateMachineTest, ThePastCanBeRead) {
  this->ApplyOne(Put("k", "at 2"));
  this->ApplyOne(Put("other", "at 3"));
  this->ApplyOne(Put("k", "at 4"));
  this->ApplyOne(Delete("k"));
  this->ApplyOne(Put("k", "at 6"));
  EXPECT_EQ(this->Value("k", 1), "(none)");
  EXPECT_EQ(this->Value("k", 2), "at 2");
  EXPECT_EQ(this->Value("k", 3), "at 2");
  EXPECT_EQ(this->Value("k", 4), "at 4");
  EXPECT_EQ(this->Value("k", 5), "(none)");
  EXPECT_EQ(this->Value("k", 6), "at 6");
  ReadResult past = Must(this->machine_->Get("k", 3));
  EXPECT_EQ(past.mod_revision, 2u);
  EXPECT_EQ(past.version, 1u);
  EXPECT_EQ(past.store_revision, 6u);
}

TYPED_TEST(StateMachineTest, TheFutureCannotBeRead) {
  Result<ReadResult> read = this->machine_->Get("k", 2);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kInvalidArgument);
  EXPECT_EQ(this->machine_->Get("k", std::numeric_limits<uint64_t>::max()).error().code,
            Code::kInvalidArgument);
}

TYPED_TEST(StateMachineTest, KeysAreAnyBytesAndNeverMixed) {
  const std::vector<std::string> keys = {
      "a",
      std::string("a\x00", 2),
      std::string("a\x00\x00", 3),
      "a\x01",
      std::string("a\x01\x00", 3),
      "aa",
      std::string(1, '\x00'),
      "\xFF",
      std::string(kUserKeyBytesMax, '\x00'),
      std::string(kUserKeyBytesMax, '\xFF'),
      std::string("a\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFD", 10),  // looks like "a" at a revision
  };
  for (const std::string& key : keys) this->ApplyOne(Put(key, "of " + key));
  for (const std::string& key : keys) EXPECT_EQ(this->Value(key), "of " + key) << Printable(key);
  for (const std::string& key : keys) {
    EXPECT_TRUE(this->ApplyOne(Delete(key)).deleted) << Printable(key);
    EXPECT_EQ(this->Value(key), "(none)");
  }
}

TYPED_TEST(StateMachineTest, ValuesAreAnyBytesOfAnyLength) {
  for (const std::string& value :
       {std::string(), std::string("\x00", 1), std::string(3 << 20, '\xEE')}) {
    this->ApplyOne(Put("k", value));
    EXPECT_EQ(this->Value("k"), value);
  }
}

TYPED_TEST(StateMachineTest, TheLeaseIsStoredWithTheVersion) {
  this->ApplyOne(Put("k", "v", 77));
  EXPECT_EQ(Must(this->machine_->Get("k")).lease, 77u);
  this->ApplyOne(Put("k", "v"));
  EXPECT_EQ(Must(this->machine_->Get("k")).lease, 0u);
  EXPECT_EQ(Must(this->machine_->Get("k", 2)).lease, 77u);
}

TYPED_TEST(StateMachineTest, ReadsRefuseKeysOfWrongLength) {
  EXPECT_EQ(this->machine_->Get("").error().code, Code::kInvalidArgument);
  EXPECT_EQ(this->machine_->Get(std::string(kUserKeyBytesMax + 1, 'k')).error().code,
            Code::kInvalidArgument);
}

// ------------------------------------------------------------------------------------------
// batches

TYPED_TEST(StateMachineTest, CommandsOfABatchSeeEachOther) {
  std::vector<ApplyResult> results =
      this->ApplyBatch({Put("k", "1"), Put("k", "2"), Delete("k"), Delete("k"), Put("k", "3"),
                        Put("new", "x"), Put("k", "4")});
  EXPECT_EQ(results[1].version, 2u);
  EXPECT_EQ(results[1].create_revision, 2u);
  EXPECT_TRUE(results[2].deleted);
  EXPECT_FALSE(results[3].deleted);
  EXPECT_EQ(results[3].revision, 4u);
  EXPECT_EQ(results[4].create_revision, 5u);
  EXPECT_EQ(results[6].create_revision, 5u);
  EXPECT_EQ(results[6].version, 2u);
  EXPECT_EQ(results[6].revision, 7u);
  EXPECT_EQ(this->Value("k"), "4");
  EXPECT_EQ(this->Value("k", 3), "2") << "versions inside a batch are history too";
}

TYPED_TEST(StateMachineTest, NothingDependsOnTheTableOfRecentKeys) {
  this->options_.recent_keys_bytes = 0;
  this->Reopen();
  std::vector<std::string> commands;
  for (int i = 0; i < 300; ++i) commands.push_back(Put("k" + std::to_string(i % 150), "v"));
  std::vector<ApplyResult> results = this->ApplyBatch(commands);
  EXPECT_EQ(results[299].version, 2u) << "a batch larger than the table still sees itself";
  results = this->ApplyBatch(commands);
  EXPECT_EQ(results[299].version, 4u);
  EXPECT_EQ(results[299].create_revision, 151u);
}

TYPED_TEST(StateMachineTest, BatchSplitsDoNotShowInTheState) {
  std::vector<std::string> commands;
  for (int i = 0; i < 200; ++i) {
    std::string key = "k" + std::to_string(i * 7 % 20);
    commands.push_back(i % 5 == 4 ? Delete(key) : Put(key, std::to_string(i)));
  }
  this->ApplyBatch(commands);
  const uint64_t whole = Must(ContentDigest(this->machine_->engine()));
  for (size_t split : {1u, 3u, 64u}) {
    auto other = Must(StateMachine::Open(std::make_unique<MemEngine>(), Initial(), {}));
    std::vector<ApplyResult> results;
    for (size_t at = 0; at < commands.size();) {
      std::vector<Record> records;
      for (size_t n = 0; n < split && at < commands.size(); ++n, ++at) {
        records.push_back({.index = at + 1,
                           .term = 1,
                           .kind = RecordKind::kCommand,
                           .bytes = commands[at],
                           .conf = {}});
      }
      ASSERT_TRUE(other->Apply(records, &results));
    }
    EXPECT_EQ(Must(ContentDigest(other->engine())), whole) << "batches of " << split;
  }
}

TYPED_TEST(StateMachineTest, AnEmptyApplyDoesNothing) {
  std::vector<ApplyResult> results(3);
  EXPECT_TRUE(this->machine_->Apply({}, &results));
  EXPECT_TRUE(results.empty());
  EXPECT_EQ(this->machine_->applied_index(), 0u);
}

TYPED_TEST(StateMachineTest, RecordsMustFollowTheAppliedOnes) {
  this->ApplyBatch({Put("k", "1"), Put("k", "2")});
  const std::string command = Put("k", "3");
  auto record = [&](uint64_t index, uint64_t term) {
    return Record{
        .index = index, .term = term, .kind = RecordKind::kCommand, .bytes = command, .conf = {}};
  };
  for (const std::vector<Record>& wrong :
       {std::vector{record(4, 1)}, std::vector{record(2, 1)}, std::vector{record(0, 1)},
        std::vector{record(3, 1), record(5, 1)}, std::vector{record(3, 1), record(3, 1)},
        std::vector{record(3, 0)}, std::vector{record(3, 5), record(4, 4)}}) {
    std::vector<ApplyResult> results;
    Status status = this->machine_->Apply(wrong, &results);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kInternal);
    EXPECT_TRUE(results.empty());
    EXPECT_EQ(this->machine_->applied_index(), 2u) << "nothing of the batch was applied";
    EXPECT_EQ(this->Value("k"), "2");
  }
  this->Apply({record(3, 5), record(4, 5)});
  EXPECT_EQ(this->machine_->applied().term, 5u);
}

// ----------------------------------------------------------------------------- kinds and refusals

TYPED_TEST(StateMachineTest, AnEmptyRecordOnlyMovesThePosition) {
  this->term_ = 3;
  ApplyResult result = this->ApplyKind(RecordKind::kNothing, {});
  EXPECT_TRUE(result.ok);
  AppliedState applied = this->machine_->applied();
  EXPECT_EQ(applied.index, 1u);
  EXPECT_EQ(applied.term, 3u);
  EXPECT_EQ(applied.revision, 1u);
  EXPECT_EQ(applied.user_op_count, 0u);
}

TYPED_TEST(StateMachineTest, AConfigurationIsStoredAsItIs) {
  const std::string conf("\x00\x01 any bytes", 12);
  this->ApplyKind(RecordKind::kConf, {}, conf);
  EXPECT_EQ(this->machine_->applied().conf, conf);
  EXPECT_EQ(this->machine_->applied().user_op_count, 0u);
  this->ApplyOne(Put("k", "v"));
  ASSERT_TRUE(this->machine_->Flush(true));
  this->Crash();
  EXPECT_EQ(this->machine_->applied().conf, conf);
}

TYPED_TEST(StateMachineTest, ClusterTimeNeverGoesBack) {
  this->ApplyKind(RecordKind::kClock, EncodeClock(5000));
  EXPECT_EQ(this->machine_->applied().clock_ms, 5000u);
  this->ApplyKind(RecordKind::kClock, EncodeClock(4000));
  EXPECT_EQ(this->machine_->applied().clock_ms, 5000u);
  this->ApplyKind(RecordKind::kClock, EncodeClock(5001));
  EXPECT_EQ(this->machine_->applied().clock_ms, 5001u);
  EXPECT_EQ(this->machine_->store_revision(), 1u);
  ApplyResult refused = this->ApplyKind(RecordKind::kClock, "\x09 a later version");
  EXPECT_FALSE(refused.ok);
  EXPECT_EQ(refused.code, Code::kNotSupported);
  EXPECT_EQ(this->machine_->applied().clock_ms, 5001u);
}

TYPED_TEST(StateMachineTest, UnknownCommandsAreRefusedAndConsumed) {
  std::vector<ApplyResult> results =
      this->ApplyBatch({Put("k", "1"), "\x63\x01 from the future", Put("k", "2")});
  EXPECT_FALSE(results[1].ok);
  EXPECT_EQ(results[1].code, Code::kNotSupported);
  EXPECT_EQ(results[1].message, "command type 99 version 1 is unknown here");
  EXPECT_EQ(results[1].revision, 2u);
  EXPECT_TRUE(results[2].ok);
  EXPECT_EQ(results[2].version, 2u);
  EXPECT_EQ(this->machine_->applied_index(), 3u);
  EXPECT_EQ(this->machine_->store_revision(), 3u);
}

TYPED_TEST(StateMachineTest, MalformedCommandsAreRefusedAndConsumed) {
  for (const std::string& bytes : {std::string(), std::string("\x01"), Put("k", "v").substr(0, 12),
                                   "\x02\x01" + std::string(kUserKeyBytesMax + 1, 'k')}) {
    ApplyResult result = this->ApplyOne(bytes);
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.code, Code::kInvalidArgument);
    EXPECT_FALSE(result.message.empty());
  }
  EXPECT_EQ(this->machine_->applied_index(), 4u);
  EXPECT_EQ(this->machine_->store_revision(), 1u);
}

TYPED_TEST(StateMachineTest, EveryCommandCountsAsAUserOperation) {
  this->ApplyBatch({Put("k", "1"), Delete("missing"), "malformed"});
  EXPECT_EQ(this->machine_->applied().user_op_count, 3u);
}

// -------------------------------------------------------------------------------- opening,
// crashing

TYPED_TEST(StateMachineTest, AFreshStateMachineIsDurableAtOnce) {
  AppliedState initial = Initial();
  initial.index = 9;
  initial.term = 4;
  TypeParam store;
  auto machine = Must(StateMachine::Open(store.Open(), initial, {}));
  EXPECT_EQ(machine->durable_applied_index(), 9u);
  store.CaptureCrash(&machine->engine());
  machine.reset();
  initial.index = 0;  // of no meaning from now on
  machine = Must(StateMachine::Open(store.Open(), initial, {}));
  EXPECT_EQ(machine->applied_index(), 9u);
  EXPECT_EQ(machine->applied().term, 4u);
}

TYPED_TEST(StateMachineTest, StateSurvivesACrashUpToTheLastFlush) {
  this->ApplyBatch({Put("a", "1"), Put("b", "1"), Put("gone", "x"), Delete("gone")});
  ASSERT_TRUE(this->machine_->Flush(true));
  EXPECT_EQ(this->machine_->durable_applied_index(), 4u);
  this->ApplyBatch({Put("a", "2"), Delete("b")});
  EXPECT_EQ(this->machine_->durable_applied_index(), 4u);
  const uint64_t durable = this->machine_->durable_applied_index();
  this->Crash();

  EXPECT_EQ(this->machine_->applied_index(), durable);
  EXPECT_EQ(this->machine_->durable_applied_index(), durable);
  EXPECT_EQ(this->machine_->store_revision(), 5u);
  EXPECT_EQ(this->machine_->applied().user_op_count, 4u);
  EXPECT_EQ(this->machine_->applied().cluster_id, ClusterId(1));
  EXPECT_EQ(this->Value("a"), "1");
  EXPECT_EQ(this->Value("b"), "1");
  EXPECT_EQ(this->Value("gone"), "(none)");
  // The same records again, as the log would replay them.
  std::vector<ApplyResult> results = this->ApplyBatch({Put("a", "2"), Delete("b")});
  EXPECT_EQ(results[0].version, 2u);
  EXPECT_EQ(results[0].create_revision, 2u);
  EXPECT_TRUE(results[1].deleted);
  EXPECT_EQ(this->machine_->store_revision(), 7u);
}

TYPED_TEST(StateMachineTest, AnotherClustersStateIsRefused) {
  this->store_.CaptureCrash(&this->machine_->engine());
  AppliedState initial = Initial();
  initial.cluster_id = ClusterId(2);
  auto opened = StateMachine::Open(this->store_.Open(), initial, {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kConflict);
  EXPECT_THAT(opened.error().message, HasSubstr("02000000"));
}

TYPED_TEST(StateMachineTest, DataWithoutAnAppliedRecordIsDamageNotAFreshStore) {
  TypeParam store;
  std::unique_ptr<Engine> engine = store.Open();
  engine->StartAt(0);
  Batch batch;
  batch.Put(VersionKey("k", 2), "anything");
  ASSERT_TRUE(engine->Write(batch, 1));
  ASSERT_TRUE(engine->Flush(true));
  store.CaptureCrash(engine.get());
  engine.reset();
  auto opened = StateMachine::Open(store.Open(), Initial(), {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kCorruption);
}

TYPED_TEST(StateMachineTest, ADamagedAppliedRecordIsNamed) {
  this->ApplyOne(Put("k", "v"));
  const std::string good = this->Stored(kAppliedKey);
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    Result<AppliedState> decoded = DecodeApplied(bad);
    ASSERT_FALSE(decoded) << at;
    EXPECT_EQ(decoded.error().code, Code::kCorruption);
  }
  std::string bad = good;
  bad[20] = static_cast<char>(bad[20] ^ 1);
  this->Overwrite(kAppliedKey, bad);
  ASSERT_TRUE(this->machine_->Flush(true));
  this->store_.CaptureCrash(&this->machine_->engine());
  auto opened = StateMachine::Open(this->store_.Open(), Initial(), {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kCorruption);
  EXPECT_THAT(opened.error().message, HasSubstr("applied record"));
}

TYPED_TEST(StateMachineTest, EveryDamagedBitOfARecordIsFoundAndNamed) {
  this->ApplyOne(Put("some key", "v", 3));
  const std::string key = VersionKey("some key", 2);
  const std::string good = this->Stored(key);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    this->Overwrite(key, bad);
    Result<ReadResult> read = this->machine_->Get("some key");
    ASSERT_FALSE(read) << "bit " << bit;
    EXPECT_EQ(read.error().code, Code::kCorruption);
    EXPECT_THAT(read.error().message, HasSubstr("key \"some key\" at revision 2"));
  }
  for (size_t cut = 0; cut < good.size(); ++cut) {
    this->Overwrite(key, good.substr(0, cut));
    EXPECT_EQ(this->machine_->Get("some key").error().code, Code::kCorruption) << cut;
  }
}

TYPED_TEST(StateMachineTest, ARecordUnderAnotherKeyOrRevisionIsCorruption) {
  this->ApplyBatch({Put("a", "v"), Put("b", "v"), Put("a", "w")});
  const std::string record = this->Stored(VersionKey("a", 2));
  this->Overwrite(VersionKey("b", 3), record);
  this->Overwrite(VersionKey("a", 4), record);
  EXPECT_EQ(this->machine_->Get("b").error().code, Code::kCorruption);
  EXPECT_EQ(this->machine_->Get("a").error().code, Code::kCorruption);
  EXPECT_EQ(this->Value("a", 2), "v");
}

TYPED_TEST(StateMachineTest, ApplyStopsAtADamagedPreviousVersionAndChangesNothing) {
  this->ApplyBatch({Put("good", "1"), Put("bad", "1")});
  this->Overwrite(VersionKey("bad", 3), "damage");
  ASSERT_TRUE(this->machine_->Flush(true));
  this->Crash();  // an empty table of recent keys: the previous version must be read
  std::vector<ApplyResult> results;
  const std::string good = Put("good", "2");
  const std::string bad = Put("bad", "2");
  std::vector<Record> records = {
      {.index = 3, .term = 1, .kind = RecordKind::kCommand, .bytes = good, .conf = {}},
      {.index = 4, .term = 1, .kind = RecordKind::kCommand, .bytes = bad, .conf = {}}};
  Status status = this->machine_->Apply(records, &results);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kCorruption);
  EXPECT_THAT(status.error().message, HasSubstr("\"bad\" at revision 3"));
  EXPECT_TRUE(results.empty());
  EXPECT_EQ(this->machine_->applied_index(), 2u);
  EXPECT_EQ(this->machine_->store_revision(), 3u);
  EXPECT_EQ(this->Value("good"), "1");
  EXPECT_EQ(this->ApplyOne(good).version, 2u) << "the failed batch left no trace";
}

TYPED_TEST(StateMachineTest, AVersionBeyondTheAppliedStateIsCorruption) {
  const std::string key = VersionKey("k", 50);
  std::string head;
  EncodeValueHead(key, {.create_revision = 50, .version = 1}, &head);
  this->Overwrite(key, head);
  const std::string command = Put("k", "v");
  std::vector<Record> records = {
      {.index = 1, .term = 1, .kind = RecordKind::kCommand, .bytes = command, .conf = {}}};
  std::vector<ApplyResult> results;
  Status status = this->machine_->Apply(records, &results);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kCorruption);
  EXPECT_THAT(status.error().message, HasSubstr("newer than the applied state"));
}

}  // namespace
}  // namespace arima::kv
