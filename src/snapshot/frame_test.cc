// The frames of a transfer one by one: their bytes, and what is refused before it is believed.
#include "snapshot/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/checksum.h"
#include "base/coding.h"
#include "snapshot/test_golden.h"

namespace arima::snapshot {
namespace {

using ::testing::HasSubstr;

// Gives out the bytes it was made of and notes how much was wanted at a time.
class BytesStream final : public ByteStream {
 public:
  explicit BytesStream(std::string bytes) : bytes_(std::move(bytes)) {}
  Status Read(std::span<char> into) override {
    wanted.push_back(into.size());
    if (into.size() > bytes_.size()) return Fail(Code::kUnavailable, "the bytes end");
    std::copy_n(bytes_.begin(), into.size(), into.begin());
    bytes_.erase(0, into.size());
    return {};
  }
  Status Write(std::string_view) override { return Fail(Code::kUnavailable, "not for writing"); }
  void Cancel() override {}

  std::vector<size_t> wanted;

 private:
  std::string bytes_;
};

Request GetManifestRequest() { return {.type = FrameType::kGetManifest, .snapshot_id = 0x1122}; }
Request FetchRequest() {
  return {.type = FrameType::kFetch, .file = 3, .offset = 0x100000001, .bytes = 4096};
}
Request DoneRequest(Code code, const std::string& text) {
  return {.type = FrameType::kDone, .outcome = Fail(code, text)};
}
constexpr std::string_view kChunk = "bytes of a chunk";

std::string ManifestAnswer(const std::string& payload) {
  const Answer answer{.type = FrameType::kManifest, .checksum = Checksum64(payload)};
  return EncodeAnswer(answer, payload.size()) + payload;
}
std::string ChunkAnswer() {
  const Answer answer{
      .type = FrameType::kChunk, .file = 3, .offset = 4096, .checksum = Checksum64(kChunk)};
  return EncodeAnswer(answer, kChunk.size()).append(kChunk);
}
std::string FailedAnswer() {
  return EncodeAnswer({.type = FrameType::kFailed, .error = {Code::kNotFound, "gone"}}, 0);
}

Named AllFrames() {
  return {{"get_manifest", EncodeRequest(GetManifestRequest())},
          {"manifest", ManifestAnswer("not looked into here")},
          {"fetch", EncodeRequest(FetchRequest())},
          {"chunk", ChunkAnswer()},
          {"failed", FailedAnswer()},
          {"busy", EncodeRequest({.type = FrameType::kBusy})},
          {"done", EncodeRequest({.type = FrameType::kDone})},
          {"done_disk_full", EncodeRequest(DoneRequest(Code::kDiskFull, "no space"))}};
}

// A header whose checksums are right, whatever it says.
std::string Header(uint8_t type, uint32_t meta_bytes, uint32_t payload_bytes,
                   std::string_view meta = {}, uint8_t version = 2, uint16_t reserved = 0) {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.Raw("ARMS");
  writer.U8(version);
  writer.U8(type);
  writer.U16(reserved);
  writer.U32(meta_bytes);
  writer.U32(payload_bytes);
  const uint64_t checksum = Checksum64(bytes);
  writer.U32(static_cast<uint32_t>(checksum));
  writer.U32(Checksum32(meta, checksum));
  return bytes;
}

// A whole frame with this meta section.
std::string FrameOf(FrameType type, std::string_view meta) {
  return Header(static_cast<uint8_t>(type), static_cast<uint32_t>(meta.size()), 0, meta)
      .append(meta);
}

bool IsAnswer(const std::string& name) {
  return name == "manifest" || name == "chunk" || name == "failed";
}

// Reads one frame from its side of the transfer.
Status ReadOne(ByteStream& stream, const std::string& name) {
  if (!IsAnswer(name)) {
    auto request = ReadRequest(stream);
    return request ? Status() : std::unexpected(request.error());
  }
  std::string payload;
  const FrameType wanted = name == "chunk" ? FrameType::kChunk : FrameType::kManifest;
  auto answer = ReadAnswer(stream, wanted, &payload);
  return answer ? Status() : std::unexpected(answer.error());
}

TEST(SnapshotFrame, TheBytesStayAsTheyAre) {
  ExpectGolden(ARIMA_SOURCE_DIR "/testdata/frames_v2.txt", AllFrames());
}

TEST(SnapshotFrame, RequestsComeBackAsTheyWereSent) {
  BytesStream stream(EncodeRequest(GetManifestRequest()) + EncodeRequest(FetchRequest()) +
                     EncodeRequest({.type = FrameType::kBusy}) +
                     EncodeRequest({.type = FrameType::kDone}) +
                     EncodeRequest(DoneRequest(Code::kDiskFull, "no space")));
  auto request = ReadRequest(stream);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->type, FrameType::kGetManifest);
  EXPECT_EQ(request->snapshot_id, 0x1122u);
  request = ReadRequest(stream);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->type, FrameType::kFetch);
  EXPECT_EQ(request->file, 3u);
  EXPECT_EQ(request->offset, 0x100000001u);
  EXPECT_EQ(request->bytes, 4096u);
  request = ReadRequest(stream);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->type, FrameType::kBusy);
  request = ReadRequest(stream);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->type, FrameType::kDone);
  EXPECT_TRUE(request->outcome);
  request = ReadRequest(stream);
  ASSERT_TRUE(request);
  ASSERT_FALSE(request->outcome);
  EXPECT_EQ(request->outcome.error().code, Code::kDiskFull);
  EXPECT_EQ(request->outcome.error().message, "no space");
  EXPECT_EQ(ReadRequest(stream).error().code, Code::kUnavailable);
}

