// Random commands with the end of history moving, and a model that keeps everything. Deterministic
// in its seed. Test-only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "kv/command.h"
#include "kv/mem_engine.h"
#include "kv/state_machine.h"
#include "kv/test_stores.h"
#include "kv/visible_digest.h"

namespace arima::kv {

class HistoryModel {
 public:
  HistoryModel(SeededRandom* random, uint64_t count) : random_(*random) {
    while (commands_.size() < count) Add();
  }

  uint64_t size() const { return commands_.size(); }
  uint64_t compacted_at(uint64_t index) const { return commands_[index - 1].compacted; }

  void Apply(StateMachine* machine, uint64_t last) {
    while (machine->applied_index() < last) {
      Status status = ApplyBatch(machine, last);
      ASSERT_TRUE(status) << status.error().ToString();
      if (testing::Test::HasFailure()) return;
    }
  }
  // One batch, not beyond `last`; checks the answers.
  Status ApplyBatch(StateMachine* machine, uint64_t last) {
    const uint64_t first = machine->applied_index() + 1;
    const uint64_t count = std::min(random_.Between(1, 30), last - first + 1);
    std::vector<Record> records;
    for (uint64_t i = first; i < first + count; ++i) {
      records.push_back({.index = i,
                         .term = 1,
                         .kind = RecordKind::kCommand,
                         .bytes = commands_[i - 1].bytes,
                         .conf = {}});
    }
    std::vector<ApplyResult> results;
    if (Status status = machine->Apply(records, &results); !status) return status;
    for (uint64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(results[i].ok);
      EXPECT_EQ(results[i].revision, commands_[first + i - 1].revision);
    }
    EXPECT_EQ(machine->compact_revision(), compacted_at(first + count - 1));
    return {};
  }

  void CheckRead(const StateMachine& machine) {
    const std::string key = Key();
    const uint64_t revision = random_.Below(machine.store_revision() + 1);
    const uint64_t at = revision == 0 ? machine.store_revision() : revision;
    Result<ReadResult> read = machine.Get(key, revision);
    if (at < machine.compact_revision()) {
      ASSERT_FALSE(read);
      ASSERT_EQ(read.error().code, Code::kCompacted);
      return;
    }
    ASSERT_TRUE(read) << read.error().ToString();
    auto next = history_[key].upper_bound(at);
    const std::string expected = next == history_[key].begin() ? "" : std::prev(next)->second;
    ASSERT_EQ(read->found, !expected.empty()) << key << " at " << at;
    if (!read->found) return;
    ASSERT_EQ(read->value.view(), expected) << key << " at " << at;
  }

  // Of a machine that never drops or cleans anything.
  uint64_t DigestAt(uint64_t index) {
    if (auto known = digests_.find(index); known != digests_.end()) return known->second;
    if (reference_ == nullptr || reference_->applied_index() > index) {
      reference_ = Must(StateMachine::Open(std::make_unique<MemEngine>(), {}, {}));
    }
    Apply(reference_.get(), index);
    return digests_[index] = Must(VisibleDigest(reference_->engine()));
  }

 private:
  struct Entry {
    std::string bytes;
    uint64_t revision = 0;
    uint64_t compacted = 0;
  };

  // A few keys get most of the writes.
  std::string Key() {
    return "key" + std::to_string(random_.Percent(50) ? random_.Below(3) : random_.Below(100));
  }

  void Add() {
    Entry entry;
    const uint64_t dice = random_.Below(100);
    const std::string key = Key();
    std::map<uint64_t, std::string>& versions = history_[key];
    if (dice < 65) {
      std::string value(random_.Between(1, 800), static_cast<char>('a' + random_.Below(26)));
      entry.bytes = EncodeCommand(PutCommand{.key = key, .value = value});
      versions[++revision_] = std::move(value);
    } else if (dice < 95) {
      entry.bytes = EncodeCommand(DeleteCommand{.key = key});
      bool exists = !versions.empty() && !versions.rbegin()->second.empty();
      if (exists) versions[++revision_] = "";
    } else {
      const uint64_t target = random_.Between(compacted_ > 10 ? compacted_ - 10 : 0, revision_ + 2);
      entry.bytes = EncodeCommand(CompactCommand{target});
      compacted_ = std::max(compacted_, std::min(target, revision_));
    }
    entry.revision = revision_;
    entry.compacted = compacted_;
    commands_.push_back(std::move(entry));
  }

  SeededRandom& random_;
  std::vector<Entry> commands_;
  std::map<std::string, std::map<uint64_t, std::string>> history_;  // "" = deleted
  uint64_t revision_ = 1;
  uint64_t compacted_ = 1;
  std::unique_ptr<StateMachine> reference_;
  std::map<uint64_t, uint64_t> digests_;  // by index
};

}  // namespace arima::kv
