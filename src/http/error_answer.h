// The answer to a request that failed: status, machine word, one line for people.
//
// Bodies are {"error":"...","code":"...", ...details} (docs/design/http-api.md 2.7). Made where
// the failure is noticed, written by the answer writer. Plain value.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace arima::http {

struct ErrorAnswer {
  int status = 500;
  std::string_view code = "internal";  // static storage
  std::string message;                 // what was tried, on what, what came back, the next step
  std::string header_lines;            // further ones, each ending in CRLF: "Allow: GET\r\n"
  std::string members;                 // further members of the body: ",\"outcome\":\"unknown\""
  bool close = false;                  // the connection cannot be used for another request
};

// What reading a piece of a request gives: the piece, or the answer that says why not.
template <class T>
using Read = std::expected<T, ErrorAnswer>;

inline std::unexpected<ErrorAnswer> Refuse(int status, std::string_view code, std::string message) {
  return std::unexpected(ErrorAnswer{status, code, std::move(message), {}, {}, false});
}

}  // namespace arima::http
