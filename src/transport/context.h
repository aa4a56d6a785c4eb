// What all parts of a TcpTransport share. Internal to transport/.
#pragma once

#include <memory>
#include <utility>

#include "base/random.h"
#include "codec/message_codec.h"
#include "transport/loop.h"
#include "transport/notifier.h"
#include "transport/tcp_transport.h"
#include "transport/transport.h"

namespace arima::transport {

inline constexpr uint64_t kNsPerMs = 1'000'000;

struct Context {
  Context(Loop* io, const TcpOptions& opts, PeerPolicy* peer_policy, TransportHandler* callbacks)
      : loop(io),
        options(opts),
        policy(peer_policy),
        handler(callbacks),
        notifier(io, callbacks),
        random(opts.seed) {}

  Loop* const loop;
  const TcpOptions options;
  PeerPolicy* const policy;
  TransportHandler* const handler;
  Notifier notifier;
  codec::MessageEncoder encoder;
  SeededRandom random;
  TransportStats counters;  // without `peers`
  // Incoming side streams that live: one reference each, and this one.
  std::shared_ptr<void> streams = std::make_shared<char>();

  // Closes `part` now and destroys it in a later callback, because it may be on the stack. T::Close
  // must leave nothing behind that calls the part or that the destructor needs.
  template <class T>
  void Retire(std::unique_ptr<T> part) {
    if (part == nullptr) return;
    part->Close();
    loop->Post([dead = std::move(part)] {});
  }
};

}  // namespace arima::transport
