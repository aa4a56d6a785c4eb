// NodeCore: a database that turns out to be damaged while the node runs, and one that waits for a
// snapshot (docs/design/raft.md 5.2).
//
// Log and votes are intact, so the node goes on as a voter. Readers and writers are turned away at
// once, with the reason. A leader hands over first: the others can serve, this node cannot. Then
// the replica is closed and opened again, and the start sets the database aside
// (database_opening.h). A node that has nobody to get its data from stays as it is, for people to
// look at.
#include <utility>

#include "kv/engine.h"
#include "node/database_opening.h"
#include "node/node_core.h"

namespace arima::node {
namespace {

constexpr uint64_t kHandOverPauseNs = 1'000'000'000;

}  // namespace

void NodeCore::PollDatabase(uint64_t now_ns) {
  if (identity_.state == IdentityState::kDamaged) return;  // it runs on a stand-in
  if (replica_->needs_snapshot()) return HandOn(now_ns);
  if (!database_damage_) {
    kv::EngineHealth health = replica_->machine().engine().health();
    if (health.state != kv::EngineState::kCorruption) return;
    OnDatabaseDamaged(std::move(health.error));
  }
  if (refill_ == Refill::kNone) return;
  if (damage_unwritten_ && !WriteDamage()) return;
  if (LeadsOthers()) return HandOn(now_ns);
  restart_ = Error{Code::kUnavailable,
                   "this node's database was damaged and is being replaced; use another node, or "
                   "repeat the request later"};
}

bool NodeCore::LeadsOthers() const {
  return replica_->loop().soft().role == raft::Role::kLeader && conf_->voters.size() > 1;
}

// To a voter that can serve, as soon as there is one.
void NodeCore::HandOn(uint64_t now_ns) {
  if (!LeadsOthers() || now_ns < next_hand_over_ns_) return;
  next_hand_over_ns_ = now_ns + kHandOverPauseNs;
  TransferLeadership(raft::MemberId());
}

void NodeCore::OnDatabaseDamaged(Error damage) {
  ++database_corruptions_;
  refill_ = RefillOf(identity_, replica_->loop().Status().snapshot_index);
  next_hand_over_ns_ = 0;
  if (refill_ == Refill::kNone) {
    damage.message = "this node's database is damaged (" + damage.message +
                     ") and no other voter has the data; nothing is served from it. Next step: "
                     "stop the node, keep a copy of " +
                     dir_->path() + ", test the disk, and restore a backup";
    logger_.Error("database_damaged", damage.message);
    shared_.TakeReplica({Code::kCorruption, damage.message});
  } else {
    logger_.Error("database_damaged",
                  "the database is damaged and will be replaced: " + damage.message);
    damage_unwritten_ = true;
    shared_.TakeReplica({Code::kUnavailable, "this node's database is damaged (" + damage.message +
                                                 ") and will be replaced; use another node"});
  }
  database_damage_ = std::move(damage);
}

// False: the disk is full; once it has space, the next tick does it.
bool NodeCore::WriteDamage() {
  auto noted = NoteDamage(*dir_, *database_damage_);
  if (!noted && noted.error().code != Code::kDiskFull) {
    logger_.Fatal("current_db_write_failed", noted.error().ToString());
  }
  damage_unwritten_ = !noted;
  return noted.has_value();
}

void NodeCore::ServeReplica() {
  database_damage_.reset();
  damage_unwritten_ = false;
  if (replica_->damage_found()) ++database_corruptions_;
  if (!replica_->needs_snapshot()) return shared_.SetReplica(replica_);
  shared_.TakeReplica(
      {Code::kUnavailable, "this node's database was damaged (" + replica_->set_aside() +
                               ") and waits for a snapshot of the leader; use another node"});
}

// Whoever leads is told until it has sent one: its memory of it ends with its leadership.
void NodeCore::AskForSnapshot() {
  raft::CoreStatus status = replica_->loop().Status();
  if (!status.needs_snapshot || !status.soft.leader) return;
  if (status.soft.leader == identity_.member_id) return;
  TellProgress(status.soft.leader, 0, 0, false);
}

// What readyz and stats say.
std::string NodeCore::DatabaseState() {
  if (database_damage_ && refill_ == Refill::kNone) return database_damage_->message;
  if (database_damage_) {
    return "damaged; another voter must take over the leadership before it is replaced: " +
           database_damage_->message;
  }
  if (!replica_->needs_snapshot()) return "ok";
  const std::string reason = ": the one before was damaged (" + replica_->set_aside() + ")";
  const raft::SoftState& soft = replica_->loop().soft();
  if (!soft.leader || soft.role == raft::Role::kLeader) {
    return "empty, waits for a leader that has the data" + reason;
  }
  return "empty, waits for a snapshot of the leader" + reason;
}

}  // namespace arima::node
