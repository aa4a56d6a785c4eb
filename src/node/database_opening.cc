#include "node/database_opening.h"

#include <utility>

#include "base/assert.h"
#include "codec/conf_codec.h"
#include "node/log_damage.h"
#include "node/storage.h"
#include "snapshot/receiver.h"

namespace arima::node {
namespace {

Result<std::unique_ptr<kv::StateMachine>> Open(DataDir& dir, const Identity& identity,
                                               const CurrentDb& current,
                                               const wal::RecoveredLog* log,
                                               const StorageOptions& options, Logger* logger) {
  if (!current.confirmed) {
    Status opened_up = snapshot::ForgetFinished(dir.env(), dir.db_path(current.number));
    if (!opened_up) return std::unexpected(opened_up.error());
  }
  auto machine =
      OpenStateMachine(dir, identity, current.number, OpenDb::kExisting, options, logger);
  if (!machine || log == nullptr || current.state == DbState::kEmptied) return machine;
  const uint64_t applied = (*machine)->applied_index();
  if (applied >= log->snapshot_index.value) return machine;
  return Fail(Code::kCorruption, "the database " + dir.db_path(current.number) + " ends at index " +
                                     std::to_string(applied) +
                                     ", the raft log begins after index " +
                                     std::to_string(log->snapshot_index.value) +
                                     ": the database lost what it had made durable");
}

// An empty one that stands for a damaged one is nothing to people, and would push that one out.
Status PutAway(DataDir& dir, const CurrentDb& current) {
  if (current.state != DbState::kEmptied) return dir.SetAside(current.number);
  return dir.MoveToTrash(dir.db_path(current.number));
}

// Every step may be the last one before a crash, and may be done again.
Status Replace(DataDir& dir, const Identity& identity, const StorageOptions& options,
               Logger* logger, CurrentDb* current, Refill refill) {
  if (Status away = PutAway(dir, *current); !away) return away;
  CurrentDb next{.number = current->number + 1};
  // Filled from the log it is a database like any other; else it waits for a snapshot.
  if (refill == Refill::kFromSnapshot) {
    next.state = DbState::kEmptied;
    next.damage = current->damage;
  }
  if (Status gone = dir.MoveToTrash(dir.db_path(next.number)); !gone) return gone;
  auto machine = OpenStateMachine(dir, identity, next.number, OpenDb::kNew, options, logger);
  if (!machine) return std::unexpected(machine.error());
  if (Status flushed = (*machine)->Flush(true); !flushed) return flushed;
  machine->reset();
  if (Status synced = dir.env().SyncDir(dir.path()); !synced) return synced;
  if (Status named = dir.WriteCurrentDb(next); !named) return named;
  *current = std::move(next);
  return {};
}

void TellReplaced(DataDir& dir, uint64_t bad_number, const std::string& damage, Refill refill,
                  Logger* logger) {
  const std::string path = dir.bad_db_path(bad_number);
  const std::string aside = env::Exists(dir.env(), path).value_or(false)
                                ? " and is set aside as " + path +
                                      ", where the newest such one stays until somebody deletes it"
                                : "";
  const std::string from = refill == Refill::kFromLog
                               ? "the raft log, which holds everything, is applied again"
                               : "the data comes from the leader as a snapshot; until then this "
                                 "node votes and keeps the log, and serves nothing";
  logger->Error("database_set_aside", "the database was damaged (" + damage + ")" + aside + "; " +
                                          from + ". Look after the disk of " + dir.path());
}

Error NoRefill(const wal::RecoveredLog* log, const Error& damage) {
  if (log == nullptr) return {Code::kCorruption, "the database is damaged: " + damage.message};
  return {Code::kCorruption,
          "the database is damaged: " + damage.message +
              ". No other voter is known to have the data, and the raft log begins after index " +
              std::to_string(log->snapshot_index.value) +
              ", so it cannot replace it. Next step: keep a copy of this volume directory for "
              "inspection, test the disk, and restore a backup"};
}

}  // namespace

Refill RefillOf(const Identity& identity, raft::Index log_snapshot_index) {
  if (log_snapshot_index == raft::kFirstSnapshotIndex) return Refill::kFromLog;
  Result<raft::ConfState> conf = codec::DecodeConfState(identity.seed_conf);
  const bool others = conf && OtherVotersIn(*conf, identity.member_id);
  return others ? Refill::kFromSnapshot : Refill::kNone;
}

Result<OpenedDatabase> OpenDatabase(DataDir& dir, const Identity& identity,
                                    const wal::RecoveredLog* log, const StorageOptions& options,
                                    Logger* logger) {
  bool mended = false;
  Result<CurrentDb> current = dir.ReadCurrentDb(&mended);
  if (!current) {
    // That it is missing is damage; what could not be read or mended now is none.
    const Code code = current.error().code;
    return Fail(code == Code::kNotFound ? Code::kCorruption : code,
                "which database is live cannot be told: " + current.error().message);
  }
  if (mended) {
    logger->Warn("current_db_mended",
                 "one of the two copies of CURRENT_DB was missing or damaged and has been "
                 "rewritten from the other; look after the disk of " +
                     dir.path());
  }
  OpenedDatabase opened;
  std::string damage = current->damage;
  const Refill refill = log != nullptr ? RefillOf(identity, log->snapshot_index) : Refill::kNone;
  if (current->state != DbState::kDamaged) {
    auto machine = Open(dir, identity, *current, log, options, logger);
    if (!machine && machine.error().code != Code::kCorruption) {
      return std::unexpected(machine.error());
    }
    if (!machine) {
      if (refill == Refill::kNone) return std::unexpected(NoRefill(log, machine.error()));
      damage = machine.error().message;
      opened.damage_found = true;
      if (current->state != DbState::kEmptied) {
        if (Status noted = NoteDamage(dir, machine.error()); !noted) {
          return std::unexpected(noted.error());
        }
        current->state = DbState::kDamaged;
        current->damage = damage;
      }
    } else {
      opened.machine = std::move(*machine);
    }
  } else if (refill == Refill::kNone) {
    return std::unexpected(NoRefill(log, {Code::kCorruption, current->damage}));
  }
  if (opened.machine == nullptr) {
    const uint64_t bad_number = current->number;
    Status replaced = Replace(dir, identity, options, logger, &*current, refill);
    if (!replaced) return std::unexpected(replaced.error());
    TellReplaced(dir, bad_number, damage, refill, logger);
    auto machine = Open(dir, identity, *current, log, options, logger);
    if (!machine) return std::unexpected(machine.error());
    opened.machine = std::move(*machine);
  }
  opened.needs_snapshot = current->state == DbState::kEmptied;
  opened.current = std::move(*current);
  return opened;
}

Status NoteDamage(DataDir& dir, const Error& damage) {
  Result<CurrentDb> current = dir.ReadCurrentDb();
  if (!current) return std::unexpected(current.error());
  current->state = DbState::kDamaged;
  current->damage = damage.message;
  return dir.WriteCurrentDb(*current);
}

}  // namespace arima::node
