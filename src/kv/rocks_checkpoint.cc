// RocksDB's checkpoint, made durable, and read again (checkpoint.h).
//
// RocksDB builds the checkpoint in <dir>.tmp, links the tables, copies the rest, and renames. What
// it leaves to the caller: that the copies and the name survive a loss of power.
#include "kv/rocks_checkpoint.h"

#include <rocksdb/sst_file_reader.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/version.h>

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "base/mutants.h"
#include "kv/applied_record.h"
#include "kv/checkpoint.h"
#include "kv/databases.h"
#include "kv/key_schema.h"
#include "kv/rocks_options.h"

namespace arima::kv {
namespace {

// Nothing is kept in memory for long: enough for the few blocks that are read.
RocksEngineOptions ReadOnlyOptions(const std::string& dir) {
  RocksEngineOptions options;
  options.path = dir;
  options.create_if_missing = false;
  options.block_cache_bytes = 8 << 20;
  options.open_files_max = 64;
  return options;
}

rocksdb::Status SyncDirectory(rocksdb::Env* env, const std::string& dir) {
  std::unique_ptr<rocksdb::Directory> directory;
  rocksdb::Status status = env->NewDirectory(dir, &directory);
  return status.ok() ? directory->Fsync() : status;
}

// Files that were only linked are durable already; to sync them again costs next to nothing.
rocksdb::Status SyncAll(rocksdb::Env* env, const std::string& dir) {
  std::vector<std::string> names;
  rocksdb::Status status = env->GetChildren(dir, &names);
  for (const std::string& name : names) {
    if (!status.ok()) return status;
    if (name == "." || name == "..") continue;
    std::unique_ptr<rocksdb::RandomRWFile> file;
    status = env->NewRandomRWFile(dir + "/" + name, &file, rocksdb::EnvOptions());
    if (status.ok()) status = file->Fsync();
  }
  if (status.ok()) status = SyncDirectory(env, dir);
  return status.ok() ? SyncDirectory(env, dir + "/..") : status;
}

// Best effort: what could not be removed is in the way of the next attempt, which will say so.
void Remove(rocksdb::Env* env, const std::string& dir) {
  std::vector<std::string> names;
  env->GetChildren(dir, &names).PermitUncheckedError();
  for (const std::string& name : names) {
    if (name != "." && name != "..") env->DeleteFile(dir + "/" + name).PermitUncheckedError();
  }
  env->DeleteDir(dir).PermitUncheckedError();
}

Result<std::unique_ptr<rocksdb::DB>> OpenReadOnly(const std::string& dir) {
  rocksdb::Env* env = rocksdb::Env::Default();
  if (env->FileExists(dir + "/CURRENT").IsNotFound()) {
    return Fail(Code::kNotFound, "there is no database in " + dir);
  }
  const rocksdb::Options options = MakeRocksOptions(ReadOnlyOptions(dir), env);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, dir, &db);
  if (!status.ok()) {
    return std::unexpected(MakeOpenError(status, "open for reading", dir, options));
  }
  return std::unique_ptr<rocksdb::DB>(db);
}

// For RocksDB, a size of its log that is never reached.
constexpr uint64_t kNoFlush = std::numeric_limits<uint64_t>::max();

}  // namespace

Status MakeCheckpoint(rocksdb::DB* db, const std::string& dir) {
  rocksdb::Env* env = db->GetEnv();
  rocksdb::Status status = env->FileExists(dir);
  if (status.ok()) return Fail(Code::kAlreadyExists, "make checkpoint " + dir + ": it exists");
  if (!status.IsNotFound()) return std::unexpected(MakeRocksError(status, "checkpoint", dir));
  rocksdb::Checkpoint* made = nullptr;
  status = rocksdb::Checkpoint::Create(db, &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint(dir, kNoFlush);
  if (status.ok() && !ARIMA_MUTANT(74)) status = SyncAll(env, dir);
  if (status.ok()) return {};
  Error error = MakeRocksError(status, "checkpoint", dir);
  Remove(env, dir);
  Remove(env, dir + ".tmp");
  return std::unexpected(std::move(error));
}

std::string_view EngineName() { return "rocksdb"; }

std::string EngineVersion() {
  return std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) + "." +
         std::to_string(ROCKSDB_PATCH);
}

Result<AppliedState> ReadCheckpoint(const std::string& dir) {
  auto db = OpenReadOnly(dir);
  if (!db) return std::unexpected(db.error());
  std::string bytes;
  rocksdb::Status status = (*db)->Get(
      rocksdb::ReadOptions(), rocksdb::Slice(kAppliedKey.data(), kAppliedKey.size()), &bytes);
  if (status.IsNotFound()) {
    return Fail(Code::kCorruption, "the database in " + dir + " has no applied record");
  }
  if (!status.ok()) return std::unexpected(MakeRocksError(status, "read", dir));
  auto applied = DecodeApplied(bytes);
  if (!applied) return Fail(applied.error().code, dir + ": " + applied.error().message);
  return applied;
}

Status VerifyCheckpointTables(const std::string& dir,
                              const std::function<Status(uint64_t bytes)>& step) {
  auto db = OpenReadOnly(dir);
  if (!db) return std::unexpected(db.error());
  std::vector<rocksdb::LiveFileMetaData> tables;
  (*db)->GetLiveFilesMetaData(&tables);
  const rocksdb::Options options = (*db)->GetOptions();
  for (const rocksdb::LiveFileMetaData& table : tables) {
    const std::string path = dir + "/" + table.relative_filename;
    rocksdb::SstFileReader reader(options);
    rocksdb::Status status = reader.Open(path);
    if (status.ok()) status = reader.VerifyChecksum();
    if (!status.ok()) return std::unexpected(MakeRocksError(status, "check of a table", path));
    if (!step) continue;
    if (Status stepped = step(table.size); !stepped) return stepped;
  }
  return {};
}

namespace {

class RocksDatabaseSet final : public Databases {
 public:
  std::string_view engine_name() const override { return EngineName(); }
  std::string engine_version() const override { return EngineVersion(); }
  Result<std::unique_ptr<Engine>> Open(const RocksEngineOptions& options) override {
    return OpenRocksEngine(options);
  }
  Result<AppliedState> ReadCheckpoint(const std::string& dir) override {
    return kv::ReadCheckpoint(dir);
  }
  Status VerifyCheckpointTables(const std::string& dir, const StepFn& step) override {
    return kv::VerifyCheckpointTables(dir, step);
  }
};

}  // namespace

Databases& RocksDatabases() {
  static RocksDatabaseSet databases;
  return databases;
}

}  // namespace arima::kv
