// EntryIndex: where on disk each retained entry lies, and of which term it is.
//
// 4 bytes per entry (offset / 8 within its segment); the retained log is a sequence of runs, one
// per segment, oldest first. The writer changes it in one step per append, after the bytes are
// written; readers copy what they need of it and read files without the lock. A segment's file is
// kept open until it was taken out here and the last reader has let go.
//
// Thread rule: any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "raft/types.h"
#include "wal/log_state.h"
#include "wal/segment_preparer.h"
#include "wal/wal.h"

namespace arima::wal {

// One step of a change.
struct IndexChange {
  enum class Kind : uint8_t { kAppend, kReset, kTruncatePrefix };
  Kind kind = Kind::kAppend;
  raft::EntryId id;     // of the entry, or the new snapshot point
  uint64_t offset = 0;  // of the entry's record in the newest segment
};

// Where some consecutive entries lie: all in one segment, starts ascending.
struct EntryPlaces {
  std::shared_ptr<SegmentFile> segment;
  raft::Index first;
  std::vector<uint64_t> offsets;
  std::vector<raft::Term> terms;
  uint64_t end = 0;  // no byte of these entries lies at or beyond
};

class EntryIndex {
 public:
  // An empty log at the snapshot point, without segments.
  void Start(raft::EntryId snapshot) EXCLUDES(mutex_);
  // The next segment, newer than all; entries appended from now on lie in it.
  void AddSegment(std::shared_ptr<SegmentFile> segment) EXCLUDES(mutex_);

  // Applies the changes in order, at once. `end`: where the newest segment's frames end now. With
  // `segment`, as AddSegment before.
  void Apply(std::span<const IndexChange> changes, uint64_t end,
             std::shared_ptr<SegmentFile> segment = nullptr) EXCLUDES(mutex_);
  void TruncatePrefix(raft::EntryId snapshot) EXCLUDES(mutex_);

  // Takes out the oldest segments that hold no retained entry; never the newest.
  std::vector<std::shared_ptr<SegmentFile>> TakeUnused() EXCLUDES(mutex_);

  // Entries from `low` on, below `high`, of one segment, at most about `span_bytes` apart but at
  // least one. Empty: the log ends before `low`. kCompacted: `low` is not above the snapshot point.
  Result<EntryPlaces> Find(raft::Index low, raft::Index high, uint64_t span_bytes) const
      EXCLUDES(mutex_);

  // The lowest index from which on the entries take about `bytes` on disk.
  raft::Index TailStart(uint64_t bytes) const EXCLUDES(mutex_);

  TermRuns terms() const EXCLUDES(mutex_);
  // See Wal::Segments.
  std::vector<SegmentSpan> Spans() const EXCLUDES(mutex_);
  uint64_t segments() const EXCLUDES(mutex_);
  uint64_t segment_bytes() const EXCLUDES(mutex_);

 private:
  struct Run {
    std::shared_ptr<SegmentFile> segment;
    raft::Index first;             // of the first offset; meaningless while there is none
    std::deque<uint32_t> offsets;  // record offset / 8
    uint64_t end = 0;

    raft::Index limit() const { return first + offsets.size(); }  // one past its last entry
  };

  void DropFrom(raft::Index index) REQUIRES(mutex_);
  void DropThrough(raft::Index index) REQUIRES(mutex_);
  void CheckRuns() const REQUIRES(mutex_);

  mutable Mutex mutex_;
  TermRuns terms_ GUARDED_BY(mutex_);
  std::deque<Run> runs_ GUARDED_BY(mutex_);
};

}  // namespace arima::wal
