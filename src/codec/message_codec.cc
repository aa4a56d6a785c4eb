// Which field travels with which message type is said once, in VisitFields; writing, reading,
// counting and the check that nothing else is set are visitors of that list and so cannot disagree.
//
// Reading never trusts a count: before room is made for N elements, N times their smallest size
// must still be there. Payload sizes are checked against what is left of the payload section, which
// must be used up exactly.
#include "codec/message_codec.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "codec/conf_codec.h"
#include "codec/entry_codec.h"

namespace arima::codec {
namespace {

using raft::DiskLevel;
using raft::Message;
using raft::MessageType;
using raft::RejectReason;

constexpr uint8_t kFlagReject = 1;
constexpr uint8_t kFlagForce = 2;
constexpr size_t kEnvelopeBytes = 1 + 1 + 4 * 8;
constexpr size_t kProposalHeaderBytes = 8 + 1 + 4 + 4;
constexpr size_t kResultBytes = 8 + 1 + 8 + 8;
constexpr size_t kRecentMax = 4;

// Flags that have a meaning with a type.
uint8_t FlagsOf(MessageType type) {
  switch (type) {
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp:
    case MessageType::kAppResp:
    case MessageType::kSnapProgress:
    case MessageType::kReadIndexResp:
      return kFlagReject;
    case MessageType::kVote:
      return kFlagForce;
    default:
      return 0;
  }
}

template <class Io, class M>
void VisitClocks(Io& io, M& m) {
  io.Number(m.send_ns);
  io.Number(m.confirmed_ns);
  io.Number(m.confirmed_commit);
  io.Number(m.echo_peer_ns);
  io.Number(m.echo_received_ns);
}

template <class Io, class M>
void VisitReadId(Io& io, M& m) {
  io.Number(m.read_id.origin);
  io.Number(m.read_id.life);
  io.Number(m.read_id.counter);
}

// The fields of the replication types, in wire order.
template <class Io, class M>
bool VisitReplication(Io& io, M& m) {
  switch (m.type) {
    case MessageType::kApp:
      io.Number(m.index);
      io.Number(m.log_term);
      io.Number(m.commit);
      io.Number(m.round);
      VisitClocks(io, m);
      io.Entries(m);
      return true;
    case MessageType::kAppResp:
      io.Number(m.index);
      io.Number(m.hint_index);
      io.Number(m.hint_term);
      io.Number(m.round);
      io.Number(m.echo_ns);
      io.Number(m.peer_ns);
      io.Number(m.apply_lag);
      io.Number(m.window);
      return true;
    case MessageType::kHeartbeat:
      io.Number(m.commit);
      io.Number(m.commit_term);
      io.Number(m.match);
      io.Number(m.round);
      VisitClocks(io, m);
      return true;
    case MessageType::kHeartbeatResp:
      io.Number(m.round);
      io.Number(m.echo_ns);
      io.Number(m.peer_ns);
      io.Number(m.last_index);
      io.Number(m.sync_us);
      io.Disk(m.disk);
      return true;
    case MessageType::kSnap:
      io.Number(m.snapshot.index);
      io.Number(m.snapshot.term);
      io.Number(m.snapshot.snapshot_id);
      io.Number(m.snapshot.total_bytes);
      io.Conf(m.snapshot.conf);
      return true;
    case MessageType::kSnapProgress:
      io.Number(m.snapshot.snapshot_id);
      io.Number(m.received_bytes);
      return true;
    default:
      return false;
  }
}

// The fields of all types, in wire order. False: there is no such type.
template <class Io, class M>
bool VisitFields(Io& io, M& m) {
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote:
      io.Number(m.last_index);
      io.Number(m.last_term);
      io.Number(m.commit);
      io.Number(m.commit_term);
      return true;
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp:
      io.Number(m.commit);
      io.Number(m.commit_term);
      return true;
    case MessageType::kTimeoutNow:
      io.Number(m.last_index);
      io.Number(m.last_term);
      io.Number(m.transfer_id);
      return true;
    case MessageType::kTransferReq:
      io.Number(m.target);
      return true;
    case MessageType::kPropose:
      io.Proposals(m.proposals);
      return true;
    case MessageType::kProposeResp:
      io.Results(m.results);
      return true;
    case MessageType::kReadIndex:
      VisitReadId(io, m);
      return true;
    case MessageType::kReadIndexResp:
      VisitReadId(io, m);
      io.Number(m.index);
      io.Reason(m.reason);
      return true;
    default:
      return VisitReplication(io, m);
  }
}

// ---------------------------------------------------------------- writing

// Payload parts in the making: small ones are copied together, large ones listed.
class PayloadParts {
 public:
  explicit PayloadParts(std::vector<SharedBytes>* parts) : parts_(*parts) {}

