#include "node/storage.h"

#include <utility>

#include "codec/conf_codec.h"
#include "kv/databases.h"
#include "kv/engine.h"

namespace arima::node {

wal::WalOptions WalOptionsFor(const DataDir& dir, const Identity& identity,
                              const StorageOptions& options) {
  wal::WalOptions wal;
  wal.dir = dir.wal_path();
  wal.cluster_id = identity.cluster_id;
  wal.incarnation = identity.incarnation;
  wal.segment_bytes = options.wal_segment_bytes;
  return wal;
}

Result<std::unique_ptr<kv::StateMachine>> OpenStateMachine(const DataDir& dir,
                                                           const Identity& identity,
                                                           uint64_t number, OpenDb mode,
                                                           const StorageOptions& options,
                                                           Logger* logger) {
  kv::RocksEngineOptions engine_options;
  engine_options.path = dir.db_path(number);
  engine_options.files = options.database_files;
  engine_options.write_buffer_bytes = options.write_buffer_bytes;
  engine_options.block_cache_bytes = options.block_cache_bytes;
  engine_options.create_if_missing = mode == OpenDb::kNew;
  engine_options.log = [logger](std::string_view line) { logger->Warn("database", line); };
  auto engine = options.databases->Open(engine_options);
  if (!engine && engine.error().code == Code::kNotFound) {
    return Fail(Code::kCorruption,
                "the database " + engine_options.path + " is gone: it has no file CURRENT");
  }
  if (!engine) return std::unexpected(engine.error());
  kv::AppliedState initial;
  initial.index = raft::kFirstSnapshotIndex.value;
  initial.term = raft::kFirstSnapshotTerm.value;
  initial.cluster_id = identity.cluster_id;
  initial.conf = codec::EncodeConfState(OriginConf());
  kv::StateMachineOptions machine_options;
  machine_options.recent_keys_bytes = options.recent_keys_bytes;
  return kv::StateMachine::Open(std::move(*engine), initial, machine_options);
}

}  // namespace arima::node
