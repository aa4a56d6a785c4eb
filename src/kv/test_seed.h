// Seeds of random tests: a new one for each run, or the one to replay. Test-only.
//
//   const uint64_t seed = TestSeed();
//   SCOPED_TRACE(SeedTrace(seed));   // a failure then says ARIMA_KV_SEED=n: set it to run that
//   again
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/random.h"

namespace arima::kv {

inline uint64_t TestSeed() {
  const char* given =
      std::getenv("ARIMA_KV_SEED");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return given != nullptr ? std::strtoull(given, nullptr, 10) : SystemRandom64();
}

inline std::string SeedTrace(uint64_t seed) { return "ARIMA_KV_SEED=" + std::to_string(seed); }

}  // namespace arima::kv
