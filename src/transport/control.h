// Control calls: the rare questions and orders between nodes that are not raft messages, each on a
// short connection of its own. Bytes and rules: transport/PROTOCOL.md section 6.
//
// Plain values; pure functions, any thread. Decode takes any bytes and answers kCorruption.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "raft/types.h"

namespace arima::transport {

// On the wire: never renumber.
enum class ControlKind : uint8_t {
  kProbe = 1,     // "who are you?"; answered to anyone. Body empty, answer ProbeAnswer
  kAbsorb = 2,    // "become member N of cluster C". Body AbsorbRequest, answer empty
  kJoin = 3,      // POST /raft/join on its way to the leader. Body JoinForward
  kRemove = 4,    // POST /raft/remove on its way to the leader. Body RemoveForward
  kAdmin = 5,     // anything else the node defines; admin_kind tells them apart
  kTransfer = 6,  // POST /raft/transfer on its way to the leader. Body TransferForward
};
inline constexpr ControlKind kLastControlKind = ControlKind::kTransfer;
std::string_view ControlKindName(ControlKind kind);

inline constexpr size_t kControlBodyBytesMax = 1 << 20;

struct ControlRequest {
  ControlKind kind = ControlKind::kProbe;
  uint8_t admin_kind = 0;  // kAdmin only
  // Sender's cluster; all but kProbe and kAbsorb are taken from the own cluster only (the transport
  // refuses others with kConflict). Filled in by Transport::Call.
  Uuid cluster_id;
  // How long the caller waits, so that the receiver can give up too. Filled in by Transport::Call.
  uint32_t timeout_ms = 0;
  std::string body;
  friend bool operator==(const ControlRequest&, const ControlRequest&) = default;
};

// The answer is Result<std::string>: a body, or the error that the other node gave.
using ControlAnswer = Result<std::string>;

std::string EncodeControlRequest(const ControlRequest& request);
Result<ControlRequest> DecodeControlRequest(std::string_view bytes);
std::string EncodeControlAnswer(const ControlAnswer& answer);
// The outer error: the bytes make no sense. The inner one: what the other node said.
Result<ControlAnswer> DecodeControlAnswer(std::string_view bytes);

// ---------------------------------------------------------------- bodies

// Identity states of docs/design/raft.md 8.2. On the wire: never renumber.
enum class NodeState : uint8_t {
  kStandalone = 1,
  kJoining = 2,
  kMember = 3,
  kRemoved = 4,
  kDamaged = 5,
};

struct ProbeAnswer {
  uint16_t protocol_min = 0;
  uint16_t protocol_max = 0;
  std::string software;  // "arima 0.1.0"
  uint32_t format = 0;   // newest data format it writes
  std::string name;
  Uuid cluster_id;
  Uuid incarnation;
  raft::MemberId member;
  NodeState state = NodeState::kStandalone;
  bool pristine = false;         // docs/design/raft.md 8.3
  uint64_t user_operations = 0;  // for the text of a refusal
  uint32_t members = 0;
  raft::MemberId next_member_id;
  raft::MemberId leader;  // 0: none known
  std::string raft_address;
  std::string http_address;
  friend bool operator==(const ProbeAnswer&, const ProbeAnswer&) = default;
};

struct AbsorbRequest {
  Uuid cluster_id;  // to become a member of
  raft::MemberId member;
  Uuid expected_incarnation;  // of the data directory that was probed
  Uuid expected_cluster_id;   // it belonged to then
  raft::ConfState conf;       // where the other members are
  friend bool operator==(const AbsorbRequest&, const AbsorbRequest&) = default;
};

struct JoinForward {
  std::string name;
  std::string raft_address;
  friend bool operator==(const JoinForward&, const JoinForward&) = default;
};

struct RemoveForward {
  std::string name;
  bool force = false;
  friend bool operator==(const RemoveForward&, const RemoveForward&) = default;
};

struct TransferForward {
  std::string name;  // empty: any healthy voter
  friend bool operator==(const TransferForward&, const TransferForward&) = default;
};

std::string EncodeProbeAnswer(const ProbeAnswer& answer);
Result<ProbeAnswer> DecodeProbeAnswer(std::string_view bytes);
std::string EncodeAbsorbRequest(const AbsorbRequest& request);
Result<AbsorbRequest> DecodeAbsorbRequest(std::string_view bytes);
std::string EncodeJoinForward(const JoinForward& request);
Result<JoinForward> DecodeJoinForward(std::string_view bytes);
std::string EncodeRemoveForward(const RemoveForward& request);
Result<RemoveForward> DecodeRemoveForward(std::string_view bytes);
std::string EncodeTransferForward(const TransferForward& request);
Result<TransferForward> DecodeTransferForward(std::string_view bytes);

}  // namespace arima::transport
