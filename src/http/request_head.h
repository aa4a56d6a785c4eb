// What the head of a request says, as far as Arima listens. Views point into the parser that made
// it and are valid until its next Reset.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/method.h"

namespace arima::http {

struct RequestHead {
  Method method = Method::kOther;
  std::string_view target;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;
  std::optional<uint64_t> content_length;
  bool expects_continue = false;

  // Values of header fields; empty when absent. A field that came more than once is joined by ", ".
  std::string_view content_type;
  std::string_view content_encoding;
  std::string_view accept;
  std::string_view if_match;
  std::string_view if_none_match;
  std::string_view idempotency_key;

  bool HasBody() const { return chunked || content_length.value_or(0) > 0; }
};

}  // namespace arima::http