  void Add(const SharedBytes& bytes) {
    bytes_ += bytes.size();
    if (bytes.size() < MessageEncoder::kReferenceBytesMin) {
      tail_.append(bytes.view());
      return;
    }
    Finish();
    parts_.push_back(bytes);
  }
  void Finish() {
    if (!tail_.empty()) parts_.push_back(SharedBytes::Take(std::exchange(tail_, {})));
  }
  size_t bytes() const { return bytes_; }

 private:
  std::vector<SharedBytes>& parts_;
  std::string tail_;
  size_t bytes_ = 0;
};

uint32_t Count(size_t n) {
  ARIMA_ASSERT(n <= std::numeric_limits<uint32_t>::max(), n);
  return static_cast<uint32_t>(n);
}

// Everything but the entries, which the encoder adds itself.
struct FieldWriter {
  EncodedMessages* out;
  ByteWriter to{&out->meta};

  template <class Tag>
  void Number(StrongInt<Tag> v) {
    to.U64(v.value);
  }
  void Number(uint64_t v) { to.U64(v); }
  void Number(uint32_t v) { to.U32(v); }
  void Reason(RejectReason v) { to.U8(static_cast<uint8_t>(v)); }
  void Disk(DiskLevel v) { to.U8(static_cast<uint8_t>(v)); }
  void Conf(const raft::ConfState& conf) { to.Bytes(EncodeConfState(conf)); }
  void Entries(const Message&) {}
  void Proposals(const std::vector<raft::ForwardedProposal>& proposals) {
    to.U32(Count(proposals.size()));
    PayloadParts parts(&out->payload);
    for (const raft::ForwardedProposal& p : proposals) {
      to.U64(p.id);
      to.U8(static_cast<uint8_t>(p.kind));
      to.U32(p.checksum);
      to.U32(Count(p.payload.size()));
      parts.Add(p.payload);
    }
    parts.Finish();
    out->payload_bytes += parts.bytes();
  }
  void Results(const std::vector<raft::ForwardedResult>& results) {
    to.U32(Count(results.size()));
    for (const raft::ForwardedResult& r : results) {
      to.U64(r.id);
      to.U8(static_cast<uint8_t>(r.reason));
      to.U64(r.index.value);
      to.U64(r.term.value);
    }
  }
};

struct FieldCounter {
  size_t bytes = 0;

  template <class Tag>
  void Number(StrongInt<Tag>) {
    bytes += 8;
  }
  void Number(uint64_t) { bytes += 8; }
  void Number(uint32_t) { bytes += 4; }
  void Reason(RejectReason) { bytes += 1; }
  void Disk(DiskLevel) { bytes += 1; }
  void Conf(const raft::ConfState& conf) { bytes += 4 + EncodeConfState(conf).size(); }
  void Entries(const Message& m) { bytes += 4 + m.entries.size() * kEntryHeaderBytes; }
  void Proposals(const std::vector<raft::ForwardedProposal>& p) {
    bytes += 4 + p.size() * kProposalHeaderBytes;
  }
  void Results(const std::vector<raft::ForwardedResult>& r) {
    bytes += 4 + r.size() * kResultBytes;
  }
};

struct FieldClearer {
  template <class T>
  void Number(T& v) {
    v = T{};
  }
  void Reason(RejectReason& v) { v = RejectReason::kNone; }
  void Disk(DiskLevel& v) { v = DiskLevel::kOk; }
  void Conf(raft::ConfState& v) { v = {}; }
  void Entries(Message& m) { m.entries.clear(); }
  void Proposals(std::vector<raft::ForwardedProposal>& v) { v.clear(); }
  void Results(std::vector<raft::ForwardedResult>& v) { v.clear(); }
};

// Whether everything that is set travels. The simulator hands messages over as they are, so a field
// that the wire forgets would be found by users first.
[[maybe_unused]] bool HasOnlyItsFields(Message m) {
  FieldClearer clearer;
  VisitFields(clearer, m);
  if ((FlagsOf(m.type) & kFlagReject) != 0) m.reject = false;
  if ((FlagsOf(m.type) & kFlagForce) != 0) m.force = false;
  Message bare;
  bare.type = m.type;
  bare.group = m.group;
  bare.from = m.from;
  bare.to = m.to;
  bare.term = m.term;
  return m == bare;
}

void PutEnvelope(const Message& m, std::string* out) {
  uint8_t flags = 0;
  if (m.reject) flags |= kFlagReject;
  if (m.force) flags |= kFlagForce;
  ARIMA_ASSERT((flags & ~FlagsOf(m.type)) == 0, static_cast<int>(m.type), static_cast<int>(flags));
  ByteWriter to(out);
  to.U8(static_cast<uint8_t>(m.type));
  to.U8(flags);
  to.U64(m.group.value);
  to.U64(m.from.value);
  to.U64(m.to.value);
  to.U64(m.term.value);
}

}  // namespace

