// Connector: makes one connection to host:port. A name is looked up without blocking, and every
// address it has is tried in turn.
//
// Thread rule: the thread of the IoLoop. Internal to transport/.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "transport/io_context.h"
#include "transport/stream.h"
#include "transport/tcp_transport.h"

namespace arima::transport {

class Connector final : public Connecting {
 public:
  using Done = Loop::ConnectDone;

  // `done` runs once, inside a later RunOnce. `options` must outlive the attempt.
  Connector(IoLoop* loop, const TcpOptions& options, const std::string& address, Done done);
  // Gives up: `done` does not run any more.
  ~Connector() override;
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  class Attempt;
  std::shared_ptr<Attempt> attempt_;
};

}  // namespace arima::transport
