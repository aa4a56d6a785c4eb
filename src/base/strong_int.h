// StrongInt<Tag>: a 64-bit unsigned number with a meaning, so that a term passed where an index
// belongs does not compile. Arithmetic is what positions need: position + count, position -
// position.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>

namespace arima {

template <class Tag>
struct StrongInt {
  uint64_t value = 0;

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(uint64_t v) : value(v) {}

  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;
  constexpr StrongInt& operator++() {
    ++value;
    return *this;
  }
  friend constexpr StrongInt operator+(StrongInt a, uint64_t n) { return StrongInt(a.value + n); }
  // Unsigned: the caller makes sure that the result is not negative.
  friend constexpr StrongInt operator-(StrongInt a, uint64_t n) { return StrongInt(a.value - n); }
  friend constexpr uint64_t operator-(StrongInt a, StrongInt b) { return a.value - b.value; }
  constexpr explicit operator bool() const { return value != 0; }
  friend std::ostream& operator<<(std::ostream& out, StrongInt a) { return out << a.value; }
};

}  // namespace arima

template <class Tag>
struct std::hash<arima::StrongInt<Tag>> {
  size_t operator()(arima::StrongInt<Tag> a) const noexcept {
    return std::hash<uint64_t>()(a.value);
  }
};
