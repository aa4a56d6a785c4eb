#include "base/assert.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace arima {
namespace {
void (*assert_hook)() = nullptr;
}

void SetAssertHook(void (*hook)()) { assert_hook = hook; }

void AssertFailed(std::string_view condition, std::string_view file, int line,
                  const std::string& values) {
  std::fprintf(stderr, "assertion failed: %.*s at %.*s:%d%s\n", static_cast<int>(condition.size()),
               condition.data(), static_cast<int>(file.size()), file.data(), line, values.c_str());
  if (auto* hook = std::exchange(assert_hook, nullptr)) hook();
  std::fflush(stderr);
  std::abort();
}

}  // namespace arima
