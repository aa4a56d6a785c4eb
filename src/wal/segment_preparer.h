// SegmentPreparer: keeps segment files ready so that the log writer never waits for one.
//
// A helper thread calls PrepareOne whenever the Wal may have used or released a segment (after each
// roll or CompactTo, or simply every 100 ms). One call does at most one step, the most urgent
// first:
//   1 the next segment: a recycled file, or a new one filled with zeros, gets its block 0, is
//   synced
//     and named <seq>.seg, the directory is synced;
//   2 a released segment is kept as <n>.free, or deleted when there are enough;
//   3 a file filled with zeros is kept as <n>.free until free_segments_min are there.
// Without the helper the writer does step 1 itself when it rolls.
//
// Thread rule: PrepareOne from one helper thread; the rest is the Wal's. Files are never touched
// with the lock held.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "base/random.h"
#include "env/env.h"

namespace arima::wal {

struct SegmentHeader;

// An open segment file, shared by the writer and readers; the file is reused when the last is gone.
struct SegmentFile {
  uint64_t seq = 0;
  uint64_t salt = 0;
  uint64_t bytes = 0;
  std::string path;
  std::unique_ptr<env::File> file;
};

struct SegmentPreparerOptions {
  std::string dir;
  Uuid cluster_id;
  Uuid incarnation;
  uint64_t segment_bytes = 0;
  uint32_t free_segments_min = 0;
  uint32_t free_segments_max = 0;
  std::function<uint64_t()> salt;
};

class SegmentPreparer {
 public:
  // `next_seq`: of the first segment to prepare. `free_files`: numbers of the .free files in `dir`;
  // those of another size are deleted when met.
  SegmentPreparer(env::Env& env, SegmentPreparerOptions options, uint64_t next_seq,
                  const std::vector<uint64_t>& free_files);

  // Ok(true): one step was done, call again. Ok(false): nothing to do. kDiskFull: no space for a
  // new file that leaves `kept_bytes` free; the node stops taking proposals until a later call
  // succeeds. Other errors: nothing acknowledged depends on it, but the writer will fail when it
  // needs the segment.
  Result<bool> PrepareOne(uint64_t kept_bytes = 0);

  // Files that stand ready: the prepared next segment and recycled ones.
  uint32_t ready() const;

  // --- for the Wal, writer thread ---

  // The prepared segment `seq`, at least `bytes_min` long; made now if there is none, which
  // `*made_inline` tells. After an error the same seq may be asked for again.
  Result<std::shared_ptr<SegmentFile>> Take(uint64_t seq, uint64_t bytes_min, bool* made_inline);

  // A segment that is complete when its name appears: both blocks active, `frames` behind them.
  // For creation and recovery. header.segment_bytes and salt are chosen here; `encode` makes the
  // frames for that salt, `frames_bytes` is what it will return.
  Result<std::shared_ptr<SegmentFile>> Build(
      SegmentHeader header, uint64_t frames_bytes,
      const std::function<std::string(const SegmentHeader&)>& encode);

  // A segment that nothing needs any more; readers may still hold it.
  void Release(std::shared_ptr<SegmentFile> segment);

 private:
  struct OpenFile {
    std::string path;
    std::unique_ptr<env::File> file;
    uint64_t bytes = 0;
  };

  Result<std::shared_ptr<SegmentFile>> Prepare(uint64_t seq, uint64_t bytes_min,
                                               uint64_t kept_bytes) EXCLUDES(mutex_);
  // A file of at least `bytes_min`, durable in full, under a .free or .tmp name.
  Result<OpenFile> FreeOrNewFile(uint64_t bytes_min, uint64_t kept_bytes) EXCLUDES(mutex_);
  Result<OpenFile> ReuseFreeFile(uint64_t number) EXCLUDES(mutex_);
  Result<OpenFile> NewZeroFile(uint64_t bytes, uint64_t kept_bytes) EXCLUDES(mutex_);
  Result<std::shared_ptr<SegmentFile>> GiveName(OpenFile file, uint64_t seq, uint64_t salt)
      EXCLUDES(mutex_);
  // Ok(false): no released segment that readers have left.
  Result<bool> RecycleOne() EXCLUDES(mutex_);
  Status AddFreeFile(uint64_t kept_bytes) EXCLUDES(mutex_);
  uint64_t NewNumber() EXCLUDES(mutex_);
  uint64_t NewSalt() EXCLUDES(mutex_);
  std::string Path(const std::string& name) const { return env::JoinPath(options_.dir, name); }

  env::Env& env_;
  const SegmentPreparerOptions options_;

  mutable Mutex mutex_;
  CondVar prepared_changed_;
  uint64_t next_seq_ GUARDED_BY(mutex_);
  uint64_t next_number_ GUARDED_BY(mutex_) = 1;               // of .free files
  bool preparing_ GUARDED_BY(mutex_) = false;                 // somebody makes segment next_seq_
  std::shared_ptr<SegmentFile> prepared_ GUARDED_BY(mutex_);  // if set, it is next_seq_
  std::deque<uint64_t> free_ GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<SegmentFile>> released_ GUARDED_BY(mutex_);
};

}  // namespace arima::wal
