// The frames of a snapshot transfer (FORMAT.md section 3): what a receiver asks and what a sender
// answers, as values, to and from bytes and streams.
//
// Decoders take foreign bytes: kCorruption for what breaks the rules, kNotSupported for a later
// version; whoever gets one of them closes the stream. Pure functions and calls on one stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/byte_stream.h"
#include "base/error.h"
#include "snapshot/manifest.h"

namespace arima::snapshot {

inline constexpr size_t kFrameHeaderBytes = 24;
inline constexpr size_t kFrameMetaBytesMax = 4 << 10;
inline constexpr size_t kChunkBytesMax = 256 << 10;
// Asked for and not yet received, at most. So few fetches fit into the buffers of any connection:
// a receiver that asks never waits for a sender that answers.
inline constexpr uint64_t kCreditBytes = 4 << 20;
inline constexpr size_t kCreditFetches = 64;
inline constexpr size_t kOutcomeTextBytesMax = 2 << 10;
inline constexpr uint64_t kBusyEveryBytes = 64 << 20;  // of work without another frame

// On the wire: never renumber.
enum class FrameType : uint8_t {
  kGetManifest = 1,
  kManifest = 2,
  kFetch = 3,
  kChunk = 4,
  kFailed = 5,
  kBusy = 6,
  kDone = 7,
};

struct FrameHeader {
  FrameType type = FrameType::kBusy;
  uint32_t meta_bytes = 0;
  uint32_t payload_bytes = 0;
  uint64_t meta_seed = 0;  // binds the meta section to this header
  uint32_t meta_checksum = 0;
};
// `bytes` has kFrameHeaderBytes of them. Afterwards the header is known to be as it was sent, and
// its sizes are within the limits of its type: memory may be made for them.
Result<FrameHeader> DecodeFrameHeader(std::string_view bytes);

// From the receiver.
struct Request {
  FrameType type = FrameType::kBusy;  // kGetManifest, kFetch, kBusy or kDone
  uint64_t snapshot_id = 0;           // kGetManifest
  uint32_t file = 0;                  // kFetch
  uint64_t offset = 0;                // kFetch
  uint32_t bytes = 0;                 // kFetch
  Status outcome{};                   // kDone
};
// From the sender. The payload is kept by the caller of ReadAnswer.
struct Answer {
  FrameType type = FrameType::kFailed;  // kManifest, kChunk or kFailed
  uint32_t file = 0;                    // kChunk
  uint64_t offset = 0;                  // kChunk
  uint64_t checksum = 0;                // kManifest, kChunk: of the payload
  Error error{};                        // kFailed
};

// One whole frame without payload. Texts are cut to kOutcomeTextBytesMax.
std::string EncodeRequest(const Request& request);
// Header and meta section; the payload follows as it is. `payload_bytes` is within its limit
// (asserted).
std::string EncodeAnswer(const Answer& answer, size_t payload_bytes);

// The meta section of a frame whose header was decoded.
Result<Request> DecodeRequest(const FrameHeader& header, std::string_view meta);
Result<Answer> DecodeAnswer(const FrameHeader& header, std::string_view meta);

Result<Request> ReadRequest(ByteStream& stream);
// Replaces *payload, whose checksum has been compared. The answer is of type `wanted` (kManifest or
// kChunk) or kFailed; of any other nothing but the header is read, kCorruption.
Result<Answer> ReadAnswer(ByteStream& stream, FrameType wanted, std::string* payload);

}  // namespace arima::snapshot
