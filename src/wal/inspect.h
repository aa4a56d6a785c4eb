// Looking at a raft log without touching it: for people who want to know what lies there, on a
// stopped node or on a copy of its directory. Nothing is changed, recycled or repaired.
//
// What is sound is decided by CheckLog, which is recovery up to the point where it would begin to
// write; WalkLog shows the segments as they lie on disk. A log that is being written meanwhile may
// look damaged: the caller sees to it that no node runs. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "env/env.h"
#include "raft/types.h"
#include "wal/format.h"
#include "wal/frame.h"
#include "wal/segment_files.h"
#include "wal/wal.h"

namespace arima::wal {

// The options under which the log in `dir` can be read: cluster and incarnation are those of its
// newest segment with a sound header. kNotFound: there is no log. kCorruption: no segment has a
// sound header.
Result<WalOptions> OptionsOfLog(env::Env& env, const std::string& dir);

// How a segment reads from its first frame on.
struct SegmentSummary {
  uint64_t frames = 0;
  uint64_t entries = 0;
  raft::Index first;  // of its entries, as they stand: later segments may replace or cut them
  raft::Index last;
  uint64_t end = kFirstFrameOffset;  // behind the last whole frame
  // Where the segment behind it says that it ends; empty if none says so.
  std::optional<uint64_t> sealed;
  // Why it does not read up to `sealed`, or why there is nothing to read. Empty otherwise.
  std::string problem;
};

// Each may be empty.
struct LogVisitor {
  std::function<void(const FoundSegment&)> segment = {};
  std::function<void(const Frame&)> frame = {};
  std::function<void(const Record&, uint64_t offset)> record = {};
  std::function<void(const FoundSegment&, const SegmentSummary&)> segment_end = {};
};

// Visits all segments, oldest first, also those that are prepared or damaged. An error only if
// files cannot be read or belong to another log.
Status WalkLog(env::Env& env, const WalOptions& options, const LogVisitor& visitor);

// Ok: a start would accept this log; `*out` says what it would find, without `tail`. Errors as
// Wal::Open, and likewise in `*out`.
Status CheckLog(env::Env& env, const WalOptions& options, RecoveredLog* out);

}  // namespace arima::wal
