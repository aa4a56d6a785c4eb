// The production engine: RocksDB with its own log off and one column family, so that a flush always
// makes a prefix of the batches durable (docs/design/raft.md 5.1, 5.2). No RocksDB type shows here.
//
// The engine never repairs, drops or re-creates anything on its own: a directory that misses part
// of itself is kCorruption. Destroying the engine flushes what it can; call Engine::Flush(true)
// before if the outcome matters.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kv/engine.h"

namespace arima::kv {

// Where a database's files are, if not in the system's file system; rocks_options.h knows more.
struct DatabaseFiles;

struct RocksEngineOptions {
  std::string path;                // the database's directory; its parent exists
  DatabaseFiles* files = nullptr;  // outlives the engine; null: the system's
  bool create_if_missing = true;   // false: kNotFound where there is no database

  // Memory. Unflushed data takes up to write_buffer_bytes * write_buffer_count; when all are full,
  // Write waits, as it does when compactions cannot keep up: for at most write_patience_ms, then it
  // answers kOverloaded. Index, filter and data blocks share the block cache.
  uint64_t write_buffer_bytes = 64 << 20;
  int write_buffer_count = 3;  // 2 or 3
  uint64_t write_patience_ms = 5'000;
  uint64_t block_cache_bytes = 256 << 20;
  int open_files_max = 4096;

  // Files. The first level above the flushed files aims at level_base_bytes, each one below at ten
  // times more; table files start at table_file_bytes and double with each level.
  uint64_t level_base_bytes = 256 << 20;
  uint64_t table_file_bytes = 64 << 20;
  uint64_t filter_partition_bytes = 4 << 10;
  bool compress = true;  // LZ4, but not for the two youngest levels
  int background_jobs = 2;

  // History that may go is looked for so often, and at least so much of it is worth a compaction.
  uint64_t sweep_pause_ms = 10'000;
  uint64_t sweep_bytes_min = 1 << 20;

  // Gets one line for each warning or error that RocksDB would write to a log file of its own;
  // called from any thread. Null: they are dropped.
  std::function<void(std::string_view line)> log;
};

// Errors name the file: kNotFound, kCorruption, kIo, kDiskFull.
Result<std::unique_ptr<Engine>> OpenRocksEngine(const RocksEngineOptions& options);

}  // namespace arima::kv
