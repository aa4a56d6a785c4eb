// The volume directory: lock, identity, and where log and database live.
//
//   LOCK             held while the process runs
//   identity(.copy)  node/identity.h
//   CURRENT_DB(.copy) number of the live database directory
//   wal/             log segments
//   db-<n>/          RocksDB
//
// Thread rule: one owner at a time (start-up, then the core thread).
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "env/env.h"
#include "node/identity.h"

namespace arima::node {

class DataDir {
 public:
  // Makes the directory if needed and takes the lock. kConflict: another process has it.
  static Result<std::unique_ptr<DataDir>> Open(env::Env* env, const std::string& path);

  env::Env& env() { return env_; }
  const std::string& path() const { return path_; }
  std::string wal_path() const;
  std::string db_path(uint64_t number) const;

  // kNotFound: a fresh directory. `mended` (may be null): a damaged copy was rewritten.
  Result<Identity> ReadIdentity(bool* mended);
  // Bumps the generation; durable when ok.
  Status WriteIdentity(Identity* identity);

  // kNotFound: none was ever live.
  Result<uint64_t> ReadCurrentDb();
  Status WriteCurrentDb(uint64_t number);

  // Moves what an older life left (log, databases) out of the way and deletes it. Only for data
  // that no identity vouches for: Identity::data_ready is false.
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
