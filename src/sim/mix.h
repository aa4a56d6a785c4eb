// Mix: folds a number into a 64-bit hash. For checkers and digests of the simulator; not for bytes
// on disk. Never returns 0, so that 0 can mean "nothing yet".
#pragma once

#include <cstdint>

namespace arima::sim {

inline uint64_t Mix(uint64_t hash, uint64_t value) {
  uint64_t z = (hash ^ value) + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 32)) * 0xD6E8FEB86659FD93u;
  z = (z ^ (z >> 29)) * 0xD6E8FEB86659FD93u;
  z ^= z >> 32;
  return z == 0 ? 1 : z;
}

// The seed of one subject of a run.
inline uint64_t Split(uint64_t seed, uint64_t subject) { return Mix(Mix(1, seed), subject); }

}  // namespace arima::sim
