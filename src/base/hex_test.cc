#include "base/hex.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace arima {
namespace {

using namespace std::string_literals;

TEST(Hex, PrintsEveryByteAsTwoLowerCaseDigits) {
  EXPECT_EQ(ToHex(""), "");
  EXPECT_EQ(ToHex("\0\x09\x0a\x7f\x80\xff"s), "00090a7f80ff");
}

TEST(Hex, FillsNumbersWithZeroes) {
  EXPECT_EQ(ToHex(uint64_t{0}), "0000000000000000");
  EXPECT_EQ(ToHex(uint64_t{0x1a2b}), "0000000000001a2b");
  EXPECT_EQ(ToHex(UINT64_MAX), "ffffffffffffffff");
}

TEST(Hex, PrintsAnIdentityInByteOrder) {
  Uuid uuid;
  for (uint8_t i = 0; i < 16; ++i) uuid.bytes[i] = i;
  EXPECT_EQ(ToHex(uuid), "000102030405060708090a0b0c0d0e0f");
}

TEST(Hex, PrintableShowsBytesAndCutsWhatIsLong) {
  EXPECT_EQ(Printable(std::string("a\"\x00", 3)), "\"a\\x22\\x00\"");
  EXPECT_EQ(Printable(std::string(70, 'y')), '"' + std::string(64, 'y') + "\"... (70 bytes)");
}

}  // namespace
}  // namespace arima
