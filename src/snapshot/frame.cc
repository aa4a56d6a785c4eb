#include "snapshot/frame.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/coding.h"

namespace arima::snapshot {
namespace {

constexpr uint32_t kMagic = 0x534D5241;  // "ARMS"
constexpr uint8_t kVersion = 2;          // 1 believed its sizes before a checksum covered them
constexpr size_t kCheckedBytes = 16;     // of the header: what its checksum covers

// Codes on the wire; 0 is "ok". Never renumber; a code that is not here travels as kInternal.
constexpr uint8_t kWireOk = 0;
constexpr uint8_t kWireInternal = 9;
constexpr std::array<std::pair<uint8_t, Code>, 8> kWireCodes = {{
    {1, Code::kNotFound},
    {2, Code::kConflict},
    {3, Code::kTooLarge},
    {4, Code::kUnavailable},
    {5, Code::kDiskFull},
    {6, Code::kIo},
    {7, Code::kCorruption},
    {8, Code::kNotSupported},
}};

uint8_t ToWire(Code code) {
  for (auto [wire, known] : kWireCodes) {
    if (known == code) return wire;
  }
  return kWireInternal;
}

Code FromWire(uint8_t wire_code) {
  for (auto [wire, known] : kWireCodes) {
    if (wire == wire_code) return known;
  }
  return Code::kInternal;
}

std::unexpected<Error> Bad(std::string why) {
  return Fail(Code::kCorruption, "frame of a snapshot transfer: " + std::move(why));
}

struct Sizes {
  size_t meta_min = 0;
  size_t meta_max = 0;
  size_t payload_min = 0;
  size_t payload_max = 0;

