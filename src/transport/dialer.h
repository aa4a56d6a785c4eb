// Dialer: keeps this node's own connection to one peer up: connect, greet, and again after a while.
//
//   kWaiting --timer, Nudge--> kConnecting --connected--> kGreeting --HelloOk--> kUp
//      ^------ no connection, time-out, Refuse, lost ---------+--------------------'
//
// The first attempt starts at once, or after `first_delay_ms`. Delays double from the minimum; a
// connection that held for kStableNs starts them over. Thread rule: the thread of the Loop.
// Internal to transport/.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "transport/connection.h"
#include "transport/context.h"

namespace arima::transport {

class DialerUser {
 public:
  virtual void OnUp() = 0;
  // Was up; `connection` is closed.
  virtual void OnDown(const Connection& connection, const ConnectionEnd& end) = 0;
  // An attempt came to nothing. `refused`: the host is there and nobody listens.
  virtual void OnDialFailed(bool refused, const std::string& text) = 0;
  virtual void OnRefused(const Refuse& refuse) = 0;  // besides OnDown or OnDialFailed
  virtual Status OnMessages(const Frame& frame, raft::MemberId self) = 0;
  virtual void OnDrained() = 0;

 protected:
  ~DialerUser() = default;
};

class Dialer final : public ConnectionUser {
 public:
  Dialer(Context* context, raft::MemberId to, const Peer& peer, const Hello& hello,
         uint64_t first_delay_ms, DialerUser* user);
  // For good; the user hears nothing more.
  void Close();
  // The peer is alive: do not wait any longer.
  void Nudge();

  bool up() const { return state_ == State::kUp; }
  // An attempt is under way: messages may wait for its outcome.
  bool trying() const { return state_ == State::kConnecting || state_ == State::kGreeting; }
  // Of an up dialer.
  Connection* connection() const { return connection_.get(); }
  const Peer& peer() const { return peer_; }
  const Hello& hello() const { return hello_; }

  Status OnFrame(Connection* connection, Frame frame) override;
  void OnDrained(Connection* connection) override;
  void OnClosed(Connection* connection, const ConnectionEnd& end) override;

  static constexpr uint64_t kStableNs = 1'000'000'000;

 private:
  enum class State : uint8_t { kWaiting, kConnecting, kGreeting, kUp, kClosed };

  void Dial();
  void OnConnected(std::unique_ptr<Stream> stream, const ConnectFailure& failure);
  Status OnHelloOk(std::string_view bytes);
  Status OnRefuseFrame(std::string_view bytes);
  // Ends what there is and tries again later.
  void Lose(const ConnectionEnd& end, bool refused_by_host);
  uint64_t NextDelayNs();

  Context* const context_;
  const raft::MemberId to_;
  const Peer peer_;
  const Hello hello_;
  DialerUser* const user_;
  State state_ = State::kWaiting;
  std::unique_ptr<Connecting> connector_;
  std::shared_ptr<Connection> connection_;
  Loop::TimerId timer_ = 0;  // kWaiting: next attempt; kGreeting: deadline
  uint64_t delay_ms_;
  uint64_t up_since_ns_ = 0;
};

}  // namespace arima::transport
