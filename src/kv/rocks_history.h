// What makes RocksDB give up history by itself: the filter that drops superseded versions in
// compactions, and the note in each table that tells whether a compaction of it would drop much.
// Included by rocks_*.cc and their tests only.
#pragma once

#include <rocksdb/compaction_filter.h>
#include <rocksdb/table_properties.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "kv/history_floor.h"
#include "kv/rocks_listener.h"

namespace arima::kv {

// Shared by the engine and RocksDB's threads.
struct HistoryState {
  HistoryFloor floor;
  std::atomic<uint64_t> dropped{0};
  std::atomic<uint64_t> sweeps{0};
  std::atomic<uint64_t> sweep_compactions{0};
};

// Each compaction, and each part of one that a thread of its own does, gets a filter with the floor
// of that moment.
class HistoryFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  HistoryFilterFactory(std::shared_ptr<HistoryState> history,
                       std::shared_ptr<RocksListener> listener)
      : history_(std::move(history)), listener_(std::move(listener)) {}
  const char* Name() const override { return "arima.history"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override;

 private:
  const std::shared_ptr<HistoryState> history_;
  const std::shared_ptr<RocksListener> listener_;
};

// Bytes are those of keys and values, before compression.
struct GarbageNote {
  uint64_t total_bytes = 0;
  uint64_t hidden_bytes = 0;  // of versions with a newer one in the same table
  // Keys of which a version made one obsolete that is not in the table, and keys with a mark that
  // does: both may stand for the same one, when the applier removes a deletion with what it hides.
  uint64_t hiding_count = 0;
  uint64_t marked_count = 0;
  uint64_t value_bytes = 0;  // of versions with a value: what can have been made obsolete
  uint64_t value_count = 0;
  uint64_t mean_revision = 0;  // of what made others obsolete, in this table or another
};
// Empty: the table has no note, or one that is not understood.
std::optional<GarbageNote> ReadGarbageNote(const rocksdb::UserCollectedProperties& properties);

// Writes a GarbageNote into each table.
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> MakeGarbageNoteFactory();

}  // namespace arima::kv
