// VisibleDigest: what the readers of a state machine can see, as one number. Nodes drop history
// each in its own time, so the contents of their engines differ (FORMAT.md section 6); what they
// can be asked for does not.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "kv/engine.h"

namespace arima::kv {

// Covers the `m` record, the state at the compaction revision and every version after it, with its
// `d` entry: equal for state machines that give equal answers. kCorruption names what does not fit
// together. Reads it all; for tests and tools, on an engine that nobody writes to meanwhile.
Result<uint64_t> VisibleDigest(const Engine& engine);

}  // namespace arima::kv
