// Nothing here retries a failed operation; only EINTR and short counts, which are not failures, are
// continued. A descriptor is closed exactly once, by Descriptor; the result of close is ignored
// because everything that matters was synced before, and a repeated close could hit a reused
// number. Locks are flock(2): they belong to the open file, so two holders in one process exclude
// each other.

#include "env/posix_env.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace arima::env {
namespace {

// O_DIRECT wants offset, length and memory aligned to the logical block; 4 KiB satisfies all disks.
constexpr uint64_t kDirectAlign = 4096;
constexpr size_t kDirectBufferBytes = 1 << 20;
constexpr size_t kPartsPerCall = 64;  // of pwritev; IOV_MAX is 1024 on Linux

std::unexpected<Error> SystemError(const char* what, const std::string& path, int error) {
  Code code = Code::kIo;
  if (error == ENOENT) code = Code::kNotFound;
  if (error == EEXIST || error == ENOTEMPTY) code = Code::kAlreadyExists;
  if (error == ENOSPC || error == EDQUOT) code = Code::kDiskFull;
  if (error == EWOULDBLOCK) code = Code::kConflict;
  std::array<char, 256> text{};
  return Fail(code,
              std::string(what) + " " + path + ": " + strerror_r(error, text.data(), text.size()));
}

template <class Call>
auto Repeat(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct FreeMemory {
  void operator()(char* p) const { std::free(p); }
};

class PosixFile final : public File {
 public:
  PosixFile(std::string path, Descriptor fd, bool direct)
      : path_(std::move(path)), fd_(std::move(fd)), direct_(direct) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t size) override {
    return direct_ ? ReadDirect(offset, out, size) : ReadPlain(offset, out, size);
  }

  Status WriteAt(uint64_t offset, std::span<const std::string_view> parts) override;

  Status Sync() override {
    if (Repeat([&] { return ::fdatasync(fd_.get()); }) != 0) {
      return SystemError("sync", path_, errno);
    }
    return {};
  }

  Status Allocate(uint64_t size) override;

  Result<uint64_t> Size() override {
    struct stat info{};
    if (::fstat(fd_.get(), &info) != 0) return SystemError("stat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  Status Truncate(uint64_t size) override {
    if (Repeat([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }) != 0) {
      return SystemError("truncate", path_, errno);
    }
    return {};
  }

 private:
  Result<size_t> ReadPlain(uint64_t offset, char* out, size_t size);
  Result<size_t> ReadDirect(uint64_t offset, char* out, size_t size);

  const std::string path_;
  const Descriptor fd_;
  const bool direct_;
};

Result<size_t> PosixFile::ReadPlain(uint64_t offset, char* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = Repeat([&] {
      return ::pread(fd_.get(), out + done, size - done, static_cast<off_t>(offset + done));
    });
    if (got < 0) return SystemError("read", path_, errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<size_t> PosixFile::ReadDirect(uint64_t offset, char* out, size_t size) {
  std::unique_ptr<char, FreeMemory> buffer(
      static_cast<char*>(std::aligned_alloc(kDirectAlign, kDirectBufferBytes)));
  if (buffer == nullptr) return SystemError("read", path_, ENOMEM);
  size_t done = 0;
  while (done < size) {
    // The aligned window that covers the next wanted byte.
    const uint64_t start = (offset + done) / kDirectAlign * kDirectAlign;
    const uint64_t skip = offset + done - start;
    const uint64_t wanted = (skip + size - done + kDirectAlign - 1) / kDirectAlign * kDirectAlign;
    const size_t window = std::min<uint64_t>(wanted, kDirectBufferBytes);
    ssize_t got =
        Repeat([&] { return ::pread(fd_.get(), buffer.get(), window, static_cast<off_t>(start)); });
    if (got < 0) return SystemError("read", path_, errno);
    if (static_cast<uint64_t>(got) <= skip) break;
    const size_t useful = std::min(static_cast<size_t>(got) - skip, size - done);
    std::memcpy(out + done, buffer.get() + skip, useful);
    done += useful;
  }
  return done;
}

Status PosixFile::WriteAt(uint64_t offset, std::span<const std::string_view> parts) {
  size_t part = 0;
  size_t skip = 0;  // bytes of parts[part] already written
  while (part < parts.size()) {
    std::array<iovec, kPartsPerCall> vectors{};
    size_t count = 0;
    for (size_t i = part; i < parts.size() && count < vectors.size(); ++i) {
      const std::string_view rest = parts[i].substr(i == part ? skip : 0);
      // writev takes non-const memory only by signature.
      vectors[count++] = {const_cast<char*>(rest.data()), rest.size()};
    }
    ssize_t wrote = Repeat([&] {
      return ::pwritev(fd_.get(), vectors.data(), static_cast<int>(count),
                       static_cast<off_t>(offset));
    });
    if (wrote < 0) return SystemError("write", path_, errno);
    offset += static_cast<uint64_t>(wrote);
    size_t advance = static_cast<size_t>(wrote);
    while (part < parts.size() && advance >= parts[part].size() - skip) {
      advance -= parts[part].size() - skip;
      ++part;
      skip = 0;
    }
    skip += advance;
  }
  return {};
}

// posix_fallocate writes to each block where the file system cannot do better.
Status PosixFile::Allocate(uint64_t size) {
  int error = EINTR;
  while (error == EINTR) error = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(size));
  if (error != 0) return SystemError("allocate", path_, error);
  return {};
}

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;
};

int FlagsOf(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadUncached:
      return O_RDONLY | O_DIRECT;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::kCreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kCreateTruncate:
      return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

Descriptor OpenFlags(const std::string& path, int flags) {
  return Descriptor(Repeat([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0640); }));
}

// Some file systems accept O_DIRECT at open and refuse the read.
bool DirectReadWorks(const Descriptor& fd) {
  std::unique_ptr<char, FreeMemory> buffer(
      static_cast<char*>(std::aligned_alloc(kDirectAlign, kDirectAlign)));
  if (buffer == nullptr) return false;
  return Repeat([&] { return ::pread(fd.get(), buffer.get(), kDirectAlign, 0); }) >= 0 ||
         errno != EINVAL;
}

}  // namespace

Result<std::unique_ptr<File>> PosixEnv::Open(const std::string& path, OpenMode mode) {
  Descriptor fd = OpenFlags(path, FlagsOf(mode));
  if (fd.get() < 0 && !(mode == OpenMode::kReadUncached && errno == EINVAL)) {
    return SystemError("open", path, errno);
  }
  if (mode != OpenMode::kReadUncached) {
    return std::make_unique<PosixFile>(path, std::move(fd), false);
  }
  if (fd.get() >= 0 && DirectReadWorks(fd)) {
    return std::make_unique<PosixFile>(path, std::move(fd), true);
  }
  Descriptor plain = OpenFlags(path, O_RDONLY);
  if (plain.get() < 0) return SystemError("open", path, errno);
  // Advice only: where it is not taken, reads may come from the cache.
  ::posix_fadvise(plain.get(), 0, 0, POSIX_FADV_DONTNEED);
  return std::make_unique<PosixFile>(path, std::move(plain), false);
}

Result<FileInfo> PosixEnv::Stat(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return SystemError("stat", path, errno);
  return FileInfo{static_cast<uint64_t>(info.st_size), S_ISDIR(info.st_mode)};
}

Status PosixEnv::Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return SystemError("rename", from + " to " + to, errno);
  }
  return {};
}

