// How this node opens its log and its database: one place for paths, identities and budgets.
#pragma once

#include <memory>

#include "base/error.h"
#include "kv/state_machine.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "wal/wal.h"

namespace arima::node {

wal::WalOptions WalOptionsFor(const DataDir& dir, const Identity& identity,
                              const StorageOptions& options);

// Opens database `number`; a fresh one starts at the origin.
Result<std::unique_ptr<kv::StateMachine>> OpenStateMachine(const DataDir& dir,
                                                           const Identity& identity,
                                                           uint64_t number,
                                                           const StorageOptions& options);

}  // namespace arima::node
