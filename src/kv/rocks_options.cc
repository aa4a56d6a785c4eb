#include "kv/rocks_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "kv/key_schema.h"
#include "kv/rocks_history.h"

namespace arima::kv {
namespace {

// All versions of a user key share a filter entry: the key without its revision.
//
// Seek only. In 7.8, SeekForPrev and Prev may miss entries with partitioned filters once
// whole_key_filtering is off (facebook/rocksdb#12872), so Iterator offers neither.
class UserKeyTransform final : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "arima.user_key.1"; }
  // Iterators with prefix_same_as_start call this for keys outside the domain too, such as the
  // entry after the last `k` key: then the prefix is empty, but has a pointer.
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), FilterPrefix({key.data(), key.size()}).size()};
  }
  bool InDomain(const rocksdb::Slice& key) const override {
    return !FilterPrefix({key.data(), key.size()}).empty();
  }
};

// RocksDB would write a log file into the data directory.
class LineLogger final : public rocksdb::Logger {
 public:
  explicit LineLogger(std::function<void(std::string_view)> log)
      : Logger(rocksdb::InfoLogLevel::WARN_LEVEL), log_(std::move(log)) {}

  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < GetInfoLogLevel() || level == rocksdb::InfoLogLevel::HEADER_LEVEL) return;
    Logv(format, arguments);
  }
  void Logv(const char* format, va_list arguments) override {
    if (!log_) return;
    char line[1024];
    int length = std::vsnprintf(line, sizeof line, format, arguments);
    if (length <= 0) return;
    std::string_view text(line, std::min(static_cast<size_t>(length), sizeof line - 1));
    while (text.ends_with('\n')) text.remove_suffix(1);
    // Once a second, while a compaction waits for space (rocks_space.h); nothing is wrong.
    if (text.find("Compaction too large") != std::string_view::npos) return;
    log_(text);
  }
  void LogHeader(const char*, va_list) override {}

 private:
  const std::function<void(std::string_view)> log_;
};

rocksdb::BlockBasedTableOptions MakeTableOptions(const RocksEngineOptions& options) {
  rocksdb::BlockBasedTableOptions table;
  table.block_size = 16 << 10;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  // Indexes and filters live in the block cache, in partitions, so that their memory is bounded
  // too.
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.pin_top_level_index_and_filter = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.metadata_block_size = options.filter_partition_bytes;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.optimize_filters_for_memory = true;
  table.whole_key_filtering = false;  // nobody asks for one exact version
  return table;
}

void SetSafety(rocksdb::Options* rocks) {
  rocks->avoid_flush_during_shutdown = false;
  rocks->paranoid_checks = true;
  rocks->force_consistency_checks = true;
  rocks->flush_verify_memtable_count = true;
  rocks->check_flush_compaction_key_order = true;
  rocks->verify_sst_unique_id_in_manifest = true;
  // One writer and no concurrent flushes of several families: a batch never straddles two memtables
  // and memtables are installed in order.
  rocks->atomic_flush = false;
  rocks->unordered_write = false;
  rocks->two_write_queues = false;
  rocks->enable_pipelined_write = false;
  rocks->allow_concurrent_memtable_write = false;
  // What to do about a background error is the node's decision.
  rocks->max_bgerror_resume_count = 0;
}

// Nothing that grows with the data may be read at start.
void SetStartUp(const RocksEngineOptions& options, rocksdb::Options* rocks) {
  rocks->skip_stats_update_on_db_open = true;
  rocks->max_open_files = options.open_files_max;  // bounded: tables are opened when first used
  rocks->max_manifest_file_size = 64 << 20;
}

