// Any bytes as one side of a snapshot transfer: nothing crashes, no size is believed that is over
// the limits, and what is accepted can be said again.
//
// The first byte: bit 0 the receiver's side reads (answers), bit 1 checksums are put right (they
// would keep a fuzzer out for ever), bit 2 chunks are wanted before manifests.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/byte_stream.h"
#include "base/checksum.h"
#include "base/coding.h"
#include "snapshot/frame.h"
#include "snapshot/manifest.h"

namespace {

using namespace arima;
using namespace arima::snapshot;

constexpr size_t kSizesAt = 8;
constexpr size_t kCheckedBytes = 16;

class BytesStream final : public ByteStream {
 public:
  explicit BytesStream(std::string_view bytes) : bytes_(bytes) {}
  Status Read(std::span<char> into) override {
    ARIMA_ASSERT(into.size() <= kManifestBytesMax, into.size());
    if (into.size() > bytes_.size()) return Fail(Code::kUnavailable, "the bytes end");
    std::copy_n(bytes_.begin(), into.size(), into.begin());
    bytes_.remove_prefix(into.size());
    return {};
  }
  Status Write(std::string_view) override { return Fail(Code::kUnavailable, "not for writing"); }
  void Cancel() override {}
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

// The meta section of answers with a payload ends with the payload's checksum.
void MendPayload(char type, std::string_view payload, std::span<char> meta) {
  bool has = type == static_cast<char>(FrameType::kManifest) ||
             type == static_cast<char>(FrameType::kChunk);
  if (!has || meta.size() < sizeof(uint64_t)) return;
  SetFixed<uint64_t>(meta.data() + meta.size() - sizeof(uint64_t), Checksum64(payload));
}

std::string WithChecksums(std::string bytes) {
  for (size_t begin = 0; begin + kFrameHeaderBytes <= bytes.size();) {
    char* header = bytes.data() + begin;
    const uint64_t meta = GetFixed<uint32_t>(header + kSizesAt);
    const uint64_t payload = GetFixed<uint32_t>(header + kSizesAt + 4);
    const uint64_t checksum = Checksum64({header, kCheckedBytes});
    SetFixed<uint32_t>(header + kCheckedBytes, static_cast<uint32_t>(checksum));
    const uint64_t left = bytes.size() - begin - kFrameHeaderBytes;
    if (meta + payload > left) break;
    char* section = header + kFrameHeaderBytes;
    MendPayload(header[5], {section + meta, payload}, {section, meta});
    SetFixed<uint32_t>(header + kCheckedBytes + 4, Checksum32({section, meta}, checksum));
    begin += kFrameHeaderBytes + meta + payload;
  }
  return bytes;
}

void ReadRequests(std::string_view bytes) {
  BytesStream stream(bytes);
  while (true) {
    std::string_view before = stream.rest();
    auto request = ReadRequest(stream);
    if (!request) return;
    std::string_view frame = before.substr(0, before.size() - stream.rest().size());
    const std::string again = EncodeRequest(*request);
    // A reason has several spellings: unknown codes, and a text beside "ok".
    ARIMA_ASSERT(request->type == FrameType::kDone || again == frame);
    BytesStream second(again);
    ARIMA_ASSERT(ReadRequest(second).has_value());
  }
}

void ReadAnswers(std::string_view bytes, FrameType wanted) {
  BytesStream stream(bytes);
  std::string payload;
  while (true) {
    std::string_view before = stream.rest();
    auto answer = ReadAnswer(stream, wanted, &payload);
    if (!answer) return;
    std::string_view frame = before.substr(0, before.size() - stream.rest().size());
    if (answer->type == FrameType::kFailed) continue;
    ARIMA_ASSERT(EncodeAnswer(*answer, payload.size()) + payload == frame);
    if (answer->type == FrameType::kManifest) (void)DecodeManifest(payload);
    wanted = FrameType::kChunk;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 2) != 0) bytes = WithChecksums(std::move(bytes));
  if ((data[0] & 1) == 0) {
    ReadRequests(bytes);
  } else {
    ReadAnswers(bytes, (data[0] & 4) != 0 ? FrameType::kChunk : FrameType::kManifest);
  }
  return 0;
}
