// Chance comes in through here only. SeededRandom is deterministic (splitmix64: Steele, Lea,
// Flood 2014) and the same on every platform; SystemRandom* draws from the kernel and is used where
// identities are made (cluster id, incarnation, salts, seeds).
#pragma once

#include <array>
#include <cstdint>

namespace arima {

class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound); bound > 0. The bias of one part in 2^64/bound is of no concern here.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // Uniform in [low, high].
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  // True with probability percent/100.
  bool Percent(uint64_t percent) { return Below(100) < percent; }

  uint64_t state() const { return state_; }  // for state digests

 private:
  uint64_t state_;
};

// The simulator decides what they give there (base/runtime.h).
uint64_t SystemRandom64();

// 128 random or zero bits that name a cluster or a data directory.
struct Uuid {
  std::array<uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  bool IsZero() const { return *this == Uuid{}; }
};

Uuid SystemRandomUuid();

}  // namespace arima
