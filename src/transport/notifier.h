// Notifier: tells the TransportHandler what happened, a little later and not too often.
//
// Everything but messages and control requests reaches the handler through here, from a callback of
// its own in the loop: so nothing of it runs inside a call of the handler's owner. Doubles within
// one round are told once. Thread rule: the thread of the Loop. Internal to transport/.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "transport/loop.h"
#include "transport/transport.h"

namespace arima::transport {

class Notifier {
 public:
  // Both outlive it. After its destruction the handler hears nothing.
  Notifier(Loop* loop, TransportHandler* handler) : loop_(loop), handler_(handler) {}

  void Unreachable(raft::MemberId peer);
  void PeerClosed(raft::MemberId peer);
  void Refused(raft::MemberId peer, const Refuse& refuse);
  void Address(const Hello& hello);
  // Subject to the limits of TransportEvent.
  void Event(TransportEvent::Kind kind, raft::MemberId peer, std::string address, std::string text);

 private:
  struct Limit {
    uint64_t last_ns = 0;
    uint64_t suppressed = 0;
    std::string text;  // of the last one
  };
  bool Suppress(Limit* limit, TransportEvent::Kind kind, const std::string& text) const;
  void Schedule();
  void Deliver();

  Loop* const loop_;
  TransportHandler* const handler_;
  std::set<raft::MemberId> closed_;
  std::set<raft::MemberId> unreachable_;
  std::vector<std::pair<raft::MemberId, Refuse>> refused_;
  std::vector<Hello> addresses_;
  std::vector<TransportEvent> events_;
  std::map<std::pair<TransportEvent::Kind, raft::MemberId>, Limit> limits_;
  bool scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace arima::transport
