// Pieces of JSON answers, byte for byte as the contract prints them (docs/design/http-api.md).
//
// Answers are flat and their member order is part of the contract, so they are written out
// directly; only the escaping of strings is left to Boost.JSON.
#pragma once

#include <string>
#include <string_view>

namespace arima::http {

// `text` in quotes, escaped. `text` must be UTF-8.
void AppendJsonString(std::string_view text, std::string* out);

// Like AppendJsonString for one line of text that may quote what others sent: control characters,
// and bytes that are not UTF-8, become '?'.
void AppendJsonMessage(std::string_view text, std::string* out);

// "name":"bytes" when they are UTF-8, else "name":null,"name_base64":"...".
void AppendJsonBytes(std::string_view name, std::string_view bytes, std::string* out);

}  // namespace arima::http
