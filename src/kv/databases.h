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
#include "kv/state_machine.h"

namespace arima::kv {

class Databases {
 public:
  using StepFn = std::function<Status(uint64_t bytes)>;

  virtual ~Databases() = default;
  virtual std::string_view engine_name() const = 0;
  virtual std::string engine_version() const = 0;
  // The parent of `dir` exists. kNotFound: there is none, and `create` is false.
  virtual Result<std::unique_ptr<Engine>> Open(const std::string& dir, bool create) = 0;
  virtual Result<AppliedState> ReadCheckpoint(const std::string& dir) = 0;
  virtual Status VerifyCheckpointTables(const std::string& dir, const StepFn& step) = 0;
};

// Opens with default options.
Databases& RocksDatabases();

}  // namespace arima::kv