void SetSizes(const RocksEngineOptions& options, rocksdb::Options* rocks) {
  rocks->write_buffer_size = options.write_buffer_bytes;
  rocks->max_write_buffer_number = options.write_buffer_count;
  rocks->db_write_buffer_size = 0;
  // Makes looking for a key that is not there cheap: most new keys of a growing store.
  rocks->memtable_prefix_bloom_size_ratio = 0.02;
  rocks->level_compaction_dynamic_level_bytes = true;
  rocks->max_bytes_for_level_base = options.level_base_bytes;
  // Writes are stopped or not, and never slowed down on the way there: a write that RocksDB slows
  // down sleeps inside of it, where nobody can wake it, and may meet the stop there.
  rocks->level0_slowdown_writes_trigger = rocks->level0_stop_writes_trigger = kYoungTablesMax;
  rocks->soft_pending_compaction_bytes_limit = rocks->hard_pending_compaction_bytes_limit;
  rocks->target_file_size_base = options.table_file_bytes;
  rocks->target_file_size_multiplier = 2;
  rocks->max_background_jobs = options.background_jobs;
  // Garbage that no estimate finds goes when its table is this old; RocksDB's own choice where
  // there is a compaction filter.
  rocks->periodic_compaction_seconds = uint64_t{30} * 24 * 3600;
  rocks->table_properties_collector_factories.push_back(MakeGarbageNoteFactory());
  rocks->bytes_per_sync = 1 << 20;
  rocks->compaction_readahead_size = 2 << 20;
  rocks->compression = rocksdb::kNoCompression;
  if (options.compress) {
    rocks->compression_per_level.assign(static_cast<size_t>(rocks->num_levels),
                                        rocksdb::kLZ4Compression);
    rocks->compression_per_level[0] = rocks->compression_per_level[1] = rocksdb::kNoCompression;
  }
}

Code CodeOf(const rocksdb::Status& status) {
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit ||
      status.IsCompactionTooLarge()) {
    return Code::kDiskFull;
  }
  // A file that the manifest or CURRENT names and that is not there: RocksDB itself deletes none of
  // those.
  if (status.IsCorruption() || status.IsPathNotFound()) return Code::kCorruption;
  if (status.IsIOError()) return Code::kIo;
  if (status.IsNotSupported()) return Code::kNotSupported;
  if (status.IsShutdownInProgress()) return Code::kUnavailable;
  // An iterator passed more deleted entries than it was told to, or writes are stopped until
  // flushes and compactions have caught up.
  if (status.IsIncomplete() || status.IsTryAgain()) return Code::kOverloaded;
  return Code::kInternal;
}

}  // namespace

rocksdb::Options MakeRocksOptions(const RocksEngineOptions& options, rocksdb::Env* env) {
  // With four and more, RocksDB slows writes down before they are full.
  ARIMA_ASSERT(options.write_buffer_count == 2 || options.write_buffer_count == 3,
               options.write_buffer_count);
  rocksdb::Options rocks;
  rocks.env = env;
  rocks.create_if_missing = options.create_if_missing;
  rocks.prefix_extractor = std::make_shared<UserKeyTransform>();
  rocks.table_factory.reset(rocksdb::NewBlockBasedTableFactory(MakeTableOptions(options)));
  rocks.info_log = std::make_shared<LineLogger>(options.log);
  rocks.stats_dump_period_sec = 0;
  rocks.stats_persist_period_sec = 0;
  SetSafety(&rocks);
  SetStartUp(options, &rocks);
  SetSizes(options, &rocks);
  return rocks;
}

Error MakeRocksError(const rocksdb::Status& status, std::string_view what, std::string_view path) {
  ARIMA_ASSERT(!status.ok());
  return {.code = CodeOf(status),
          .message = "rocksdb " + std::string(what) + " in " + std::string(path) + ": " +
                     status.ToString()};
}

Error MakeOpenError(const rocksdb::Status& status, std::string_view what, const std::string& path,
                    const rocksdb::Options& options) {
  Error error = MakeRocksError(status, what, path);
  std::vector<std::string> names;
  if (!status.IsCorruption() || error.message.find(".sst") != std::string::npos ||
      !options.env->GetChildren(path, &names).ok()) {
    return error;
  }
  for (const std::string& name : names) {
    if (!name.ends_with(".sst")) continue;
    rocksdb::SstFileReader reader(options);
    rocksdb::Status opened = reader.Open(path + "/" + name);
    if (opened.IsCorruption()) error.message += "; " + name + ": " + opened.ToString();
  }
  return error;
}

}  // namespace arima::kv
