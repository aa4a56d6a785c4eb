// Making a log and finding one again: everything that happens before the first Append.
//
// docs/design/raft.md 4.6, R1 to R6 and the copying of 4.7; FORMAT.md "Reading it back". One
// thread.
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "env/env.h"
#include "wal/entry_index.h"
#include "wal/frame.h"
#include "wal/log_state.h"
#include "wal/segment_preparer.h"
#include "wal/wal.h"

namespace arima::wal {

// What the writer goes on from. All of it is durable, and attested by the active segment's header.
struct OpenLog {
  std::unique_ptr<SegmentPreparer> preparer;
  std::unique_ptr<EntryIndex> index;
  std::shared_ptr<SegmentFile> active;
  FrameCursor cursor;  // of the next frame in it
  LogState state;
};

// kInvalidArgument names the option that is out of range.
Status CheckOptions(const WalOptions& options);

Result<OpenLog> CreateLog(env::Env& env, const WalOptions& options, raft::EntryId snapshot_point,
                          const raft::HardState& hard_state);
// What RecoverLog does before it changes anything, and its verdict; `out->tail` stays empty.
Status ExamineLog(env::Env& env, const WalOptions& options, RecoveredLog* out);
Result<OpenLog> RecoverLog(env::Env& env, const WalOptions& options, RecoveredLog* out);

}  // namespace arima::wal
