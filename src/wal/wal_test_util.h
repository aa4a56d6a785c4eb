// What the tests of the log share: a log in memory with small segments, entries, and a model.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "env/fault_env.h"
#include "env/mem_env.h"
#include "wal/wal.h"

namespace arima::wal {

inline raft::Entry MakeEntry(uint64_t index, uint64_t term, std::string payload,
                             raft::EntryKind kind = raft::EntryKind::kCommand) {
  raft::Entry entry;
  entry.index = raft::Index(index);
  entry.term = raft::Term(term);
  entry.kind = kind;
  entry.checksum = raft::EntryChecksum(kind, payload);
  entry.payload = SharedBytes::Take(std::move(payload));
  return entry;
}

inline std::vector<raft::Entry> MakeEntries(uint64_t low, uint64_t high, uint64_t term,
                                            size_t bytes = 20) {
  std::vector<raft::Entry> entries;
  for (uint64_t i = low; i < high; ++i) {
    std::string payload = "entry " + std::to_string(i) + " of term " + std::to_string(term) + " ";
    while (payload.size() < bytes) payload += payload;
    payload.resize(std::max(bytes, payload.size()));
    entries.push_back(MakeEntry(i, term, payload.substr(0, bytes)));
  }
  return entries;
}

inline raft::HardState Hard(uint64_t term, uint64_t vote, uint64_t commit) {
  return {raft::Term(term), raft::MemberId(vote), raft::Index(commit)};
}

inline raft::EntryId Point(uint64_t index, uint64_t term) {
  return {raft::Term(term), raft::Index(index)};
}

// Salts that differ from use to use, the same in every run.
inline std::function<uint64_t()> SeededSalt(uint64_t seed) {
  auto random = std::make_shared<SeededRandom>(seed);
  return [random] { return random->Next(); };
}

inline WalOptions TestOptions(uint64_t salt_seed = 1) {
  WalOptions options;
  options.dir = "/wal";
  options.cluster_id.bytes.fill(0xC1);
  options.incarnation.bytes.fill(0x1A);
  options.segment_bytes = kSegmentBytesMin;
  options.salt = SeededSalt(salt_seed);
  return options;
}

// What the log should hold: everything since `base`, compaction not counted.
struct Model {
  raft::EntryId base = Point(1, 1);
  std::vector<raft::Entry> entries;  // contiguous behind base
  raft::HardState hard_state = Hard(1, 0, 1);

  uint64_t last() const { return base.index.value + entries.size(); }
  uint64_t last_term() const {
    return entries.empty() ? base.term.value : entries.back().term.value;
  }
  void Apply(const Batch& batch) {
    if (batch.hard_state) hard_state = *batch.hard_state;
    if (batch.reset) {
      base = *batch.reset;
      entries.clear();
    }
    for (const raft::Entry& entry : batch.entries) {
      entries.resize(entry.index.value - base.index.value - 1);
      entries.push_back(entry);
    }
  }
  friend bool operator==(const Model&, const Model&) = default;
};

// "" or how the log differs from the model. The log may have been cut up to `cut_max`.
inline std::string Difference(const Wal& wal, const RecoveredLog& found, const Model& model,
                              uint64_t cut_max) {
  if (found.last.value != model.last()) {
    return "last is " + std::to_string(found.last.value) + ", expected " +
           std::to_string(model.last());
  }
  raft::HardState expected = model.hard_state;
  expected.commit = std::max(expected.commit, found.snapshot_index);
  if (found.hard_state != expected) return "another hard state";
  if (found.snapshot_index.value < model.base.index.value ||
      found.snapshot_index.value > std::max(cut_max, model.base.index.value)) {
    return "log begins behind " + std::to_string(found.snapshot_index.value);
  }
  const uint64_t skip = found.snapshot_index.value - model.base.index.value;
  const uint64_t term = skip == 0 ? model.base.term.value : model.entries[skip - 1].term.value;
  if (found.snapshot_term.value != term) return "another term at the snapshot point";
  auto entries = wal.Read(found.snapshot_index + 1, found.last + 1, UINT64_MAX);
  if (!entries) return entries.error().message;
  const std::vector<raft::Entry> retained(model.entries.begin() + static_cast<ptrdiff_t>(skip),
                                          model.entries.end());
  if (*entries != retained) return "other entries";
  std::vector<raft::EntryId> runs;
  std::vector<raft::Entry> confs;
  for (const raft::Entry& entry : retained) {
    if (runs.empty() || runs.back().term != entry.term) runs.push_back(entry.id());
    if (entry.kind == raft::EntryKind::kConf) confs.push_back(entry);
  }
  if (found.term_runs != runs) return "other terms";
  if (found.conf_entries != confs) return "other configuration entries";
  if (found.tail.size() > retained.size() ||
      !std::equal(found.tail.rbegin(), found.tail.rend(), retained.rbegin())) {
    return "another tail";
  }
  return "";
}

}  // namespace arima::wal
