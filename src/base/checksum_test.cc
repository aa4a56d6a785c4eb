#include "base/checksum.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace arima {
namespace {

// Files and peers of every version carry these values: they must never change.
TEST(Checksum, HasTheKnownValuesOfXxh3) {
  EXPECT_EQ(Checksum64(""), 0x2D06800538D394C2u);
  EXPECT_EQ(Checksum64("a"), 0xE6C632B61E964E1Fu);
  EXPECT_EQ(Checksum64("abc"), 0x78AF5F94892F3950u);
}

TEST(Checksum, DependsOnTheSeed) {
  EXPECT_NE(Checksum64("abc", 0), Checksum64("abc", 1));
  EXPECT_NE(Checksum64("", 0), Checksum64("", 1));
}

TEST(Checksum, OfFourBytesIsTheLowHalf) {
  EXPECT_EQ(Checksum32("abc"), static_cast<uint32_t>(Checksum64("abc")));
  EXPECT_EQ(Checksum32("abc", 9), static_cast<uint32_t>(Checksum64("abc", 9)));
}

// XXH3 changes its method at 17, 129 and 241 bytes; a flipped bit must show on all of them.
TEST(Checksum, SeesEveryFlippedBit) {
  for (size_t size : {1u, 3u, 8u, 16u, 17u, 128u, 129u, 240u, 241u, 1024u}) {
    std::string bytes(size, '\x5a');
    const uint64_t good = Checksum64(bytes);
    for (size_t bit = 0; bit < size * 8; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      ASSERT_NE(Checksum64(bytes), good) << "size " << size << " bit " << bit;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
  }
}

TEST(Checksum, SeesZeroesAppended) {
  std::string bytes = "frame";
  uint64_t before = Checksum64(bytes);
  bytes.push_back('\0');
  EXPECT_NE(Checksum64(bytes), before);
}

}  // namespace
}  // namespace arima
