#include "http/base64.h"

#include <array>
#include <cstdint>

namespace arima::http {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static_assert(kAlphabet.size() == 64);

constexpr uint8_t kNone = 0xFF;

constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(kNone);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}();

uint32_t Byte(char c) { return static_cast<uint8_t>(c); }

}  // namespace

void AppendBase64(std::string_view bytes, std::string* out) {
  out->reserve(out->size() + (bytes.size() + 2) / 3 * 4);
  size_t position = 0;
  for (; bytes.size() - position >= 3; position += 3) {
    const uint32_t group =
        Byte(bytes[position]) << 16 | Byte(bytes[position + 1]) << 8 | Byte(bytes[position + 2]);
    for (uint32_t shift : {18u, 12u, 6u, 0u}) out->push_back(kAlphabet[group >> shift & 63]);
  }
  const size_t rest = bytes.size() - position;
  if (rest == 0) return;
  uint32_t group = Byte(bytes[position]) << 16;
  if (rest == 2) group |= Byte(bytes[position + 1]) << 8;
  out->push_back(kAlphabet[group >> 18 & 63]);
  out->push_back(kAlphabet[group >> 12 & 63]);
  out->push_back(rest == 2 ? kAlphabet[group >> 6 & 63] : '=');
  out->push_back('=');
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  if (text.ends_with("==")) {
    padding = 2;
  } else if (text.ends_with('=')) {
    padding = 1;
  }
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t position = 0; position < text.size(); position += 4) {
    const size_t pad = position + 4 == text.size() ? padding : 0;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t value = i < 4 - pad ? kValues[Byte(text[position + i])] : uint8_t{0};
      if (value == kNone) return std::nullopt;
      group = group << 6 | value;
    }
    // Bits that the padding leaves over must be zero.
    if ((pad == 1 && (group & 0xFF) != 0) || (pad == 2 && (group & 0xFFFF) != 0)) {
      return std::nullopt;
    }
    out.push_back(static_cast<char>(group >> 16));
    if (pad < 2) out.push_back(static_cast<char>(group >> 8 & 0xFF));
    if (pad < 1) out.push_back(static_cast<char>(group & 0xFF));
  }
  return out;
}

}  // namespace arima::http
