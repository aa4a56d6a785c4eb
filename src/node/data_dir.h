// The volume directory: lock, identity, and where log and database live.
//
//   LOCK             held while the process runs
//   identity(.copy)  node/identity.h
//   CURRENT_DB(.copy) the live database directory: CurrentDb
//   wal/             log segments
//   db-<n>/          RocksDB
//   db-<n>.bad/      a database that was found damaged; the newest one only, for people
//   db.recv/         a snapshot that is being received, or was; at most one
//   ballast          node/disk_watch.h
//   snap-<id>/       a checkpoint that other nodes are sent; none survives a restart
//   wal.bad-<n>/     a damaged log, kept for inspection; the newest kBadLogsMax of them
//   wal.part/, .new/ a log that takes the place of a damaged one: being made, and complete
//   stand-in/        what a damaged node runs on until it is replaced (node/log_damage.h)
//   trash-<n>/       was one of these and is not needed any more; whoever finds it may delete it
//
// What is large is deleted in two steps: it is moved to the trash, which takes no time and frees
// its name, and deleted by a thread that nobody waits for (node/trash_remover.h).
//
// Thread rule: one owner at a time (start-up, then the core thread); MoveToTrash from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "env/env.h"
#include "node/identity.h"

namespace arima::node {

// Which database is live, and whether a snapshot put it there. Until the log was reset to that
// snapshot (docs/design/raft.md 4.6 R7), it stands unconfirmed: only then may the database be ahead
// of the log.
// kDamaged: it is to be set aside before anything else; kEmptied: it was made in the place of a
// damaged one, and may be behind the begin of the log until a snapshot arrives.
enum class DbState : uint8_t { kWhole = 0, kDamaged = 1, kEmptied = 2 };

struct CurrentDb {
  uint64_t number = 0;
  uint64_t snapshot_id = 0;  // that it was installed from; 0: none
  bool confirmed = true;
  DbState state = DbState::kWhole;
  std::string damage{};  // unless kWhole: what was found, for people; at most kDamageBytesMax
  friend bool operator==(const CurrentDb&, const CurrentDb&) = default;
};

// Each may be as large as the log was; older ones go.
inline constexpr size_t kBadLogsMax = 2;

class DataDir {
 public:
  // Makes the directory if needed and takes the lock. kConflict: another process has it.
  static Result<std::unique_ptr<DataDir>> Open(env::Env* env, const std::string& path);

  env::Env& env() { return env_; }
  const std::string& path() const { return path_; }
  std::string wal_path() const;
  std::string db_path(uint64_t number) const;
  std::string bad_db_path(uint64_t number) const;
  std::string receive_path() const;
  std::string checkpoint_path(uint64_t snapshot_id) const;
  std::string part_log_path() const;
  std::string stand_in_path() const;

  // kNotFound: a fresh directory. `mended` (may be null): a damaged copy was rewritten.
  Result<Identity> ReadIdentity(bool* mended);
  // Bumps the generation; durable when ok.
  Status WriteIdentity(Identity* identity);

  // kNotFound: none was ever live. `mended` (may be null): a damaged copy was rewritten.
  Result<CurrentDb> ReadCurrentDb(bool* mended = nullptr);
  Status WriteCurrentDb(const CurrentDb& current);

  // Makes the finished snapshot in receive_path() the live database, unconfirmed. Nobody may have a
  // database open. After an error or a crash either the old database is live or the new one.
  Status InstallReceived(uint64_t snapshot_id);
  Status DiscardReceived();
  // Gives the database directory `number` the name bad_db_path(number), durably, and removes those
  // that were set aside before. May be repeated. Nobody may have it open.
  Status SetAside(uint64_t number);
  // Those that were set aside go to the trash; true: there was one.
  Result<bool> DiscardBadDbs();
  // Whatever checkpoints an older life left.
  Status DiscardCheckpoints();

  // Keeps the log as wal.bad-<n>; nobody may have it open. The path, empty if there is no log.
  Result<std::string> SetAsideLog();
  // Puts the finished log in part_log_path() in the place of the damaged one, which is set aside:
  // its path. Nobody may have a log open. After a crash FinishReplaceLog, at each start, goes on.
  Result<std::string> ReplaceLog();
  // The path of the damaged log if a crash had left something to do; else empty.
  Result<std::string> FinishReplaceLog();

  // Moves what an older life left (log, databases, snapshots) to the trash, durably. Only for data
  // that no identity vouches for: Identity::data_ready is false.
  Status DiscardData();
  // Moves database directories other than `number` to the trash.
  Status DiscardOtherDbs(uint64_t number);

  // Gives `path`, which lies in the directory, a name that is never used again; ok if it does not
  // exist. Not synced: after a loss of power it may be back under its old name.
  Status MoveToTrash(const std::string& path);
  // Paths of what lies in the trash.
  Result<std::vector<std::string>> Trash();
  // `on_trash` is called after each MoveToTrash, on its thread; null: nobody is told.
  void WatchTrash(std::function<void()> on_trash) EXCLUDES(mutex_);

  // Fails with kConflict if anything but Arima's own files lies here; keeps a typo in --volume-dir
  // from turning a home directory into a volume.
  Status CheckFresh();

 private:
  DataDir(env::Env* env, std::string path, std::unique_ptr<env::FileLock> lock);
  std::string new_log_path() const;
  Result<bool> DiscardAll(const std::function<bool(std::string_view)>& chosen);
  Result<std::string> PutNewLogInPlace();
  Status RemoveBadLogs(size_t keep);

  env::Env& env_;
  const std::string path_;
  const std::unique_ptr<env::FileLock> lock_;
  uint64_t current_db_generation_ = 0;
  std::atomic<uint64_t> next_trash_ = 1;
  Mutex mutex_;
  std::function<void()> on_trash_ GUARDED_BY(mutex_);
};

}  // namespace arima::node
