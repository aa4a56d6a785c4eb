// A decoder here reads field by field through Input, which keeps the first complaint with its byte
// offset and afterwards delivers empty values, so that every decoder is a straight line with one
// check at the end. Counts only bound loops whose body consumes bytes and stops on failure, so
// hostile counts cost nothing.

#include "codec/conf_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/coding.h"

namespace arima::codec {
namespace {

using raft::ConfChange;
using raft::ConfChangeItem;
using raft::ConfOp;
using raft::ConfState;
using raft::ConfTransition;
using raft::Index;
using raft::MemberId;
using raft::MemberInfo;

constexpr uint8_t kFlagAutoLeave = 1;

class Input {
 public:
  Input(std::string_view what, std::string_view bytes)
      : what_(what), size_(bytes.size()), reader_(bytes) {}

  uint8_t U8() { return reader_.U8(); }
  uint16_t U16() { return reader_.U16(); }
  uint32_t U32() { return reader_.U32(); }
  uint64_t U64() { return reader_.U64(); }
  std::string_view Raw(size_t n) { return reader_.Raw(n); }

  std::string String(std::string_view field, size_t bytes_max) {
    uint32_t n = reader_.U32();
    if (n > bytes_max) {
      Refuse(Code::kCorruption, std::string(field) + " of " + std::to_string(n) + " bytes");
      return {};
    }
    return std::string(reader_.Raw(n));
  }

  // Only the first complaint counts; a short read counts as one.
  void Refuse(Code code, std::string why) {
    if (!ok()) return;
    error_ = Error{code, std::string(what_) + ": " + std::move(why) + " at byte " +
                             std::to_string(size_ - reader_.remaining())};
    failed_ = true;
  }
  bool ok() const { return !failed_ && reader_.ok(); }

  void Version() {
    uint8_t version = U8();
    if (version != kConfFormatVersion) {
      Refuse(version == 0 ? Code::kCorruption : Code::kNotSupported,
             "unknown format version " + std::to_string(version));
    }
  }

  // Ok iff everything was read, nothing was missing and nothing was refused.
  Status End() const {
    if (failed_) return std::unexpected(error_);
    if (!reader_.ok()) {
      return Fail(Code::kCorruption, std::string(what_) + ": cut short, " + std::to_string(size_) +
                                         " bytes are not all of it");
    }
    if (reader_.remaining() != 0) {
      return Fail(Code::kCorruption, std::string(what_) + ": " +
                                         std::to_string(reader_.remaining()) +
                                         " bytes left over at the end");
    }
    return {};
  }

 private:
  const std::string_view what_;
  const size_t size_;
  ByteReader reader_;
  bool failed_ = false;
  Error error_;
};

size_t AttributesBytes(const MemberInfo& info) {
  size_t total = 0;
  for (const auto& [key, value] : info.attributes) total += key.size() + value.size();
  return total;
}

void WriteMember(ByteWriter* out, const MemberInfo& info) {
  ARIMA_ASSERT(CheckMemberLimits(info).has_value(), info.id, info.name.size());
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

MemberInfo ReadMember(Input* in) {
  MemberInfo info;
  info.id = MemberId(in->U64());
  info.name = in->String("name", kMemberNameBytesMax);
  info.raft_address = in->String("raft address", kMemberAddressBytesMax);
  info.http_address = in->String("http address", kMemberAddressBytesMax);
  std::string_view incarnation = in->Raw(info.incarnation.bytes.size());
  std::copy(incarnation.begin(), incarnation.end(), info.incarnation.bytes.begin());
  uint16_t count = in->U16();
  for (uint16_t i = 0; i < count && in->ok(); ++i) {
    std::string key = in->String("attribute key", kMemberAttributesBytesMax);
    std::string value = in->String("attribute value", kMemberAttributesBytesMax);
    if (!info.attributes.empty() && key <= info.attributes.rbegin()->first) {
      in->Refuse(Code::kCorruption, "attribute keys not ascending");
    }
    info.attributes.emplace_hint(info.attributes.end(), std::move(key), std::move(value));
  }
  if (AttributesBytes(info) > kMemberAttributesBytesMax) {
    in->Refuse(Code::kCorruption, "attributes too large");
  }
  return info;
}

void WriteIds(ByteWriter* out, const std::vector<MemberId>& ids) {
  out->U32(static_cast<uint32_t>(ids.size()));
  MemberId previous;
  for (MemberId id : ids) {
    ARIMA_ASSERT(id > previous, id, previous);
    out->U64(id.value);
    previous = id;
  }
}

std::vector<MemberId> ReadIds(Input* in, std::string_view field) {
  std::vector<MemberId> ids;
  uint32_t count = in->U32();
  MemberId previous;
  for (uint32_t i = 0; i < count && in->ok(); ++i) {
    MemberId id(in->U64());
    if (id <= previous) in->Refuse(Code::kCorruption, std::string(field) + " not ascending");
    ids.push_back(id);
    previous = id;
  }
  return ids;
}

}  // namespace

Status CheckMemberLimits(const MemberInfo& info) {
  auto check = [](std::string_view field, size_t size, size_t max) -> Status {
    if (size <= max) return {};
    return Fail(Code::kTooLarge, std::string(field) + " has " + std::to_string(size) +
                                     " bytes, the limit is " + std::to_string(max));
  };
  if (auto s = check("name", info.name.size(), kMemberNameBytesMax); !s) return s;
  if (auto s = check("raft address", info.raft_address.size(), kMemberAddressBytesMax); !s)
    return s;
  if (auto s = check("http address", info.http_address.size(), kMemberAddressBytesMax); !s)
    return s;
  return check("attributes", AttributesBytes(info), kMemberAttributesBytesMax);
}

Status CheckConfChangeLimits(const ConfChange& change) {
  if (change.changes.size() > kConfChangeItemsMax) {
    return Fail(Code::kTooLarge, "membership change has " + std::to_string(change.changes.size()) +
                                     " items, the limit is " + std::to_string(kConfChangeItemsMax));
  }
  if (change.context.size() > kConfContextBytesMax) {
    return Fail(Code::kTooLarge, "context has " + std::to_string(change.context.size()) +
                                     " bytes, the limit is " +
                                     std::to_string(kConfContextBytesMax));
  }
  for (const ConfChangeItem& item : change.changes) {
    if (auto s = CheckMemberLimits(item.info); !s) return s;
  }
  return {};
}

std::string EncodeMemberInfo(const MemberInfo& info) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kConfFormatVersion);
  WriteMember(&out, info);
  return bytes;
}

