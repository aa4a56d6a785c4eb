// Request methods that some route knows; everything else is kOther and gets 405.
#pragma once

#include <cstdint>
#include <string_view>

namespace arima::http {

enum class Method : uint8_t { kGet, kHead, kPost, kPut, kDelete, kOther };

constexpr std::string_view MethodName(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kHead:
      return "HEAD";
    case Method::kPost:
      return "POST";
    case Method::kPut:
      return "PUT";
    case Method::kDelete:
      return "DELETE";
    case Method::kOther:
      return "other";
  }
  return "other";
}

}  // namespace arima::http
