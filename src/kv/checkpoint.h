// Reading what Engine::Checkpoint made, or what a snapshot brought: a directory with a database
// that nobody has open. Nothing here changes a byte of it.
//
// Thread rule: pure functions of the directory, any thread; all of them may block on the disk.
// Errors: kNotFound (no database there), kCorruption, kNotSupported, kIo; the message names the
// file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kv/state_machine.h"

namespace arima::kv {

// "rocksdb" and the version of the library, e.g. "7.8.3": who wrote, or can read, a database.
std::string_view EngineName();
std::string EngineVersion();

// Opens the database without changing it and returns its applied state: the only source of what a
// checkpoint is a checkpoint of.
Result<AppliedState> ReadCheckpoint(const std::string& dir);

// Reads every block of every table and compares checksums. `step` (may be null) is told after each
// table how many bytes it had; an error from it ends the check and is returned.
Status VerifyCheckpointTables(const std::string& dir,
                              const std::function<Status(uint64_t bytes)>& step = nullptr);

}  // namespace arima::kv