// ---------------------------------------------------------------- encoder

struct MessageEncoder::EntriesBlock {
  // What the block was made of. Addresses stay valid as names because every message that is
  // appended before Forget existed at the first Append.
  struct Key {
    const char* data;
    EntryHeader header;
    friend bool operator==(const Key&, const Key&) = default;
  };
  static Key KeyOf(const raft::Entry& entry) {
    return {entry.payload.view().data(), HeaderOf(entry)};
  }

  raft::Index first;
  std::vector<Key> keys;
  std::string headers;
  std::vector<SharedBytes> payload;
  size_t payload_bytes = 0;

  bool IsOf(const std::vector<raft::Entry>& entries) const {
    return first == entries.front().index && keys.size() == entries.size() &&
           std::equal(keys.begin(), keys.end(), entries.begin(),
                      [](const Key& key, const raft::Entry& e) { return key == KeyOf(e); });
  }
};

std::shared_ptr<const MessageEncoder::EntriesBlock> MessageEncoder::BlockFor(
    const std::vector<raft::Entry>& entries) {
  for (const auto& block : recent_) {
    if (block->IsOf(entries)) return block;
  }
  auto block = std::make_shared<EntriesBlock>();
  block->first = entries.front().index;
  block->keys.reserve(entries.size());
  block->headers.reserve(entries.size() * kEntryHeaderBytes);
  PayloadParts parts(&block->payload);
  for (const raft::Entry& entry : entries) {
    block->keys.push_back(EntriesBlock::KeyOf(entry));
    PutEntryHeader(block->keys.back().header, &block->headers);
    parts.Add(entry.payload);
  }
  parts.Finish();
  block->payload_bytes = parts.bytes();
  if (recent_.size() == kRecentMax) recent_.erase(recent_.begin());
  recent_.push_back(block);
  return block;
}

void MessageEncoder::Append(const Message& message, EncodedMessages* out) {
  ARIMA_DEBUG_ASSERT(HasOnlyItsFields(message), static_cast<int>(message.type));
  if (out->meta.empty()) PutFixed(&out->meta, kMessageFormatVersion);
  PutEnvelope(message, &out->meta);
  FieldWriter writer{out};
  bool known = VisitFields(writer, message);
  ARIMA_ASSERT(known, static_cast<int>(message.type));
  ++out->count;
  if (message.type != MessageType::kApp) return;
  PutFixed(&out->meta, Count(message.entries.size()));
  if (message.entries.empty()) return;
  ARIMA_ASSERT(message.entries.front().index == message.index + 1, message.entries.front().index,
               message.index);
  ARIMA_ASSERT(message.entries.back().index == message.index + message.entries.size(),
               message.entries.back().index, message.index, message.entries.size());
  std::shared_ptr<const EntriesBlock> block = BlockFor(message.entries);
  out->meta.append(block->headers);
  out->payload.insert(out->payload.end(), block->payload.begin(), block->payload.end());
  out->payload_bytes += block->payload_bytes;
}

size_t EncodedMetaBytes(const Message& message) {
  FieldCounter counter;
  VisitFields(counter, message);
  return sizeof(kMessageFormatVersion) + kEnvelopeBytes + counter.bytes;
}

size_t EncodedPayloadBytes(const Message& message) {
  size_t bytes = 0;
  for (const raft::Entry& entry : message.entries) bytes += entry.payload.size();
  for (const raft::ForwardedProposal& proposal : message.proposals) {
    bytes += proposal.payload.size();
  }
  return bytes;
}

