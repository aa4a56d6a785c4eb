#include "base/coding.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/random.h"

namespace arima {
namespace {

using namespace std::string_literals;

TEST(Coding, IsLittleEndianWithoutPadding) {
  std::string out;
  ByteWriter writer(&out);
  writer.U8(0x01);
  writer.U16(0x0302);
  writer.U32(0x07060504);
  writer.U64(0x0F0E0D0C0B0A0908);
  EXPECT_EQ(out, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"s);
}

TEST(Coding, BytesCarryTheirLength) {
  std::string out;
  ByteWriter(&out).Bytes("a\0b"s);
  EXPECT_EQ(out, "\x03\0\0\0a\0b"s);
}

TEST(Coding, ReadsBackTheEndsOfEachRange) {
  std::string out;
  ByteWriter writer(&out);
  writer.U8(std::numeric_limits<uint8_t>::max());
  writer.U16(std::numeric_limits<uint16_t>::max());
  writer.U32(std::numeric_limits<uint32_t>::max());
  writer.U64(std::numeric_limits<uint64_t>::max());
  writer.U64(0);
  writer.Bytes("");
  writer.Bytes("value");
  writer.Raw("tail");

  ByteReader reader(out);
  EXPECT_EQ(reader.U8(), std::numeric_limits<uint8_t>::max());
  EXPECT_EQ(reader.U16(), std::numeric_limits<uint16_t>::max());
  EXPECT_EQ(reader.U32(), std::numeric_limits<uint32_t>::max());
  EXPECT_EQ(reader.U64(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(reader.U64(), 0u);
  EXPECT_EQ(reader.Bytes(), "");
  EXPECT_EQ(reader.Bytes(), "value");
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(reader.remaining(), 4u);
  EXPECT_EQ(reader.Raw(4), "tail");
  EXPECT_TRUE(reader.done());
}

TEST(Coding, SetFixedOverwritesInPlace) {
  std::string out = "xxxxxxxxyz";
  SetFixed<uint32_t>(out.data() + 4, 0x44434241);
  EXPECT_EQ(out, "xxxxABCDyz");
  EXPECT_EQ(GetFixed<uint32_t>(out.data() + 4), 0x44434241u);
}

TEST(ByteReader, StaysFailedAfterTheFirstShortRead) {
  ByteReader reader("abc");
  EXPECT_EQ(reader.U32(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.U8(), 0u) << "bytes that were there must not be read after a failure";
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.done());
}

TEST(ByteReader, RefusesALengthBeyondTheEnd) {
  for (uint32_t length : {4u, 5u, 0x7fffffffu, 0xffffffffu}) {
    std::string bytes;
    PutFixed(&bytes, length);
    bytes += "abc";
    ByteReader reader(bytes);
    EXPECT_EQ(reader.Bytes(), "") << length;
    EXPECT_FALSE(reader.ok()) << length;
  }
}

TEST(ByteReader, EveryTruncationOfAMessageFails) {
  std::string whole;
  ByteWriter writer(&whole);
  writer.U64(1);
  writer.Bytes("key");
  writer.Bytes("value");
  writer.U8(2);
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    ByteReader reader(std::string_view(whole).substr(0, cut));
    reader.U64();
    reader.Bytes();
    reader.Bytes();
    reader.U8();
    EXPECT_FALSE(reader.done()) << "cut at " << cut;
  }
}

// Any bytes read in any order: views lie inside the input, nothing is read past its end.
TEST(ByteReader, StaysInsideRandomBytes) {
  constexpr uint64_t kSeed = 20'240'601;
  SeededRandom random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    uint64_t size = random.Below(64);
    for (uint64_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random.Below(8)));
    ByteReader reader(bytes);
    while (reader.ok() && reader.remaining() != 0) {
      size_t before = reader.remaining();
      std::string_view view = reader.Bytes();
      ASSERT_LT(reader.remaining(), before) << "seed " << kSeed << " round " << round;
      if (!view.empty()) {
        ASSERT_GE(view.data(), bytes.data());
        ASSERT_LE(view.data() + view.size(), bytes.data() + bytes.size());
      }
    }
  }
}

}  // namespace
}  // namespace arima
