#include "wal/format.h"

#include <gtest/gtest.h>

#include <string>

#include "base/checksum.h"
#include "base/coding.h"
#include "wal/frame.h"

namespace arima::wal {
namespace {

using raft::Index;
using raft::MemberId;
using raft::Term;

SegmentHeader Header() {
  SegmentHeader header;
  header.cluster_id.bytes.fill(0xC1);
  header.incarnation.bytes.fill(0x1A);
  header.seq = 7;
  header.salt = 0x1122334455667788;
  header.kind = BlockKind::kActive;
  header.segment_bytes = 64 << 20;
  header.reason = SegmentReason::kRoll;
  header.first_frame = 100;
  header.previous_seq = 6;
  header.previous_length = 8192;
  header.previous_chain = 42;
  header.attested = Position{6, 8192}.Pack();
  return header;
}

// The block with one byte changed and the checksum made right again.
std::string Forged(size_t byte, char value) {
  std::string block = EncodeSegmentHeader(Header());
  block[byte] = value;
  SetFixed<uint32_t>(block.data() + 12, 0);
  SetFixed<uint32_t>(block.data() + 12, Checksum32(block));
  return block;
}

TEST(SegmentHeader, ComesBackEqual) {
  EXPECT_EQ(*DecodeSegmentHeader(EncodeSegmentHeader(Header())), Header());
}

TEST(SegmentHeader, EveryBitOfTheBlockIsProtected) {
  const std::string good = EncodeSegmentHeader(Header());
  ASSERT_EQ(good.size(), kBlockBytes);
  for (size_t byte = 0; byte < good.size(); byte += byte < 140 ? 1 : 97) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[byte] = static_cast<char>(bad[byte] ^ (1 << bit));
      EXPECT_FALSE(DecodeSegmentHeader(bad).has_value()) << byte << "." << bit;
    }
  }
  EXPECT_FALSE(DecodeSegmentHeader(std::string_view(good).substr(0, 4095)).has_value());
  EXPECT_FALSE(DecodeSegmentHeader(std::string(kBlockBytes, '\0')).has_value());
}

TEST(SegmentHeader, FieldsLieWhereTheFormatSays) {
  const std::string block = EncodeSegmentHeader(Header());
  EXPECT_EQ(block.substr(0, 8), "ARIMAWAL");
  EXPECT_EQ(GetFixed<uint16_t>(block.data() + 8), 1);
  EXPECT_EQ(GetFixed<uint64_t>(block.data() + 48), 7u);
  EXPECT_EQ(GetFixed<uint64_t>(block.data() + 56), 0x1122334455667788u);
  EXPECT_EQ(GetFixed<uint32_t>(block.data() + 64), 2u);
  EXPECT_EQ(GetFixed<uint64_t>(block.data() + 72), 64u << 20);
  EXPECT_EQ(GetFixed<uint32_t>(block.data() + 80), 4096u);
  EXPECT_EQ(GetFixed<uint64_t>(block.data() + 88), 100u);
  EXPECT_EQ(GetFixed<uint64_t>(block.data() + 96), 6u);
  EXPECT_EQ(GetFixed<uint64_t>(block.data() + 112), 42u);
  EXPECT_EQ(block.substr(128), std::string(kBlockBytes - 128, '\0'));
}

TEST(SegmentHeader, NewerVersionsAndUnknownFeaturesAreNotSupported) {
  EXPECT_TRUE(DecodeSegmentHeader(Forged(8, 2)).has_value()) << "newer, but version 1 may read it";
  EXPECT_EQ(DecodeSegmentHeader(Forged(10, 2)).error().code, Code::kNotSupported);
  EXPECT_EQ(DecodeSegmentHeader(Forged(68, 1)).error().code, Code::kNotSupported);
  EXPECT_EQ(DecodeSegmentHeader(Forged(81, 2)).error().code, Code::kNotSupported)
      << "alignment 512";
  EXPECT_EQ(DecodeSegmentHeader(Forged(64, 3)).error().code, Code::kCorruption) << "unknown kind";
}

TEST(Position, IsOrderedAsTheLogIs) {
  EXPECT_EQ(Position::Unpack(Position({3, 4096}).Pack()), (Position{3, 4096}));
  EXPECT_LT((Position{3, 1 << 30}.Pack()), (Position{4, 0}.Pack()));
  EXPECT_LT((Position{3, 512}.Pack()), (Position{3, 1024}.Pack()));
}

