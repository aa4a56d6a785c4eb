// Network: what nodes reach each other by: a loop for messages and control calls, and side streams.
// The system's sockets in production; the simulator brings its own.
//
// Thread rule: any thread.
#pragma once

#include <memory>
#include <string>

#include "base/byte_stream.h"
#include "base/error.h"
#include "base/random.h"
#include "transport/hello.h"
#include "transport/loop.h"

namespace arima::transport {

// The connecting side of a side stream (side_stream.h).
class OutgoingStream : public ByteStream {
 public:
  // Connects to `address` (host:port) and greets. Once, and before Read and Write. `incarnation`
  // zero: whoever is member hello.to will do. Errors:
  //   kInvalidArgument  not host:port
  //   kPeerUnreachable  no connection, no answer, or not an Arima node
  //   kConflict         another member or data directory answers
  //   kOverloaded       refused for the moment: busy or not ready
  //   kUnavailable      refused otherwise, or cancelled
  virtual Status Dial(const std::string& address, const Hello& hello, const Uuid& incarnation) = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  virtual std::unique_ptr<Loop> MakeLoop() = 0;
  virtual std::unique_ptr<OutgoingStream> MakeStream() = 0;
};

Network& SystemNetwork();

}  // namespace arima::transport
