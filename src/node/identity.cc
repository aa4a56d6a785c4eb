#include "node/identity.h"

#include <cstring>
#include <string>

#include "base/coding.h"

namespace arima::node {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kDamagedVersion = 2;  // + damage at the end; state kDamaged only

std::string_view View(const Uuid& uuid) {
  return {reinterpret_cast<const char*>(uuid.bytes.data()), uuid.bytes.size()};
}

Uuid ReadUuid(ByteReader& in) {
  Uuid uuid;
  std::string_view bytes = in.Raw(uuid.bytes.size());
  if (!bytes.empty()) std::memcpy(uuid.bytes.data(), bytes.data(), bytes.size());
  return uuid;
}

}  // namespace

std::string_view IdentityStateName(IdentityState state) {
  switch (state) {
    case IdentityState::kStandalone:
      return "standalone";
    case IdentityState::kJoining:
      return "joining";
    case IdentityState::kMember:
      return "member";
    case IdentityState::kRemoved:
      return "removed";
    case IdentityState::kDamaged:
      return "damaged";
  }
  return "unknown";
}

std::string EncodeIdentity(const Identity& identity) {
  std::string bytes;
  ByteWriter out(&bytes);
  bool damaged = identity.state == IdentityState::kDamaged;
  out.U8(damaged ? kDamagedVersion : kVersion);
  out.U8(static_cast<uint8_t>(identity.state));
  out.U8(identity.data_ready ? 1 : 0);
  out.U64(identity.generation);
  out.U64(identity.member_id.value);
  out.Raw(View(identity.cluster_id));
  out.Raw(View(identity.incarnation));
  out.Bytes(identity.name);
  out.Bytes(identity.seed_conf);
  if (damaged) out.Bytes(identity.damage);
  return bytes;
}

Result<Identity> DecodeIdentity(std::string_view bytes) {
  ByteReader in(bytes);
  uint8_t version = in.U8();
  if (version != kVersion && version != kDamagedVersion) {
    return Fail(Code::kNotSupported, "the identity file is of version " + std::to_string(version) +
                                         "; start the release that wrote it, or a later one");
  }
  Identity identity;
  uint8_t state = in.U8();
  identity.state = static_cast<IdentityState>(state);
  identity.data_ready = in.U8() != 0;
  identity.generation = in.U64();
  identity.member_id = raft::MemberId(in.U64());
  identity.cluster_id = ReadUuid(in);
  identity.incarnation = ReadUuid(in);
  identity.name = in.Bytes();
  identity.seed_conf = in.Bytes();
  if (version == kDamagedVersion) identity.damage = in.Bytes();
  bool damaged = identity.state == IdentityState::kDamaged;
  if (!in.done() || state < 1 || state > 5 || damaged != (version == kDamagedVersion)) {
    return Fail(Code::kCorruption, "identity record is malformed");
  }
  return identity;
}

}  // namespace arima::node