TEST(FrameHeader, IsBoundToItsSegmentAndItsUse) {
  FrameHeader header;
  header.number = 5;
  header.payload_bytes = 100;
  header.attested = 9;
  header.previous_chain = 77;
  header.payload_hash = 78;
  header.records = 2;
  header.flags = kFrameHasHardState;
  header.term = Term(4);
  std::string bytes(kFrameHeaderBytes, '\0');
  const uint64_t chain = EncodeFrameHeader(header, 3, 1234, bytes.data());
  auto decoded = DecodeFrameHeader(bytes, 3, 1234);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->chain, chain);
  EXPECT_EQ(decoded->header.number, 5u);
  EXPECT_EQ(decoded->header.payload_bytes, 100u);
  EXPECT_EQ(decoded->header.attested, 9u);
  EXPECT_EQ(decoded->header.previous_chain, 77u);
  EXPECT_EQ(decoded->header.payload_hash, 78u);
  EXPECT_EQ(decoded->header.records, 2u);
  EXPECT_EQ(decoded->header.flags, uint32_t{kFrameHasHardState});
  EXPECT_EQ(decoded->header.term, Term(4));
  EXPECT_FALSE(DecodeFrameHeader(bytes, 4, 1234).has_value()) << "another segment";
  EXPECT_FALSE(DecodeFrameHeader(bytes, 3, 1235).has_value()) << "an earlier use";
  EXPECT_FALSE(DecodeFrameHeader(bytes, 3, 1234 + (uint64_t{1} << 32)).has_value());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string bad = bytes;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeFrameHeader(bad, 3, 1234).has_value()) << bit;
  }
}

TEST(Record, ComesBackEqualAndAligned) {
  std::string bytes;
  AppendRecord({.type = RecordType::kEntry,
                .sub_type = 2,
                .index = 10,
                .term = 3,
                .checksum = 99,
                .body = "hello"},
               &bytes);
  EXPECT_EQ(bytes.size(), RecordBytes(5));
  EXPECT_EQ(bytes.size() % 8, 0u);
  size_t size = 0;
  const std::string followed = bytes + "next";
  auto record = DecodeRecord(followed, &size);  // points into it
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(size, bytes.size());
  EXPECT_EQ(record->index, 10u);
  EXPECT_EQ(record->term, 3u);
  EXPECT_EQ(record->sub_type, 2);
  EXPECT_EQ(record->checksum, 99u);
  EXPECT_EQ(record->body, "hello");
}

TEST(Record, EveryTruncationIsRefused) {
  std::string bytes;
  AppendRecord({.type = RecordType::kEntry, .body = "hello"}, &bytes);
  size_t size = 0;
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeRecord(std::string_view(bytes).substr(0, n), &size).has_value()) << n;
  }
}

TEST(Record, UnknownKindsAreRefusedNotSkipped) {
  std::string bytes;
  AppendRecord({.type = RecordType::kEntry, .body = "hello"}, &bytes);
  size_t size = 0;
  for (size_t byte : {0u, 2u, 3u, 28u}) {  // type, codec, flags, group
    std::string other = bytes;
    other[byte] = 9;
    EXPECT_EQ(DecodeRecord(other, &size).error().code, Code::kNotSupported) << byte;
  }
  bytes[0] = 0;
  EXPECT_EQ(DecodeRecord(bytes, &size).error().code, Code::kCorruption);
}

TEST(Record, CheckpointAndHardStateComeBackEqual) {
  const Checkpoint checkpoint{
      {Term(2), Index(10)}, {Term(3), Index(20)}, {Term(4), MemberId(5), Index(15)}};
  std::string bytes;
  AppendCheckpoint(checkpoint, &bytes);
  size_t size = 0;
  EXPECT_EQ(*DecodeCheckpoint(*DecodeRecord(bytes, &size)), checkpoint);
  bytes.clear();
  AppendHardState(checkpoint.hard_state, &bytes);
  EXPECT_EQ(*DecodeHardState(*DecodeRecord(bytes, &size)), checkpoint.hard_state);
}

TEST(Record, CheckpointThatContradictsItselfIsRefused) {
  const Checkpoint good{{Term(2), Index(10)}, {Term(3), Index(20)}, {Term(4), {}, Index(15)}};
  auto decodes = [](const Checkpoint& checkpoint) {
    std::string bytes;
    AppendCheckpoint(checkpoint, &bytes);
    size_t size = 0;
    return DecodeCheckpoint(*DecodeRecord(bytes, &size)).has_value();
  };
  EXPECT_TRUE(decodes(good));
  Checkpoint bad = good;
  bad.last.index = Index(9);
  EXPECT_FALSE(decodes(bad)) << "ends before it begins";
  bad = good;
  bad.hard_state.commit = Index(21);
  EXPECT_FALSE(decodes(bad)) << "commits what it does not have";
  bad = good;
  bad.hard_state.term = Term(2);
  EXPECT_FALSE(decodes(bad)) << "below its last entry's term";
}

TEST(FileName, IsParsedStrictly) {
  EXPECT_EQ(ParseFileName("000000000000002a.seg").kind, FileKind::kSegment);
  EXPECT_EQ(ParseFileName("000000000000002a.seg").number, 42u);
  EXPECT_EQ(ParseFileName(SegmentName(42)).number, 42u);
  EXPECT_EQ(ParseFileName(FreeName(3)).kind, FileKind::kFree);
  EXPECT_EQ(ParseFileName(FreeName(3) + ".tmp").kind, FileKind::kTemporary);
  EXPECT_EQ(ParseFileName("io_poison").kind, FileKind::kPoison);
  for (const char* name : {"2a.seg", "000000000000002A.seg", "000000000000002a.seg~", "x.free",
                           "000000000000002g.seg", "LOCK", ".seg", ""}) {
    EXPECT_EQ(ParseFileName(name).kind, FileKind::kOther) << name;
  }
}

