#include "base/units.h"

#include <array>
#include <limits>
#include <span>

namespace arima {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array<Unit, 9> kByteUnits = {{
    {"B", 1},
    {"KiB", 1ull << 10},
    {"MiB", 1ull << 20},
    {"GiB", 1ull << 30},
    {"TiB", 1ull << 40},
    {"kB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
}};
constexpr std::array<Unit, 4> kDurationUnits = {{
    {"ms", 1},
    {"s", 1'000},
    {"m", 60'000},
    {"h", 3'600'000},
}};

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// value * 10 + digit, or false when it does not fit.
bool AppendDigit(uint64_t* value, char digit) {
  const auto add = static_cast<uint64_t>(digit - '0');
  if (*value > (kMax - add) / 10) return false;
  *value = *value * 10 + add;
  return true;
}

std::unexpected<Error> Refuse(std::string_view text, std::string_view what) {
  return Fail(Code::kInvalidArgument, "\"" + std::string(text) + "\" " + std::string(what));
}

// A decimal number as digits and the count of those behind the point: 1.5 is {15, 10}.
struct Decimal {
  uint64_t digits = 0;
  uint64_t divisor = 1;
};

// Takes the number off the front of `rest`; false when there is none or it does not fit.
bool TakeDecimal(std::string_view* rest, Decimal* out) {
  size_t position = 0;
  size_t digit_count = 0;
  bool fraction = false;
  for (; position < rest->size(); ++position) {
    const char c = (*rest)[position];
    if (c == '.' && !fraction && digit_count > 0) {
      fraction = true;
      digit_count = 0;
      continue;
    }
    if (!IsDigit(c)) break;
    ++digit_count;
    if (!AppendDigit(&out->digits, c)) return false;
    if (fraction) {
      if (out->divisor > kMax / 10) return false;
      out->divisor *= 10;
    }
  }
  rest->remove_prefix(position);
  return digit_count > 0;
}

Result<uint64_t> ParseAmount(std::string_view text, std::span<const Unit> units,
                             std::string_view expected) {
  if (text == "0") return 0;
  std::string_view rest = text;
  Decimal number;
  const std::string not_expected = "is not " + std::string(expected);
  if (!TakeDecimal(&rest, &number)) return Refuse(text, not_expected);
  if (rest.empty()) return Refuse(text, "has no unit, it is not " + std::string(expected));
  for (const Unit& unit : units) {
    if (unit.name != rest) continue;
    if (number.digits > kMax / unit.factor) return Refuse(text, "is too large");
    const uint64_t scaled = number.digits * unit.factor;
    if (scaled % number.divisor != 0)
      return Refuse(text, "is not a whole number of the smallest unit");
    return scaled / number.divisor;
  }
  return Refuse(text, not_expected);
}

}  // namespace

Result<uint64_t> ParseBytes(std::string_view text) {
  return ParseAmount(text, kByteUnits, "a size such as 64MiB or 512KiB");
}

Result<uint64_t> ParseDurationMs(std::string_view text) {
  return ParseAmount(text, kDurationUnits, "a duration such as 250ms or 5s");
}

Result<uint64_t> ParseNumber(std::string_view text) {
  if (text.empty()) return Refuse(text, "is not a number");
  uint64_t value = 0;
  for (char c : text) {
    if (!IsDigit(c)) return Refuse(text, "is not a number");
    if (!AppendDigit(&value, c)) return Refuse(text, "is too large");
  }
  return value;
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> names = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (unit + 1 < names.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + std::string(names[unit]);
}

std::string FormatDurationMs(uint64_t ms) {
  if (ms % 1000 != 0 || ms == 0) return std::to_string(ms) + "ms";
  const uint64_t seconds = ms / 1000;
  if (seconds % 3600 == 0) return std::to_string(seconds / 3600) + "h";
  if (seconds % 60 == 0) return std::to_string(seconds / 60) + "m";
  return std::to_string(seconds) + "s";
}

}  // namespace arima