// ---------------------------------------------------------------- reading

namespace {

// Reads the messages of one meta section. After the first trouble `error` is set and all else is
// void.
class FieldReader {
 public:
  FieldReader(std::string_view meta, const PayloadBlock& payload) : in_(meta), payload_(payload) {}

  Result<DecodedMessages> ReadAll();

  template <class Tag>
  void Number(StrongInt<Tag>& v) {
    v = StrongInt<Tag>(in_.U64());
  }
  void Number(uint64_t& v) { v = in_.U64(); }
  void Number(uint32_t& v) { v = in_.U32(); }
  void Reason(RejectReason& v);
  void Disk(DiskLevel& v);
  void Conf(raft::ConfState& v);
  void Entries(Message& m);
  void Proposals(std::vector<raft::ForwardedProposal>& v);
  void Results(std::vector<raft::ForwardedResult>& v);

 private:
  void Read(Message* m);
  size_t ReadCount(size_t element_bytes);
  SharedBytes ReadPayload(uint32_t size);
  void CheckKind(raft::EntryKind kind);
  void Fail(Code code, std::string text) {
    if (!error_) error_ = Error{code, "message: " + std::move(text)};
  }
  bool failed() const { return error_.has_value() || !in_.ok(); }

  ByteReader in_;
  const PayloadBlock& payload_;
  size_t payload_used_ = 0;
  std::optional<Error> error_;
  std::string damage_;  // of the message being read; empty = none
};

size_t FieldReader::ReadCount(size_t element_bytes) {
  uint32_t count = in_.U32();
  if (count <= in_.remaining() / element_bytes) return count;
  Fail(Code::kCorruption, "count " + std::to_string(count) + " is more than there are bytes");
  return 0;
}

SharedBytes FieldReader::ReadPayload(uint32_t size) {
  if (size > payload_.size - payload_used_) {
    Fail(Code::kCorruption, "payload ends early");
    return {};
  }
  if (size == 0) return {};  // an empty one need not keep the block
  std::string_view bytes(payload_.bytes.get() + payload_used_, size);
  payload_used_ += size;
  return SharedBytes::Inside(payload_.bytes, bytes);
}

void FieldReader::CheckKind(raft::EntryKind kind) {
  if (IsEntryKind(static_cast<uint8_t>(kind))) return;
  Fail(Code::kNotSupported, "unknown entry kind " + std::to_string(static_cast<int>(kind)));
}

void FieldReader::Reason(RejectReason& v) {
  v = static_cast<RejectReason>(in_.U8());
  if (v <= RejectReason::kQueueFull) return;
  Fail(Code::kNotSupported, "unknown reason " + std::to_string(static_cast<int>(v)));
}

void FieldReader::Disk(DiskLevel& v) {
  v = static_cast<DiskLevel>(in_.U8());
  if (v <= DiskLevel::kFull) return;
  Fail(Code::kNotSupported, "unknown disk level " + std::to_string(static_cast<int>(v)));
}

void FieldReader::Conf(raft::ConfState& v) {
  std::string_view bytes = in_.Bytes();
  if (failed()) return;
  Result<raft::ConfState> conf = DecodeConfState(bytes);
  if (conf) {
    v = *std::move(conf);
  } else {
    Fail(conf.error().code, "configuration: " + conf.error().message);
  }
}

void FieldReader::Entries(Message& m) {
  size_t count = ReadCount(kEntryHeaderBytes);
  if (count > std::numeric_limits<uint64_t>::max() - m.index.value) {
    return Fail(Code::kCorruption, "entry index beyond 64 bits");
  }
  m.entries.reserve(count);
  for (size_t i = 0; i < count && !failed(); ++i) {
    EntryHeader header = GetEntryHeader(&in_);
    raft::Entry entry;
    entry.term = header.term;
    entry.index = m.index + (i + 1);
    entry.kind = header.kind;
    entry.checksum = header.checksum;
    entry.payload = ReadPayload(header.payload_bytes);
    CheckKind(entry.kind);
    if (failed()) return;
    if (raft::EntryChecksum(entry.kind, entry.payload.view()) != entry.checksum) {
      damage_ = "entry " + std::to_string(entry.index.value) + " of term " +
                std::to_string(entry.term.value) + " does not match its checksum";
    }
    m.entries.push_back(std::move(entry));
  }
}

void FieldReader::Proposals(std::vector<raft::ForwardedProposal>& v) {
  size_t count = ReadCount(kProposalHeaderBytes);
  v.reserve(count);
  for (size_t i = 0; i < count && !failed(); ++i) {
    raft::ForwardedProposal proposal;
    proposal.id = in_.U64();
    proposal.kind = static_cast<raft::EntryKind>(in_.U8());
    proposal.checksum = in_.U32();
    proposal.payload = ReadPayload(in_.U32());
    CheckKind(proposal.kind);
    if (failed()) return;
    if (raft::EntryChecksum(proposal.kind, proposal.payload.view()) != proposal.checksum) {
      damage_ = "proposal " + std::to_string(proposal.id) + " does not match its checksum";
    }
    v.push_back(std::move(proposal));
  }
}

void FieldReader::Results(std::vector<raft::ForwardedResult>& v) {
  size_t count = ReadCount(kResultBytes);
  v.reserve(count);
  for (size_t i = 0; i < count && !failed(); ++i) {
    raft::ForwardedResult result;
    result.id = in_.U64();
    Reason(result.reason);
    result.index = raft::Index(in_.U64());
    result.term = raft::Term(in_.U64());
    v.push_back(result);
  }
}

void FieldReader::Read(Message* m) {
  m->type = static_cast<MessageType>(in_.U8());
  uint8_t flags = in_.U8();
  Number(m->group);
  Number(m->from);
  Number(m->to);
  Number(m->term);
  if (!in_.ok()) return;
  if ((flags & ~FlagsOf(m->type)) != 0) Fail(Code::kCorruption, "flags that the type has not");
  m->reject = (flags & kFlagReject) != 0;
  m->force = (flags & kFlagForce) != 0;
  if (VisitFields(*this, *m)) return;
  Fail(Code::kNotSupported, "unknown type " + std::to_string(static_cast<int>(m->type)));
}

Result<DecodedMessages> FieldReader::ReadAll() {
  uint8_t version = in_.U8();
  if (in_.ok() && version != kMessageFormatVersion) {
    Fail(Code::kNotSupported, "unknown version " + std::to_string(static_cast<int>(version)));
  }
  DecodedMessages out;
  while (!failed() && in_.remaining() > 0) {
    Message m;
    Read(&m);
    if (failed()) break;
    if (damage_.empty()) {
      out.messages.push_back(std::move(m));
    } else if (++out.damaged == 1) {
      out.damage = damage_;
    }
    damage_.clear();
  }
  if (!error_ && !in_.ok()) Fail(Code::kCorruption, "ends early");
  if (!error_ && payload_used_ != payload_.size) Fail(Code::kCorruption, "payload left over");
  if (error_) return std::unexpected(*std::move(error_));
  return out;
}

}  // namespace

