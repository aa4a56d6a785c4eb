// The one checksum of Arima: XXH3-64, for log frames, wire frames, entries and files. Whole files
// that are named by their content have its 128-bit sister, XXH3-128.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string_view>

namespace arima {

uint64_t Checksum64(std::string_view bytes, uint64_t seed = 0);

// The low 32 bits, where a field has 4 bytes.
inline uint32_t Checksum32(std::string_view bytes, uint64_t seed = 0) {
  return static_cast<uint32_t>(Checksum64(bytes, seed));
}

// XXH3-128 of a run of bytes. It tells apart what chance changes, not what malice makes.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};

// Hashes bytes that come in pieces; how they are cut makes no difference. One owner.
class Hasher128 {
 public:
  Hasher128();
  ~Hasher128();
  Hasher128(Hasher128&&) noexcept;
  Hasher128& operator=(Hasher128&&) noexcept;

  void Reset();
  void Update(std::string_view bytes);
  Hash128 Get() const;  // of everything since the start or Reset; more may follow

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace arima
