// Little-endian coding for disk and wire. ByteWriter appends to a string; ByteReader walks foreign
// bytes and never reads past the end: after the first short read it is failed and returns zeros, so
// a decoder reads everything and checks ok() once at the end.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace arima {

static_assert(std::endian::native == std::endian::little, "formats are written in native order");

template <std::unsigned_integral T>
void PutFixed(std::string* out, T v) {
  out->append(reinterpret_cast<const char*>(&v), sizeof v);
}

// Reads a fixed-width number; the caller guarantees that the bytes are there.
template <std::unsigned_integral T>
T GetFixed(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <std::unsigned_integral T>
void SetFixed(char* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(*out) {}

  void U8(uint8_t v) { PutFixed(&out_, v); }
  void U16(uint16_t v) { PutFixed(&out_, v); }
  void U32(uint32_t v) { PutFixed(&out_, v); }
  void U64(uint64_t v) { PutFixed(&out_, v); }
  // u32 length, then the bytes. Callers keep strings below 4 GiB by their own limits.
  void Bytes(std::string_view v) {
    U32(static_cast<uint32_t>(v.size()));
    out_.append(v);
  }
  void Raw(std::string_view v) { out_.append(v); }

 private:
  std::string& out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  uint8_t U8() { return Fixed<uint8_t>(); }
  uint16_t U16() { return Fixed<uint16_t>(); }
  uint32_t U32() { return Fixed<uint32_t>(); }
  uint64_t U64() { return Fixed<uint64_t>(); }
  std::string_view Bytes() { return Raw(U32()); }
  std::string_view Raw(size_t n) {
    if (n > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    std::string_view v = in_.substr(0, n);
    in_.remove_prefix(n);
    return v;
  }

  bool ok() const { return ok_; }
  size_t remaining() const { return in_.size(); }
  // True iff everything was read and nothing was missing.
  bool done() const { return ok_ && in_.empty(); }

 private:
  template <std::unsigned_integral T>
  T Fixed() {
    std::string_view v = Raw(sizeof(T));
    return v.empty() ? T{0} : GetFixed<T>(v.data());
  }

  std::string_view in_;
  bool ok_ = true;
};

}  // namespace arima
