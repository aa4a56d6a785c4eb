// Small fields shared by the greetings and the control bodies. Internal to transport/.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "base/random.h"

namespace arima::transport {

inline void PutUuid(const Uuid& uuid, ByteWriter* to) {
  to->Raw({reinterpret_cast<const char*>(uuid.bytes.data()), uuid.bytes.size()});
}

// Zero if the bytes are not there; the reader is failed then.
inline Uuid GetUuid(ByteReader* in) {
  Uuid uuid;
  std::string_view bytes = in->Raw(uuid.bytes.size());
  std::copy(bytes.begin(), bytes.end(), uuid.bytes.begin());
  return uuid;
}

inline std::string GetString(ByteReader* in) { return std::string(in->Bytes()); }

}  // namespace arima::transport
