#include "transport/control.h"

#include <array>
#include <utility>

#include "codec/conf_codec.h"
#include "transport/fields.h"

namespace arima::transport {
namespace {

// Codes on the wire; 0 is "ok". Never renumber; a code that is not here travels as kInternal.
constexpr std::array<std::pair<uint8_t, Code>, 17> kWireCodes = {{
    {1, Code::kInvalidArgument},
    {2, Code::kNotFound},
    {3, Code::kAlreadyExists},
    {4, Code::kConflict},
    {5, Code::kConditionFailed},
    {6, Code::kTooLarge},
    {7, Code::kCompacted},
    {8, Code::kRemoved},
    {9, Code::kOverloaded},
    {10, Code::kUnavailable},
    {11, Code::kOutcomeUnknown},
    {12, Code::kPeerUnreachable},
    {13, Code::kDiskFull},
    {14, Code::kIo},
    {15, Code::kCorruption},
    {16, Code::kNotSupported},
    {17, Code::kInternal},
}};
constexpr uint8_t kWireOk = 0;
constexpr uint8_t kWireInternal = 17;

uint8_t ToWire(Code code) {
  for (auto [wire, known] : kWireCodes) {
    if (known == code) return wire;
  }
  return kWireInternal;
}

Code FromWire(uint8_t code) {
  for (auto [wire, known] : kWireCodes) {
    if (wire == code) return known;
  }
  return Code::kInternal;
}

std::unexpected<Error> EndsEarly(std::string_view what) {
  return Fail(Code::kCorruption, std::string(what) + ": ends early");
}

}  // namespace

std::string_view ControlKindName(ControlKind kind) {
  switch (kind) {
    case ControlKind::kProbe:
      return "probe";
    case ControlKind::kAbsorb:
      return "absorb";
    case ControlKind::kJoin:
      return "join";
    case ControlKind::kRemove:
      return "remove";
    case ControlKind::kAdmin:
      return "admin";
    case ControlKind::kTransfer:
      return "transfer";
  }
  return "unknown";
}

std::string EncodeControlRequest(const ControlRequest& request) {
  std::string out;
  ByteWriter to(&out);
  to.U8(static_cast<uint8_t>(request.kind));
  to.U8(request.admin_kind);
  PutUuid(request.cluster_id, &to);
  to.U32(request.timeout_ms);
  to.Bytes(request.body);
  return out;
}

// A kind of a later version is kept as it is: the receiver answers kNotSupported.
Result<ControlRequest> DecodeControlRequest(std::string_view bytes) {
  ByteReader in(bytes);
  ControlRequest request;
  request.kind = static_cast<ControlKind>(in.U8());
  request.admin_kind = in.U8();
  request.cluster_id = GetUuid(&in);
  request.timeout_ms = in.U32();
  request.body = GetString(&in);
  if (!in.ok()) return EndsEarly("control request");
  return request;
}

std::string EncodeControlAnswer(const ControlAnswer& answer) {
  std::string out;
  ByteWriter to(&out);
  to.U8(answer ? kWireOk : ToWire(answer.error().code));
  to.Bytes(answer ? *answer : answer.error().message);
  return out;
}

Result<ControlAnswer> DecodeControlAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  uint8_t code = in.U8();
  std::string body = GetString(&in);
  if (!in.ok()) return EndsEarly("control answer");
  if (code == kWireOk) return ControlAnswer(std::move(body));
  return ControlAnswer(Fail(FromWire(code), std::move(body)));
}

std::string EncodeProbeAnswer(const ProbeAnswer& answer) {
  std::string out;
  ByteWriter to(&out);
  to.U16(answer.protocol_min);
  to.U16(answer.protocol_max);
  to.Bytes(answer.software);
  to.U32(answer.format);
  to.Bytes(answer.name);
  PutUuid(answer.cluster_id, &to);
  PutUuid(answer.incarnation, &to);
  to.U64(answer.member.value);
  to.U8(static_cast<uint8_t>(answer.state));
  to.U8(answer.pristine ? 1 : 0);
  to.U64(answer.user_operations);
  to.U32(answer.members);
  to.U64(answer.next_member_id.value);
  to.U64(answer.leader.value);
  to.Bytes(answer.raft_address);
  to.Bytes(answer.http_address);
  return out;
}

