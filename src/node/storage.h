// How this node opens its log and its database: one place for paths, identities and budgets.
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "kv/state_machine.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "node/logger.h"
#include "wal/wal.h"

namespace arima::node {

wal::WalOptions WalOptionsFor(const DataDir& dir, const Identity& identity,
                              const StorageOptions& options);

enum class OpenDb : uint8_t {
  kExisting,  // kCorruption where there is none: a database that vanished is never made anew
  kNew,       // starts at the origin
};

Result<std::unique_ptr<kv::StateMachine>> OpenStateMachine(const DataDir& dir,
                                                           const Identity& identity,
                                                           uint64_t number, OpenDb mode,
                                                           const StorageOptions& options,
                                                           Logger* logger);

}  // namespace arima::node
