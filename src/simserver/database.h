// Database: the engine of simulated nodes: kv::MemEngine, and on the simulated disk what a flush
// made durable of it. Flushes come by themselves at moments drawn from the seed, too.
//
// A directory holds one file `table-<n>` with everything, and CURRENT, which names it: the next
// table is written and synced beside the old one, then CURRENT is replaced. So a crash anywhere
// leaves a prefix of the batches, as kv/engine.h promises. A checkpoint is a copy.
//
// Thread rule: kv/engine.h, inside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "env/env.h"
#include "kv/databases.h"

namespace arima::simserver {

struct DatabaseOptions {
  uint64_t flush_ns_mean = 2'000'000'000;  // between flushes that nobody asked for; 0: none
};

// What happens in the databases of one machine; for checkers.
class DatabaseWatcher {
 public:
  virtual ~DatabaseWatcher() = default;
  virtual void OnWritten(const kv::Engine& engine, uint64_t position) = 0;
  // A crash now would leave it at `position`.
  virtual void OnFlushed(const std::string& dir, uint64_t position) = 0;
  // With what was found; not of one that was not there.
  virtual void OnOpened(const kv::Engine& engine, const std::string& dir, uint64_t position) = 0;
};

class Databases final : public kv::Databases {
 public:
  // All outlive it, and the engines too.
  Databases(env::Env* env, const DatabaseOptions& options, DatabaseWatcher* watcher);

  std::string_view engine_name() const override { return "memory"; }
  std::string engine_version() const override { return "1"; }
  Result<std::unique_ptr<kv::Engine>> Open(const kv::RocksEngineOptions& options) override;
  Result<kv::AppliedState> ReadCheckpoint(const std::string& dir) override;
  Status VerifyCheckpointTables(const std::string& dir, const StepFn& step) override;

 private:
  env::Env& env_;
  const DatabaseOptions options_;
  DatabaseWatcher* const watcher_;
};

}  // namespace arima::simserver
