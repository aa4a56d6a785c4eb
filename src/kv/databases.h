// Databases: how the database in a directory is opened, and read when nobody has it open. RocksDB's
// is the one of production; the simulator has one of its own on its simulated disk.
//
// Thread rule: any thread. Errors and what blocks: as kv/checkpoint.h and OpenRocksEngine say.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kv/engine.h"
#include "kv/rocks_engine.h"
#include "kv/state_machine.h"

namespace arima::kv {

class Databases {
 public:
  using StepFn = std::function<Status(uint64_t bytes)>;

  virtual ~Databases() = default;
  virtual std::string_view engine_name() const = 0;
  virtual std::string engine_version() const = 0;
  // Other kinds than RocksDB's take only path and create_if_missing.
  virtual Result<std::unique_ptr<Engine>> Open(const RocksEngineOptions& options) = 0;
  virtual Result<AppliedState> ReadCheckpoint(const std::string& dir) = 0;
  virtual Status VerifyCheckpointTables(const std::string& dir, const StepFn& step) = 0;
};

Databases& RocksDatabases();

}  // namespace arima::kv
