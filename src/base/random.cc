#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>

#include "base/assert.h"

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
  uint64_t v;
  FillRandom(&v, sizeof v);
  return v;
}

Uuid SystemRandomUuid() {
  Uuid uuid;
  FillRandom(uuid.bytes.data(), uuid.bytes.size());
  return uuid;
}

}  // namespace arima
