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
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "base/random.h"
#include "env/env.h"

namespace arima::wal {

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
  std::function<uint64_t()> salt;  // called under the lock, from either thread
};

class SegmentPreparer {
 public:
  // `next_seq`: of the first segment to prepare. `free_files`: names in `dir` that may be reused.
  SegmentPreparer(env::Env& env, SegmentPreparerOptions options, uint64_t next_seq,
                  std::vector<std::string> free_files);

  // Ok(true): one step was done, call again. Ok(false): nothing to do. kDiskFull: no space for a
  // new file; the node stops taking proposals until a later call succeeds. Other errors: as
  // kDiskFull, nothing acknowledged depends on it, but the writer will fail when it needs the
  // segment.
  Result<bool> PrepareOne();

  // Files that stand ready: the prepared next segment and recycled ones.
  uint32_t ready() const;

  // --- for the Wal, writer thread ---

  // The prepared segment `seq`, at least `bytes_min` long; made now if there is none.
  // `*inline_made` tells which. Calls follow in ascending seq.
  Result<std::shared_ptr<SegmentFile>> Take(uint64_t seq, uint64_t bytes_min, bool* inline_made);
  // A segment that nothing needs any more; readers may still hold it.
  void Release(std::shared_ptr<SegmentFile> segment);

 private:
  Result<std::shared_ptr<SegmentFile>> Prepare(uint64_t seq, uint64_t bytes) EXCLUDES(mutex_);
  Result<std::string> TakeFreeOrMake(uint64_t bytes) EXCLUDES(mutex_);
  Result<std::string> MakeZeroFile(uint64_t bytes) EXCLUDES(mutex_);
  Result<bool> RecycleOne() EXCLUDES(mutex_);
  std::string NewName(const char* suffix) REQUIRES(mutex_);

  env::Env& env_;
  const SegmentPreparerOptions options_;

  mutable Mutex mutex_;
  CondVar prepared_changed_;
  uint64_t next_seq_ GUARDED_BY(mutex_);
  uint64_t next_name_ GUARDED_BY(mutex_) = 1;
  bool preparing_ GUARDED_BY(mutex_) = false;                 // somebody is at step 1 for next_seq_
  std::shared_ptr<SegmentFile> prepared_ GUARDED_BY(mutex_);  // has seq == next_seq_
  std::vector<std::string> free_ GUARDED_BY(mutex_);          // paths of files of segment_bytes
  std::deque<std::shared_ptr<SegmentFile>> released_ GUARDED_BY(mutex_);
};

}  // namespace arima::wal
