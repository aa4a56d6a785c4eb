// FaultEnv: stands in front of another Env and makes chosen operations fail.
//
// A fault names an operation, which call of it (counted from the moment of Inject) and what
// happens. Everything else passes through, so FaultEnv over MemEnv gives exact crashes and FaultEnv
// over PosixEnv a sick real disk. An observer sees each changing operation before it is done: that
// is where crash enumeration takes its copies.
//
// Thread rule: any thread; the observer is called on the thread of the operation, without a lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "env/env.h"

namespace arima::env {

enum class Op : uint8_t {
  kOpen,
  kCreate,  // an Open that may make or empty the file
  kRead,
  kWrite,  // and Truncate
  kSync,
  kRename,
  kUnlink,  // and RemoveDir
  kMakeDir,
  kSyncDir,
};
inline constexpr size_t kOpCount = 9;

enum class FaultKind : uint8_t {
  kError,      // kIo; nothing is done
  kDiskFull,   // kDiskFull; nothing is done
  kTornWrite,  // a random subset of the write's sectors is done, then kIo
  kFlipBit,    // done, with one bit of the data changed, silently (reads and writes)
  kDoneError,  // done, but reported as kIo
};

struct Fault {
  Op op = Op::kWrite;
  uint64_t nth = 1;  // 1 = the next matching call
  FaultKind kind = FaultKind::kError;
  bool lasting = false;        // all later matching calls too
  std::string path_part = {};  // only paths that contain this
};

class FaultEnv final : public Env {
 public:
  // `base` must outlive this and its handles. `seed` decides about torn sectors and flipped bits.
  FaultEnv(Env& base, uint64_t seed);

  void Inject(Fault fault);
  void ClearFaults();
  // While on, everything that would use new space answers kDiskFull.
  void SetDiskFull(bool full);
  // What Space answers from now on, until it is set to nothing. Writes are not affected.
  void SetSpace(std::optional<DiskSpace> space);
  // While on, kReadUncached is served from the cache, as by file systems without direct reads.
  void SetCachedReadsOnly(bool on);
  // Called before each operation that changes something (all but kOpen and kRead).
  void SetObserver(std::function<void(Op op, const std::string& path)> observer);
  // Calls so far.
  uint64_t count(Op op) const;

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

 private:
  friend class FaultFile;
  struct Verdict {
    bool faulty = false;
    FaultKind kind = FaultKind::kError;
    uint64_t random = 0;
  };
  // Counts the call, tells the observer, and says whether it is to fail.
  Verdict Begin(Op op, const std::string& path) EXCLUDES(mutex_);
  // Begin, act, and turn the verdict into a result; for operations without data.
  Status Run(Op op, const std::string& path, const std::function<Status()>& act) EXCLUDES(mutex_);
  bool disk_full() const EXCLUDES(mutex_);

  Env& base_;
  mutable Mutex mutex_;
  SeededRandom random_ GUARDED_BY(mutex_);
  std::vector<Fault> faults_ GUARDED_BY(mutex_);
  std::array<uint64_t, kOpCount> counts_ GUARDED_BY(mutex_){};
  bool disk_full_ GUARDED_BY(mutex_) = false;
  std::optional<DiskSpace> space_ GUARDED_BY(mutex_);
  bool cached_reads_only_ GUARDED_BY(mutex_) = false;
  std::function<void(Op, const std::string&)> observer_ GUARDED_BY(mutex_);
};

}  // namespace arima::env
