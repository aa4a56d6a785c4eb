// A long random run of records and what they must do, by a model that knows nothing of the state
// machine's code. Deterministic in its seed. Test-only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "kv/command.h"
#include "kv/mem_engine.h"
#include "kv/state_machine.h"
#include "kv/test_stores.h"

namespace arima::kv {

class Workload {
 public:
  Workload(uint64_t seed, uint64_t count, size_t value_bytes_max)
      : random_(seed), value_bytes_max_(value_bytes_max) {
    while (entries_.size() < count) Add();
  }

  uint64_t size() const { return entries_.size(); }

  Record RecordAt(uint64_t index) const {
    const Entry& entry = entries_[index - 1];
    bool conf = entry.kind == RecordKind::kConf;
    return {.index = index,
            .term = 1 + index / 500,
            .kind = entry.kind,
            .bytes = conf ? std::string_view() : entry.bytes,
            .conf = conf ? entry.bytes : std::string_view()};
  }

  // Applies up to `last` in batches of random size and checks each answer.
  void Apply(StateMachine* machine, uint64_t last, uint64_t batch_max, SeededRandom* random) const {
    std::vector<ApplyResult> results;
    while (machine->applied_index() < last) {
      uint64_t first = machine->applied_index() + 1;
      uint64_t count = std::min(random->Between(1, batch_max), last - first + 1);
      std::vector<Record> records;
      for (uint64_t i = 0; i < count; ++i) records.push_back(RecordAt(first + i));
      Status status = machine->Apply(records, &results);
      ASSERT_TRUE(status) << status.error().ToString();
      ASSERT_EQ(results.size(), count);
      for (uint64_t i = 0; i < count; ++i) CheckResult(first + i, results[i]);
      ASSERT_EQ(machine->store_revision(), entries_[first + count - 2].expected.revision);
    }
  }

  // Reads a random key at a random revision that `machine` has.
  void CheckRead(const StateMachine& machine, SeededRandom* random) const {
    const std::string& key = keys_[random->Below(keys_.size())];
    uint64_t revision = random->Percent(50) ? 0 : random->Between(1, machine.store_revision());
    uint64_t at = revision == 0 ? machine.store_revision() : revision;
    ReadResult read = Must(machine.Get(key, revision));
    const Version* expected = nullptr;
    if (auto chain = history_.find(key); chain != history_.end()) {
      for (const Version& version : chain->second) {
        if (version.mod_revision <= at) expected = &version;
      }
    }
    bool exists = expected != nullptr && expected->version != 0;
    ASSERT_EQ(read.found, exists) << key << " at " << at;
    if (!exists) return;
    ASSERT_EQ(read.value.view(), expected->value);
    ASSERT_EQ(read.mod_revision, expected->mod_revision);
    ASSERT_EQ(read.create_revision, expected->create_revision);
    ASSERT_EQ(read.version, expected->version);
  }

  // Digest of the state after `index` records, by another machine that applies them one by one.
  uint64_t DigestAt(uint64_t index) {
    SeededRandom random(0);
    if (reference_ == nullptr || reference_->applied_index() > index) {
      reference_ = Must(StateMachine::Open(std::make_unique<MemEngine>(), {}, {}));
    }
    Apply(reference_.get(), index, 1, &random);
    return Must(ContentDigest(reference_->engine()));
  }

 private:
  struct Version {
    uint64_t mod_revision = 0;
    uint64_t create_revision = 0;
    uint64_t version = 0;  // 0: deleted
    std::string value;
  };
  struct Entry {
    RecordKind kind = RecordKind::kNothing;
    std::string bytes;
    ApplyResult expected;
  };

  void Add() {
    Entry entry;
    const std::string& key = keys_[random_.Below(keys_.size())];
    std::vector<Version>& chain = history_[key];
    uint64_t version = chain.empty() ? 0 : chain.back().version;
    uint64_t dice = random_.Below(100);
    if (dice < 62) {
      std::string value(random_.Below(value_bytes_max_ + 1), static_cast<char>(random_.Next()));
      entry.kind = RecordKind::kCommand;
      entry.bytes = EncodeCommand(PutCommand{.key = key, .value = value});
      ++revision_;
      uint64_t created = version == 0 ? revision_ : chain.back().create_revision;
      chain.push_back({revision_, created, version + 1, value});
      entry.expected.create_revision = created;
      entry.expected.version = version + 1;
    } else if (dice < 90) {
      entry.kind = RecordKind::kCommand;
      entry.bytes = EncodeCommand(DeleteCommand{.key = key});
      entry.expected.deleted = version != 0;
      if (version != 0) chain.push_back({++revision_, 0, 0, {}});
    } else if (dice < 94) {
      entry.kind = RecordKind::kCommand;
      entry.bytes = "\x7F\x01 unknown";
      entry.expected.ok = false;
    } else if (dice < 96) {
      entry.kind = RecordKind::kClock;
      entry.bytes = EncodeClock(random_.Below(1'000'000));
    } else if (dice < 98) {
      entry.kind = RecordKind::kConf;
      entry.bytes = "configuration " + std::to_string(random_.Next());
    }
    entry.expected.revision = revision_;
    entries_.push_back(std::move(entry));
  }

  void CheckResult(uint64_t index, const ApplyResult& result) const {
    const ApplyResult& expected = entries_[index - 1].expected;
    ASSERT_EQ(result.ok, expected.ok) << "record " << index << ": " << result.message;
    ASSERT_EQ(result.revision, expected.revision) << "record " << index;
    ASSERT_EQ(result.create_revision, expected.create_revision) << "record " << index;
    ASSERT_EQ(result.version, expected.version) << "record " << index;
    ASSERT_EQ(result.deleted, expected.deleted) << "record " << index;
  }

  static std::vector<std::string> MakeKeys() {
    std::vector<std::string> keys = {std::string("\x00", 1),
                                     std::string("\x00\x00", 2),
                                     "\x01",
                                     "\xFF",
                                     "a",
                                     std::string("a\x00", 2),
                                     "a\x01",
                                     "aa"};
    for (int i = 0; i < 60; ++i) keys.push_back("key" + std::to_string(i));
    return keys;
  }

  SeededRandom random_;
  const size_t value_bytes_max_;
  const std::vector<std::string> keys_ = MakeKeys();
  std::vector<Entry> entries_;
  std::map<std::string, std::vector<Version>> history_;
  uint64_t revision_ = 1;
  std::unique_ptr<StateMachine> reference_;
};

}  // namespace arima::kv
