#include "transport/notifier.h"

namespace arima::transport {
namespace {

using Kind = TransportEvent::Kind;

constexpr uint64_t kForeignEventNs = 5'000'000'000;   // what strangers cause
constexpr uint64_t kRefusedEventNs = 60'000'000'000;  // the same refusal again

bool CausedByStrangers(Kind kind) { return kind == Kind::kBadInput || kind == Kind::kRefusedOther; }

}  // namespace

void Notifier::Unreachable(raft::MemberId peer) {
  unreachable_.insert(peer);
  Schedule();
}

void Notifier::PeerClosed(raft::MemberId peer) {
  closed_.insert(peer);
  Schedule();
}

void Notifier::Refused(raft::MemberId peer, const Refuse& refuse) {
  refused_.emplace_back(peer, refuse);
  Schedule();
}

void Notifier::Address(const Hello& hello) {
  addresses_.push_back(hello);
  Schedule();
}

bool Notifier::Suppress(Limit* limit, Kind kind, const std::string& text) const {
  if (limit->last_ns == 0) return false;
  uint64_t passed_ns = loop_->NowNs() - limit->last_ns;
  if (CausedByStrangers(kind)) return passed_ns < kForeignEventNs;
  return kind == Kind::kRefused && passed_ns < kRefusedEventNs && limit->text == text;
}

void Notifier::Event(Kind kind, raft::MemberId peer, std::string address, std::string text) {
  // Strangers may claim any id: one limit for all of them keeps the table small.
  Limit& limit = limits_[{kind, CausedByStrangers(kind) ? raft::MemberId() : peer}];
  if (Suppress(&limit, kind, text)) {
    ++limit.suppressed;
    return;
  }
  limit.last_ns = loop_->NowNs();
  limit.text = text;
  events_.push_back(
      {kind, peer, std::move(address), std::move(text), std::exchange(limit.suppressed, 0)});
  Schedule();
}

void Notifier::Schedule() {
  if (std::exchange(scheduled_, true)) return;
  loop_->Post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) Deliver();
  });
}

// The lost leader first: an election may hang on it.
void Notifier::Deliver() {
  scheduled_ = false;
  for (raft::MemberId peer : std::exchange(closed_, {})) handler_->OnPeerClosed(peer);
  for (raft::MemberId peer : std::exchange(unreachable_, {})) handler_->OnUnreachable(peer);
  for (const auto& [peer, refuse] : std::exchange(refused_, {})) handler_->OnRefused(peer, refuse);
  for (const Hello& hello : std::exchange(addresses_, {})) handler_->OnAddress(hello);
  for (const TransportEvent& event : std::exchange(events_, {})) handler_->OnEvent(event);
}

}  // namespace arima::transport