Result<DecodedMessages> DecodeMessages(std::string_view meta, const PayloadBlock& payload) {
  return FieldReader(meta, payload).ReadAll();
}

// ---------------------------------------------------------------- one message

std::string EncodeMessage(const Message& message) {
  MessageEncoder encoder;
  EncodedMessages encoded;
  encoder.Append(message, &encoded);
  std::string out;
  out.reserve(4 + encoded.meta.size() + encoded.payload_bytes);
  ByteWriter to(&out);
  to.Bytes(encoded.meta);
  for (const SharedBytes& part : encoded.payload) to.Raw(part.view());
  return out;
}

Result<Message> DecodeMessage(std::string_view bytes) {
  ByteReader in(bytes);
  std::string_view meta = in.Bytes();
  if (!in.ok()) return Fail(Code::kCorruption, "message: ends early");
  std::string_view rest = in.Raw(in.remaining());
  auto block = std::make_shared_for_overwrite<char[]>(rest.size());
  std::copy(rest.begin(), rest.end(), block.get());
  Result<DecodedMessages> decoded = DecodeMessages(meta, {std::move(block), rest.size()});
  if (!decoded) return std::unexpected(decoded.error());
  if (decoded->damaged != 0) return Fail(Code::kCorruption, "message: " + decoded->damage);
  if (decoded->messages.size() != 1) {
    return Fail(Code::kCorruption,
                "message: " + std::to_string(decoded->messages.size()) + " instead of one");
  }
  return std::move(decoded->messages.front());
}

}  // namespace arima::codec
