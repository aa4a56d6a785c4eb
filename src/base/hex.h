// Lower-case hexadecimal, for identities in logs, files' names and answers.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"

namespace arima {

std::string ToHex(std::string_view bytes);
std::string ToHex(const Uuid& uuid);  // 32 digits
std::string ToHex(uint64_t v);        // 16 digits, zero-filled

}  // namespace arima
