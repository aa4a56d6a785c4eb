#include "raft/conf_payload.h"

#include <algorithm>
#include <utility>

#include "base/coding.h"

namespace arima::raft {
namespace {

constexpr uint8_t kVersion = 1;

void WriteMember(ByteWriter* out, const MemberInfo& info) {
  out->U64(info.id.value);
  out->Bytes(info.name);
  out->Bytes(info.raft_address);
  out->Bytes(info.http_address);
  out->Raw({reinterpret_cast<const char*>(info.incarnation.bytes.data()),
            info.incarnation.bytes.size()});
  out->U16(static_cast<uint16_t>(info.attributes.size()));
  for (const auto& [key, value] : info.attributes) {
    out->Bytes(key);
    out->Bytes(value);
  }
}

bool ReadMember(ByteReader* in, MemberInfo* info) {
  info->id = MemberId(in->U64());
  info->name = in->Bytes();
  info->raft_address = in->Bytes();
  info->http_address = in->Bytes();
  std::string_view incarnation = in->Raw(info->incarnation.bytes.size());
  std::copy(incarnation.begin(), incarnation.end(), info->incarnation.bytes.begin());
  uint16_t count = in->U16();
  for (uint16_t i = 0; i < count && in->ok(); ++i) {
    std::string key(in->Bytes());
    std::string value(in->Bytes());
    if (!info->attributes.empty() && key <= info->attributes.rbegin()->first) return false;
    info->attributes.emplace_hint(info->attributes.end(), std::move(key), std::move(value));
  }
  return in->ok();
}

}  // namespace

std::string EncodeConfPayload(const ConfChange& change) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kVersion);
  out.U8(static_cast<uint8_t>(change.transition));
  out.U16(static_cast<uint16_t>(change.changes.size()));
  for (const ConfChangeItem& item : change.changes) {
    out.U8(static_cast<uint8_t>(item.op));
    WriteMember(&out, item.info);
  }
  out.Bytes(change.context);
  return bytes;
}

Result<ConfChange> DecodeConfPayload(std::string_view bytes) {
  auto corrupt = [&](std::string_view what) {
    return Fail(Code::kCorruption, "membership change of " + std::to_string(bytes.size()) +
                                       " bytes: " + std::string(what));
  };
  ByteReader in(bytes);
  uint8_t version = in.U8();
  if (!in.ok()) return corrupt("empty");
  if (version != kVersion) {
    return Fail(Code::kNotSupported,
                "membership change has format version " + std::to_string(version));
  }
  ConfChange change;
  uint8_t transition = in.U8();
  if (transition > static_cast<uint8_t>(ConfTransition::kJointExplicit)) {
    return corrupt("unknown transition");
  }
  change.transition = static_cast<ConfTransition>(transition);
  uint16_t count = in.U16();
  if (count > kConfItemsMax) return corrupt("too many items");
  for (uint16_t i = 0; i < count; ++i) {
    uint8_t op = in.U8();
    if (op < static_cast<uint8_t>(ConfOp::kAddVoter) ||
        op > static_cast<uint8_t>(ConfOp::kUpdate)) {
      return corrupt("unknown operation");
    }
    ConfChangeItem item{static_cast<ConfOp>(op), {}};
    if (!ReadMember(&in, &item.info)) return corrupt("bad member");
    change.changes.push_back(std::move(item));
  }
  change.context = in.Bytes();
  if (change.context.size() > kConfContextMax) return corrupt("context too large");
  if (!in.done()) return corrupt("wrong length");
  return change;
}

}  // namespace arima::raft
