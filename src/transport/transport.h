// Transport: how a node's raft loop reaches its peers. tcp_transport.h is the real one; the
// simulator brings its own.
//
// Thread rule: everything, callbacks included, on the core thread. Callbacks (TransportHandler,
// and answers of Call) never run inside a call of the caller's; only SetPeers asks the PeerPolicy
// at once. Callbacks may call the transport, but not destroy it.
//
// What is promised for raft messages: from one node to another they arrive in order while a
// connection lasts, whole, checked, at most once, or not at all. A lost one is reported sooner or
// later by OnUnreachable of its addressee, never by an error of Send. Times are milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/error.h"
#include "base/random.h"
#include "raft/message.h"
#include "transport/control.h"
#include "transport/hello.h"

namespace arima::transport {

struct Peer {
  std::string address;  // host:port
  Uuid incarnation;     // zero: not known yet, not checked
  std::string name;     // for logs
  // It may not know yet that it is a member, and will connect by itself when it does: before that
  // it would refuse this node. Connected to when it greets, or after a while (PROTOCOL.md 1).
  bool fresh = false;
  friend bool operator==(const Peer&, const Peer&) = default;
};
using PeerMap = std::map<raft::MemberId, Peer>;

enum class HelloVerdict : uint8_t {
  kAccept,
  // Not in the own configuration, which may be the older one: only PreVote, Vote, App, Heartbeat
  // and Snap are taken from it. SetPeers asks again.
  kAcceptProvisionally,
  kRefuse,
};
struct HelloDecision {
  HelloVerdict verdict = HelloVerdict::kRefuse;
  Refuse refuse;  // with kRefuse
};

// What the node knows about identities. The transport itself compares protocol versions only.
class PeerPolicy {
 public:
  virtual ~PeerPolicy() = default;
  // Who may send to this node: cluster id, Hello.to, member id and incarnation. Also asked again,
  // for each open connection, when SetPeers is called.
  virtual HelloDecision Check(const Hello& hello) = 0;
  // How this node introduces itself to a peer; of `to` 0 only the cluster id is used. After a
  // change (another cluster or member id after a join) call SetPeers: it closes and dials again
  // what was greeted otherwise.
  virtual Hello MakeHello(raft::MemberId to) = 0;
};

// Something an operator may care about; never one line per message or per bad byte.
struct TransportEvent {
  enum class Kind : uint8_t {
    kConnected,       // to `peer`, greeted
    kDisconnected,    // from `peer`, why
    kRefused,         // `peer` refused this node, why; at most one per change of reason and minute
    kRefusedOther,    // this node refused someone, why; rate-limited
    kBadInput,        // foreign bytes on the listener, or damage; rate-limited
    kListenNarrowed,  // the whole loopback network could not be had, only 127.0.0.1
  };
  Kind kind = Kind::kConnected;
  raft::MemberId peer;  // 0: not known
  std::string address;
  std::string text;
  uint64_t suppressed = 0;  // events of this kind not reported since the last one
};

// Answers one control request, later if need be. Dropping it unused closes the connection: the
// caller then gets kOutcomeUnknown. Answering after the connection is gone is allowed.
class Responder {
 public:
  using Send = std::move_only_function<void(ControlAnswer)>;
  Responder() = default;
  explicit Responder(Send send) : send_(std::move(send)) {}
  // Once.
  void Answer(ControlAnswer answer) { std::exchange(send_, nullptr)(std::move(answer)); }
  explicit operator bool() const { return static_cast<bool>(send_); }

 private:
  Send send_;
};

class TransportHandler {
 public:
  virtual ~TransportHandler() = default;
  virtual void OnMessage(raft::Message&& message) = 0;
  // Messages to this peer were, or may have been, lost.
  virtual void OnUnreachable(raft::MemberId peer) = 0;
  // The peer's host closed the connection (FIN, RST, or nobody listens any more): the process most
  // likely ended. Once per loss. Input for raft::LeaderLost when the peer is the leader.
  virtual void OnPeerClosed(raft::MemberId peer) = 0;
  // The peer answered the greeting with a refusal. kNotMember may mean "you were removed".
  virtual void OnRefused(raft::MemberId peer, const Refuse& refuse) = 0;
  // A peer announced an address of its own in its greeting (docs/design/raft.md 8.5).
  virtual void OnAddress(const Hello& hello) = 0;
  virtual void OnControl(ControlRequest&& request, Responder responder) = 0;
  // A member opened a side stream (side_stream.h), to be served on another thread. It counts until
  // it is destroyed; further ones are refused when there are too many.
  virtual void OnStream(const Hello& hello, std::unique_ptr<ByteStream> stream) = 0;
  virtual void OnEvent(const TransportEvent& event) = 0;
};

struct PeerStats {
  bool connected = false;  // this node's own connection to it is up
  bool inbound = false;    // one of its connections to this node is up
  uint64_t sent_bytes = 0;
  uint64_t sent_messages = 0;
  uint64_t received_bytes = 0;
  uint64_t received_messages = 0;
  uint64_t dropped_messages = 0;  // not sent: queue full or no connection
  uint64_t connects = 0;          // greeted connections made; the first included
  uint64_t refused = 0;           // greetings that the peer refused
  uint64_t queued_bytes = 0;      // now
};

struct TransportStats {
  std::map<raft::MemberId, PeerStats> peers;  // configured or connected now
  uint64_t unroutable_messages = 0;           // to nobody of these; dropped
  uint64_t inbound_connections = 0;           // now
  uint64_t accepted_connections = 0;
  uint64_t rejected_connections = 0;  // over the limit
  uint64_t refused_hellos = 0;        // by this node
  uint64_t bad_inputs = 0;        // connections closed for what they sent, or for saying nothing
  uint64_t damaged_messages = 0;  // an entry's bytes did not match its checksum
  uint64_t control_requests = 0;  // received
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Hands messages over; never blocks. Each goes to message.to; none may be addressed to this
  // node. Call it once per loop with all there is: one write per peer follows at once. A peer whose
  // queue is full, or that cannot be reached, loses messages and is reported by OnUnreachable; so
  // is the addressee of a message with more than 32 MiB of payload, which is never sent.
  virtual void Send(std::vector<raft::Message> messages) = 0;

  // Whom to keep connections to, without this node itself. Connections to peers that did not
  // change stay up. Also asks the policy again about every open incoming connection.
  virtual void SetPeers(const PeerMap& peers) = 0;

  // Asks the node at `address` (host:port) once. `done` runs exactly once, within timeout_ms or a
  // little later, unless the transport is destroyed first. Errors besides the other node's own:
  //   kPeerUnreachable  nothing was asked: no connection, bad address, not an Arima node
  //   kOutcomeUnknown   asked, but no answer came
  //   kTooLarge         request.body is over kControlBodyBytesMax
  using CallDone = std::move_only_function<void(ControlAnswer)>;
  virtual void Call(const std::string& address, ControlRequest request, uint64_t timeout_ms,
                    CallDone done) = 0;

  virtual TransportStats Stats() const = 0;
};

}  // namespace arima::transport
