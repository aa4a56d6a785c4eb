// The one checksum of Arima: XXH3-64, for log frames, wire frames, entries and files.
#pragma once

#include <cstdint>
#include <string_view>

namespace arima {

uint64_t Checksum64(std::string_view bytes, uint64_t seed = 0);

// The low 32 bits, where a field has 4 bytes.
inline uint32_t Checksum32(std::string_view bytes, uint64_t seed = 0) {
  return static_cast<uint32_t>(Checksum64(bytes, seed));
}

}  // namespace arima
