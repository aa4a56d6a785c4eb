#include "transport/peer_channel.h"

#include <utility>
#include <vector>

#include "base/assert.h"

namespace arima::transport {
namespace {

// What may be taken from a member of a configuration that is newer than the own one.
bool AllowedProvisionally(raft::MessageType type) {
  switch (type) {
    case raft::MessageType::kPreVote:
    case raft::MessageType::kVote:
    case raft::MessageType::kApp:
    case raft::MessageType::kHeartbeat:
    case raft::MessageType::kSnap:
      return true;
    default:
      return false;
  }
}

}  // namespace

PeerChannel::PeerChannel(Context* context, raft::MemberId id)
    : context_(context), id_(id), queue_(context->options.send_queue_bytes_max) {}

void PeerChannel::Close() {
  if (dialer_ != nullptr) dialer_->Close();
  inbound_ = nullptr;
}

void PeerChannel::Configure(const Peer* peer) {
  if (peer == nullptr) {
    DropDialer();
    return DropIfNoWay();
  }
  Hello hello = context_->policy->MakeHello(id_);
  bool was_fresh = std::exchange(fresh_, peer->fresh);
  Peer settled = *peer;
  settled.fresh = false;
  if (dialer_ != nullptr && dialer_->peer() == settled && dialer_->hello() == hello) {
    if (was_fresh && !fresh_) dialer_->Nudge();
    return;
  }
  DropDialer();
  failure_told_ = false;
  uint64_t wait_ms = fresh_ && inbound_ == nullptr ? context_->options.fresh_peer_wait_ms : 0;
  dialer_ = std::make_unique<Dialer>(context_, id_, settled, hello, wait_ms, this);
}

void PeerChannel::DropDialer() {
  if (dialer_ != nullptr && dialer_->up()) AddTraffic(*dialer_->connection());
  context_->Retire(std::move(dialer_));
}

void PeerChannel::Attach(Connection* connection) {
  ARIMA_ASSERT(inbound_ == nullptr, id_);
  inbound_ = connection;
  known_alive_ = true;
  if (dialer_ != nullptr) dialer_->Nudge();
  OnDrained();
}

void PeerChannel::Detach(Connection* connection, const ConnectionEnd& end) {
  if (inbound_ != connection) return;
  AddTraffic(*connection);
  inbound_ = nullptr;
  // While the own connection is up it is the better witness.
  if (end.cause == EndCause::kByHost && (dialer_ == nullptr || !dialer_->up())) HostIsGone();
  if (dialer_ == nullptr || !dialer_->up()) context_->notifier.Unreachable(id_);
  DropIfNoWay();
}

void PeerChannel::Enqueue(raft::Message&& message) { Lost(queue_.Push(std::move(message))); }

Connection* PeerChannel::Route() const {
  return dialer_ != nullptr && dialer_->up() ? dialer_->connection() : inbound_;
}

void PeerChannel::Flush() {
  Connection* route = Route();
  if (route == nullptr) return DropIfNoWay();
  while (!queue_.empty() && route->idle()) {
    codec::EncodedMessages frame = queue_.TakeFrame(&context_->encoder);
    stats_.sent_messages += frame.count;
    route->Write(MakeFrame(std::move(frame)));
  }
}

void PeerChannel::DropIfNoWay() {
  if (Route() != nullptr || (dialer_ != nullptr && dialer_->trying())) return;
  Lost(queue_.Clear());
}

void PeerChannel::Lost(size_t messages) {
  if (messages == 0) return;
  stats_.dropped_messages += messages;
  context_->notifier.Unreachable(id_);
}

void PeerChannel::HostIsGone() {
  if (std::exchange(known_alive_, false)) context_->notifier.PeerClosed(id_);
}

Status PeerChannel::Deliver(const Frame& frame, raft::MemberId self, bool provisional) {
  Result<codec::DecodedMessages> decoded = codec::DecodeMessages(frame.meta, frame.payload);
  if (!decoded) return std::unexpected(decoded.error());
  if (decoded->damaged > 0) {
    context_->counters.damaged_messages += decoded->damaged;
    context_->notifier.Event(TransportEvent::Kind::kBadInput, id_, address(), decoded->damage);
  }
  for (raft::Message& message : decoded->messages) {
    if (message.from != id_ || message.to != self) {
      return Fail(Code::kCorruption, "message from " + std::to_string(message.from.value) + " to " +
                                         std::to_string(message.to.value) +
                                         " on a connection from " + std::to_string(id_.value) +
                                         " to " + std::to_string(self.value));
    }
    if (provisional && !AllowedProvisionally(message.type)) continue;
    ++stats_.received_messages;
    context_->handler->OnMessage(std::move(message));
  }
  return {};
}

// ---------------------------------------------------------------- own connection

void PeerChannel::OnUp() {
  known_alive_ = true;
  failure_told_ = false;
  ++stats_.connects;
  context_->notifier.Event(TransportEvent::Kind::kConnected, id_, address(), "");
  OnDrained();
}

void PeerChannel::OnDown(const Connection& connection, const ConnectionEnd& end) {
  AddTraffic(connection);
  if (end.cause == EndCause::kBadInput) ++context_->counters.bad_inputs;
  context_->notifier.Event(TransportEvent::Kind::kDisconnected, id_, address(), end.text);
  failure_told_ = true;
  context_->notifier.Unreachable(id_);
  if (end.cause == EndCause::kByHost) HostIsGone();
  OnDrained();  // what waits may go over the member's connection
}

void PeerChannel::OnDialFailed(bool refused, const std::string& text) {
  if (!std::exchange(failure_told_, true)) {
    context_->notifier.Event(TransportEvent::Kind::kDisconnected, id_, address(), text);
  }
  if (refused && inbound_ == nullptr) HostIsGone();
  DropIfNoWay();
}

void PeerChannel::OnRefused(const Refuse& refuse) {
  ++stats_.refused;
  context_->notifier.Event(TransportEvent::Kind::kRefused, id_, address(),
                           std::string(RefuseReasonName(refuse.reason)) + ": " + refuse.text);
  context_->notifier.Refused(id_, refuse);
}

Status PeerChannel::OnMessages(const Frame& frame, raft::MemberId self) {
  return Deliver(frame, self, /*provisional=*/false);
}

void PeerChannel::OnDrained() {
  Flush();
  context_->encoder.Forget();
}

// ---------------------------------------------------------------- figures

void PeerChannel::AddTraffic(const Connection& connection) {
  stats_.sent_bytes += connection.sent_bytes();
  stats_.received_bytes += connection.received_bytes();
}

std::string PeerChannel::address() const {
  if (dialer_ != nullptr) return dialer_->peer().address;
  return inbound_ != nullptr ? inbound_->remote() : std::string();
}

PeerStats PeerChannel::Stats() const {
  PeerStats stats = stats_;
  stats.connected = dialer_ != nullptr && dialer_->up();
  stats.inbound = inbound_ != nullptr;
  stats.queued_bytes = queue_.bytes();
  for (const Connection* open : {stats.connected ? dialer_->connection() : nullptr, inbound_}) {
    if (open == nullptr) continue;
    stats.sent_bytes += open->sent_bytes();
    stats.received_bytes += open->received_bytes();
  }
  return stats;
}

// ---------------------------------------------------------------- table

PeerChannel* PeerTable::Find(raft::MemberId id) const {
  auto place = channels_.find(id);
  return place == channels_.end() ? nullptr : place->second.get();
}

PeerChannel* PeerTable::FindOrAdd(raft::MemberId id) {
  std::unique_ptr<PeerChannel>& channel = channels_[id];
  if (channel == nullptr) channel = std::make_unique<PeerChannel>(context_, id);
  return channel.get();
}

void PeerTable::RemoveIfUnused(raft::MemberId id) {
  auto place = channels_.find(id);
  if (place == channels_.end() || !place->second->unused()) return;
  context_->Retire(std::move(place->second));
  channels_.erase(place);
}

void PeerTable::SetPeers(const PeerMap& peers) {
  std::vector<raft::MemberId> gone;
  for (const auto& [id, channel] : channels_) {
    if (!peers.contains(id)) gone.push_back(id);
  }
  for (raft::MemberId id : gone) {
    Find(id)->Configure(nullptr);
    RemoveIfUnused(id);
  }
  for (const auto& [id, peer] : peers) FindOrAdd(id)->Configure(&peer);
}

}  // namespace arima::transport