// ---------------------------------------------------------------- frames

struct Built {
  std::string segment = std::string(kFirstFrameOffset, '\0');
  FrameCursor end;
};

Built BuildFrames(int count) {
  Built built;
  std::string frames;
  FrameBuilder builder(3, 99, {}, &frames);
  for (int i = 0; i < count; ++i) {
    builder.Begin();
    builder.Add(Record{.type = RecordType::kEntry, .index = static_cast<uint64_t>(i), .body = "x"});
    builder.Add(raft::HardState{});
    builder.End(static_cast<uint64_t>(i), Term(1));
  }
  built.end = builder.cursor();
  built.segment += frames;
  return built;
}

TEST(Frame, FramesAreReadBackInOrder) {
  const Built built = BuildFrames(3);
  const FrameReader reader(built.segment, 3, 99);
  FrameCursor cursor;
  for (uint64_t number = 1; number <= 3; ++number) {
    auto frame = reader.Read(cursor);
    ASSERT_TRUE(frame.has_value()) << frame.error().message;
    EXPECT_EQ(frame->header.number, number);
    EXPECT_EQ(frame->header.records, 2u);
    EXPECT_EQ(frame->header.flags, uint32_t{kFrameHasHardState});
    cursor = {frame->end, number + 1, frame->chain};
  }
  EXPECT_EQ(cursor.offset, built.end.offset);
  EXPECT_EQ(cursor.chain, built.end.chain);
  EXPECT_FALSE(reader.Read(cursor).has_value());
}

TEST(Frame, ChainNumberAndPlaceMustFit) {
  const Built built = BuildFrames(2);
  const FrameReader reader(built.segment, 3, 99);
  EXPECT_FALSE(reader.Read({kFirstFrameOffset, 2, 0}).has_value()) << "another number";
  EXPECT_FALSE(reader.Read({kFirstFrameOffset, 1, 5}).has_value()) << "another past";
  EXPECT_FALSE(reader.Read({kFirstFrameOffset + 512, 1, 0}).has_value());
  EXPECT_FALSE(reader.Read({uint64_t{1} << 40, 1, 0}).has_value());
}

TEST(Frame, EveryPayloadBitIsProtected) {
  const Built built = BuildFrames(1);
  const size_t payload = kFirstFrameOffset + kFrameHeaderBytes;
  for (size_t byte = payload; byte < payload + RecordBytes(1) + RecordBytes(8); ++byte) {
    std::string bad = built.segment;
    bad[byte] = static_cast<char>(bad[byte] ^ 4);
    EXPECT_FALSE(FrameReader(bad, 3, 99).Read({}).has_value()) << byte;
  }
}

TEST(Frame, SearchFindsHeadersBehindDamage) {
  Built built = BuildFrames(4);
  built.segment[kFirstFrameOffset + kFrameAlign + 70] ^= 1;     // payload of frame 2
  built.segment[kFirstFrameOffset + 2 * kFrameAlign + 8] ^= 1;  // header of frame 3
  const FrameReader reader(built.segment, 3, 99);
  const FrameTraces traces = reader.Search(kFirstFrameOffset + kFrameAlign, 2);
  EXPECT_EQ(traces.attested, 3u);
  EXPECT_EQ(traces.end, built.end.offset);
  ASSERT_EQ(traces.whole.size(), 1u);
  EXPECT_EQ(traces.whole[0].header.number, 4u);
  EXPECT_EQ(reader.Search(kFirstFrameOffset, 5).end, 0u) << "only numbers not below the minimum";
}

TEST(Frame, OnlyAttestRecordsMakeAnAttestFrame) {
  auto flags_of = [](std::initializer_list<RecordType> types) {
    std::string frames;
    FrameBuilder builder(3, 99, {}, &frames);
    builder.Begin();
    for (RecordType type : types) builder.Add(Record{.type = type});
    builder.End(0, Term(1));
    return DecodeFrameHeader(frames, 3, 99)->header.flags;
  };
  EXPECT_EQ(flags_of({RecordType::kAttest}), uint32_t{kFrameAttestOnly});
  EXPECT_EQ(flags_of({RecordType::kTruncatePrefix, RecordType::kAttest}), 0u);
  EXPECT_EQ(flags_of({RecordType::kReset}), uint32_t{kFrameHasReset});
}

TEST(Frame, RecordsMustFillThePayload) {
  Frame frame;
  std::string payload;
  AppendRecord({.type = RecordType::kAttest}, &payload);
  frame.payload = payload;
  auto count = [&frame] {
    int records = 0;
    auto s = ForEachRecord(frame, [&](const Record&, uint64_t) -> Status {
      ++records;
      return {};
    });
    return s ? records : -1;
  };
  frame.header.records = 1;
  EXPECT_EQ(count(), 1);
  frame.header.records = 0;
  EXPECT_EQ(count(), -1) << "bytes left over";
  frame.header.records = 2;
  EXPECT_EQ(count(), -1) << "one is missing";
}

}  // namespace
}  // namespace arima::wal
