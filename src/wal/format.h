// The bytes of format v1: segment headers, frame headers, records. FORMAT.md is the text.
//
// Pure functions over memory, any thread. Decoders take foreign bytes and never assert on them;
// encoders assert that their input can be written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/random.h"
#include "raft/types.h"

namespace arima::wal {

inline constexpr uint16_t kFormatVersion = 1;
inline constexpr uint64_t kBlockBytes = 4096;                   // of a segment header
inline constexpr uint64_t kFrameAlign = 4096;                   // frames start at multiples
inline constexpr uint64_t kActiveBlockOffset = kBlockBytes;     // block 1
inline constexpr uint64_t kFirstFrameOffset = 2 * kBlockBytes;  // behind block 1
inline constexpr uint64_t kFrameHeaderBytes = 64;
inline constexpr uint64_t kRecordHeaderBytes = 32;
inline constexpr uint64_t kCheckpointBodyBytes = 6 * 8;
inline constexpr uint64_t kFramePayloadBytesMax = 16 << 20;

// At the end of every segment stays room for an idle and a shutdown attest frame ...
inline constexpr uint64_t kAttestReserveBytes = 2 * kFrameAlign;
// ... and, behind entries, also for a frame that says that the log was cut, with an idle attest
// before it: on a full disk, that frame is what lets segments go so that a new one can be had.
inline constexpr uint64_t kSegmentReserveBytes = kAttestReserveBytes + 2 * kFrameAlign;

static_assert(kFirstFrameOffset % kFrameAlign == 0);

constexpr uint64_t AlignUp(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}
// What a frame with this payload takes in the file.
constexpr uint64_t FrameBytes(uint64_t payload_bytes) {
  return AlignUp(kFrameHeaderBytes + payload_bytes, kFrameAlign);
}
constexpr uint64_t RecordBytes(uint64_t body_bytes) {
  return kRecordHeaderBytes + AlignUp(body_bytes, 8);
}

// A place in the log: segment sequence and offset (a multiple of 512). Ordered as the log is.
struct Position {
  uint64_t seq = 0;
  uint64_t offset = 0;

  uint64_t Pack() const { return seq << 32 | offset / 512; }
  static Position Unpack(uint64_t packed) { return {packed >> 32, (packed & 0xFFFFFFFF) * 512}; }
  friend auto operator<=>(const Position&, const Position&) = default;
};

enum class BlockKind : uint32_t { kPrepared = 1, kActive = 2 };
enum class SegmentReason : uint32_t { kNone = 0, kCreated = 1, kRoll = 2, kRecovery = 3 };

struct SegmentHeader {
  Uuid cluster_id;
  Uuid incarnation;
  uint64_t seq = 0;
  uint64_t salt = 0;
  BlockKind kind = BlockKind::kPrepared;
  uint64_t segment_bytes = 0;
  // Only in active headers:
  SegmentReason reason = SegmentReason::kNone;
  uint64_t first_frame = 0;
  uint64_t previous_seq = 0;     // 0 = none
  uint64_t previous_length = 0;  // bytes of it that count
  uint64_t previous_chain = 0;
  uint64_t attested = 0;  // packed Position
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

// kBlockBytes bytes.
std::string EncodeSegmentHeader(const SegmentHeader& header);
// kCorruption: no well-formed header. kNotSupported: one of a version or with features unknown
// here.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view block);

enum FrameFlags : uint32_t {
  kFrameAttestOnly = 1,
  kFrameHasHardState = 2,
  kFrameHasReset = 4,
};

struct FrameHeader {
  uint64_t number = 0;
  uint64_t payload_bytes = 0;
  uint64_t attested = 0;        // packed Position
  uint64_t previous_chain = 0;  // chain of the frame before
  uint64_t payload_hash = 0;
  uint32_t records = 0;
  uint32_t flags = 0;
  raft::Term term;  // highest known
};

// Writes kFrameHeaderBytes at `out`; returns the frame's chain.
uint64_t EncodeFrameHeader(const FrameHeader& header, uint64_t seq, uint64_t salt, char* out);

// A frame header with its chain, if the bytes hold one of this use of this segment.
struct DecodedFrameHeader {
  FrameHeader header;
  uint64_t chain = 0;
};
std::optional<DecodedFrameHeader> DecodeFrameHeader(std::string_view bytes, uint64_t seq,
                                                    uint64_t salt);

uint64_t PayloadHash(std::string_view payload, uint64_t salt, uint64_t frame_number);

enum class RecordType : uint8_t {
  kEntry = 1,
  kHardState = 2,
  kReset = 3,
  kTruncatePrefix = 4,
  kCheckpoint = 5,
  kAttest = 6,
  kGroupRemoved = 7,  // reserved for several groups
};
inline constexpr uint8_t kAttestIdle = 0;
inline constexpr uint8_t kAttestShutdown = 1;

struct Record {
  RecordType type = RecordType::kEntry;
  uint8_t sub_type = 0;
  uint64_t index = 0;
  uint64_t term = 0;
  uint32_t checksum = 0;
  std::string_view body = {};
};

// Appends header, body and padding.
void AppendRecord(const Record& record, std::string* out);

// The record at the start of `bytes`, whose body stays inside them; `*size` is what it takes with
// padding. kCorruption: malformed or cut. kNotSupported: a type, codec, flag or group unknown here.
Result<Record> DecodeRecord(std::string_view bytes, size_t* size);

// State of the group at the start of a segment; the body of a Checkpoint record and its header.
struct Checkpoint {
  raft::EntryId snapshot;
  raft::EntryId last;
  raft::HardState hard_state;
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};
void AppendCheckpoint(const Checkpoint& checkpoint, std::string* out);
Result<Checkpoint> DecodeCheckpoint(const Record& record);

void AppendHardState(const raft::HardState& hard_state, std::string* out);
Result<raft::HardState> DecodeHardState(const Record& record);

// Names in the log directory.
enum class FileKind : uint8_t { kSegment, kFree, kTemporary, kPoison, kOther };
struct FileName {
  FileKind kind = FileKind::kOther;
  uint64_t number = 0;  // of segments and free files
};
FileName ParseFileName(std::string_view name);
std::string SegmentName(uint64_t seq);
std::string FreeName(uint64_t number);
inline constexpr std::string_view kPoisonName = "io_poison";
inline constexpr std::string_view kTemporarySuffix = ".tmp";

}  // namespace arima::wal
