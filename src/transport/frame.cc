// States of the reader, and what moves it on:
//
//   kPreamble --NextPreamble--> kHeader --ParseHeader--> kBody --NextSmall--> kHeader
//                                                    \-> kLargeMeta -> kLargePayload -> kHeader
//
// A frame is large when header and sections together are bigger than the buffer. Then all that is
// in the buffer behind the header belongs to that frame, so the buffer runs empty on the way and
// the rest is received in place. The payload block is made only when the meta section was received
// and its checksum found right, so a stranger never gets more than one control request's memory.
#include "transport/frame.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/coding.h"

namespace arima::transport {
namespace {

constexpr std::string_view kPreambleStart{"ARIMA\0\1", 7};
constexpr uint32_t kMagic = 0x464D5241;  // "ARMF"
constexpr uint8_t kFrameVersion = 1;
constexpr size_t kChecksummedHeaderBytes = 16;

static_assert(kPreambleStart.size() + 1 == kPreambleBytes);
static_assert(kFrameHeaderBytes == kChecksummedHeaderBytes + 8);
static_assert(kGreetingBytesMax + kFrameHeaderBytes <= kControlFrameBytesMax);

size_t MetaBytesMax(FrameType type) {
  switch (type) {
    case FrameType::kMessages:
      return kMessagesMetaBytesMax;
    case FrameType::kControlRequest:
    case FrameType::kControlAnswer:
      return kControlFrameBytesMax;
    default:
      return kGreetingBytesMax;
  }
}

uint32_t Bit(FrameType type) { return uint32_t{1} << static_cast<uint8_t>(type); }

void FillHeader(FrameType type, OutFrame* frame, size_t payload_bytes) {
  ARIMA_ASSERT(frame->meta.size() <= MetaBytesMax(type), frame->meta.size());
  ARIMA_ASSERT(payload_bytes <= kMessagesPayloadBytesMax, payload_bytes);
  char* p = frame->header.data();
  SetFixed<uint32_t>(p, kMagic);
  SetFixed<uint8_t>(p + 4, kFrameVersion);
  SetFixed<uint8_t>(p + 5, static_cast<uint8_t>(type));
  SetFixed<uint16_t>(p + 6, 0);
  SetFixed<uint32_t>(p + 8, static_cast<uint32_t>(frame->meta.size()));
  SetFixed<uint32_t>(p + 12, static_cast<uint32_t>(payload_bytes));
  SetFixed<uint64_t>(p + kChecksummedHeaderBytes,
                     Checksum64(frame->meta, Checksum64({p, kChecksummedHeaderBytes})));
  frame->bytes = kFrameHeaderBytes + frame->meta.size() + payload_bytes;
}

}  // namespace

std::string MakePreamble(Purpose purpose) {
  std::string out(kPreambleStart);
  out.push_back(static_cast<char>(purpose));
  return out;
}

OutFrame MakeFrame(FrameType type, std::string meta) {
  OutFrame frame;
  frame.meta = std::move(meta);
  FillHeader(type, &frame, 0);
  return frame;
}

OutFrame MakeFrame(codec::EncodedMessages messages) {
  OutFrame frame;
  frame.meta = std::move(messages.meta);
  frame.payload = std::move(messages.payload);
  frame.messages = messages.count;
  FillHeader(FrameType::kMessages, &frame, messages.payload_bytes);
  return frame;
}

// ---------------------------------------------------------------- reader

FrameReader::FrameReader(bool preamble)
    : state_(preamble ? State::kPreamble : State::kHeader),
      buffer_(std::make_unique_for_overwrite<char[]>(kReadBufferBytes)) {}

void FrameReader::Allow(std::initializer_list<FrameType> types) {
  allowed_ = 0;
  for (FrameType type : types) allowed_ |= Bit(type);
}

std::span<char> FrameReader::Space() {
  if (state_ == State::kLargeMeta) {
    return std::span(large_meta_).subspan(large_filled_);
  }
  if (state_ == State::kLargePayload) {
    return {large_payload_.get() + large_filled_, header_.payload_bytes - large_filled_};
  }
  if (begin_ > 0) {  // an unfinished small frame, if anything
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  ARIMA_ASSERT(end_ < kReadBufferBytes, end_);
  return {buffer_.get() + end_, kReadBufferBytes - end_};
}

void FrameReader::Filled(size_t bytes) {
  if (state_ == State::kLargeMeta || state_ == State::kLargePayload) {
    large_filled_ += bytes;
  } else {
    end_ += bytes;
    ARIMA_ASSERT(end_ <= kReadBufferBytes, end_);
  }
}

size_t FrameReader::Missing() const {
  ARIMA_ASSERT(state_ != State::kPreamble && state_ != State::kLargePayload);
  if (state_ == State::kLargeMeta) return header_.meta_bytes - large_filled_;
  size_t total = kFrameHeaderBytes;
  if (state_ == State::kBody) total += size_t{header_.meta_bytes} + header_.payload_bytes;
  return total - (end_ - begin_);
}

Result<std::optional<Frame>> FrameReader::Next() {
  if (state_ == State::kPreamble) return NextPreamble();
  if (state_ == State::kHeader) {
    if (end_ - begin_ < kFrameHeaderBytes) return std::nullopt;
    if (Status parsed = ParseHeader(); !parsed) return std::unexpected(parsed.error());
  }
  return state_ == State::kBody ? NextSmall() : NextLarge();
}

Result<std::optional<Frame>> FrameReader::NextPreamble() {
  std::string_view got = Buffered().substr(0, kPreambleStart.size());
  if (got != kPreambleStart.substr(0, got.size())) {
    return Fail(Code::kCorruption, "does not speak Arima's protocol");
  }
  if (end_ - begin_ < kPreambleBytes) return std::nullopt;
  state_ = State::kHeader;
  Frame frame;
  frame.meta = Buffered().substr(kPreambleStart.size(), 1);
  begin_ += kPreambleBytes;
  return frame;
}

Status FrameReader::ParseHeader() {
  if (!large_meta_.empty()) large_meta_ = {};
  const char* p = buffer_.get() + begin_;
  if (GetFixed<uint32_t>(p) != kMagic) return Fail(Code::kCorruption, "frame without its magic");
  uint8_t version = GetFixed<uint8_t>(p + 4);
  if (version != kFrameVersion) {
    return Fail(Code::kNotSupported, "frame of version " + std::to_string(version));
  }
  uint8_t type = GetFixed<uint8_t>(p + 5);
  header_.type = static_cast<FrameType>(type);
  if (type == 0 || type > static_cast<uint8_t>(FrameType::kControlAnswer) ||
      (allowed_ & Bit(header_.type)) == 0) {
    return Fail(Code::kCorruption, "frame of type " + std::to_string(type) + " has no place here");
  }
  header_.meta_bytes = GetFixed<uint32_t>(p + 8);
  header_.payload_bytes = GetFixed<uint32_t>(p + 12);
  header_.seed = Checksum64({p, kChecksummedHeaderBytes});
  header_.checksum = GetFixed<uint64_t>(p + kChecksummedHeaderBytes);
  size_t payload_max = header_.type == FrameType::kMessages ? kMessagesPayloadBytesMax : 0;
  if (GetFixed<uint16_t>(p + 6) != 0 || header_.meta_bytes > MetaBytesMax(header_.type) ||
      header_.payload_bytes > payload_max) {
    return Fail(Code::kCorruption, "frame of " + std::to_string(header_.meta_bytes) + " + " +
                                       std::to_string(header_.payload_bytes) +
                                       " bytes is over the limit");
  }
  size_t total = kFrameHeaderBytes + size_t{header_.meta_bytes} + header_.payload_bytes;
  if (total <= kReadBufferBytes) {
    state_ = State::kBody;
    return {};
  }
  begin_ += kFrameHeaderBytes;
  state_ = State::kLargeMeta;
  large_meta_.resize(header_.meta_bytes);
  large_filled_ = std::min<size_t>(end_ - begin_, header_.meta_bytes);
  std::memcpy(large_meta_.data(), buffer_.get() + begin_, large_filled_);
  begin_ += large_filled_;
  return {};
}

Status FrameReader::CheckMeta(std::string_view meta) const {
  if (Checksum64(meta, header_.seed) == header_.checksum) return {};
  return Fail(Code::kCorruption, "frame does not match its checksum");
}

Result<std::optional<Frame>> FrameReader::NextSmall() {
  size_t total = kFrameHeaderBytes + size_t{header_.meta_bytes} + header_.payload_bytes;
  if (end_ - begin_ < total) return std::nullopt;
  Frame frame;
  frame.type = header_.type;
  frame.meta = Buffered().substr(kFrameHeaderBytes, header_.meta_bytes);
  if (Status right = CheckMeta(frame.meta); !right) return std::unexpected(right.error());
  if (header_.payload_bytes > 0) {
    auto block = std::make_shared_for_overwrite<char[]>(header_.payload_bytes);
    std::memcpy(block.get(), frame.meta.data() + frame.meta.size(), header_.payload_bytes);
    frame.payload = {std::move(block), header_.payload_bytes};
  }
  begin_ += total;
  if (begin_ == end_) begin_ = end_ = 0;  // the bytes stay until Space is used
  state_ = State::kHeader;
  return frame;
}

void FrameReader::StartLargePayload() {
  large_payload_ = std::make_shared_for_overwrite<char[]>(header_.payload_bytes);
  large_filled_ = end_ - begin_;
  ARIMA_ASSERT(large_filled_ <= header_.payload_bytes, large_filled_, header_.payload_bytes);
  std::memcpy(large_payload_.get(), buffer_.get() + begin_, large_filled_);
  begin_ = end_ = 0;
  state_ = State::kLargePayload;
}

Result<std::optional<Frame>> FrameReader::NextLarge() {
  if (state_ == State::kLargeMeta) {
    if (large_filled_ < header_.meta_bytes) return std::nullopt;
    if (Status right = CheckMeta(large_meta_); !right) return std::unexpected(right.error());
    StartLargePayload();
  }
  if (large_filled_ < header_.payload_bytes) return std::nullopt;
  Frame frame;
  frame.type = header_.type;
  frame.meta = large_meta_;
  if (header_.payload_bytes > 0) {
    frame.payload = {std::exchange(large_payload_, nullptr), header_.payload_bytes};
  }
  state_ = State::kHeader;
  return frame;
}

}  // namespace arima::transport
