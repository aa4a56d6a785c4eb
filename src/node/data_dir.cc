#include "node/data_dir.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/coding.h"
#include "node/checked_file.h"

namespace arima::node {
namespace {

constexpr std::string_view kDbPrefix = "db-";

std::optional<uint64_t> DbNumber(std::string_view name) {
  if (!name.starts_with(kDbPrefix)) return std::nullopt;
  name.remove_prefix(kDbPrefix.size());
  uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

bool OwnName(std::string_view name) {
  return name == "LOCK" || name == "wal" || name == "io_poison" || name.starts_with("identity") ||
         name.starts_with("CURRENT_DB") || DbNumber(name).has_value();
}

}  // namespace

DataDir::DataDir(env::Env* env, std::string path, std::unique_ptr<env::FileLock> lock)
    : env_(*env), path_(std::move(path)), lock_(std::move(lock)) {}

Result<std::unique_ptr<DataDir>> DataDir::Open(env::Env* env, const std::string& path) {
  if (Status made = env::MakeDirs(*env, path); !made) {
    return Fail(made.error().code,
                "cannot use volume directory " + path + ": " + made.error().message);
  }
  auto lock = env->Lock(env::JoinPath(path, "LOCK"));
  if (!lock && lock.error().code == Code::kConflict) {
    return Fail(Code::kConflict, "volume directory " + path +
                                     " is in use by another process; stop it or choose another "
                                     "--volume-dir");
  }
  if (!lock) {
    return Fail(lock.error().code,
                "cannot write to volume directory " + path + ": " + lock.error().message);
  }
  return std::unique_ptr<DataDir>(new DataDir(env, path, std::move(*lock)));
}

std::string DataDir::wal_path() const { return env::JoinPath(path_, "wal"); }

std::string DataDir::db_path(uint64_t number) const {
  return env::JoinPath(path_, std::string(kDbPrefix) + std::to_string(number));
}

Result<Identity> DataDir::ReadIdentity(bool* mended) {
  auto content = ReadCheckedFile(env_, env::JoinPath(path_, "identity"));
  if (!content) return std::unexpected(content.error());
  if (mended != nullptr) *mended = content->mended;
  return DecodeIdentity(content->bytes);
}

Status DataDir::WriteIdentity(Identity* identity) {
  ++identity->generation;
  return WriteCheckedFile(env_, env::JoinPath(path_, "identity"), EncodeIdentity(*identity),
                          identity->generation);
}

Result<uint64_t> DataDir::ReadCurrentDb() {
  auto content = ReadCheckedFile(env_, env::JoinPath(path_, "CURRENT_DB"));
  if (!content) return std::unexpected(content.error());
  current_db_generation_ = content->generation;
  ByteReader in(content->bytes);
  uint64_t number = in.U64();
  if (!in.ok()) return Fail(Code::kCorruption, path_ + "/CURRENT_DB is malformed");
  return number;
}

Status DataDir::WriteCurrentDb(uint64_t number) {
  std::string bytes;
  ByteWriter(&bytes).U64(number);
  return WriteCheckedFile(env_, env::JoinPath(path_, "CURRENT_DB"), bytes,
                          ++current_db_generation_);
}

Status DataDir::DiscardData() {
  if (Status gone = env::RemoveTree(env_, wal_path()); !gone) return gone;
  auto names = env_.List(path_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (!DbNumber(name)) continue;
    if (Status gone = env::RemoveTree(env_, env::JoinPath(path_, name)); !gone) return gone;
  }
  return env_.SyncDir(path_);
}

Status DataDir::RemoveOtherDbs(uint64_t number) {
  auto names = env_.List(path_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (!DbNumber(name) || DbNumber(name) == number) continue;
    if (Status gone = env::RemoveTree(env_, env::JoinPath(path_, name)); !gone) return gone;
  }
  return {};
}

Status DataDir::CheckFresh() {
  auto names = env_.List(path_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (OwnName(name) || name == "lost+found") continue;
    return Fail(Code::kConflict, "volume directory " + path_ + " has no Arima identity but holds " +
                                     name + "; choose an empty directory");
  }
  for (const std::string& name : *names) {
    if (name == "wal" || DbNumber(name)) {
      return Fail(Code::kCorruption,
                  "volume directory " + path_ + " holds " + name +
                      " but its identity file is gone; restore identity from a backup, or start "
                      "with an empty directory and join again");
    }
  }
  return {};
}

}  // namespace arima::node
