// PeerChannel: all that leads to one member: the queue, this node's own connection to it (if it is
// a configured peer), and the newest connection it made to this node (if it did).
//
// Messages go over the own connection when it is up, else over the member's. Messages may wait
// while an attempt to connect is under way; when there is no way at all they are dropped and the
// member is reported unreachable. Thread rule: the thread of the Loop. Internal to transport/.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "transport/connection.h"
#include "transport/context.h"
#include "transport/dialer.h"
#include "transport/send_queue.h"

namespace arima::transport {

class PeerChannel final : public DialerUser {
 public:
  PeerChannel(Context* context, raft::MemberId id);
  void Close();

  // Whom to connect to; null: nobody any more.
  void Configure(const Peer* peer);
  // A greeted connection that the member made; it closes the older one itself before.
  void Attach(Connection* connection);
  void Detach(Connection* connection, const ConnectionEnd& end);
  // Neither configured nor connected.
  bool unused() const { return dialer_ == nullptr && inbound_ == nullptr; }

  void Enqueue(raft::Message&& message);
  // Sends what the connection takes. The caller lets the encoder forget afterwards.
  void Flush();

  // Hands the messages of a frame to the handler. `self`: as whom this node was greeted.
  // `provisional`: only what a member in a newer configuration may say. Error: bad input.
  Status Deliver(const Frame& frame, raft::MemberId self, bool provisional);

  PeerStats Stats() const;

  void OnUp() override;
  void OnDown(const Connection& connection, const ConnectionEnd& end) override;
  void OnDialFailed(bool refused, const std::string& text) override;
  void OnRefused(const Refuse& refuse) override;
  Status OnMessages(const Frame& frame, raft::MemberId self) override;
  void OnDrained() override;

 private:
  Connection* Route() const;
  void DropDialer();
  void DropIfNoWay();
  void Lost(size_t messages);
  void HostIsGone();
  void AddTraffic(const Connection& connection);
  std::string address() const;

  Context* const context_;
  const raft::MemberId id_;
  SendQueue queue_;
  std::unique_ptr<Dialer> dialer_;
  Connection* inbound_ = nullptr;
  // Set by a greeting, cleared by the report that the member's host closed: one report per loss.
  bool known_alive_ = false;
  bool fresh_ = false;         // Peer::fresh, as configured last
  bool failure_told_ = false;  // that the peer cannot be connected to, since it last could
  PeerStats stats_;            // traffic of open connections not included
};

// The channels by member. Channels exist while configured or connected.
class PeerTable {
 public:
  explicit PeerTable(Context* context) : context_(context) {}

  PeerChannel* Find(raft::MemberId id) const;
  PeerChannel* FindOrAdd(raft::MemberId id);
  void RemoveIfUnused(raft::MemberId id);
  void SetPeers(const PeerMap& peers);
  const std::map<raft::MemberId, std::unique_ptr<PeerChannel>>& channels() const {
    return channels_;
  }

 private:
  Context* const context_;
  std::map<raft::MemberId, std::unique_ptr<PeerChannel>> channels_;
};

}  // namespace arima::transport
