#include "unsynced.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace unsynced {
namespace {

int Result(int done) { return done < 0 ? -errno : 0; }

bool Exists(int directory, const std::string& name, struct stat* info) {
  return fstatat(directory, name.c_str(), info, AT_SYMLINK_NOFOLLOW) == 0;
}

bool IsDots(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

std::vector<std::string> NamesIn(int directory) {
  std::vector<std::string> names;
  List(directory, &names);
  return names;
}

// The name and all below it. What is not there is removed already.
int RemoveTree(int directory, const std::string& name) {
  struct stat info{};
  if (!Exists(directory, name, &info)) return 0;
  if (!S_ISDIR(info.st_mode)) return Result(unlinkat(directory, name.c_str(), 0));
  {
    const Descriptor inner(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (inner.get() < 0) return -errno;
    for (const std::string& below : NamesIn(inner.get())) {
      if (const int error = RemoveTree(inner.get(), below); error != 0) return error;
    }
  }
  return Result(unlinkat(directory, name.c_str(), AT_REMOVEDIR));
}

// All of it; ENOSPC and the like as -errno.
int WriteAll(int fd, const char* bytes, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t wrote = pwrite(fd, bytes, size, static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return -errno;
    bytes += wrote;
    size -= static_cast<size_t>(wrote);
    offset += static_cast<uint64_t>(wrote);
  }
  return 0;
}

uint64_t SizeOf(int fd) {
  struct stat info{};
  return fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

int List(int directory, std::vector<std::string>* names) {
  const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  DIR* stream = fdopendir(fd);
  if (stream == nullptr) return -errno;
  while (const dirent* entry = readdir(stream)) {
    if (!IsDots(entry->d_name)) names->emplace_back(entry->d_name);
  }
  closedir(stream);
  return 0;
}

bool Journal::Directory::IsGone() const {
  struct stat info{};
  return fstat(descriptor.get(), &info) != 0 || info.st_nlink == 0;
}

// ---- content

// The record of an open file; made as it is now, which is what is on disk, if there is none.
Journal::File* Journal::Keep(int fd) {
  struct stat info{};
  if (fstat(fd, &info) != 0) return nullptr;
  std::unique_ptr<File>& file = files_[info.st_ino];
  if (file == nullptr) {
    file = std::make_unique<File>(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    file->size = static_cast<uint64_t>(info.st_size);
  }
  return file.get();
}

// Remembers what is on disk of these bytes, before they change.
int Journal::KeepPages(File* file, uint64_t begin, uint64_t end) {
  end = std::min(end, file->size);
  for (uint64_t page = begin / kPageBytes; page * kPageBytes < end; ++page) {
    if (file->pages.contains(page)) continue;
    std::vector<char> old(std::min(kPageBytes, file->size - page * kPageBytes));
    const ssize_t got = pread(file->descriptor.get(), old.data(), old.size(),
                              static_cast<off_t>(page * kPageBytes));
    if (got < 0) return -errno;
    file->pages.emplace(page, std::move(old));
  }
  return 0;
}

ssize_t Journal::Write(int fd, const char* bytes, size_t size, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  File* file = Keep(fd);
  if (file == nullptr) return -EIO;
  if (const int error = KeepPages(file, offset, offset + size); error != 0) return error;
  ssize_t wrote = pwrite(fd, bytes, size, static_cast<off_t>(offset));
  if (wrote < 0 && errno == ENOSPC && MadeRoom()) {
    wrote = pwrite(fd, bytes, size, static_cast<off_t>(offset));
  }
  return wrote < 0 ? -errno : wrote;
}

int Journal::Truncate(int fd, uint64_t size) {
  const std::lock_guard lock(mutex_);
  File* file = Keep(fd);
  if (file == nullptr) return -EIO;
  if (const int error = KeepPages(file, size, file->size); error != 0) return error;
  return Result(ftruncate(fd, static_cast<off_t>(size)));
}

int Journal::Allocate(int fd, int mode, uint64_t offset, uint64_t size) {
  const std::lock_guard lock(mutex_);
  File* file = Keep(fd);
  if (file == nullptr) return -EIO;
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) {  // content goes
    if (const int error = KeepPages(file, offset, offset + size); error != 0) return error;
  }
  const auto allocate = [&] {
    return Result(fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(size)));
  };
  const int error = allocate();
  return error == -ENOSPC && MadeRoom() ? allocate() : error;
}

void Journal::SyncFile(int fd) {
  const std::lock_guard lock(mutex_);
  struct stat info{};
  if (lies_ || fstat(fd, &info) != 0) return;
  files_.erase(info.st_ino);
  if (names_are_journaled_) SettleAll();
}

// ---- names

int Journal::Find(const std::string& path, Place* place) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  const int fd = openat(data_, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info{};
  if (fd < 0 || fstat(fd, &info) != 0) return -errno;
  DirectoryPtr directory = directories_[info.st_ino].lock();
  if (directory == nullptr) {
    directory = std::make_shared<Directory>(fd, info.st_ino);
    directories_[info.st_ino] = directory;
  } else {
    close(fd);
  }
  *place = {std::move(directory), slash == std::string::npos ? path : path.substr(slash + 1)};
  return 0;
}

int Journal::NoteMade(Place place) {
  steps_.push_back({Kind::kMade, std::move(place), {}, ""});
  return 0;
}

int Journal::Create(const std::string& path, int flags, mode_t mode) {
  const std::lock_guard lock(mutex_);
  Place place;
  if (const int error = Find(path, &place); error != 0) return error;
  struct stat info{};
  const bool is_new = !Exists(place.fd(), place.name, &info);
  const int fd = openat(place.fd(), place.name.c_str(), flags | O_CREAT, mode);
  if (fd < 0) return -errno;
  if (is_new) NoteMade(std::move(place));
  return fd;
}

int Journal::MakeDirectory(const std::string& path, mode_t mode) {
  const std::lock_guard lock(mutex_);
  Place place;
  if (const int error = Find(path, &place); error != 0) return error;
  if (mkdirat(place.fd(), place.name.c_str(), mode) != 0) return -errno;
  return NoteMade(std::move(place));
}

int Journal::Link(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  Place place;
  if (const int error = Find(to, &place); error != 0) return error;
  if (linkat(data_, from.c_str(), place.fd(), place.name.c_str(), 0) != 0) return -errno;
  return NoteMade(std::move(place));
}

int Journal::SymbolicLink(const std::string& target, const std::string& path) {
  const std::lock_guard lock(mutex_);
  Place place;
  if (const int error = Find(path, &place); error != 0) return error;
  if (symlinkat(target.c_str(), place.fd(), place.name.c_str()) != 0) return -errno;
  return NoteMade(std::move(place));
}

int Journal::Remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  Place place;
  if (const int error = Find(path, &place); error != 0) return error;
  struct stat info{};
  if (!Exists(place.fd(), place.name, &info)) return -ENOENT;
  if (S_ISDIR(info.st_mode)) return -EISDIR;
  std::string held = NewHeldName();
  if (renameat(place.fd(), place.name.c_str(), held_, held.c_str()) != 0) return -errno;
  steps_.push_back({Kind::kRemoved, std::move(place), {}, std::move(held)});
  return 0;
}

int Journal::RemoveDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  Place place;
  if (const int error = Find(path, &place); error != 0) return error;
  {
    const Descriptor inner(
        openat(place.fd(), place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (inner.get() < 0) return -errno;
    if (!NamesIn(inner.get()).empty()) return -ENOTEMPTY;
  }
  std::string held = NewHeldName();
  if (renameat(place.fd(), place.name.c_str(), held_, held.c_str()) != 0) return -errno;
  steps_.push_back({Kind::kRemoved, std::move(place), {}, std::move(held)});
  return 0;
}

int Journal::Rename(const std::string& from, const std::string& to, bool replace) {
  const std::lock_guard lock(mutex_);
  Place old_place;
  Place new_place;
  if (const int error = Find(from, &old_place); error != 0) return error;
  if (const int error = Find(to, &new_place); error != 0) return error;
  struct stat source{};
  struct stat target{};
  if (!Exists(old_place.fd(), old_place.name, &source)) return -ENOENT;
  std::string held;
  if (Exists(new_place.fd(), new_place.name, &target)) {
    if (!replace) return -EEXIST;
    if (source.st_ino == target.st_ino) return 0;
    if (S_ISDIR(source.st_mode) != S_ISDIR(target.st_mode)) {
      return S_ISDIR(target.st_mode) ? -EISDIR : -ENOTDIR;
    }
    if (S_ISDIR(target.st_mode)) {
      const Descriptor inner(
          openat(new_place.fd(), new_place.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!NamesIn(inner.get()).empty()) return -ENOTEMPTY;
    }
    held = NewHeldName();
    if (renameat(new_place.fd(), new_place.name.c_str(), held_, held.c_str()) != 0) return -errno;
  }
  if (renameat(old_place.fd(), old_place.name.c_str(), new_place.fd(), new_place.name.c_str()) !=
      0) {
    const int error = -errno;
    if (!held.empty()) renameat(held_, held.c_str(), new_place.fd(), new_place.name.c_str());
    return error;
  }
  steps_.push_back({Kind::kRenamed, std::move(old_place), std::move(new_place), std::move(held)});
  return 0;
}

// The step is durable: what it removed is gone for good.
void Journal::Settle(const Step& step) {
  if (!step.held.empty()) RemoveTree(held_, step.held);
}

// What has no name any more cannot come back: records of files, and steps in folders, whose removal
// is durable.
void Journal::ForgetUnlinked() {
  steps_.remove_if([&](const Step& step) {
    if (!step.from.directory->IsGone() &&
        (step.kind != Kind::kRenamed || !step.to.directory->IsGone())) {
      return false;
    }
    Settle(step);
    return true;
  });
  std::erase_if(files_, [](const auto& entry) {
    struct stat info{};
    return fstat(entry.second->descriptor.get(), &info) != 0 || info.st_nlink == 0;
  });
}

void Journal::SettleAll() {
  for (const Step& step : steps_) Settle(step);
  steps_.clear();
  ForgetUnlinked();
}

// False when nothing could be given back.
bool Journal::MadeRoom() {
  const bool holds = std::ranges::any_of(steps_, [](const Step& s) { return !s.held.empty(); });
  if (lies_ || !holds) return false;
  SettleAll();
  return true;
}

void Journal::MakeRoom() {
  const std::lock_guard lock(mutex_);
  MadeRoom();
}

void Journal::SyncDirectory(int fd) {
  const std::lock_guard lock(mutex_);
  struct stat info{};
  if (lies_ || fstat(fd, &info) != 0) return;
  if (names_are_journaled_) return SettleAll();
  const auto concerns = [&](const Place& place) {
    return place.directory != nullptr && place.directory->inode == info.st_ino;
  };
  bool removed = false;
  steps_.remove_if([&](const Step& step) {
    if (!concerns(step.from) && !concerns(step.to)) return false;
    Settle(step);
    removed |= !step.held.empty();
    return true;
  });
  if (removed) ForgetUnlinked();
}

void Journal::Lie(bool on) {
  const std::lock_guard lock(mutex_);
  lies_ = on;
}

void Journal::JournalNames(bool on) {
  const std::lock_guard lock(mutex_);
  names_are_journaled_ = on;
}

// ---- taking back

int Journal::TakeBack(const Step& step) {
  switch (step.kind) {
    case Kind::kMade:
      return RemoveTree(step.from.fd(), step.from.name);
    case Kind::kRemoved:
      return Result(renameat(held_, step.held.c_str(), step.from.fd(), step.from.name.c_str()));
    case Kind::kRenamed:
      break;
  }
  if (renameat(step.to.fd(), step.to.name.c_str(), step.from.fd(), step.from.name.c_str()) != 0) {
    return -errno;
  }
  if (step.held.empty()) return 0;
  return Result(renameat(held_, step.held.c_str(), step.to.fd(), step.to.name.c_str()));
}

// Without chance: as it was on disk. With it: each sector either as it was or as it was written,
// the size likewise or one between; what was never written of a longer file is zeros.
int Journal::Restore(const File& file, std::mt19937_64* chance) {
  const int fd = file.descriptor.get();
  const uint64_t shown = SizeOf(fd);
  uint64_t size = file.size;
  const auto heads = [&] { return chance != nullptr && ((*chance)() & 1) == 0; };
  if (heads()) size = shown;
  if (size > file.size && heads()) size = file.size + (*chance)() % (size - file.size + 1);
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return -errno;
  for (const auto& [page, old] : file.pages) {
    for (uint64_t at = 0; at < old.size(); at += kSectorBytes) {
      const uint64_t offset = page * kPageBytes + at;
      if (heads() || offset >= size) continue;
      const uint64_t bytes = std::min({kSectorBytes, old.size() - at, size - offset});
      if (const int error = WriteAll(fd, old.data() + at, bytes, offset); error != 0) return error;
    }
  }
  const std::vector<char> zeros(kSectorBytes);
  for (uint64_t offset = file.size; offset < size;) {
    const uint64_t end = std::min(size, (offset / kSectorBytes + 1) * kSectorBytes);
    if (!heads()) {
      const int error = WriteAll(fd, zeros.data(), end - offset, offset);
      if (error != 0) return error;
    }
    offset = end;
  }
  return 0;
}

int Journal::Drop(std::optional<uint64_t> some, Dropped* dropped) {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 chance(some.value_or(0));
  size_t survive = some ? chance() % (steps_.size() + 1) : 0;
  dropped->names = steps_.size() - survive;
  while (steps_.size() > survive) {
    if (const int error = TakeBack(steps_.back()); error != 0) return error;
    steps_.pop_back();
  }
  SettleAll();
  dropped->files = files_.size();
  for (const auto& [inode, file] : files_) {
    const int error = Restore(*file, some ? &chance : nullptr);
    if (error != 0) return error;
  }
  files_.clear();
  directories_.clear();
  return 0;
}

}  // namespace unsynced
