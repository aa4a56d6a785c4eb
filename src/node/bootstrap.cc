#include "node/bootstrap.h"

#include <utility>

#include "base/assert.h"
#include "kv/state_machine.h"
#include "node/storage.h"
#include "wal/wal.h"

namespace arima::node {

raft::ConfState OriginConf() {
  raft::ConfState conf;
  raft::MemberId founder{1};
  conf.voters = {founder};
  conf.next_member_id = founder + 1;
  conf.index = raft::kFirstSnapshotIndex;
  conf.members[founder].id = founder;
  return conf;
}

bool LeavesOut(const raft::ConfState& conf, raft::MemberId id) {
  return !conf.members.contains(id) && conf.next_member_id > id;
}

Result<Identity> LoadOrFound(DataDir& dir, const std::string& name, Logger* logger) {
  bool mended = false;
  Result<Identity> identity = dir.ReadIdentity(&mended);
  if (identity) {
    if (mended) {
      logger->Warn("identity_mended",
                   "one of the two copies of the identity file was missing or damaged and has been "
                   "rewritten from the other; look after the disk of " +
                       dir.path());
    }
    if (identity->name == name) return identity;
    return Fail(Code::kConflict, "volume directory " + dir.path() + " belongs to node " +
                                     identity->name + ", not to " + name +
                                     "; start with --node-id " + identity->name +
                                     " or choose another --volume-dir");
  }
  if (identity.error().code != Code::kNotFound) return identity;
  if (Status fresh = dir.CheckFresh(); !fresh) return std::unexpected(fresh.error());
  Identity founder;
  founder.cluster_id = SystemRandomUuid();
  founder.member_id = raft::MemberId(1);
  founder.name = name;
  founder.incarnation = SystemRandomUuid();
  founder.state = IdentityState::kStandalone;
  if (Status written = dir.WriteIdentity(&founder); !written) {
    return std::unexpected(written.error());
  }
  return founder;
}

Status CreateData(DataDir& dir, Identity* identity, const StorageOptions& options, Logger* logger) {
  ARIMA_ASSERT(!identity->data_ready);
  if (Status gone = dir.DiscardData(); !gone) return gone;
  raft::HardState hard_state;
  hard_state.term = raft::kFirstSnapshotTerm;
  hard_state.commit = raft::kFirstSnapshotIndex;
  auto wal = wal::Wal::Create(dir.env(), WalOptionsFor(dir, *identity, options),
                              {raft::kFirstSnapshotTerm, raft::kFirstSnapshotIndex}, hard_state);
  if (!wal) return std::unexpected(wal.error());
  if (Status closed = (*wal)->Close(); !closed) return closed;

  // A number above any that was ever live, so that no half-deleted directory is met again.
  Result<CurrentDb> last = dir.ReadCurrentDb();
  if (!last && last.error().code != Code::kNotFound) return std::unexpected(last.error());
  uint64_t number = last.value_or(CurrentDb()).number + 1;
  auto machine = OpenStateMachine(dir, *identity, number, OpenDb::kNew, options, logger);
  if (!machine) return std::unexpected(machine.error());
  if (Status flushed = (*machine)->Flush(true); !flushed) return flushed;
  machine->reset();
  if (Status synced = dir.env().SyncDir(dir.path()); !synced) return synced;
  if (Status named = dir.WriteCurrentDb({.number = number}); !named) return named;
  identity->data_ready = true;
  return dir.WriteIdentity(identity);
}

}  // namespace arima::node
