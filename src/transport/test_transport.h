// Test-only: nodes over real loopback sockets, all in one thread: each has its own loop, and they
// are polled in turn until a condition holds or the deadline is over.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/io_context.h"
#include "transport/tcp_transport.h"

namespace arima::transport {

using raft::MemberId;
using raft::Message;
using raft::MessageType;
using Kind = TransportEvent::Kind;

inline constexpr uint64_t kMs = 1'000'000;

inline Uuid UuidOf(uint8_t n) { return Uuid{{n}}; }

inline Message Heartbeat(uint64_t from, uint64_t to, uint64_t round) {
  Message m;
  m.type = MessageType::kHeartbeat;
  m.from = MemberId(from);
  m.to = MemberId(to);
  m.term = raft::Term(1);
  m.round = round;
  return m;
}

inline Message App(uint64_t from, uint64_t to, uint64_t index, std::string payload) {
  Message m;
  m.type = MessageType::kApp;
  m.from = MemberId(from);
  m.to = MemberId(to);
  m.index = raft::Index(index - 1);
  raft::Entry entry;
  entry.index = raft::Index(index);
  entry.kind = raft::EntryKind::kCommand;
  entry.payload = SharedBytes::Take(std::move(payload));
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  m.entries = {entry};
  return m;
}

inline TcpOptions QuickOptions() {
  TcpOptions options;
  options.handshake_timeout_ms = 500;
  options.reconnect_delay_ms_max = 100;
  options.seed = 1;
  return options;
}

// A node that records what its transport tells it and checks when it is told.
class TestNode final : public PeerPolicy, public TransportHandler {
 public:
  explicit TestNode(uint64_t member, TcpOptions options = QuickOptions())
      : id(member), incarnation(UuidOf(static_cast<uint8_t>(member))), options_(options) {
    Open();
  }

  void Open() {
    auto opened = TcpTransport::Open(&loop, options_, this, this);
    ASSERT_TRUE(opened) << opened.error().ToString();
    transport = *std::move(opened);
    options_.listen_port = transport->port();  // where it comes back after a restart
  }
  void Crash() { transport.reset(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(options_.listen_port); }
  Peer peer() const { return {address(), incarnation, "n" + std::to_string(id)}; }
  void Know(std::initializer_list<const TestNode*> others) {
    PeerMap peers;
    for (const TestNode* other : others) peers[MemberId(other->id)] = other->peer();
    Know(peers);
  }
  void Know(const PeerMap& peers) {
    InCall([&] { transport->SetPeers(peers); });
  }
  void Send(std::vector<Message> batch) {
    InCall([&] { transport->Send(std::move(batch)); });
  }
  PeerStats StatsOf(const TestNode& other) { return transport->Stats().peers[MemberId(other.id)]; }

  HelloDecision Check(const Hello& hello) override {
    greetings.push_back(hello);
    if (hello.cluster_id != cluster) return Refused(RefuseReason::kWrongCluster);
    if (hello.to != MemberId(id)) return Refused(RefuseReason::kWrongMember);
    if (removed == hello.from) return Refused(RefuseReason::kNotMember);
    return {provisional ? HelloVerdict::kAcceptProvisionally : HelloVerdict::kAccept, {}};
  }
  Hello MakeHello(MemberId to) override {
    Hello hello;
    hello.cluster_id = cluster;
    hello.from = MemberId(id);
    hello.from_incarnation = incarnation;
    hello.to = to;
    hello.name = "n" + std::to_string(id);
    hello.address = announced;
    return hello;
  }

  void OnMessage(Message&& message) override {
    Told();
    messages.push_back(std::move(message));
    if (on_message) on_message();
  }
  void OnUnreachable(MemberId peer) override { Told(), unreachable.push_back(peer.value); }
  void OnPeerClosed(MemberId peer) override { Told(), closed.push_back(peer.value); }
  void OnRefused(MemberId, const Refuse& refuse) override { Told(), refused.push_back(refuse); }
  void OnAddress(const Hello& hello) override { Told(), addresses.push_back(hello.address); }
  void OnControl(ControlRequest&& request, Responder responder) override {
    Told();
    requests.push_back(std::move(request));
    responders.push_back(std::move(responder));
  }
  void OnStream(const Hello&, std::unique_ptr<ByteStream>) override { Told(); }
  void OnEvent(const TransportEvent& event) override { Told(), events.push_back(event); }

  size_t Events(Kind kind) const {
    return static_cast<size_t>(std::ranges::count(events, kind, &TransportEvent::kind));
  }
  std::vector<uint64_t> Rounds() const {
    std::vector<uint64_t> rounds;
    for (const Message& m : messages) rounds.push_back(m.round);
    return rounds;
  }

  uint64_t id;
  Uuid incarnation;
  Uuid cluster = UuidOf(100);
  std::string announced;
  bool provisional = false;
  MemberId removed;

  IoLoop loop;
  std::unique_ptr<TcpTransport> transport;
  std::vector<Hello> greetings;
  std::vector<Message> messages;
  std::vector<uint64_t> unreachable;
  std::vector<uint64_t> closed;
  std::vector<Refuse> refused;
  std::vector<std::string> addresses;
  std::vector<ControlRequest> requests;
  std::vector<Responder> responders;
  std::vector<TransportEvent> events;
  std::function<void()> on_message;  // called besides, from inside the callback

 private:
  static HelloDecision Refused(RefuseReason reason) {
    return {HelloVerdict::kRefuse, {reason, MemberId(9), raft::Index(5), "not wanted"}};
  }
  void InCall(const std::function<void()>& call) {
    in_call_ = true;
    call();
    in_call_ = false;
  }
  void Told() { EXPECT_FALSE(in_call_) << "a callback ran inside a call"; }

  TcpOptions options_;
  bool in_call_ = false;
};

// Polls the nodes in turn until `condition`; false when ten seconds are over.
inline bool Until(std::initializer_list<TestNode*> nodes, const std::function<bool()>& condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    for (TestNode* node : nodes) node->loop.RunOnce(kMs / 2);
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
  return true;
}

// Until nothing has happened for a while.
inline void Settle(std::initializer_list<TestNode*> nodes) {
  for (int quiet = 0; quiet < 20;) {
    size_t ran = 0;
    for (TestNode* node : nodes) ran += node->loop.RunOnce(kMs);
    quiet = ran == 0 ? quiet + 1 : 0;
  }
}

inline bool Connected(TestNode& a, TestNode& b) {
  return Until({&a, &b}, [&] { return a.StatsOf(b).connected && b.StatsOf(a).connected; });
}

}  // namespace arima::transport
