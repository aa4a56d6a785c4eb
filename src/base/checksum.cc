#include "base/checksum.h"

#include <xxhash.h>

#include "base/assert.h"

namespace arima {

uint64_t Checksum64(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

struct Hasher128::State {
  State() : xxh(XXH3_createState()) { ARIMA_ASSERT(xxh != nullptr); }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* const xxh;  // made by the library: it wants more alignment than new gives
};

Hasher128::Hasher128() : state_(std::make_unique<State>()) { Reset(); }
Hasher128::~Hasher128() = default;
Hasher128::Hasher128(Hasher128&&) noexcept = default;
Hasher128& Hasher128::operator=(Hasher128&&) noexcept = default;

void Hasher128::Reset() { XXH3_128bits_reset(state_->xxh); }

void Hasher128::Update(std::string_view bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

Hash128 Hasher128::Get() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return {.low = hash.low64, .high = hash.high64};
}

}  // namespace arima
