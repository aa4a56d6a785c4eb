// The payload of a Conf entry: a ConfChange as bytes. It lives here because the core itself writes
// the entry when a change is proposed and reads it when the entry commits; the format is the one
// that codec/conf_codec.h describes, version 1.
//
// Pure functions, any thread. Decode takes any bytes; kNotSupported for an unknown version,
// kCorruption for everything else that is wrong.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "raft/conf_change.h"

namespace arima::raft {

inline constexpr size_t kConfItemsMax = 256;
inline constexpr size_t kConfContextMax = 64 << 10;

std::string EncodeConfPayload(const ConfChange& change);
Result<ConfChange> DecodeConfPayload(std::string_view bytes);

}  // namespace arima::raft
