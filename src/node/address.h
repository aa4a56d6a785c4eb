// host:port as operators write it: "10.0.0.1:1111", "db1.example:1111", "[::1]:1111".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace arima::node {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// kInvalidArgument names what is wrong and shows the form that is expected.
Result<HostPort> ParseHostPort(std::string_view text);

}  // namespace arima::node
