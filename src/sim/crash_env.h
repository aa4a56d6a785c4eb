// CrashEnv: the disk of a simulated process that may die, or be told an error, at any operation.
//
// Passes everything through to a MemEnv and counts what changes it. StopAfter(n) is a death n
// operations from now: the write at which it comes is done in part, everything later not at all,
// and answers kIo, which nobody lives to see. What of all that was not synced then survives is
// decided by MemEnv::PowerLoss, or everything does if only the process died. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "env/mem_env.h"

namespace arima::sim {

class CrashEnv final : public env::Env {
 public:
  CrashEnv(env::MemEnv* files, uint64_t seed) : files_(*files), random_(seed) {}

  // The next `operations` changing operations are done; the process dies in the one after them.
  void StopAfter(uint64_t operations);
  // A new process. Returns whether the old one was stopped.
  bool Resume();
  bool stopped() const { return stopped_; }

  // Errors that a process lives to see, each once: the next write or sync of a file, the nth read
  // from now. A failed write is done in part. A failed sync was done, or all that is not synced is
  // lost though it can still be read, as on Linux.
  void FailNextWrite() { fail_write_ = true; }
  void FailNextSync() { fail_sync_ = true; }
  void FailRead(uint64_t nth) { fail_read_ = nth; }
  void ClearFailures();
  // Errors given so far, those after a stop not counted.
  uint64_t failures() const { return failures_; }

  // The last write that was done in full: which file, and where it ended.
  struct Written {
    std::shared_ptr<const std::string> path;  // follows the file when it is renamed
    uint64_t end = 0;
  };
  const Written& last_write() const { return last_write_; }
  // Writes so far that began behind the begin of their file.
  uint64_t appends() const { return appends_; }

  Result<std::unique_ptr<env::File>> Open(const std::string& path, env::OpenMode mode) override;
  Result<env::FileInfo> Stat(const std::string& path) override { return files_.Stat(path); }
  Status Rename(const std::string& from, const std::string& to) override;
  Status Unlink(const std::string& path) override;
  Status MakeDir(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& dir) override {
    return files_.List(dir);
  }
  Status SyncDir(const std::string& dir) override;
  Result<std::unique_ptr<env::FileLock>> Lock(const std::string& path) override {
    return files_.Lock(path);
  }
  Result<env::DiskSpace> Space(const std::string& dir) override { return files_.Space(dir); }

 private:
  friend class CrashFile;
  // Counts a changing operation; false if the process does not live to do it.
  bool Proceed();

  env::MemEnv& files_;
  SeededRandom random_;
  bool stopping_ = false;
  bool stopped_ = false;
  uint64_t operations_left_ = 0;
  bool fail_write_ = false;
  bool fail_sync_ = false;
  uint64_t fail_read_ = 0;
  uint64_t failures_ = 0;
  uint64_t appends_ = 0;
  Written last_write_;
  std::map<std::string, std::shared_ptr<std::string>> names_;  // of files that were opened
};

}  // namespace arima::sim