  bool Hold(size_t meta, size_t payload) const {
    return meta >= meta_min && meta <= meta_max && payload >= payload_min && payload <= payload_max;
  }
};

constexpr size_t kOutcomeBytesMin = 1 + 4;
constexpr Sizes kOutcomeSizes = {kOutcomeBytesMin, kOutcomeBytesMin + kOutcomeTextBytesMax, 0, 0};
static_assert(kOutcomeSizes.meta_max <= kFrameMetaBytesMax);

// What frames of a type can be; null for a type that does not exist.
const Sizes* SizesOf(uint8_t type) {
  static constexpr std::array<Sizes, 7> kSizes = {{
      {8, 8, 0, 0},                  // GetManifest
      {8, 8, 1, kManifestBytesMax},  // Manifest
      {16, 16, 0, 0},                // Fetch
      {20, 20, 1, kChunkBytesMax},   // Chunk
      kOutcomeSizes,                 // Failed
      {0, 0, 0, 0},                  // Busy
      kOutcomeSizes,                 // Done
  }};
  return type >= 1 && type <= kSizes.size() ? &kSizes[type - size_t{1}] : nullptr;
}

bool IsRequest(FrameType type) {
  return type == FrameType::kGetManifest || type == FrameType::kFetch || type == FrameType::kBusy ||
         type == FrameType::kDone;
}

// Header and meta section with their checksum.
std::string MakeFrame(FrameType type, std::string_view meta, size_t payload_bytes) {
  const Sizes* sizes = SizesOf(static_cast<uint8_t>(type));
  ARIMA_ASSERT(sizes != nullptr && sizes->Hold(meta.size(), payload_bytes), meta.size(),
               payload_bytes);
  std::string out;
  ByteWriter writer(&out);
  writer.U32(kMagic);
  writer.U8(kVersion);
  writer.U8(static_cast<uint8_t>(type));
  writer.U16(0);
  writer.U32(static_cast<uint32_t>(meta.size()));
  writer.U32(static_cast<uint32_t>(payload_bytes));
  const uint64_t checksum = Checksum64(out);
  writer.U32(static_cast<uint32_t>(checksum));
  writer.U32(Checksum32(meta, checksum));
  writer.Raw(meta);
  return out;
}

void WriteOutcome(uint8_t code, std::string_view text, ByteWriter* writer) {
  writer->U8(code);
  writer->Bytes(text.substr(0, kOutcomeTextBytesMax));
}

Status CheckMeta(const FrameHeader& header, std::string_view meta) {
  if (meta.size() != header.meta_bytes) return Bad("wrong length");
  if (Checksum32(meta, header.meta_seed) != header.meta_checksum) {
    return Bad("checksum mismatch of the meta section");
  }
  return {};
}

// Reads what comes before the payload, if `takes` says so of the type.
template <class TakesFn>
Result<FrameHeader> ReadHead(ByteStream& stream, TakesFn takes, std::string* meta) {
  std::array<char, kFrameHeaderBytes> bytes{};
  if (Status status = stream.Read(bytes); !status) return std::unexpected(status.error());
  auto header = DecodeFrameHeader({bytes.data(), bytes.size()});
  if (!header) return header;
  if (!takes(header->type)) {
    return Bad("type " + std::to_string(static_cast<int>(header->type)) + " is not its turn");
  }
  meta->resize(header->meta_bytes);
  if (Status status = stream.Read(*meta); !status) return std::unexpected(status.error());
  return header;
}

}  // namespace

Result<FrameHeader> DecodeFrameHeader(std::string_view bytes) {
  ByteReader reader(bytes);
  if (reader.U32() != kMagic) return Bad("not one");
  if (uint8_t version = reader.U8(); version != kVersion) {
    return Fail(Code::kNotSupported,
                "frame of a snapshot transfer: unknown version " + std::to_string(version));
  }
  const uint8_t type = reader.U8();
  const uint16_t reserved = reader.U16();
  FrameHeader header;
  header.meta_bytes = reader.U32();
  header.payload_bytes = reader.U32();
  const uint32_t checksum = reader.U32();
  header.meta_checksum = reader.U32();
  if (!reader.done()) return Bad("wrong length of a header");
  header.meta_seed = Checksum64(bytes.substr(0, kCheckedBytes));
  if (static_cast<uint32_t>(header.meta_seed) != checksum) {
    return Bad("checksum mismatch of the header");
  }
  if (reserved != 0) return Bad("reserved bytes are in use");
  const Sizes* sizes = SizesOf(type);
  if (sizes == nullptr) return Bad("unknown type " + std::to_string(type));
  if (!sizes->Hold(header.meta_bytes, header.payload_bytes)) {
    return Bad("type " + std::to_string(type) + " with " + std::to_string(header.meta_bytes) +
               " + " + std::to_string(header.payload_bytes) + " bytes");
  }
  header.type = static_cast<FrameType>(type);
  return header;
}

std::string EncodeRequest(const Request& request) {
  std::string meta;
  ByteWriter writer(&meta);
  if (request.type == FrameType::kGetManifest) {
    writer.U64(request.snapshot_id);
  } else if (request.type == FrameType::kFetch) {
    writer.U32(request.file);
    writer.U64(request.offset);
    writer.U32(request.bytes);
  } else if (request.type == FrameType::kDone) {
    if (request.outcome) {
      WriteOutcome(kWireOk, {}, &writer);
    } else {
      WriteOutcome(ToWire(request.outcome.error().code), request.outcome.error().message, &writer);
    }
  } else {
    ARIMA_ASSERT(request.type == FrameType::kBusy, static_cast<int>(request.type));
  }
  return MakeFrame(request.type, meta, 0);
}

std::string EncodeAnswer(const Answer& answer, size_t payload_bytes) {
  std::string meta;
  ByteWriter writer(&meta);
  if (answer.type == FrameType::kManifest) {
    writer.U64(answer.checksum);
  } else if (answer.type == FrameType::kChunk) {
    writer.U32(answer.file);
    writer.U64(answer.offset);
    writer.U64(answer.checksum);
  } else {
    ARIMA_ASSERT(answer.type == FrameType::kFailed, static_cast<int>(answer.type));
    WriteOutcome(ToWire(answer.error.code), answer.error.message, &writer);
  }
  return MakeFrame(answer.type, meta, payload_bytes);
}

Result<Request> DecodeRequest(const FrameHeader& header, std::string_view meta) {
  if (Status status = CheckMeta(header, meta); !status) return std::unexpected(status.error());
  ByteReader reader(meta);
  Request request;
  request.type = header.type;
  switch (header.type) {
    case FrameType::kGetManifest:
      request.snapshot_id = reader.U64();
      break;
    case FrameType::kFetch:
      request.file = reader.U32();
      request.offset = reader.U64();
      request.bytes = reader.U32();
      if (request.bytes == 0 || request.bytes > kChunkBytesMax) return Bad("size of a fetch");
      break;
    case FrameType::kBusy:
      break;
    case FrameType::kDone: {
      const uint8_t code = reader.U8();
      const std::string_view text = reader.Bytes();
      if (text.size() > kOutcomeTextBytesMax) return Bad("too long a text");
      if (code != kWireOk) request.outcome = Fail(FromWire(code), std::string(text));
      break;
    }
    default:
      return Bad("no request");
  }
  if (!reader.done()) return Bad("wrong length of a request");
  return request;
}

Result<Answer> DecodeAnswer(const FrameHeader& header, std::string_view meta) {
  if (Status status = CheckMeta(header, meta); !status) return std::unexpected(status.error());
  ByteReader reader(meta);
  Answer answer;
  answer.type = header.type;
  switch (header.type) {
    case FrameType::kManifest:
      answer.checksum = reader.U64();
      break;
    case FrameType::kChunk:
      answer.file = reader.U32();
      answer.offset = reader.U64();
      answer.checksum = reader.U64();
      break;
    case FrameType::kFailed: {
      const uint8_t code = reader.U8();
      const std::string_view text = reader.Bytes();
      if (text.size() > kOutcomeTextBytesMax) return Bad("too long a text");
      if (code == kWireOk) return Bad("a failure that is none");
      answer.error = {.code = FromWire(code), .message = std::string(text)};
      break;
    }
    default:
      return Bad("no answer");
  }
  if (!reader.done()) return Bad("wrong length of an answer");
  return answer;
}

Result<Request> ReadRequest(ByteStream& stream) {
  std::string meta;
  auto header = ReadHead(stream, IsRequest, &meta);
  if (!header) return std::unexpected(header.error());
  return DecodeRequest(*header, meta);
}

Result<Answer> ReadAnswer(ByteStream& stream, FrameType wanted, std::string* payload) {
  std::string meta;
  const auto takes = [&](FrameType type) { return type == wanted || type == FrameType::kFailed; };
  auto header = ReadHead(stream, takes, &meta);
  if (!header) return std::unexpected(header.error());
  auto answer = DecodeAnswer(*header, meta);
  if (!answer) return answer;
  payload->resize(header->payload_bytes);
  if (payload->empty()) return answer;
  if (Status status = stream.Read(*payload); !status) return std::unexpected(status.error());
  if (Checksum64(*payload) != answer->checksum) return Bad("checksum mismatch of the payload");
  return answer;
}

}  // namespace arima::snapshot
