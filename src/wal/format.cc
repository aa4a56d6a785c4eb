#include "wal/format.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/coding.h"
#include "base/hex.h"

namespace arima::wal {
namespace {

constexpr std::string_view kSegmentMagic = "ARIMAWAL";
constexpr uint32_t kFrameMagic = 0xA51F00D1;
constexpr size_t kBlockChecksumOffset = 12;
constexpr size_t kFrameChecksumOffset = 4;
constexpr size_t kHexDigits = 16;
// Positions have 32 bits for the sequence.
constexpr uint64_t kSeqMax = 0xFFFFFFFF;

std::string_view View(const Uuid& uuid) {
  return {reinterpret_cast<const char*>(uuid.bytes.data()), uuid.bytes.size()};
}

Uuid ReadUuid(ByteReader* in) {
  Uuid uuid;
  std::string_view bytes = in->Raw(uuid.bytes.size());
  std::copy(bytes.begin(), bytes.end(), uuid.bytes.begin());
  return uuid;
}

// The checksum of `bytes` with the 4 bytes at `hole` taken as 0.
uint32_t ChecksumWithHole(std::string_view bytes, size_t hole, uint64_t seed) {
  std::string copy(bytes);
  SetFixed<uint32_t>(copy.data() + hole, 0);
  return Checksum32(copy, seed);
}

std::unexpected<Error> Malformed(std::string what) {
  return Fail(Code::kCorruption, std::move(what));
}

bool IsZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

std::optional<uint64_t> ParseHex(std::string_view digits) {
  if (digits.size() != kHexDigits) return std::nullopt;
  uint64_t value = 0;
  for (char c : digits) {
    uint64_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a') + 10;
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  ARIMA_ASSERT(header.seq > 0 && header.seq <= kSeqMax, header.seq);
  ARIMA_ASSERT(header.previous_seq < header.seq, header.previous_seq, header.seq);
  std::string block;
  ByteWriter out(&block);
  out.Raw(kSegmentMagic);
  out.U16(kFormatVersion);
  out.U16(kFormatVersion);
  out.U32(0);  // checksum, below
  out.Raw(View(header.cluster_id));
  out.Raw(View(header.incarnation));
  out.U64(header.seq);
  out.U64(header.salt);
  out.U32(static_cast<uint32_t>(header.kind));
  out.U32(0);  // features
  out.U64(header.segment_bytes);
  out.U32(kFrameAlign);
  out.U32(static_cast<uint32_t>(header.reason));
  out.U64(header.first_frame);
  out.U64(header.previous_seq);
  out.U64(header.previous_length);
  out.U64(header.previous_chain);
  out.U64(header.attested);
  block.resize(kBlockBytes, '\0');
  SetFixed(block.data() + kBlockChecksumOffset, Checksum32(block));
  return block;
}

Result<SegmentHeader> DecodeSegmentHeader(std::string_view block) {
  if (block.size() != kBlockBytes) return Malformed("header is cut short");
  ByteReader in(block);
  if (in.Raw(kSegmentMagic.size()) != kSegmentMagic) return Malformed("no segment header");
  const uint16_t version = in.U16();
  const uint16_t min_reader = in.U16();
  const uint32_t checksum = in.U32();
  // The checksum has the same place in every version, so a newer one is told from damage.
  if (checksum != ChecksumWithHole(block, kBlockChecksumOffset, 0)) {
    return Malformed("checksum of the segment header does not match");
  }
  if (min_reader > kFormatVersion) {
    return Fail(Code::kNotSupported, "segment has format version " + std::to_string(version) +
                                         ", this program reads up to " +
                                         std::to_string(kFormatVersion));
  }
  SegmentHeader header;
  header.cluster_id = ReadUuid(&in);
  header.incarnation = ReadUuid(&in);
  header.seq = in.U64();
  header.salt = in.U64();
  header.kind = static_cast<BlockKind>(in.U32());
  const uint32_t features = in.U32();
  header.segment_bytes = in.U64();
  const uint32_t align = in.U32();
  header.reason = static_cast<SegmentReason>(in.U32());
  header.first_frame = in.U64();
  header.previous_seq = in.U64();
  header.previous_length = in.U64();
  header.previous_chain = in.U64();
  header.attested = in.U64();
  if (features != 0 || align != kFrameAlign) {
    return Fail(Code::kNotSupported, "segment uses features unknown to this program");
  }
  if ((header.kind != BlockKind::kPrepared && header.kind != BlockKind::kActive) ||
      header.seq == 0 || header.seq > kSeqMax || header.previous_seq >= header.seq) {
    return Malformed("segment header contradicts itself");
  }
  return header;
}

uint64_t EncodeFrameHeader(const FrameHeader& header, uint64_t seq, uint64_t salt, char* out) {
  ARIMA_ASSERT(header.payload_bytes <= kFramePayloadBytesMax, header.payload_bytes);
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.U32(kFrameMagic ^ static_cast<uint32_t>(salt));
  writer.U32(0);  // checksum, below
  writer.U64(header.number);
  writer.U64(header.payload_bytes);
  writer.U64(header.attested);
  writer.U64(header.previous_chain);
  writer.U64(header.payload_hash);
  writer.U32(header.records);
  writer.U32(header.flags);
  writer.U64(header.term.value);
  ARIMA_ASSERT(bytes.size() == kFrameHeaderBytes, bytes.size());
  SetFixed(bytes.data() + kFrameChecksumOffset, Checksum32(bytes, salt + seq));
  std::memcpy(out, bytes.data(), bytes.size());
  return Checksum64(bytes);
}

std::optional<DecodedFrameHeader> DecodeFrameHeader(std::string_view bytes, uint64_t seq,
                                                    uint64_t salt) {
  if (bytes.size() < kFrameHeaderBytes) return std::nullopt;
  bytes = bytes.substr(0, kFrameHeaderBytes);
  ByteReader in(bytes);
  if (in.U32() != (kFrameMagic ^ static_cast<uint32_t>(salt))) return std::nullopt;
  if (in.U32() != ChecksumWithHole(bytes, kFrameChecksumOffset, salt + seq)) return std::nullopt;
  DecodedFrameHeader decoded;
  FrameHeader& header = decoded.header;
  header.number = in.U64();
  header.payload_bytes = in.U64();
  header.attested = in.U64();
  header.previous_chain = in.U64();
  header.payload_hash = in.U64();
  header.records = in.U32();
  header.flags = in.U32();
  header.term = raft::Term(in.U64());
  decoded.chain = Checksum64(bytes);
  return decoded;
}

uint64_t PayloadHash(std::string_view payload, uint64_t salt, uint64_t frame_number) {
  return Checksum64(payload, salt ^ frame_number);
}

void AppendRecord(const Record& record, std::string* out) {
  ARIMA_ASSERT(out->size() % 8 == 0, out->size());
  ByteWriter writer(out);
  writer.U8(static_cast<uint8_t>(record.type));
  writer.U8(record.sub_type);
  writer.U8(0);  // codec
  writer.U8(0);  // flags
  writer.U32(static_cast<uint32_t>(record.body.size()));
  writer.U64(record.index);
  writer.U64(record.term);
  writer.U32(record.checksum);
  writer.U32(0);  // group
  writer.Raw(record.body);
  out->append(AlignUp(record.body.size(), 8) - record.body.size(), '\0');
}

Result<Record> DecodeRecord(std::string_view bytes, size_t* size) {
  ByteReader in(bytes);
  Record record;
  const uint8_t type = in.U8();
  record.type = static_cast<RecordType>(type);
  record.sub_type = in.U8();
  const uint8_t codec = in.U8();
  const uint8_t flags = in.U8();
  const uint32_t body_bytes = in.U32();
  record.index = in.U64();
  record.term = in.U64();
  record.checksum = in.U32();
  const uint32_t group = in.U32();
  record.body = in.Raw(body_bytes);
  const std::string_view padding = in.Raw(AlignUp(body_bytes, 8) - body_bytes);
  if (!in.ok()) return Malformed("record is cut short");
  if (type == 0) return Malformed("record without a type");
  if (!IsZero(padding)) return Malformed("record padding is not zero");
  if (type >= static_cast<uint8_t>(RecordType::kGroupRemoved) || codec != 0 || flags != 0 ||
      group != 0) {
    return Fail(Code::kNotSupported, "record of a kind unknown to this program");
  }
  *size = RecordBytes(body_bytes);
  return record;
}

void AppendCheckpoint(const Checkpoint& checkpoint, std::string* out) {
  std::string body;
  ByteWriter writer(&body);
  writer.U64(0);  // group id
  writer.U64(checkpoint.last.index.value);
  writer.U64(checkpoint.last.term.value);
  writer.U64(checkpoint.hard_state.term.value);
  writer.U64(checkpoint.hard_state.vote.value);
  writer.U64(checkpoint.hard_state.commit.value);
  ARIMA_ASSERT(body.size() == kCheckpointBodyBytes, body.size());
  AppendRecord({.type = RecordType::kCheckpoint,
                .index = checkpoint.snapshot.index.value,
                .term = checkpoint.snapshot.term.value,
                .body = body},
               out);
}

Result<Checkpoint> DecodeCheckpoint(const Record& record) {
  ARIMA_ASSERT(record.type == RecordType::kCheckpoint);
  if (record.body.size() != kCheckpointBodyBytes) return Malformed("checkpoint has a wrong size");
  ByteReader in(record.body);
  const uint64_t group = in.U64();
  if (group != 0) return Fail(Code::kNotSupported, "checkpoint of a second group");
  Checkpoint checkpoint;
  checkpoint.snapshot = {raft::Term(record.term), raft::Index(record.index)};
  checkpoint.last.index = raft::Index(in.U64());
  checkpoint.last.term = raft::Term(in.U64());
  checkpoint.hard_state.term = raft::Term(in.U64());
  checkpoint.hard_state.vote = raft::MemberId(in.U64());
  checkpoint.hard_state.commit = raft::Index(in.U64());
  if (checkpoint.last.index < checkpoint.snapshot.index ||
      checkpoint.last.term < checkpoint.snapshot.term ||
      checkpoint.hard_state.term < checkpoint.last.term ||
      checkpoint.hard_state.commit > checkpoint.last.index) {
    return Malformed("checkpoint contradicts itself");
  }
  return checkpoint;
}

void AppendHardState(const raft::HardState& hard_state, std::string* out) {
  std::string body;
  PutFixed(&body, hard_state.vote.value);
  AppendRecord({.type = RecordType::kHardState,
                .index = hard_state.commit.value,
                .term = hard_state.term.value,
                .body = body},
               out);
}

Result<raft::HardState> DecodeHardState(const Record& record) {
  ARIMA_ASSERT(record.type == RecordType::kHardState);
  if (record.body.size() != 8) return Malformed("hard state has a wrong size");
  return raft::HardState{raft::Term(record.term),
                         raft::MemberId(GetFixed<uint64_t>(record.body.data())),
                         raft::Index(record.index)};
}

FileName ParseFileName(std::string_view name) {
  if (name == kPoisonName) return {FileKind::kPoison, 0};
  if (name.ends_with(kTemporarySuffix)) return {FileKind::kTemporary, 0};
  for (auto [suffix, kind] : {std::pair{std::string_view(".seg"), FileKind::kSegment},
                              std::pair{std::string_view(".free"), FileKind::kFree}}) {
    if (!name.ends_with(suffix)) continue;
    auto number = ParseHex(name.substr(0, name.size() - suffix.size()));
    if (number) return {kind, *number};
  }
  return {};
}

std::string SegmentName(uint64_t seq) { return ToHex(seq) + ".seg"; }
std::string FreeName(uint64_t number) { return ToHex(number) + ".free"; }

}  // namespace arima::wal
