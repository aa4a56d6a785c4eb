#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/assert.h"
#include "base/runtime.h"

namespace arima {
namespace {

void FillRandom(void* out, size_t n) {
  ssize_t got;
  do {
    got = getrandom(out, n, 0);
  } while (got < 0 && errno == EINTR);
  // Requests of up to 256 bytes are never short.
  ARIMA_ASSERT(got == static_cast<ssize_t>(n), got);
}

}  // namespace

uint64_t SystemRandom64() {
  if (Runtime* runtime = Runtime::Current()) return runtime->Random64();
  uint64_t v;
  FillRandom(&v, sizeof v);
  return v;
}

Uuid SystemRandomUuid() {
  const uint64_t halves[2] = {SystemRandom64(), SystemRandom64()};
  Uuid uuid;
  static_assert(sizeof halves == sizeof uuid.bytes);
  std::memcpy(uuid.bytes.data(), halves, sizeof halves);
  return uuid;
}

}  // namespace arima