Result<MemberInfo> DecodeMemberInfo(std::string_view bytes) {
  Input in("member info", bytes);
  in.Version();
  MemberInfo info = ReadMember(&in);
  if (auto end = in.End(); !end) return std::unexpected(end.error());
  return info;
}

std::string EncodeConfState(const ConfState& conf) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kConfFormatVersion);
  out.U8(conf.auto_leave ? kFlagAutoLeave : 0);
  out.U64(conf.next_member_id.value);
  out.U64(conf.index.value);
  WriteIds(&out, conf.voters);
  WriteIds(&out, conf.voters_outgoing);
  WriteIds(&out, conf.learners);
  WriteIds(&out, conf.learners_next);
  out.U32(static_cast<uint32_t>(conf.members.size()));
  for (const auto& [id, info] : conf.members) {
    ARIMA_ASSERT(id == info.id && id != MemberId(0), id, info.id);
    WriteMember(&out, info);
  }
  return bytes;
}

Result<ConfState> DecodeConfState(std::string_view bytes) {
  Input in("configuration", bytes);
  ConfState conf;
  in.Version();
  uint8_t flags = in.U8();
  if ((flags & ~kFlagAutoLeave) != 0) in.Refuse(Code::kCorruption, "unknown flags");
  conf.auto_leave = (flags & kFlagAutoLeave) != 0;
  conf.next_member_id = MemberId(in.U64());
  conf.index = Index(in.U64());
  conf.voters = ReadIds(&in, "voters");
  conf.voters_outgoing = ReadIds(&in, "outgoing voters");
  conf.learners = ReadIds(&in, "learners");
  conf.learners_next = ReadIds(&in, "next learners");
  uint32_t count = in.U32();
  MemberId previous;
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    MemberInfo info = ReadMember(&in);
    if (info.id <= previous) in.Refuse(Code::kCorruption, "members not ascending");
    previous = info.id;
    conf.members.emplace_hint(conf.members.end(), previous, std::move(info));
  }
  if (auto end = in.End(); !end) return std::unexpected(end.error());
  return conf;
}

std::string EncodeConfChange(const ConfChange& change) {
  ARIMA_ASSERT(CheckConfChangeLimits(change).has_value(), change.changes.size());
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kConfFormatVersion);
  out.U8(static_cast<uint8_t>(change.transition));
  out.U16(static_cast<uint16_t>(change.changes.size()));
  for (const ConfChangeItem& item : change.changes) {
    out.U8(static_cast<uint8_t>(item.op));
    WriteMember(&out, item.info);
  }
  out.Bytes(change.context);
  return bytes;
}

Result<ConfChange> DecodeConfChange(std::string_view bytes) {
  Input in("membership change", bytes);
  ConfChange change;
  in.Version();
  uint8_t transition = in.U8();
  if (transition > static_cast<uint8_t>(ConfTransition::kJointExplicit)) {
    in.Refuse(Code::kCorruption, "unknown transition " + std::to_string(transition));
  }
  change.transition = static_cast<ConfTransition>(transition);
  uint16_t count = in.U16();
  if (count > kConfChangeItemsMax) in.Refuse(Code::kCorruption, "too many items");
  for (uint16_t i = 0; i < count && in.ok(); ++i) {
    uint8_t op = in.U8();
    if (op < static_cast<uint8_t>(ConfOp::kAddVoter) ||
        op > static_cast<uint8_t>(ConfOp::kUpdate)) {
      in.Refuse(Code::kCorruption, "unknown operation " + std::to_string(op));
    }
    change.changes.push_back({static_cast<ConfOp>(op), ReadMember(&in)});
  }
  change.context = in.String("context", kConfContextBytesMax);
  if (auto end = in.End(); !end) return std::unexpected(end.error());
  return change;
}

}  // namespace arima::codec
