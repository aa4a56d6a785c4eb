// The request target: path, percent-decoding, query parameters.
//
// A key is the rest of the path, byte for byte after percent-decoding: nothing is normalised, so
// `//`, `.`, `..`, a trailing `/` and `+` belong to the key (docs/design/http-api.md 2.1).
// Pure functions; views point into the argument. Errors are answers with status 400.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/error_answer.h"

namespace arima::http {

struct Target {
  std::string_view path;   // starts with '/', still encoded
  std::string_view query;  // without '?', still encoded
};

// Takes the origin form (/path?query) and the absolute form (http://host/path?query).
Read<Target> SplitTarget(std::string_view target);

// Replaces what `out` held. '+' is a plus.
Read<void> PercentDecode(std::string_view encoded, std::string* out);

struct Parameter {
  std::string name;
  std::string value;  // empty for `?name` and `?name=`
};
// In the order given; a name that comes twice is refused.
Read<std::vector<Parameter>> ParseQuery(std::string_view query);

}  // namespace arima::http
