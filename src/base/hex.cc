#include "base/hex.h"

namespace arima {

std::string ToHex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

std::string ToHex(const Uuid& uuid) {
  return ToHex(
      std::string_view(reinterpret_cast<const char*>(uuid.bytes.data()), uuid.bytes.size()));
}

std::string ToHex(uint64_t v) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(v >> shift));
  return ToHex(bytes);
}

std::string Printable(std::string_view bytes) {
  constexpr size_t kShownBytesMax = 64;
  std::string out = "\"";
  for (char c : bytes.substr(0, kShownBytesMax)) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      out.push_back(c);
    } else {
      out += "\\x" + ToHex(std::string_view(&c, 1));
    }
  }
  out += '"';
  if (bytes.size() > kShownBytesMax) out += "... (" + std::to_string(bytes.size()) + " bytes)";
  return out;
}

}  // namespace arima