Result<ProbeAnswer> DecodeProbeAnswer(std::string_view bytes) {
  ByteReader in(bytes);
  ProbeAnswer answer;
  answer.protocol_min = in.U16();
  answer.protocol_max = in.U16();
  answer.software = GetString(&in);
  answer.format = in.U32();
  answer.name = GetString(&in);
  answer.cluster_id = GetUuid(&in);
  answer.incarnation = GetUuid(&in);
  answer.member = raft::MemberId(in.U64());
  uint8_t state = in.U8();
  answer.state = static_cast<NodeState>(state);
  uint8_t pristine = in.U8();
  answer.pristine = pristine == 1;
  answer.user_operations = in.U64();
  answer.members = in.U32();
  answer.next_member_id = raft::MemberId(in.U64());
  answer.leader = raft::MemberId(in.U64());
  answer.raft_address = GetString(&in);
  answer.http_address = GetString(&in);
  if (!in.ok()) return EndsEarly("probe answer");
  // Whether a node may be absorbed hangs on these two: no guessing.
  if (state < static_cast<uint8_t>(NodeState::kStandalone) ||
      state > static_cast<uint8_t>(NodeState::kDamaged) || pristine > 1) {
    return Fail(Code::kCorruption, "probe answer: unknown state");
  }
  return answer;
}

std::string EncodeAbsorbRequest(const AbsorbRequest& request) {
  std::string out;
  ByteWriter to(&out);
  PutUuid(request.cluster_id, &to);
  to.U64(request.member.value);
  PutUuid(request.expected_incarnation, &to);
  PutUuid(request.expected_cluster_id, &to);
  to.Bytes(codec::EncodeConfState(request.conf));
  return out;
}

Result<AbsorbRequest> DecodeAbsorbRequest(std::string_view bytes) {
  ByteReader in(bytes);
  AbsorbRequest request;
  request.cluster_id = GetUuid(&in);
  request.member = raft::MemberId(in.U64());
  request.expected_incarnation = GetUuid(&in);
  request.expected_cluster_id = GetUuid(&in);
  std::string_view conf_bytes = in.Bytes();
  if (!in.ok()) return EndsEarly("absorb request");
  Result<raft::ConfState> conf = codec::DecodeConfState(conf_bytes);
  if (!conf) return std::unexpected(conf.error());
  request.conf = *std::move(conf);
  return request;
}

std::string EncodeJoinForward(const JoinForward& request) {
  std::string out;
  ByteWriter to(&out);
  to.Bytes(request.name);
  to.Bytes(request.raft_address);
  return out;
}

Result<JoinForward> DecodeJoinForward(std::string_view bytes) {
  ByteReader in(bytes);
  JoinForward request;
  request.name = GetString(&in);
  request.raft_address = GetString(&in);
  if (!in.ok()) return EndsEarly("join request");
  return request;
}

std::string EncodeRemoveForward(const RemoveForward& request) {
  std::string out;
  ByteWriter to(&out);
  to.Bytes(request.name);
  to.U8(request.force ? 1 : 0);
  return out;
}

Result<RemoveForward> DecodeRemoveForward(std::string_view bytes) {
  ByteReader in(bytes);
  RemoveForward request;
  request.name = GetString(&in);
  uint8_t force = in.U8();
  request.force = force == 1;
  if (!in.ok()) return EndsEarly("remove request");
  if (force > 1) return Fail(Code::kCorruption, "remove request: unknown force");
  return request;
}

std::string EncodeTransferForward(const TransferForward& request) {
  std::string out;
  ByteWriter(&out).Bytes(request.name);
  return out;
}

Result<TransferForward> DecodeTransferForward(std::string_view bytes) {
  ByteReader in(bytes);
  TransferForward request;
  request.name = GetString(&in);
  if (!in.ok()) return EndsEarly("transfer request");
  return request;
}

}  // namespace arima::transport
