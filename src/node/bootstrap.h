// First start, and making the empty log and database that belong to an identity.
//
// Every log of a cluster grows from one point: index 1, term 1, with OriginConf() in force, so that
// nobody ever replays "entry 1 = my own configuration". The founder's name and addresses follow as
// an ordinary configuration entry. docs/design/raft.md 8.2, 8.3.
#pragma once

#include <string>

#include "base/error.h"
#include "kv/databases.h"
#include "node/data_dir.h"
#include "node/identity.h"
#include "node/logger.h"
#include "raft/types.h"

namespace arima::node {

// One voter, member 1, nothing known about it yet. The same for every cluster.
raft::ConfState OriginConf();

// True if `conf` proves that `id` was removed: it is not a member, and was handed out before. A
// configuration older than the member, as a node meets when it replays the log after a restart,
// proves nothing. docs/design/raft.md 8.5.
bool LeavesOut(const raft::ConfState& conf, raft::MemberId id);

// What Create needs besides the identity.
struct StorageOptions {
  uint64_t wal_segment_bytes = 64 << 20;
  uint64_t write_buffer_bytes = 64 << 20;  // of the database; there are three
  uint64_t block_cache_bytes = 64 << 20;
  uint64_t recent_keys_bytes = 256 << 20;
  kv::DatabaseFiles* database_files = nullptr;  // null: in the system's file system
  kv::Databases* databases = &kv::RocksDatabases();
};

// Reads the identity, or founds a new one-member cluster. kConflict: `name` is not the one of the
// identity, or the directory is not ours. The data may still have to be made (data_ready).
Result<Identity> LoadOrFound(DataDir& dir, const std::string& name, Logger* logger);

// Discards what lies there, makes an empty log and database at the origin, then marks the identity
// data_ready. Called only while it is not: a crash in between starts over.
Status CreateData(DataDir& dir, Identity* identity, const StorageOptions& options, Logger* logger);

}  // namespace arima::node