TEST(SnapshotFrame, AnswersComeBackAsTheyWereSent) {
  BytesStream stream(ManifestAnswer("a manifest") + ChunkAnswer() + FailedAnswer());
  std::string payload = "what was there before";
  ASSERT_TRUE(ReadAnswer(stream, FrameType::kManifest, &payload));
  EXPECT_EQ(payload, "a manifest");
  auto answer = ReadAnswer(stream, FrameType::kChunk, &payload);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->file, 3u);
  EXPECT_EQ(answer->offset, 4096u);
  EXPECT_EQ(payload, kChunk);
  answer = ReadAnswer(stream, FrameType::kChunk, &payload);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, FrameType::kFailed);
  EXPECT_EQ(answer->error.code, Code::kNotFound);
  EXPECT_EQ(answer->error.message, "gone");
}

TEST(SnapshotFrame, EveryReasonKeepsItsCode) {
  for (Code code : {Code::kNotFound, Code::kConflict, Code::kTooLarge, Code::kUnavailable,
                    Code::kDiskFull, Code::kIo, Code::kCorruption, Code::kNotSupported}) {
    BytesStream stream(EncodeRequest(DoneRequest(code, "why")));
    EXPECT_EQ(ReadRequest(stream)->outcome.error().code, code);
  }
  for (const char wire : {'\x09', '\x0A', '\xC8'}) {
    const std::string unknown = std::string(1, wire) + std::string(4, '\0');
    BytesStream stream(FrameOf(FrameType::kDone, unknown));
    EXPECT_EQ(ReadRequest(stream)->outcome.error().code, Code::kInternal);
  }
  BytesStream other(EncodeRequest(DoneRequest(Code::kOverloaded, "why")));
  EXPECT_EQ(ReadRequest(other)->outcome.error().code, Code::kInternal);
}

TEST(SnapshotFrame, ALongReasonIsCutNotRefused) {
  const std::string text(kOutcomeTextBytesMax + 1, 'x');
  BytesStream stream(EncodeRequest(DoneRequest(Code::kIo, text)) +
                     EncodeAnswer({.type = FrameType::kFailed, .error = {Code::kIo, text}}, 0));
  EXPECT_EQ(ReadRequest(stream)->outcome.error().message.size(), kOutcomeTextBytesMax);
  std::string payload;
  EXPECT_EQ(ReadAnswer(stream, FrameType::kChunk, &payload)->error.message.size(),
            kOutcomeTextBytesMax);
}

