// Base64 (RFC 4648 section 4, standard alphabet, padded): bytes that are not text inside JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace arima::http {

void AppendBase64(std::string_view bytes, std::string* out);

// Strict: padding required, no white space, unused bits zero, so that each value has one spelling.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace arima::http
