// Inbound: the connections that others make to this node, from accept to close: who they are, what
// they may say, how long they may take, and how many there may be.
//
// Thread rule: the thread of the Loop. Internal to transport/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "transport/connection.h"
#include "transport/context.h"
#include "transport/peer_channel.h"

namespace arima::transport {

class Inbound {
 public:
  Inbound(Context* context, PeerTable* peers);
  ~Inbound();
  Status Open();
  void Close();

  // Asks the policy again about every greeted connection.
  void Recheck();

  uint16_t port() const { return listener_->port(); }
  size_t size() const { return sessions_.size(); }

 private:
  class Session;  // final. NOLINT(cppcoreguidelines-virtual-class-destructor)

  void OnAccepted(std::unique_ptr<Stream> stream);
  void CloseOlder(raft::MemberId member, const Session* but);
  void Remove(Session* session);

  Context* const context_;
  PeerTable* const peers_;
  std::unique_ptr<Listening> listener_;
  // In the order of their coming, so that nothing hangs on where they lie in memory.
  std::list<std::unique_ptr<Session>> sessions_;
};

}  // namespace arima::transport