// No size is believed: after a header with any wrong bit nothing more is read.
TEST(SnapshotFrame, AFlippedBitInTheHeaderEndsItThere) {
  for (const auto& [name, frame] : AllFrames()) {
    for (size_t bit = 0; bit < 20 * 8; ++bit) {  // all but the checksum of the meta section
      std::string bytes = frame;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      BytesStream stream(bytes + std::string(1 << 20, '\0'));
      const Status read = ReadOne(stream, name);
      ASSERT_FALSE(read) << name << " bit " << bit;
      EXPECT_EQ(read.error().code, bit / 8 == 4 ? Code::kNotSupported : Code::kCorruption);
      EXPECT_EQ(stream.wanted, std::vector<size_t>{kFrameHeaderBytes}) << name << " bit " << bit;
    }
  }
}

TEST(SnapshotFrame, AFlippedBitBehindTheHeaderIsNoticed) {
  for (const auto& [name, frame] : AllFrames()) {
    for (size_t bit = 20 * 8; bit < frame.size() * 8; ++bit) {
      std::string bytes = frame;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      BytesStream stream(bytes);
      const Status read = ReadOne(stream, name);
      ASSERT_FALSE(read) << name << " bit " << bit;
      EXPECT_EQ(read.error().code, Code::kCorruption) << name << " bit " << bit;
    }
  }
}

TEST(SnapshotFrame, CutAnywhereItIsTheStreamThatEnded) {
  for (const auto& [name, frame] : AllFrames()) {
    for (size_t bytes = 0; bytes < frame.size(); ++bytes) {
      BytesStream stream(frame.substr(0, bytes));
      EXPECT_EQ(ReadOne(stream, name).error().code, Code::kUnavailable) << name << " " << bytes;
    }
  }
}

// With checksums that are right: a sender that means it.
TEST(SnapshotFrame, SizesThatATypeCannotHaveAreRefusedInTheHeader) {
  struct Bad {
    FrameType type;
    uint32_t meta_bytes;
    uint32_t payload_bytes;
  };
  const uint32_t outcome_max = 5 + kOutcomeTextBytesMax;
  const std::vector<Bad> all = {
      {FrameType::kGetManifest, 7, 0},
      {FrameType::kGetManifest, 9, 0},
      {FrameType::kGetManifest, 8, 1},
      {FrameType::kManifest, 8, 0},
      {FrameType::kManifest, 8, kManifestBytesMax + 1},
      {FrameType::kManifest, 16, 1},
      {FrameType::kFetch, 15, 0},
      {FrameType::kFetch, 16, 1},
      {FrameType::kChunk, 20, 0},
      {FrameType::kChunk, 20, kChunkBytesMax + 1},
      {FrameType::kChunk, UINT32_MAX, 1},
      {FrameType::kChunk, 20, UINT32_MAX},
      {FrameType::kFailed, 4, 0},
      {FrameType::kFailed, outcome_max + 1, 0},
      {FrameType::kBusy, 1, 0},
      {FrameType::kBusy, 0, 1},
      {FrameType::kDone, 4, 0},
      {FrameType::kDone, outcome_max + 1, 0},
      {FrameType::kDone, UINT32_MAX, UINT32_MAX},
  };
  for (const Bad& bad : all) {
    auto header = DecodeFrameHeader(
        Header(static_cast<uint8_t>(bad.type), bad.meta_bytes, bad.payload_bytes));
    ASSERT_FALSE(header) << static_cast<int>(bad.type) << " " << bad.meta_bytes;
    EXPECT_EQ(header.error().code, Code::kCorruption);
  }
  EXPECT_TRUE(DecodeFrameHeader(Header(5, outcome_max, 0)));
  EXPECT_TRUE(DecodeFrameHeader(Header(2, 8, kManifestBytesMax)));
  EXPECT_TRUE(DecodeFrameHeader(Header(4, 20, kChunkBytesMax)));
}

