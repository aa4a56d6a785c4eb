// IoLoop: the Loop of production, on Asio.
//
// Host names are looked up by a helper thread that belongs to the loop; the destructor waits for a
// lookup that is under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "transport/loop.h"

namespace arima::transport {

class IoLoop final : public Loop {
 public:
  IoLoop();
  ~IoLoop() override;
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  size_t RunOnce(uint64_t max_wait_ns) override;
  // Many calls before a RunOnce cost one system call.
  void Wake() override;
  void Post(Task task) override;
  TimerId After(uint64_t delay_ns, Task task) override;
  void Cancel(TimerId id) override;
  // The machine's steady clock.
  uint64_t NowNs() const override;
  std::unique_ptr<Connecting> Connect(const TcpOptions& options, const std::string& address,
                                      ConnectDone done) override;
  Result<std::unique_ptr<Listening>> Listen(const TcpOptions& options, Accepted accepted) override;

  // The Asio side, for the .cc files of this folder (transport/asio_loop.h).
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::transport
