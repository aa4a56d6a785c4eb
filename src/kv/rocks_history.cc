#include "kv/rocks_history.h"

#include <string>
#include <utility>

#include "base/coding.h"
#include "kv/key_schema.h"
#include "kv/value_record.h"
#include "kv/version_sieve.h"

namespace arima::kv {
namespace {

constexpr const char* kGarbageProperty = "arima.garbage.2";

std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class HistoryFilter final : public rocksdb::CompactionFilter {
 public:
  HistoryFilter(uint64_t floor, std::shared_ptr<HistoryState> history)
      : sieve_(floor), history_(std::move(history)) {}
  ~HistoryFilter() override { history_->dropped.fetch_add(dropped_, std::memory_order_relaxed); }
  const char* Name() const override { return "arima.history"; }

  // RocksDB leaves a deletion mark where a lower level may hold the same entry. Skipping instead
  // would leave none, but it would skip marks of the applier too, and bring back what they hide.
  Decision FilterV2(int, const rocksdb::Slice& key, ValueType type, const rocksdb::Slice&,
                    std::string*, std::string*) const override {
    if (type != ValueType::kValue || !sieve_.Drops(ToView(key))) return Decision::kKeep;
    ++dropped_;
    return Decision::kRemove;
  }

 private:
  // RocksDB gives each filter to one thread, but calls it const.
  mutable VersionSieve sieve_;
  mutable uint64_t dropped_ = 0;
  const std::shared_ptr<HistoryState> history_;
};

// Sees the entries of one table, newest version of each key first.
class GarbageCollector final : public rocksdb::TablePropertiesCollector {
 public:
  const char* Name() const override { return kGarbageProperty; }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }

  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType type, rocksdb::SequenceNumber, uint64_t) override {
    const uint64_t bytes = key.size() + value.size();
    note_.total_bytes += bytes;
    std::string_view engine_key = ToView(key);
    std::string_view prefix = FilterPrefix(engine_key);
    if (prefix.empty() || engine_key.size() != prefix.size() + kRevisionBytes) return {};
    if (type != rocksdb::kEntryPut) {
      // A mark of the applier or of a filter: an entry below it can go at any time.
      if (prefix != marked_prefix_) ++note_.marked_count;
      marked_prefix_ = prefix;
      return {};
    }
    if (HasValue(ToView(value))) {
      note_.value_bytes += bytes;
      ++note_.value_count;
    }
    if (prefix == prefix_) {
      note_.hidden_bytes += bytes;
      Weigh(newer_revision_);
    } else {
      EndOfKey();
      prefix_ = prefix;
    }
    newer_revision_ = RevisionOfVersionKey(engine_key);
    oldest_hides_ = SupersedesAnother(ToView(value));
    return {};
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    EndOfKey();
    if (revision_count_ > 0) {
      note_.mean_revision = static_cast<uint64_t>(revision_sum_ / revision_count_);
    }
    std::string text;
    ByteWriter writer(&text);
    writer.U64(note_.total_bytes);
    writer.U64(note_.hidden_bytes);
    writer.U64(note_.hiding_count);
    writer.U64(note_.marked_count);
    writer.U64(note_.value_bytes);
    writer.U64(note_.value_count);
    writer.U64(note_.mean_revision);
    (*properties)[kGarbageProperty] = std::move(text);
    return {};
  }

 private:
  void EndOfKey() {
    if (!prefix_.empty() && oldest_hides_) {
      ++note_.hiding_count;
      Weigh(newer_revision_);
    }
  }
  void Weigh(uint64_t revision) {
    revision_sum_ += static_cast<double>(revision);
    ++revision_count_;
  }

  GarbageNote note_;
  std::string prefix_;
  std::string marked_prefix_;
  uint64_t newer_revision_ = 0;
  bool oldest_hides_ = false;
  double revision_sum_ = 0;
  double revision_count_ = 0;
};

class GarbageCollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  const char* Name() const override { return kGarbageProperty; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context) override {
    return new GarbageCollector;
  }
};

}  // namespace

std::unique_ptr<rocksdb::CompactionFilter> HistoryFilterFactory::CreateCompactionFilter(
    const rocksdb::CompactionFilter::Context&) {
  const uint64_t durable = listener_->tracker().durable_position();
  return std::make_unique<HistoryFilter>(history_->floor.At(durable), history_);
}

std::optional<GarbageNote> ReadGarbageNote(const rocksdb::UserCollectedProperties& properties) {
  auto at = properties.find(kGarbageProperty);
  if (at == properties.end()) return std::nullopt;
  ByteReader reader(at->second);
  GarbageNote note;
  note.total_bytes = reader.U64();
  note.hidden_bytes = reader.U64();
  note.hiding_count = reader.U64();
  note.marked_count = reader.U64();
  note.value_bytes = reader.U64();
  note.value_count = reader.U64();
  note.mean_revision = reader.U64();
  if (!reader.done()) return std::nullopt;
  return note;
}

std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> MakeGarbageNoteFactory() {
  return std::make_shared<GarbageCollectorFactory>();
}

}  // namespace arima::kv