TEST(SnapshotFrame, UnknownTypesVersionsAndReservedBytesAreRefused) {
  EXPECT_EQ(DecodeFrameHeader(Header(0, 0, 0)).error().code, Code::kCorruption);
  EXPECT_EQ(DecodeFrameHeader(Header(8, 0, 0)).error().code, Code::kCorruption);
  EXPECT_EQ(DecodeFrameHeader(Header(6, 0, 0, {}, 2, 1)).error().code, Code::kCorruption);
  for (uint8_t version : std::vector<uint8_t>{0, 1, 3, 255}) {
    auto header = DecodeFrameHeader(Header(6, 0, 0, {}, version));
    ASSERT_FALSE(header);
    EXPECT_EQ(header.error().code, Code::kNotSupported);
    EXPECT_THAT(header.error().message, HasSubstr(std::to_string(version)));
  }
  EXPECT_EQ(DecodeFrameHeader(Header(6, 0, 0).substr(1)).error().code, Code::kCorruption);
  EXPECT_EQ(DecodeFrameHeader(Header(6, 0, 0).substr(0, 23)).error().code, Code::kCorruption);
  EXPECT_TRUE(DecodeFrameHeader(Header(6, 0, 0)));
}

TEST(SnapshotFrame, WhoseTurnItIsNotIsReadNoFurtherThanItsHeader) {
  for (const auto& [name, frame] : AllFrames()) {
    for (FrameType wanted : {FrameType::kManifest, FrameType::kChunk}) {
      const bool fits = (name == "manifest" && wanted == FrameType::kManifest) ||
                        (name == "chunk" && wanted == FrameType::kChunk) || name == "failed";
      BytesStream stream(frame);
      std::string payload;
      auto answer = ReadAnswer(stream, wanted, &payload);
      EXPECT_EQ(answer.has_value(), fits) << name;
      EXPECT_TRUE(fits || stream.wanted.size() == 1) << name;
    }
    BytesStream stream(frame);
    EXPECT_EQ(ReadRequest(stream).has_value(), !IsAnswer(name)) << name;
    EXPECT_TRUE(!IsAnswer(name) || stream.wanted.size() == 1) << name;
  }
}

TEST(SnapshotFrame, MetaSectionsThatBreakTheRulesAreRefused) {
  const std::string zeros(16, '\0');
  BytesStream no_bytes(FrameOf(FrameType::kFetch, zeros));
  EXPECT_EQ(ReadRequest(no_bytes).error().code, Code::kCorruption);
  std::string fetch(zeros);
  SetFixed<uint32_t>(fetch.data() + 12, kChunkBytesMax + 1);
  BytesStream too_many(FrameOf(FrameType::kFetch, fetch));
  EXPECT_EQ(ReadRequest(too_many).error().code, Code::kCorruption);
  BytesStream failed_with_ok(FrameOf(FrameType::kFailed, zeros.substr(0, 5)));
  std::string payload;
  EXPECT_EQ(ReadAnswer(failed_with_ok, FrameType::kChunk, &payload).error().code,
            Code::kCorruption);
  std::string text_too_long(9, '\1');
  SetFixed<uint32_t>(text_too_long.data() + 1, 5);  // 4 bytes are there
  BytesStream done(FrameOf(FrameType::kDone, text_too_long));
  EXPECT_EQ(ReadRequest(done).error().code, Code::kCorruption);
}

// What the fuzzer starts from: its first byte says which side reads and what is mended.
TEST(SnapshotFrame, TheSeedsOfTheFuzzerAreTheseFrames) {
  Named seeds;
  for (const auto& [name, frame] : AllFrames()) {
    const char mode = static_cast<char>((IsAnswer(name) ? 1 : 0) + (name == "chunk" ? 4 : 0));
    seeds[name] = std::string(1, mode) + frame;
    seeds[name + "_mended"] = std::string(1, static_cast<char>(mode + 2)) + frame;
  }
  const Named frames = AllFrames();
  seeds["all_requests"] = '\2' + frames.at("get_manifest") + frames.at("fetch") +
                          frames.at("busy") + frames.at("fetch") + frames.at("done_disk_full");
  seeds["all_answers"] = '\3' + frames.at("manifest") + frames.at("chunk") + frames.at("failed");
  ExpectSeeds(ARIMA_SOURCE_DIR "/../../fuzz/corpus/snapshot_frame", seeds);
}

}  // namespace
}  // namespace arima::snapshot
