// The parts: Inbound (listener and incoming connections), a PeerChannel per member (queue and
// routes; its Dialer keeps the own connection up), and the ControlCalls under way. Each is owned
// here or by one of these; parts that end inside a callback of their own are retired, i.e. closed
// now and destroyed in a later callback (transport/context.h).
#include "transport/tcp_transport.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "transport/context.h"
#include "transport/control_call.h"
#include "transport/inbound.h"
#include "transport/peer_channel.h"

namespace arima::transport {
namespace {

constexpr size_t kCallsMax = 256;  // under way at once

}  // namespace

class TcpTransport::Impl {
 public:
  Impl(Loop* loop, const TcpOptions& options, PeerPolicy* policy, TransportHandler* handler)
      : context_(loop, options, policy, handler), peers_(&context_), inbound_(&context_, &peers_) {}

  ~Impl() {
    inbound_.Close();
    for (const auto& [id, channel] : peers_.channels()) channel->Close();
    for (auto& [place, call] : std::exchange(calls_, {})) context_.Retire(std::move(call));
  }

  Status Open() { return inbound_.Open(); }
  uint16_t port() const { return inbound_.port(); }

  // All queues are filled before the first is emptied: the encoder relies on that.
  void Send(std::vector<raft::Message> messages) {
    std::vector<PeerChannel*> touched;
    for (raft::Message& message : messages) {
      PeerChannel* channel = peers_.Find(message.to);
      if (channel == nullptr) {
        ++context_.counters.unroutable_messages;
        context_.notifier.Unreachable(message.to);
        continue;
      }
      if (std::ranges::find(touched, channel) == touched.end()) touched.push_back(channel);
      channel->Enqueue(std::move(message));
    }
    for (PeerChannel* channel : touched) channel->Flush();
    context_.encoder.Forget();
  }

  void SetPeers(const PeerMap& peers) {
    peers_.SetPeers(peers);
    inbound_.Recheck();
  }

  void Call(const std::string& address, ControlRequest request, uint64_t timeout_ms,
            CallDone done) {
    if (request.body.size() > kControlBodyBytesMax || calls_.size() >= kCallsMax) {
      bool large = request.body.size() > kControlBodyBytesMax;
      return context_.loop->Post(
          [done = std::move(done), large, alive = std::weak_ptr(alive_)]() mutable {
            if (alive.expired()) return;
            done(large ? Fail(Code::kTooLarge, "the control request is too large")
                       : Fail(Code::kOverloaded, "too many control requests under way"));
          });
    }
    request.cluster_id = context_.policy->MakeHello({}).cluster_id;
    request.timeout_ms =
        static_cast<uint32_t>(std::min<uint64_t>(timeout_ms, std::numeric_limits<uint32_t>::max()));
    const uint64_t id = ++last_call_;
    auto call = std::make_unique<ControlCall>(
        &context_, address, request,
        [this, id, done = std::move(done)](ControlCall*, ControlAnswer answer) mutable {
          auto node = calls_.extract(id);
          context_.Retire(std::move(node.mapped()));
          done(std::move(answer));
        });
    calls_.emplace(id, std::move(call));
  }

  TransportStats Stats() const {
    TransportStats stats = context_.counters;
    for (const auto& [id, channel] : peers_.channels()) stats.peers[id] = channel->Stats();
    stats.inbound_connections = inbound_.size();
    return stats;
  }

 private:
  Context context_;
  PeerTable peers_;
  Inbound inbound_;
  uint64_t last_call_ = 0;
  std::map<uint64_t, std::unique_ptr<ControlCall>> calls_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Result<std::unique_ptr<TcpTransport>> TcpTransport::Open(Loop* loop, const TcpOptions& options,
                                                         PeerPolicy* policy,
                                                         TransportHandler* handler) {
  auto impl = std::make_unique<Impl>(loop, options, policy, handler);
  if (Status opened = impl->Open(); !opened) return std::unexpected(opened.error());
  return std::unique_ptr<TcpTransport>(new TcpTransport(std::move(impl)));
}

TcpTransport::TcpTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TcpTransport::~TcpTransport() = default;

void TcpTransport::Send(std::vector<raft::Message> messages) { impl_->Send(std::move(messages)); }
void TcpTransport::SetPeers(const PeerMap& peers) { impl_->SetPeers(peers); }
void TcpTransport::Call(const std::string& address, ControlRequest request, uint64_t timeout_ms,
                        CallDone done) {
  impl_->Call(address, std::move(request), timeout_ms, std::move(done));
}
TransportStats TcpTransport::Stats() const { return impl_->Stats(); }
uint16_t TcpTransport::port() const { return impl_->port(); }

}  // namespace arima::transport
