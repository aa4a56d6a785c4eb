// Who is who on a connection between nodes: the greeting, its answer, its refusal.
// Bytes and rules: transport/PROTOCOL.md sections 3 and 4; docs/design/raft.md 8.1.
//
// Plain values; pure functions, any thread. Decode takes any bytes and answers kCorruption.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/random.h"
#include "raft/types.h"

namespace arima::transport {

inline constexpr uint16_t kProtocolMin = 2;
inline constexpr uint16_t kProtocolMax = 2;

struct Hello {
  uint16_t protocol_min = kProtocolMin;  // range that the sender speaks
  uint16_t protocol_max = kProtocolMax;
  Uuid cluster_id;
  raft::MemberId from;
  Uuid from_incarnation;
  raft::MemberId to;
  std::string name;     // the operator's --node-id
  std::string address;  // host:port the sender wants to be known by; empty = what was joined stays
  friend bool operator==(const Hello&, const Hello&) = default;
};

struct HelloOk {
  uint16_t protocol = kProtocolMax;  // the version both speak from here on
  raft::MemberId member;             // who answers
  Uuid incarnation;
  std::string name;
  friend bool operator==(const HelloOk&, const HelloOk&) = default;
};

// On the wire: never renumber.
enum class RefuseReason : uint8_t {
  kProtocol = 1,  // no common version
  kWrongCluster = 2,
  kWrongMember = 3,       // Hello.to is not who answers
  kWrongIncarnation = 4,  // another data directory owns the sender's member id
  kNotMember = 5,         // the sender is in no configuration this node knows; see next_member_id
  kBusy = 6,              // too many connections
  kNotReady = 7,          // starting, joining or stopping: try again later
};
std::string_view RefuseReasonName(RefuseReason reason);  // "wrong_cluster", ...

struct Refuse {
  RefuseReason reason = RefuseReason::kNotReady;
  // kNotMember is proof of removal only if next_member_id > the sender's id and conf_index is at
  // least that of the sender's own configuration; else the refuser is merely behind.
  raft::MemberId next_member_id;
  raft::Index conf_index;
  std::string text;  // one line for the log
  friend bool operator==(const Refuse&, const Refuse&) = default;
};

std::string EncodeHello(const Hello& hello);
Result<Hello> DecodeHello(std::string_view bytes);
std::string EncodeHelloOk(const HelloOk& answer);
Result<HelloOk> DecodeHelloOk(std::string_view bytes);
std::string EncodeRefuse(const Refuse& refuse);
Result<Refuse> DecodeRefuse(std::string_view bytes);

}  // namespace arima::transport
