// Limits of the public contract (docs/design/http-api.md 2.1), in bytes.
#pragma once

#include <cstdint>

namespace arima::service {

inline constexpr uint64_t kKeyBytesMax = 4 << 10;
inline constexpr uint64_t kValueBytesMaxDefault = 1536 << 10;  // --max-value-bytes
inline constexpr uint64_t kValueBytesMaxCeiling = 8 << 20;
inline constexpr uint64_t kBodyBytesMax = 16 << 20;  // --max-body-bytes
inline constexpr uint64_t kCommandBytesMax = 12 << 20;
inline constexpr uint64_t kRequestHeadBytesMax = 32 << 10;
inline constexpr uint64_t kRequestTargetBytesMax = 16 << 10;

}  // namespace arima::service
