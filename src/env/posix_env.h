// Env on the operating system's file system.
//
// kReadUncached opens with O_DIRECT, reads through an aligned bounce buffer, and falls back to a
// plain read after posix_fadvise(DONTNEED) where the file system refuses (tmpfs, overlays).
// Interrupted calls are repeated; short reads and writes are continued. Any thread.
#pragma once

#include "env/env.h"

namespace arima::env {

class PosixEnv final : public Env {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<FileInfo> Stat(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Unlink(const std::string& path) override;
  Status MakeDir(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& dir) override;
  Status SyncDir(const std::string& dir) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<DiskSpace> Space(const std::string& dir) override;
};

}  // namespace arima::env
