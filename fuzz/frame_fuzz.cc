// Any bytes as the input of a connection, in pieces: nothing crashes, whatever the frames hold.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "transport/control.h"
#include "transport/frame.h"
#include "transport/hello.h"

namespace {

using namespace arima::transport;

void Use(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kPreamble:
      break;
    case FrameType::kHello:
      (void)DecodeHello(frame.meta);
      break;
    case FrameType::kHelloOk:
      (void)DecodeHelloOk(frame.meta);
      break;
    case FrameType::kRefuse:
      (void)DecodeRefuse(frame.meta);
      break;
    case FrameType::kMessages:
      (void)arima::codec::DecodeMessages(frame.meta, frame.payload);
      break;
    case FrameType::kControlRequest:
      if (auto request = DecodeControlRequest(frame.meta)) {
        (void)DecodeAbsorbRequest(request->body);
        (void)DecodeJoinForward(request->body);
        (void)DecodeRemoveForward(request->body);
        (void)DecodeTransferForward(request->body);
      }
      break;
    case FrameType::kControlAnswer:
      if (auto answer = DecodeControlAnswer(frame.meta); answer && *answer) {
        (void)DecodeProbeAnswer(**answer);
      }
      break;
  }
}

// Checksums would keep a fuzzer out for ever: the input's own frames are given the right ones.
std::string WithChecksums(std::string bytes, size_t begin) {
  while (begin + kFrameHeaderBytes <= bytes.size()) {
    uint32_t meta = 0;
    std::memcpy(&meta, bytes.data() + begin + 8, sizeof meta);
    if (meta > bytes.size() - begin - kFrameHeaderBytes || meta > kGreetingBytesMax) break;
    auto type = static_cast<FrameType>(bytes[begin + 5]);
    OutFrame right = MakeFrame(type, bytes.substr(begin + kFrameHeaderBytes, meta));
    if (std::memcmp(right.header.data(), bytes.data() + begin, 16) != 0) break;
    std::memcpy(bytes.data() + begin, right.header.data(), kFrameHeaderBytes);
    begin += kFrameHeaderBytes + meta;
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  bool preamble = data[0] % 2 == 1;
  size_t piece = size_t{data[1]} + 1;
  std::string all = WithChecksums(std::string(reinterpret_cast<const char*>(data) + 2, size - 2),
                                  preamble ? kPreambleBytes : 0);
  std::string_view bytes = all;
  FrameReader reader(preamble);
  reader.Allow({FrameType::kHello, FrameType::kHelloOk, FrameType::kRefuse, FrameType::kMessages,
                FrameType::kControlRequest, FrameType::kControlAnswer});
  while (!bytes.empty()) {
    std::span<char> space = reader.Space();
    ARIMA_ASSERT(!space.empty());
    size_t n = std::min({bytes.size(), space.size(), piece});
    std::memcpy(space.data(), bytes.data(), n);
    reader.Filled(n);
    bytes.remove_prefix(n);
    while (true) {
      auto frame = reader.Next();
      if (!frame) return 0;
      if (!*frame) break;
      Use(**frame);
    }
  }
  return 0;
}
