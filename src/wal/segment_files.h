// What lies in the log directory: names, segment headers and which of them are sound.
//
// Reads only; changes nothing on disk. Used at start by one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "env/env.h"
#include "wal/format.h"
#include "wal/wal.h"

namespace arima::wal {

struct FoundSegment {
  enum class State : uint8_t {
    kActive,    // `header` is the active one
    kPrepared,  // only block 0, of kind prepared: no frames, or the first write never finished
    kDamaged,   // `problem` says why
  };
  uint64_t seq = 0;
  std::string path;
  uint64_t file_bytes = 0;
  State state = State::kDamaged;
  SegmentHeader header;
  std::string problem;
};

struct FoundFiles {
  std::vector<FoundSegment> segments;  // ascending seq
  std::vector<uint64_t> free_files;    // numbers
  std::vector<std::string> temporary;  // paths
  std::optional<std::string> poison;   // path
};

// kNotFound: no such directory. kConflict: a segment belongs to another cluster or incarnation.
// kNotSupported: a segment of a newer format.
Result<FoundFiles> FindFiles(env::Env& env, const WalOptions& options);

// The header of the newest segment that has a sound one, whoever it belongs to. kNotFound: there is
// no segment. kCorruption: none has a sound header. kNotSupported: as above.
Result<SegmentHeader> ReadNewestHeader(env::Env& env, const std::string& dir);

}  // namespace arima::wal
