#include "http/utf8.h"

#include <cstdint>
#include <cstring>

namespace arima::http {
namespace {

uint8_t At(std::string_view bytes, size_t position) {
  return static_cast<uint8_t>(bytes[position]);
}

// Length of the well-formed sequence of two to four bytes at `position`, 0 if there is none.
// The second byte carries all restrictions of RFC 3629 section 4; the rest are 80..BF.
size_t SequenceBytes(std::string_view bytes, size_t position) {
  const uint8_t lead = At(bytes, position);
  size_t size = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3;
    if (lead == 0xE0) low = 0xA0;   // overlong below
    if (lead == 0xED) high = 0x9F;  // surrogates above
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    if (lead == 0xF0) low = 0x90;   // overlong below
    if (lead == 0xF4) high = 0x8F;  // beyond U+10FFFF above
  } else {
    return 0;
  }
  if (bytes.size() - position < size) return 0;
  const uint8_t second = At(bytes, position + 1);
  if (second < low || second > high) return 0;
  for (size_t i = 2; i < size; ++i) {
    if ((At(bytes, position + i) & 0xC0) != 0x80) return 0;
  }
  return size;
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  size_t position = 0;
  while (position < bytes.size()) {
    // Most text is ASCII: eight bytes at a time while no high bit is set.
    while (bytes.size() - position >= 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + position, 8);
      if ((word & 0x8080808080808080u) != 0) break;
      position += 8;
    }
    if (position == bytes.size()) break;
    const size_t size = At(bytes, position) < 0x80 ? 1 : SequenceBytes(bytes, position);
    if (size == 0) return false;
    position += size;
  }
  return true;
}

}  // namespace arima::http
