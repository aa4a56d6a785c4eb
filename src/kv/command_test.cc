#include "kv/command.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "kv/key_schema.h"
#include "kv/test_seed.h"

namespace arima::kv {
namespace {

TEST(Command, PutBytesAreAsWrittenInTheFormat) {
  std::string bytes = EncodeCommand(PutCommand{.key = "ab", .value = "xyz", .lease = 5});
  EXPECT_EQ(bytes, std::string("\x01\x01"
                               "\x05\x00\x00\x00\x00\x00\x00\x00"
                               "\x02\x00\x00\x00"
                               "abxyz",
                               19));
}

TEST(Command, DeleteBytesAreAsWrittenInTheFormat) {
  EXPECT_EQ(EncodeCommand(DeleteCommand{.key = "ab"}),
            "\x02\x01"
            "ab");
}

TEST(Command, DecodesWhatWasEncoded) {
  const std::string key("\x00\xFF key", 6);
  std::string bytes = EncodeCommand(PutCommand{.key = key, .value = "", .lease = ~0ull});
  Result<Command> put = DecodeCommand(bytes);
  ASSERT_TRUE(put);
  EXPECT_EQ(std::get<PutCommand>(*put).key, key);
  EXPECT_EQ(std::get<PutCommand>(*put).value, "");
  EXPECT_EQ(std::get<PutCommand>(*put).lease, ~0ull);
  bytes = EncodeCommand(DeleteCommand{.key = key});
  Result<Command> erase = DecodeCommand(bytes);
  ASSERT_TRUE(erase);
  EXPECT_EQ(std::get<DeleteCommand>(*erase).key, key);
}

TEST(Command, CompactBytesAreAsWrittenInTheFormat) {
  std::string bytes = EncodeCommand(CompactCommand{.revision = 7});
  EXPECT_EQ(bytes, std::string("\x03\x01\x07\x00\x00\x00\x00\x00\x00\x00", 10));
  Result<Command> compact = DecodeCommand(bytes);
  ASSERT_TRUE(compact);
  EXPECT_EQ(std::get<CompactCommand>(*compact).revision, 7);
  EXPECT_EQ(DecodeCommand(bytes + "x").error().code, Code::kInvalidArgument);
  EXPECT_EQ(DecodeCommand(bytes.substr(0, 9)).error().code, Code::kInvalidArgument);
}

TEST(Command, UnknownTypesAndVersionsAreNotSupported) {
  for (std::string_view bytes : {"\x04\x01key", "\x01\x02key", "\x02\x09key", "\xFF\xFF"}) {
    Result<Command> command = DecodeCommand(bytes);
    ASSERT_FALSE(command);
    EXPECT_EQ(command.error().code, Code::kNotSupported);
  }
  EXPECT_EQ(DecodeCommand("\x09\x07").error().message, "command type 9 version 7 is unknown here");
}

TEST(Command, KeysOfWrongLengthAreRefused) {
  EXPECT_EQ(DecodeCommand("\x02\x01").error().code, Code::kInvalidArgument);
  std::string longest = "\x02\x01" + std::string(kUserKeyBytesMax, 'k');
  EXPECT_TRUE(DecodeCommand(longest));
  EXPECT_EQ(DecodeCommand(longest + "k").error().code, Code::kInvalidArgument);
  std::string no_key("\x01\x01", 2);
  no_key.append(12, '\0');
  EXPECT_EQ(DecodeCommand(no_key).error().code, Code::kInvalidArgument);
}

TEST(Command, EveryCutOfAPutIsRefusedOrShortensItsValueOnly) {
  const std::string bytes = EncodeCommand(PutCommand{.key = "key", .value = "value"});
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    Result<Command> command = DecodeCommand(std::string_view(bytes).substr(0, cut));
    if (cut < bytes.size() - 5) {
      ASSERT_FALSE(command) << cut;
      EXPECT_EQ(command.error().code, Code::kInvalidArgument);
    } else {
      EXPECT_EQ(std::get<PutCommand>(*command).key, "key");
    }
  }
}

TEST(Command, RandomBytesAreEitherRefusedOrEncodeToThemselves) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(SeedTrace(seed));
  SeededRandom random(seed);
  int accepted = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string bytes(random.Below(40), '\0');
    for (char& c : bytes)
      c = static_cast<char>(random.Percent(70) ? random.Below(3) : random.Next());
    Result<Command> command = DecodeCommand(bytes);
    if (!command) continue;
    ++accepted;
    ASSERT_EQ(EncodeCommand(*command), bytes);
  }
  EXPECT_GT(accepted, 100);
}

TEST(ClockCommand, RoundTripsAndRefusesTheRest) {
  EXPECT_EQ(DecodeClock(EncodeClock(1234567890123)).value(), 1234567890123u);
  EXPECT_EQ(DecodeClock("").error().code, Code::kInvalidArgument);
  EXPECT_EQ(DecodeClock(EncodeClock(1) + "x").error().code, Code::kInvalidArgument);
  EXPECT_EQ(DecodeClock(EncodeClock(1).substr(0, 5)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(DecodeClock("\x02"
                        "12345678")
                .error()
                .code,
            Code::kNotSupported);
}

}  // namespace
}  // namespace arima::kv
