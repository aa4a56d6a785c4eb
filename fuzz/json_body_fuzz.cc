// Any bytes as the JSON body of a request: nothing crashes, limits hold, and where the bytes are
// cut makes no difference.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/base64.h"
#include "http/json_object_reader.h"
#include "http/json_text.h"
#include "http/utf8.h"

namespace {

using arima::http::JsonType;

constexpr arima::http::JsonMember kMembers[] = {
    {"key", JsonType::kString, 16, "16 bytes"},
    {"value_base64", JsonType::kString, 64, "64 bytes"},
    {"force", JsonType::kBool, 0, ""},
};

std::string Read(std::string_view bytes, size_t step) {
  arima::http::JsonObjectReader reader;
  reader.Begin(kMembers);
  for (size_t at = 0; at < bytes.size(); at += step) reader.Write(bytes.substr(at, step));
  if (auto read = reader.Finish(); !read) {
    // Which of several mistakes is met first depends on the cuts.
    ARIMA_ASSERT(read.error().status == 400 || read.error().status == 413);
    return "refused";
  }
  ARIMA_ASSERT(reader.text(0).size() <= 16 && reader.text(1).size() <= 64);
  ARIMA_ASSERT(arima::http::IsUtf8(reader.text(0)));
  if (auto decoded = arima::http::DecodeBase64(reader.text(1))) {
    std::string encoded;
    arima::http::AppendBase64(*decoded, &encoded);
    ARIMA_ASSERT(encoded == reader.text(1));
  }
  std::string out = std::to_string(reader.has(0)) + std::to_string(reader.has(1)) +
                    std::to_string(reader.has(2)) + std::to_string(reader.flag(2));
  arima::http::AppendJsonBytes("key", reader.text(0), &out);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = Read(bytes, std::max<size_t>(size, 1));
  for (size_t step : {1u, 5u}) {
    const std::string cut = Read(bytes, step);
    ARIMA_ASSERT(cut == whole, cut, whole);
  }
  return 0;
}
