// Listener: the sockets that other nodes connect to.
//
// Thread rule: the thread of the IoLoop. Internal to transport/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "transport/io_context.h"
#include "transport/stream.h"
#include "transport/tcp_transport.h"

namespace arima::transport {

class Listener final : public Listening {
 public:
  using Accepted = Loop::Accepted;

  // Errors as TcpTransport::Open. `options` must outlive the listener.
  static Result<std::unique_ptr<Listening>> Open(IoLoop* loop, const TcpOptions& options,
                                                 Accepted accepted);
  // `accepted` does not run any more.
  ~Listener() override;

  uint16_t port() const override;
  // Not empty: the loopback device was refused and only 127.0.0.1 is listened on; says why.
  const std::string& narrowed() const override;

 private:
  class Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace arima::transport
