// Amounts as people write them: 64MiB, 1.5MiB, 250ms, 5s.
//
// Used by the option table (flags, environment, file) and by query parameters of the HTTP API, so
// that one spelling works everywhere. Sizes are in bytes, durations in milliseconds. A unit is
// required except for 0: a bare number would have to be guessed. Fractions are taken when they
// come out even (1.5s is 1500 ms; 0.5ms is refused). Errors: kInvalidArgument. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace arima {

// B, KiB, MiB, GiB, TiB (powers of 1024) and kB, MB, GB, TB (powers of 1000).
Result<uint64_t> ParseBytes(std::string_view text);
// ms, s, m, h.
Result<uint64_t> ParseDurationMs(std::string_view text);
// Decimal digits only, no sign, no space.
Result<uint64_t> ParseNumber(std::string_view text);

// The shortest exact spelling with a power of 1024: "1536KiB", "64MiB", "17B".
std::string FormatBytes(uint64_t bytes);
// The largest unit that comes out even: "400ms", "5s", "90s", "2m".
std::string FormatDurationMs(uint64_t ms);

}  // namespace arima
