// Stream: the bytes of one connection. Plain TCP today; this is where TLS goes, because streams are
// made in two places only (connector.cc and listener.cc) and everything above sees this class. The
// one other kind of connection, which blocks, is side_stream.h.
//
// Thread rule: the thread of the IoLoop. Nothing blocks. Internal to transport/.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "transport/tcp_transport.h"

namespace arima::transport {

// What a read or write came to: some bytes, or "not now", or the end.
struct IoResult {
  size_t bytes = 0;
  bool again = false;  // Write only: the kernel's buffer is full
  int error = 0;       // errno; of a read: 0 with 0 bytes is the end of the stream
};

class Stream {
 public:
  struct Impl;
  explicit Stream(std::unique_ptr<Impl> impl);
  ~Stream();  // as Close
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // One read at a time. `into` must live until `done` ran. After Close `done` runs with ECANCELED.
  void Read(std::span<char> into, std::move_only_function<void(IoResult)> done);
  // Writes what the kernel takes at once.
  IoResult Write(std::span<const iovec> parts);
  // Runs `ready` when a Write may succeed, or the stream has ended. One at a time.
  void AwaitWritable(std::move_only_function<void()> ready);
  void ShutdownSend();
  // Gives the connection away, as a non-blocking socket; nothing may be under way. -1: it is lost.
  // The stream is closed then.
  int Release();
  void Close();

  const std::string& remote() const;  // host:port, for logs

 private:
  std::unique_ptr<Impl> impl_;
};

// Options of a freshly opened socket; what the kernel refuses is left as it is.
void ConfigureSocket(int fd, const TcpOptions& options);

}  // namespace arima::transport
