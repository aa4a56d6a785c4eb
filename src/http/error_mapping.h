// From the closed set of arima::Code to status codes: the one place where that is decided.
#pragma once

#include "base/error.h"
#include "http/error_answer.h"

namespace arima::http {

// What failed, as far as the answer depends on it.
enum class Operation : uint8_t {
  kRead,   // nothing could change: the body says nothing of an outcome
  kWrite,  // the body says "outcome":"not_applied" or "unknown", never a guess
};

ErrorAnswer MapError(const Error& error, Operation operation);

}  // namespace arima::http
