// The file system as Arima sees it: the one door to files, so that tests and the simulator can
// stand behind it (mem_env.h, fault_env.h) and production runs on posix_env.h.
//
// Promises, the same for every implementation:
// - Bytes given to WriteAt are readable at once through any handle, and durable (they survive a
//   loss of power) when a later Sync of that file has returned ok. Between the two, any subset of
//   the written 512-byte sectors may reach the disk, in any order.
// - A name made, moved or removed is durable when a later SyncDir of its directory has returned ok.
//   Rename replaces the target atomically. Sync of a file does not make its name durable.
// - A failed Sync means: what was written since the last good Sync may be gone although it can
//   still be read. Repeating Sync repairs nothing (after an error the kernel may count lost pages
//   as clean); the caller gives up on the file.
// - Errors: kNotFound, kAlreadyExists, kDiskFull (space or quota), kConflict (lock held elsewhere),
//   kIo for the rest; the message names operation and path.
//
// Paths use '/'; the parent directory must exist. Handles must not outlive their Env.
// Thread rule: Env and every File may be used from any thread at once. Writers of the same bytes
// must agree among themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace arima::env {

// The unit that a disk writes as a whole.
inline constexpr uint64_t kSectorBytes = 512;

enum class OpenMode : uint8_t {
  kRead,            // must exist
  kReadUncached,    // must exist; reads come from the disk, past the page cache, where possible
  kReadWrite,       // must exist
  kCreate,          // made if it does not exist
  kCreateNew,       // must not exist
  kCreateTruncate,  // made, or emptied
};

// One open file. Destruction closes it and syncs nothing.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `size` bytes at `offset` into `out`; fewer only where the file ends.
  virtual Result<size_t> ReadAt(uint64_t offset, char* out, size_t size) = 0;

  // Writes the parts one after another from `offset` on, all of them or an error; after an error
  // any part of the bytes may have been written. A gap behind the old end reads as zeros.
  virtual Status WriteAt(uint64_t offset, std::span<const std::string_view> parts) = 0;

  // Everything written so far, and the size, become durable (fdatasync).
  virtual Status Sync() = 0;

  // Claims the disk space of the first `size` bytes; those beyond the end read as zeros. kDiskFull:
  // it is not there, and some of it may have been taken.
  virtual Status Allocate(uint64_t size) = 0;

  virtual Result<uint64_t> Size() = 0;
  virtual Status Truncate(uint64_t size) = 0;

  Status WriteAt(uint64_t offset, std::string_view bytes) { return WriteAt(offset, {&bytes, 1}); }
  // Writes at the end. One appender at a time.
  Status Append(std::string_view bytes);
  // Reads [offset, offset + size) whole; kCorruption if the file ends before.
  Result<std::string> Read(uint64_t offset, size_t size);
};

// Held until destroyed, or until the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct FileInfo {
  uint64_t bytes = 0;
  bool is_dir = false;
};

struct DiskSpace {
  uint64_t free_bytes = 0;  // that a process without privileges may still use
  uint64_t total_bytes = 0;
};

class Env {
 public:
  virtual ~Env() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual Result<FileInfo> Stat(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Unlink(const std::string& path) = 0;

  virtual Status MakeDir(const std::string& path) = 0;
  virtual Status RemoveDir(const std::string& path) = 0;  // must be empty
  // Names in the directory, sorted, without "." and "..".
  virtual Result<std::vector<std::string>> List(const std::string& dir) = 0;
  virtual Status SyncDir(const std::string& dir) = 0;

  // Exclusive lock on the file, made if needed; kConflict at once if another holder, in this
  // process or another, has it. The file stays when the lock goes.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;

  // Of the file system of `dir`.
  virtual Result<DiskSpace> Space(const std::string& dir) = 0;
  Result<uint64_t> FreeBytes(const std::string& dir) {
    auto space = Space(dir);
    if (!space) return std::unexpected(space.error());
    return space->free_bytes;
  }
};

// ---------------------------------------------------------------- helpers on any Env

std::string JoinPath(std::string_view dir, std::string_view name);
std::string ParentDir(std::string_view path);  // "." if there is none

Result<bool> Exists(Env& env, const std::string& path);

// The whole file; kTooLarge above `bytes_max`.
Result<std::string> ReadFile(Env& env, const std::string& path, uint64_t bytes_max);

// The file holds either its old or the new bytes, whatever happens; when it returns ok the new
// bytes are durable. Writes `path`.tmp, syncs, renames, syncs the directory.
Status WriteFileAtomically(Env& env, const std::string& path, std::string_view bytes);

// Allocates and initialises [from, to) by writing zeros in steps of 1 MiB, so that later syncs of
// writes in that range need no metadata. Not synced.
Status WriteZeros(File& file, uint64_t from, uint64_t to);

// MakeDir with all missing parents, each made durable. One that exists is made durable, too, unless
// its parent may not be read: a process may have died between making it and syncing its name, or
// somebody made it who never syncs.
Status MakeDirs(Env& env, const std::string& path);

// Removes the file or directory with all that is in it; ok if it does not exist. Not synced. Once
// `stop`, asked before each file, says true: kUnavailable, and the rest stays.
Status RemoveTree(Env& env, const std::string& path, const std::function<bool()>& stop = nullptr);

}  // namespace arima::env
