// Stream: the bytes of one connection. Plain TCP today; this is where TLS goes, because streams are
// made in two places only (connector.cc and listener.cc) and everything above sees this class. The
// one other kind of connection, which blocks, is side_stream.h.
//
// Thread rule: the thread of the Loop that made it. Nothing blocks.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/byte_stream.h"

namespace arima::transport {

// What a read or write came to: some bytes, or "not now", or the end.
struct IoResult {
  size_t bytes = 0;
  bool again = false;  // Write only: the way is full
  int error = 0;       // errno; of a read: 0 with 0 bytes is the end of the stream
};

// Destroyed, it is closed: what is under way runs once more, with ECANCELED or what it came to.
class Stream {
 public:
  virtual ~Stream() = default;

  // One read at a time. `into` must live until `done` ran.
  virtual void Read(std::span<char> into, std::move_only_function<void(IoResult)> done) = 0;
  // Writes what is taken at once.
  virtual IoResult Write(std::span<const iovec> parts) = 0;
  // Runs `ready` when a Write may succeed, or the stream has ended. One at a time.
  virtual void AwaitWritable(std::move_only_function<void()> ready) = 0;
  virtual void ShutdownSend() = 0;
  // Gives the connection away, to be used by another thread; nothing may be under way. `counted`
  // lives as long as what is given away. Null: it is lost. The stream is closed then.
  virtual std::unique_ptr<ByteStream> Detach(std::shared_ptr<void> counted) = 0;

  virtual const std::string& remote() const = 0;  // host:port, for logs
};

}  // namespace arima::transport
