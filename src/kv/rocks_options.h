// Between rocks_*.cc and their tests only: everything that needs RocksDB's headers to be said.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kv/rocks_engine.h"

namespace arima::kv {

struct DatabaseFiles {
  std::unique_ptr<rocksdb::Env> env;
};

// Writes are stopped while there are so many flushed tables that no compaction has taken.
inline constexpr int kYoungTablesMax = 24;

// All choices that are not RocksDB's defaults, and those defaults that correctness rests on.
rocksdb::Options MakeRocksOptions(const RocksEngineOptions& options, rocksdb::Env* env);

// As OpenRocksEngine, on a file system of the caller's; `env` outlives the engine.
Result<std::unique_ptr<Engine>> OpenRocksEngineOn(const RocksEngineOptions& options,
                                                  rocksdb::Env* env);

// The database of an engine that OpenRocksEngineOn made: for tests that move its tables themselves.
rocksdb::DB* DatabaseOf(Engine* engine);

// "rocksdb <what> in <path>: <RocksDB's text, which names the file>". `status` is not ok.
Error MakeRocksError(const rocksdb::Status& status, std::string_view what, std::string_view path);

// The same for a database that could not be opened. RocksDB blames the manifest for damaged
// properties of a table; this looks for the table.
Error MakeOpenError(const rocksdb::Status& status, std::string_view what, const std::string& path,
                    const rocksdb::Options& options);

}  // namespace arima::kv
