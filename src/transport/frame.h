// Frames: how bytes on a connection become units. Layout: transport/PROTOCOL.md section 2.
//
// FrameReader turns a stream of foreign bytes into frames. It owns the memory they are received
// into: small frames pass through one 64 KiB buffer; the rest of a large one is received straight
// into its own memory, and that only after its header was found in order and allowed. Payload
// sections always get a block of their own, of exactly their size, which decoded entries keep.
//
// Thread rule: one owner. Errors: kCorruption or kNotSupported; the reader is spent after one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/shared_bytes.h"
#include "codec/message_codec.h"

namespace arima::transport {

// On the wire: never renumber. kPreamble is what a reader reports for the first bytes of an
// incoming connection; it is not a frame.
enum class FrameType : uint8_t {
  kPreamble = 0,
  kHello = 1,
  kHelloOk = 2,
  kRefuse = 3,
  kMessages = 4,
  kControlRequest = 5,
  kControlAnswer = 6,
};
// Last byte of the preamble.
enum class Purpose : uint8_t { kPeer = 1, kControl = 2, kStream = 3 };

inline constexpr size_t kPreambleBytes = 8;
inline constexpr size_t kFrameHeaderBytes = 24;
inline constexpr size_t kMessagesMetaBytesMax = 8 << 20;
inline constexpr size_t kMessagesPayloadBytesMax = 32 << 20;
inline constexpr size_t kGreetingBytesMax = 64 << 10;
inline constexpr size_t kControlFrameBytesMax = (1 << 20) + (64 << 10);
inline constexpr size_t kReadBufferBytes = 64 << 10;

std::string MakePreamble(Purpose purpose);

// A frame on its way out: header, meta section, payload parts.
struct OutFrame {
  std::string lead;  // bytes to send before the header: a preamble, or none
  std::array<char, kFrameHeaderBytes> header{};
  std::string meta;
  std::vector<SharedBytes> payload;
  size_t bytes = 0;     // altogether
  size_t messages = 0;  // for the counters
};
// Sizes must be within the limits above (asserted).
OutFrame MakeFrame(FrameType type, std::string meta);
OutFrame MakeFrame(codec::EncodedMessages messages);

struct Frame {
  FrameType type = FrameType::kPreamble;
  // Valid until the next call of the reader. Of a preamble: the purpose byte.
  std::string_view meta;
  codec::PayloadBlock payload;
};

class FrameReader {
 public:
  // With `preamble` the first thing expected, and reported, is a preamble.
  explicit FrameReader(bool preamble);

  // Which types may come next; starts as none. Anything else is an error.
  void Allow(std::initializer_list<FrameType> types);

  // Where to put the next bytes; never empty. Then say how many it were.
  std::span<char> Space();
  void Filled(size_t bytes);

  // Bytes that were received behind the last frame.
  size_t unread() const { return end_ - begin_; }
  // How many bytes the header or greeting that is being received lacks; for who must not read
  // behind it.
  size_t Missing() const;

  // The next whole frame, or nothing yet.
  Result<std::optional<Frame>> Next();

 private:
  struct Header {
    FrameType type = FrameType::kPreamble;
    uint32_t meta_bytes = 0;
    uint32_t payload_bytes = 0;
    uint64_t seed = 0;
    uint64_t checksum = 0;
  };
  enum class State : uint8_t { kPreamble, kHeader, kBody, kLargeMeta, kLargePayload };

  std::string_view Buffered() const { return {buffer_.get() + begin_, end_ - begin_}; }
  Result<std::optional<Frame>> NextPreamble();
  Status ParseHeader();
  Result<std::optional<Frame>> NextSmall();
  Result<std::optional<Frame>> NextLarge();
  void StartLargePayload();
  Status CheckMeta(std::string_view meta) const;

  State state_;
  uint32_t allowed_ = 0;  // bit per type
  Header header_;
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;  // [begin_, end_) is received and not yet used
  size_t end_ = 0;
  // A frame that does not fit into the buffer.
  std::string large_meta_;
  std::shared_ptr<char[]> large_payload_;
  size_t large_filled_ = 0;  // of the section being received
};

}  // namespace arima::transport
