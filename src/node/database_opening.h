// Opening the live database at a start, damaged or not (docs/design/raft.md 5.2).
//
// A damaged database costs no vote and no acknowledged entry: those are in the log. So a node that
// can get its data again, from its own log or from others, sets the damaged one aside and begins
// with an empty one, under the member id it has. What was found is said, never passed over.
//
// Thread rule: whoever owns the data directory.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "kv/state_machine.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "node/identity.h"
#include "node/logger.h"
#include "wal/wal.h"

namespace arima::node {

struct OpenedDatabase {
  std::unique_ptr<kv::StateMachine> machine;
  CurrentDb current;
  // It is empty, and the log alone cannot fill it.
  bool needs_snapshot = false;
  // This start found damage that no start or running node had noted before.
  bool damage_found = false;
};

// Where the data of a lost database would come from.
enum class Refill : uint8_t {
  kFromLog,       // the log reaches back to the origin
  kFromSnapshot,  // another voter has it
  kNone,          // this node is the only voter, or does not know of another one
};
Refill RefillOf(const Identity& identity, raft::Index log_snapshot_index);

// `log`: whole; null if it is damaged too, then nothing is replaced. kCorruption: the database is
// damaged and stays as it is, because of that or of Refill::kNone; names file and next step. A
// crash at any moment is followed by a start that does the rest.
Result<OpenedDatabase> OpenDatabase(DataDir& dir, const Identity& identity,
                                    const wal::RecoveredLog* log, const StorageOptions& options,
                                    Logger* logger);

// Notes that the live database, which may be open, is damaged: the next OpenDatabase sets it aside.
Status NoteDamage(DataDir& dir, const Error& damage);

}  // namespace arima::node
