// Is this run of bytes UTF-8? Decides whether a key or value may stand as JSON text.
#pragma once

#include <string_view>

namespace arima::http {

// Strict (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. U+0000 is text.
bool IsUtf8(std::string_view bytes);

}  // namespace arima::http
