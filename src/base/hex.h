// Lower-case hexadecimal, for identities in logs, files' names and answers; bytes for messages.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"

namespace arima {

std::string ToHex(std::string_view bytes);
std::string ToHex(const Uuid& uuid);  // 32 digits
std::string ToHex(uint64_t v);        // 16 digits, zero-filled

// For messages: quoted, printable bytes as they are, others as \xNN, at most 64 bytes.
std::string Printable(std::string_view bytes);

}  // namespace arima
