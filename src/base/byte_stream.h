// ByteStream: blocking, ordered bytes to and from one peer, for long transfers on a thread of their
// own. What stands behind it (a socket, a pipe of a test) decides how long one call may take.
//
// Thread rule: one thread reads and writes; Cancel may be called from any other at any time.
// Errors: kUnavailable, whatever happened (peer gone, time over, cancelled); the message says what.
// After an error nothing is promised about what went over, and every later call fails too.
#pragma once

#include <span>
#include <string_view>

#include "base/error.h"

namespace arima {

class ByteStream {
 public:
  virtual ~ByteStream() = default;

  // Fills `into`, all of it or an error.
  virtual Status Read(std::span<char> into) = 0;

  // Hands all of `bytes` over to the way to the peer; ok does not mean that they have arrived.
  virtual Status Write(std::string_view bytes) = 0;

  // Ends a call that is waiting, and all later ones, with an error.
  virtual void Cancel() = 0;
};

}  // namespace arima
