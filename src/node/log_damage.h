// A raft log that is damaged, or ends before what it had acknowledged: what a start does about it,
// and what becomes of a node that lost acknowledged log for good (docs/design/raft.md 4.6).
//
//   the database holds all that is lost, and    the log begins anew behind the database
//   the newest vote can be read
//   otherwise, with other voters                Damaged: the identity says so, before anything
//                                               else; the node answers for itself and takes part
//                                               in nothing until it is replaced (8.6)
//   otherwise, alone                            no start, unless the operator accepts the loss
//
// Thread rule: the owner of the DataDir.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kv/state_machine.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "node/identity.h"
#include "node/logger.h"
#include "raft/types.h"

namespace arima::node {

// True if somebody else's vote counts, now or until a change is complete.
bool OtherVotersIn(const raft::ConfState& conf, raft::MemberId self);

struct DamagedLog {
  std::string problem;       // where and what, one line
  kv::AppliedState applied;  // of the database, on disk
  bool accept_loss = false;  // --accept-data-loss
};

struct MendedLog {
  // The log was replaced: open it again. Otherwise an error says what is to be done.
  Status status;
  // This node has lost acknowledged log and others can go on without it.
  bool lost = false;
};

// Nobody may have the log open. What it replaces is kept as wal.bad-<n>.
MendedLog MendLog(DataDir& dir, const Identity& identity, const StorageOptions& storage,
                  const DamagedLog& damaged, Logger* logger);

// Writes into the identity that the node is damaged. `conf`: the newest configuration that is
// known, encoded: where the others are; empty: none better than the seed.
Status MarkDamaged(DataDir& dir, Identity* identity, const std::string& what,
                   std::string_view conf);

// For people: what is damaged, and what happens next. Empty if nothing is.
std::string DamageAdvice(const Identity& identity);

// Data for a damaged node to run on, empty, made anew at each start: its own stays as it is for
// inspection. `identity` is that of the node.
Result<std::unique_ptr<DataDir>> OpenStandIn(DataDir& dir, Identity* identity,
                                             const StorageOptions& storage, Logger* logger);
// Small; of the kind of `storage`.
StorageOptions StandInStorage(const StorageOptions& storage);

}  // namespace arima::node
