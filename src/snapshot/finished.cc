#include "snapshot/finished.h"

#include "kv/databases.h"

namespace arima::snapshot {
namespace {

std::string StoredPath(const std::string& dir) { return env::JoinPath(dir, kStoredManifestName); }

std::unexpected<Error> Differs(const std::string& dir, std::string_view what) {
  return Fail(Code::kCorruption, "snapshot in " + dir + ": the database has another " +
                                     std::string(what) + " than the manifest");
}

Status Verify(kv::Databases& databases, const std::string& dir, const Manifest& manifest,
              const StepFn& step) {
  auto applied = databases.ReadCheckpoint(dir);
  if (!applied) return std::unexpected(applied.error());
  if (applied->cluster_id != manifest.cluster_id) return Differs(dir, "cluster id");
  if (applied->index != manifest.index) return Differs(dir, "index");
  if (applied->term != manifest.term) return Differs(dir, "term");
  if (applied->conf != manifest.conf) return Differs(dir, "configuration");
  return databases.VerifyCheckpointTables(dir, step);
}

}  // namespace

VerifyFn VerifyDatabaseOf(kv::Databases* databases) {
  return [databases](const std::string& dir, const Manifest& manifest, const StepFn& step) {
    return Verify(*databases, dir, manifest, step);
  };
}

Status VerifyDatabase(const std::string& dir, const Manifest& manifest, const StepFn& step) {
  return Verify(kv::RocksDatabases(), dir, manifest, step);
}

Status StoreFinished(env::Env& env, const std::string& dir, const Manifest& manifest) {
  return env::WriteFileAtomically(env, StoredPath(dir), EncodeManifest(manifest));
}

Result<Manifest> ReadFinished(env::Env& env, const std::string& dir) {
  auto bytes = env::ReadFile(env, StoredPath(dir), kManifestBytesMax);
  if (!bytes) return std::unexpected(bytes.error());
  auto manifest = DecodeManifest(*bytes);
  if (!manifest) {
    return Fail(manifest.error().code, StoredPath(dir) + ": " + manifest.error().message);
  }
  for (const SnapshotFile& file : manifest->files) {
    const std::string path = env::JoinPath(dir, file.name);
    auto info = env.Stat(path);
    if (!info && info.error().code != Code::kNotFound) return std::unexpected(info.error());
    if (!info || info->is_dir || info->bytes != file.bytes) {
      return Fail(Code::kCorruption, "finished snapshot: " + path + " is not the file of " +
                                         std::to_string(file.bytes) + " bytes that it should be");
    }
  }
  return manifest;
}

Status VerifyFinished(env::Env& env, const std::string& dir, const Manifest& manifest,
                      const StepFn& step, const VerifyFn& verify) {
  for (const SnapshotFile& file : manifest.files) {
    const std::string path = env::JoinPath(dir, file.name);
    auto hash = HashFile(env, path, step);
    if (!hash) return std::unexpected(hash.error());
    if (*hash != file.hash) {
      return Fail(Code::kCorruption,
                  "finished snapshot: " + path + " does not have the hash it was received with");
    }
  }
  return verify(dir, manifest, step);
}

Status ForgetFinished(env::Env& env, const std::string& dir) {
  auto exists = env::Exists(env, StoredPath(dir));
  if (!exists) return std::unexpected(exists.error());
  if (*exists) {
    if (Status status = env.Unlink(StoredPath(dir)); !status) return status;
  }
  // Also where it was gone already: that may be the unlink of a life that did not get to the sync.
  return env.SyncDir(dir);
}

}  // namespace arima::snapshot