Status PosixEnv::Unlink(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return SystemError("unlink", path, errno);
  return {};
}

Status PosixEnv::MakeDir(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) != 0) return SystemError("make directory", path, errno);
  return {};
}

Status PosixEnv::RemoveDir(const std::string& path) {
  if (::rmdir(path.c_str()) != 0) return SystemError("remove directory", path, errno);
  return {};
}

Result<std::vector<std::string>> PosixEnv::List(const std::string& dir) {
  struct CloseDir {
    void operator()(DIR* d) const { ::closedir(d); }
  };
  std::unique_ptr<DIR, CloseDir> stream(::opendir(dir.c_str()));
  if (stream == nullptr) return SystemError("list", dir, errno);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0) return SystemError("list", dir, errno);
  std::sort(names.begin(), names.end());
  return names;
}

Status PosixEnv::SyncDir(const std::string& dir) {
  Descriptor fd = OpenFlags(dir, O_RDONLY | O_DIRECTORY);
  if (fd.get() < 0) return SystemError("open directory", dir, errno);
  if (Repeat([&] { return ::fsync(fd.get()); }) != 0) {
    return SystemError("sync directory", dir, errno);
  }
  return {};
}

Result<std::unique_ptr<FileLock>> PosixEnv::Lock(const std::string& path) {
  Descriptor fd = OpenFlags(path, O_RDWR | O_CREAT);
  if (fd.get() < 0) return SystemError("open", path, errno);
  if (Repeat([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
    return SystemError("lock", path, errno);
  }
  return std::make_unique<PosixLock>(std::move(fd));
}

Result<DiskSpace> PosixEnv::Space(const std::string& dir) {
  struct statvfs info{};
  if (Repeat([&] { return ::statvfs(dir.c_str(), &info); }) != 0) {
    return SystemError("read free space of", dir, errno);
  }
  return DiskSpace{static_cast<uint64_t>(info.f_bavail) * info.f_frsize,
                   static_cast<uint64_t>(info.f_blocks) * info.f_frsize};
}

}  // namespace arima::env
