// TcpTransport: raft messages and control calls over TCP. Wire: transport/PROTOCOL.md.
//
// Runs wholly on the thread that drives its Loop (thread rule in transport.h); the loop, the
// policy and the handler outlive it. Units: bytes and milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "transport/loop.h"
#include "transport/transport.h"

namespace arima::transport {

struct TcpOptions {
  // Where to listen. Empty host: the whole loopback network and nothing else, by binding 0.0.0.0
  // to the device `lo`; where the kernel does not let an ordinary user do that (before Linux 5.7),
  // 127.0.0.1 only, reported as kListenNarrowed. Port 0: any free one.
  std::string listen_host;
  uint16_t listen_port = 0;

  uint64_t seed = 0;  // of the jitter of reconnects

  size_t send_queue_bytes_max = 64 << 20;  // per peer; one message passes an empty queue
  size_t inbound_connections_max = 1024;   // greeted ones included
  size_t streams_max = 4;                  // incoming side streams (side_stream.h)
  size_t control_connections_max = 64;     // incoming, and not yet greeted ones
  uint64_t handshake_timeout_ms = 2000;
  uint64_t resolve_timeout_ms = 5000;
  uint64_t connect_timeout_ms = 1000;    // per address tried
  uint64_t user_timeout_ms = 3000;       // unacknowledged for so long: the connection is dead
  uint64_t keepalive_idle_ms = 2000;     // whole seconds count
  uint64_t reconnect_delay_ms_min = 20;  // doubles up to the max, plus or minus a quarter
  uint64_t reconnect_delay_ms_max = 1000;
  uint64_t fresh_peer_wait_ms = 3000;  // Peer::fresh: for its own greeting
  int socket_buffer_bytes = 0;         // 0: the kernel's choice; tests make it small
};

class TcpTransport final : public Transport {
 public:
  // Binds and listens; accepts from the first RunOnce on. kUnavailable: the address is taken or
  // not of this machine; kInvalidArgument: the host means nothing. One line for the operator.
  static Result<std::unique_ptr<TcpTransport>> Open(Loop* loop, const TcpOptions& options,
                                                    PeerPolicy* policy, TransportHandler* handler);
  // Closes everything; no callback runs any more.
  ~TcpTransport() override;

  void Send(std::vector<raft::Message> messages) override;
  void SetPeers(const PeerMap& peers) override;
  void Call(const std::string& address, ControlRequest request, uint64_t timeout_ms,
            CallDone done) override;
  TransportStats Stats() const override;

  uint16_t port() const;  // that it listens on

 private:
  class Impl;
  explicit TcpTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::transport
