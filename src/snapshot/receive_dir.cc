// Files get their names in two steps, so that two of them can change places: first everything that
// is wanted under another name is moved to a name made of its hash, then from there to where it
// belongs. Between any two operations each content lies under exactly one name, and the next
// attempt finds it there by its hash.
#include "snapshot/receive_dir.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hex.h"
#include "snapshot/finished.h"

namespace arima::snapshot {
namespace {

constexpr std::string_view kPartPrefix = ".part-";
constexpr std::string_view kHavePrefix = ".have-";
// Spreads the writing to disk, and bounds what a loss of power takes of a partial file.
constexpr uint64_t kSyncEveryBytes = 16 << 20;
constexpr size_t kReadPieceBytes = 1 << 20;

std::string HashName(std::string_view prefix, const Hash128& hash) {
  return std::string(prefix) + ToHex(hash.high) + ToHex(hash.low);
}

}  // namespace

ReceiveDir::ReceiveDir(env::Env& env, std::string dir, const Manifest& manifest)
    : env_(env), dir_(std::move(dir)), manifest_(manifest), has_(manifest.files.size()) {
  for (size_t i = 0; i < manifest_.files.size(); ++i) {
    sizes_.insert(manifest_.files[i].bytes);
    numbers_.emplace(manifest_.files[i].hash, i);
  }
}

ReceiveDir::~ReceiveDir() = default;

Status ReceiveDir::Prepare(const StepFn& step) {
  if (Status status = MakeDir(); !status) return status;
  // Before anything changes that it vouches for.
  if (Status status = ForgetFinished(env_, dir_); !status) return status;
  auto names = env_.List(dir_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (Status status = TakeStock(name, step); !status) return status;
  }
  if (Status status = GiveNames(); !status) return status;
  return Sync();
}

Status ReceiveDir::MakeDir() {
  if (Status made = env_.MakeDir(dir_); !made && made.error().code != Code::kAlreadyExists) {
    return made;
  }
  return env_.SyncDir(env::ParentDir(dir_));
}

// Decides about one name that was found: it stays, waits under a `.have-` name, or goes.
Status ReceiveDir::TakeStock(const std::string& name, const StepFn& step) {
  const std::string path = PathOf(name);
  auto info = env_.Stat(path);
  if (!info) return std::unexpected(info.error());
  if (info->is_dir) return env::RemoveTree(env_, path);
  if (name.starts_with(kPartPrefix)) return TakeStockOfPart(name, info->bytes, step);
  if (!sizes_.contains(info->bytes)) return env_.Unlink(path);
  auto hash = HashFile(env_, path, step);
  if (!hash) return std::unexpected(hash.error());
  const auto [first, last] = numbers_.equal_range(*hash);
  for (auto it = first; it != last; ++it) {
    if (manifest_.files[it->second].name != name) continue;
    has_[it->second] = true;
    return {};
  }
  if (first == last || waiting_.contains(*hash)) return env_.Unlink(path);
  // Names with a dot come first in a sorted list, so nothing unseen is replaced.
  if (const std::string to = HashName(kHavePrefix, *hash); to != name) {
    if (Status status = env_.Rename(path, PathOf(to)); !status) return status;
  }
  waiting_.insert(*hash);
  return {};
}

Status ReceiveDir::TakeStockOfPart(const std::string& name, uint64_t bytes, const StepFn& step) {
  const std::string path = PathOf(name);
  const auto file = std::ranges::find_if(manifest_.files, [&](const SnapshotFile& candidate) {
    return HashName(kPartPrefix, candidate.hash) == name;
  });
  if (file == manifest_.files.end() || bytes > file->bytes || bytes == 0) return env_.Unlink(path);
  auto part = env_.Open(path, env::OpenMode::kReadUncached);
  if (!part) return std::unexpected(part.error());
  Writing writing;
  std::string piece(kReadPieceBytes, '\0');
  while (writing.bytes < bytes) {
    auto got = (*part)->ReadAt(writing.bytes, piece.data(), piece.size());
    if (!got) return std::unexpected(got.error());
    if (*got == 0) break;
    writing.hasher.Update({piece.data(), *got});
    writing.bytes += *got;
    if (!step) continue;
    if (Status status = step(*got); !status) return status;
  }
  partials_.emplace(static_cast<size_t>(file - manifest_.files.begin()), std::move(writing));
  return {};
}

Status ReceiveDir::GiveNames() {
  for (size_t i = 0; i < manifest_.files.size(); ++i) {
    const SnapshotFile& file = manifest_.files[i];
    if (has_[i] || waiting_.erase(file.hash) == 0) continue;
    Status status = env_.Rename(PathOf(HashName(kHavePrefix, file.hash)), PathOf(file.name));
    if (!status) return status;
    has_[i] = true;
  }
  // Left over: content of which there are more copies than files.
  for (const Hash128& hash : waiting_) {
    if (Status status = env_.Unlink(PathOf(HashName(kHavePrefix, hash))); !status) return status;
  }
  waiting_.clear();
  for (auto it = partials_.begin(); it != partials_.end();) {
    if (!has_[it->first]) {
      ++it;
      continue;
    }
    if (Status status = env_.Unlink(PartPath(it->first)); !status) return status;
    it = partials_.erase(it);
  }
  return {};
}

uint64_t ReceiveDir::PartialBytes(size_t number) const {
  auto it = partials_.find(number);
  return it == partials_.end() ? 0 : it->second.bytes;
}

std::string ReceiveDir::PartPath(size_t number) const {
  return PathOf(HashName(kPartPrefix, manifest_.files[number].hash));
}

Status ReceiveDir::StartWriting(size_t number) {
  auto [it, fresh] = partials_.try_emplace(number);
  if (it->second.file != nullptr) return {};
  const auto mode = fresh ? env::OpenMode::kCreateTruncate : env::OpenMode::kReadWrite;
  auto file = env_.Open(PartPath(number), mode);
  if (!file) return std::unexpected(file.error());
  it->second.file = std::move(*file);
  return {};
}

Status ReceiveDir::Append(size_t number, std::string_view bytes) {
  ARIMA_ASSERT(!has_[number], number);
  if (Status status = StartWriting(number); !status) return status;
  Writing& writing = partials_.find(number)->second;
  if (Status status = writing.file->WriteAt(writing.bytes, bytes); !status) return status;
  writing.hasher.Update(bytes);
  writing.bytes += bytes.size();
  writing.unsynced_bytes += bytes.size();
  if (writing.unsynced_bytes < kSyncEveryBytes) return {};
  writing.unsynced_bytes = 0;
  return SyncOrDrop(number, *writing.file);
}

Status ReceiveDir::SyncOrDrop(size_t number, env::File& file) {
  Status status = file.Sync();
  // If it cannot be removed either, the next attempt still reads what is on the disk.
  if (!status) (void)env_.Unlink(PartPath(number));
  return status;
}

Result<bool> ReceiveDir::Finish(size_t number) {
  const SnapshotFile& expected = manifest_.files[number];
  // Opens empty files too, and partial ones that needed no more bytes.
  if (Status status = StartWriting(number); !status) return std::unexpected(status.error());
  Writing writing = std::move(partials_.extract(number).mapped());
  ARIMA_ASSERT(writing.bytes == expected.bytes, writing.bytes, expected.bytes);
  const std::string part = PartPath(number);
  if (writing.hasher.Get() != expected.hash) {
    writing.file.reset();
    if (Status status = env_.Unlink(part); !status) return std::unexpected(status.error());
    return false;
  }
  if (Status status = SyncOrDrop(number, *writing.file); !status) {
    return std::unexpected(status.error());
  }
  writing.file.reset();
  Status status = env_.Rename(part, PathOf(expected.name));
  if (!status) return std::unexpected(status.error());
  has_[number] = true;
  return true;
}

Status ReceiveDir::Clear(env::Env& env, const std::string& dir) {
  auto exists = env::Exists(env, dir);
  if (!exists) return std::unexpected(exists.error());
  if (!*exists) return {};
  if (Status status = ForgetFinished(env, dir); !status) return status;
  auto names = env.List(dir);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (Status status = env::RemoveTree(env, env::JoinPath(dir, name)); !status) return status;
  }
  return env.SyncDir(dir);
}

}  // namespace arima::snapshot
