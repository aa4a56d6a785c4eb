// The volume directory: lock, identity, and where log and database live.
//
//   LOCK             held while the process runs
//   identity(.copy)  node/identity.h
//   CURRENT_DB(.copy) the live database directory: CurrentDb
//   wal/             log segments
//   db-<n>/          RocksDB
//   db.recv/         a snapshot that is being received, or was; at most one
//   snap-<id>/       a checkpoint that other nodes are sent; none survives a restart
//
// Thread rule: one owner at a time (start-up, then the core thread).
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "env/env.h"
#include "node/identity.h"

namespace arima::node {

// Which database is live, and whether a snapshot put it there. Until the log was reset to that
// snapshot (docs/design/raft.md 4.6 R7), it stands unconfirmed: only then may the database be ahead
// of the log.
struct CurrentDb {
  uint64_t number = 0;
  uint64_t snapshot_id = 0;  // that it was installed from; 0: none
  bool confirmed = true;
  friend bool operator==(const CurrentDb&, const CurrentDb&) = default;
};

class DataDir {
 public:
  // Makes the directory if needed and takes the lock. kConflict: another process has it.
  static Result<std::unique_ptr<DataDir>> Open(env::Env* env, const std::string& path);

  env::Env& env() { return env_; }
  const std::string& path() const { return path_; }
  std::string wal_path() const;
  std::string db_path(uint64_t number) const;
  std::string receive_path() const;
  std::string checkpoint_path(uint64_t snapshot_id) const;

  // kNotFound: a fresh directory. `mended` (may be null): a damaged copy was rewritten.
  Result<Identity> ReadIdentity(bool* mended);
  // Bumps the generation; durable when ok.
  Status WriteIdentity(Identity* identity);

  // kNotFound: none was ever live.
  Result<CurrentDb> ReadCurrentDb();
  Status WriteCurrentDb(const CurrentDb& current);

  // Makes the finished snapshot in receive_path() the live database, unconfirmed. Nobody may have a
  // database open. After an error or a crash either the old database is live or the new one.
  Status InstallReceived(uint64_t snapshot_id);
  Status RemoveReceived();
  // Whatever checkpoints an older life left.
  Status RemoveCheckpoints();

  // Moves what an older life left (log, databases, snapshots) out of the way and deletes it. Only
  // for data that no identity vouches for: Identity::data_ready is false.
  Status DiscardData();
  // Deletes database directories other than `number`.
  Status RemoveOtherDbs(uint64_t number);
  // Fails with kConflict if anything but Arima's own files lies here; keeps a typo in --volume-dir
  // from turning a home directory into a volume.
  Status CheckFresh();

 private:
  DataDir(env::Env* env, std::string path, std::unique_ptr<env::FileLock> lock);

  env::Env& env_;
  const std::string path_;
  const std::unique_ptr<env::FileLock> lock_;
  uint64_t current_db_generation_ = 0;
};

}  // namespace arima::node
