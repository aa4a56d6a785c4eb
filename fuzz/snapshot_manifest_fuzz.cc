// Any bytes as the manifest of a snapshot, as they are and with the right checksum: nothing
// crashes, what is accepted keeps the limits, and has exactly one spelling.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/coding.h"
#include "snapshot/manifest.h"

namespace {

void Try(const std::string& bytes) {
  auto manifest = arima::snapshot::DecodeManifest(bytes);
  if (!manifest) return;
  for (const auto& file : manifest->files) {
    ARIMA_ASSERT(arima::snapshot::IsFileName(file.name));
    ARIMA_ASSERT(file.name.find('/') == std::string::npos && file.name.front() != '.');
  }
  ARIMA_ASSERT(manifest->TotalBytes() < uint64_t{1} << 63);
  ARIMA_ASSERT(arima::snapshot::EncodeManifest(*manifest) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  if (size < sizeof(uint64_t)) return 0;
  const size_t body = size - sizeof(uint64_t);
  arima::SetFixed<uint64_t>(bytes.data() + body,
                            arima::Checksum64(std::string_view(bytes).substr(0, body)));
  Try(bytes);
  return 0;
}
