#include "node/data_dir.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "base/mutants.h"
#include "node/checked_file.h"

namespace arima::node {
namespace {

constexpr std::string_view kDbPrefix = "db-";
constexpr std::string_view kCheckpointPrefix = "snap-";
constexpr std::string_view kTrashPrefix = "trash-";
constexpr std::string_view kReceiveName = "db.recv";
constexpr std::string_view kLogName = "wal";
constexpr std::string_view kBadLogPrefix = "wal.bad-";
constexpr std::string_view kPartLogName = "wal.part";
constexpr std::string_view kNewLogName = "wal.new";
constexpr std::string_view kStandInName = "stand-in";
constexpr std::string_view kBadSuffix = ".bad";
// Version 1 was the number alone, version 2 had no state.
constexpr uint32_t kCurrentDbVersion = 3;
constexpr size_t kDamageBytesMax = 4 << 10;

std::optional<uint64_t> NumberBehind(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::optional<uint64_t> DbNumber(std::string_view name) { return NumberBehind(kDbPrefix, name); }

std::optional<uint64_t> TrashNumber(std::string_view name) {
  return NumberBehind(kTrashPrefix, name);
}

bool IsBadDb(std::string_view name) {
  return name.ends_with(kBadSuffix) && DbNumber(name.substr(0, name.size() - kBadSuffix.size()));
}

bool OwnName(std::string_view name) {
  return name == "LOCK" || name == kLogName || name.starts_with("wal.") || name == kStandInName ||
         name == "io_poison" || name == "ballast" || name.starts_with("identity") ||
         name.starts_with("CURRENT_DB") || name.starts_with(kCheckpointPrefix) ||
         name == kReceiveName || DbNumber(name).has_value() || TrashNumber(name).has_value() ||
         IsBadDb(name);
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
  std::unique_ptr<DataDir> dir(new DataDir(env, path, std::move(*lock)));
  auto names = env->List(path);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (auto number = TrashNumber(name)) {
      dir->next_trash_ = std::max(dir->next_trash_.load(), *number + 1);
    }
  }
  return dir;
}

std::string DataDir::wal_path() const { return env::JoinPath(path_, kLogName); }

std::string DataDir::part_log_path() const { return env::JoinPath(path_, kPartLogName); }

std::string DataDir::new_log_path() const { return env::JoinPath(path_, kNewLogName); }

std::string DataDir::stand_in_path() const { return env::JoinPath(path_, kStandInName); }

std::string DataDir::db_path(uint64_t number) const {
  return env::JoinPath(path_, std::string(kDbPrefix) + std::to_string(number));
}

std::string DataDir::bad_db_path(uint64_t number) const {
  return db_path(number) + std::string(kBadSuffix);
}

std::string DataDir::receive_path() const { return env::JoinPath(path_, kReceiveName); }

std::string DataDir::checkpoint_path(uint64_t snapshot_id) const {
  return env::JoinPath(path_, std::string(kCheckpointPrefix) + std::to_string(snapshot_id));
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

Result<CurrentDb> DataDir::ReadCurrentDb(bool* mended) {
  const std::string path = env::JoinPath(path_, "CURRENT_DB");
  auto content = ReadCheckedFile(env_, path);
  if (!content) return std::unexpected(content.error());
  if (mended != nullptr) *mended = content->mended;
  current_db_generation_ = content->generation;
  ByteReader in(content->bytes);
  CurrentDb current;
  current.number = in.U64();
  if (!in.ok()) return Fail(Code::kCorruption, path + " is malformed");
  if (in.done()) return current;
  const uint32_t version = in.U32();
  if (in.ok() && version > kCurrentDbVersion) {
    return Fail(Code::kNotSupported, path + " is of version " + std::to_string(version) +
                                         "; start the release that wrote it, or a later one");
  }
  current.snapshot_id = in.U64();
  const uint8_t confirmed = in.U8();
  current.confirmed = confirmed == 1;
  uint8_t state = 0;
  if (version >= 3) {
    state = in.U8();
    current.damage = in.Bytes();
  }
  current.state = static_cast<DbState>(state);
  if (!in.done() || confirmed > 1 || version < 2 ||
      state > static_cast<uint8_t>(DbState::kEmptied)) {
    return Fail(Code::kCorruption, path + " is malformed");
  }
  return current;
}

Status DataDir::WriteCurrentDb(const CurrentDb& current) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U64(current.number);
  out.U32(kCurrentDbVersion);
  out.U64(current.snapshot_id);
  out.U8(current.confirmed ? 1 : 0);
  out.U8(static_cast<uint8_t>(current.state));
  out.Bytes(std::string_view(current.damage).substr(0, kDamageBytesMax));
  return WriteCheckedFile(env_, env::JoinPath(path_, "CURRENT_DB"), bytes,
                          ++current_db_generation_);
}

// The name first, then the statement that it is live: a crash in between leaves a database that
// nobody names, which the next start removes.
Status DataDir::InstallReceived(uint64_t snapshot_id) {
  Result<CurrentDb> current = ReadCurrentDb();
  if (!current) return std::unexpected(current.error());
  CurrentDb next{.number = current->number + 1, .snapshot_id = snapshot_id, .confirmed = false};
  if (Status gone = MoveToTrash(db_path(next.number)); !gone) return gone;
  if (Status moved = env_.Rename(receive_path(), db_path(next.number)); !moved) return moved;
  if (Status synced = ARIMA_MUTANT(70) ? Status() : env_.SyncDir(path_); !synced) return synced;
  return WriteCurrentDb(next);
}

// Older ones go first: the new one may need their space.
Status DataDir::SetAside(uint64_t number) {
  auto present = env::Exists(env_, db_path(number));
  if (!present) return std::unexpected(present.error());
  if (!*present) return {};  // done before, or it vanished
  if (auto gone = DiscardBadDbs(); !gone) return std::unexpected(gone.error());
  if (Status moved = env_.Rename(db_path(number), bad_db_path(number)); !moved) return moved;
  return env_.SyncDir(path_);
}

Result<bool> DataDir::DiscardBadDbs() { return DiscardAll(IsBadDb); }

// True: there was one.
Result<bool> DataDir::DiscardAll(const std::function<bool(std::string_view)>& chosen) {
  auto names = env_.List(path_);
  if (!names) return std::unexpected(names.error());
  bool found = false;
  for (const std::string& name : *names) {
    if (!chosen(name)) continue;
    found = true;
    Status gone = MoveToTrash(env::JoinPath(path_, name));
    if (!gone) return std::unexpected(gone.error());
  }
  return found;
}

Status DataDir::DiscardReceived() { return MoveToTrash(receive_path()); }

Status DataDir::DiscardCheckpoints() {
  auto done = DiscardAll([](std::string_view name) { return name.starts_with(kCheckpointPrefix); });
  return done ? Status() : std::unexpected(done.error());
}

Status DataDir::RemoveBadLogs(size_t keep) {
  auto names = env_.List(path_);
  if (!names) return std::unexpected(names.error());
  std::vector<uint64_t> numbers;
  for (const std::string& name : *names) {
    if (auto number = NumberBehind(kBadLogPrefix, name)) numbers.push_back(*number);
  }
  std::ranges::sort(numbers);
  for (size_t i = 0; i + keep < numbers.size(); ++i) {
    std::string old = env::JoinPath(path_, std::string(kBadLogPrefix) + std::to_string(numbers[i]));
    if (Status gone = MoveToTrash(old); !gone) return gone;
  }
  return {};
}

Result<std::string> DataDir::SetAsideLog() {
  auto exists = env::Exists(env_, wal_path());
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return std::string();
  if (Status room = RemoveBadLogs(kBadLogsMax - 1); !room) return std::unexpected(room.error());
  auto names = env_.List(path_);
  if (!names) return std::unexpected(names.error());
  uint64_t number = 0;
  for (const std::string& name : *names) {
    number = std::max(number, NumberBehind(kBadLogPrefix, name).value_or(0));
  }
  std::string to = env::JoinPath(path_, std::string(kBadLogPrefix) + std::to_string(number + 1));
  if (Status moved = env_.Rename(wal_path(), to); !moved) return std::unexpected(moved.error());
  if (Status synced = env_.SyncDir(path_); !synced) return std::unexpected(synced.error());
  return to;
}

// A log under its new name is complete; until it stands in the old one's place, that is all that a
// start needs to know.
Result<std::string> DataDir::ReplaceLog() {
  Status done = env::RemoveTree(env_, new_log_path());
  if (done) done = env_.Rename(part_log_path(), new_log_path());
  if (done) done = env_.SyncDir(path_);
  if (!done) return std::unexpected(done.error());
  return PutNewLogInPlace();
}

Result<std::string> DataDir::FinishReplaceLog() {
  Status done = env::RemoveTree(env_, part_log_path());
  if (!done) return std::unexpected(done.error());
  auto exists = env::Exists(env_, new_log_path());
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return std::string();
  return PutNewLogInPlace();
}

Result<std::string> DataDir::PutNewLogInPlace() {
  Result<std::string> aside = SetAsideLog();
  if (!aside) return aside;
  Status done = env_.Rename(new_log_path(), wal_path());
  if (done) done = env_.SyncDir(path_);
  if (!done) return std::unexpected(done.error());
  return aside;
}

Status DataDir::DiscardData() {
  for (const std::string& path : {wal_path(), part_log_path(), new_log_path(), stand_in_path()}) {
    if (Status gone = MoveToTrash(path); !gone) return gone;
  }
  if (Status gone = DiscardReceived(); !gone) return gone;
  if (Status gone = DiscardCheckpoints(); !gone) return gone;
  if (auto gone = DiscardBadDbs(); !gone) return std::unexpected(gone.error());
  auto gone = DiscardAll([](std::string_view name) { return DbNumber(name).has_value(); });
  if (!gone) return std::unexpected(gone.error());
  return env_.SyncDir(path_);
}

Status DataDir::DiscardOtherDbs(uint64_t number) {
  auto done = DiscardAll([number](std::string_view name) {
    const std::optional<uint64_t> found = DbNumber(name);
    return found && *found != number;
  });
  return done ? Status() : std::unexpected(done.error());
}

Status DataDir::MoveToTrash(const std::string& path) {
  const std::string to =
      env::JoinPath(path_, std::string(kTrashPrefix) + std::to_string(next_trash_.fetch_add(1)));
  Status moved = env_.Rename(path, to);
  if (!moved && moved.error().code == Code::kNotFound) return {};
  if (!moved) return moved;
  MutexLock lock(&mutex_);
  if (on_trash_) on_trash_();
  return {};
}

Result<std::vector<std::string>> DataDir::Trash() {
  auto names = env_.List(path_);
  if (!names) return names;
  std::vector<std::string> paths;
  for (const std::string& name : *names) {
    if (TrashNumber(name)) paths.push_back(env::JoinPath(path_, name));
  }
  return paths;
}

void DataDir::WatchTrash(std::function<void()> on_trash) {
  MutexLock lock(&mutex_);
  on_trash_ = std::move(on_trash);
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
