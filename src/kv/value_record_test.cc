#include "kv/value_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "base/checksum.h"
#include "base/coding.h"
#include "kv/key_schema.h"

namespace arima::kv {
namespace {

const std::string kKey = VersionKey("key", 9);

std::string Encoded(const ValueRecord& record) {
  std::string bytes;
  EncodeValueHead(kKey, record, &bytes);
  return bytes.append(record.value);
}

// A record with `head` after the checksum, and the checksum that FORMAT.md asks for.
std::string WithChecksum(std::string_view head, std::string_view value) {
  std::string bytes;
  PutFixed(&bytes, Checksum32(head, Checksum64(kKey) ^ std::rotl(Checksum64(value), 32)));
  return bytes.append(head).append(value);
}

std::string PutHead(uint8_t kind, uint64_t create_revision, uint64_t version) {
  std::string head;
  ByteWriter writer(&head);
  writer.U8(kind);
  writer.U64(create_revision);
  writer.U64(version);
  return head;
}

TEST(ValueRecord, BytesAreAsWrittenInTheFormat) {
  EXPECT_EQ(Encoded({.create_revision = 7, .version = 3, .value = "xyz"}),
            WithChecksum(PutHead(1, 7, 3), "xyz"));
  std::string with_lease = PutHead(2, 7, 3);
  PutFixed<uint64_t>(&with_lease, 5);
  EXPECT_EQ(Encoded({.create_revision = 7, .version = 3, .lease = 5, .value = "xyz"}),
            WithChecksum(with_lease, "xyz"));
  EXPECT_EQ(Encoded({.deleted = true}), WithChecksum("\x03", ""));
}

TEST(ValueRecord, DecodesWhatWasEncoded) {
  std::string bytes =
      Encoded({.create_revision = 7, .version = 3, .lease = ~0ull, .value = std::string_view()});
  Result<ValueRecord> record = DecodeValue(kKey, bytes);
  ASSERT_TRUE(record) << record.error().ToString();
  EXPECT_FALSE(record->deleted);
  EXPECT_EQ(record->create_revision, 7u);
  EXPECT_EQ(record->version, 3u);
  EXPECT_EQ(record->lease, ~0ull);
  EXPECT_EQ(record->value, "");
  bytes = Encoded({.deleted = true});
  record = DecodeValue(kKey, bytes);
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->deleted);
}

TEST(ValueRecord, UnknownKindsAreNotSupportedIfUndamaged) {
  const std::string bytes = WithChecksum("\x09 of a later version", "");
  Result<ValueRecord> record = DecodeValue(kKey, bytes);
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, Code::kNotSupported);
  EXPECT_EQ(record.error().message, "record of key \"key\" at revision 9: unknown kind 9");
  std::string damaged = bytes;
  damaged.back() ^= 1;
  EXPECT_EQ(DecodeValue(kKey, damaged).error().code, Code::kCorruption);
}

TEST(ValueRecord, ImpossibleFieldsUnderARightChecksumAreNoDamage) {
  std::string zero_lease = PutHead(2, 7, 3);
  PutFixed<uint64_t>(&zero_lease, 0);
  for (const std::string& bytes :
       {WithChecksum(PutHead(1, 0, 3), "v"), WithChecksum(PutHead(1, 7, 0), "v"),
        WithChecksum(PutHead(1, 10, 3), "v"),  // created after the revision it stands under
        WithChecksum(zero_lease, "v"), WithChecksum("\x03 more", "")}) {
    Result<ValueRecord> record = DecodeValue(kKey, bytes);
    ASSERT_FALSE(record);
    EXPECT_EQ(record.error().code, Code::kInternal);
    EXPECT_THAT(record.error().message, testing::HasSubstr("impossible fields"));
  }
}

TEST(ValueRecord, PutsAreToldFromDeletionsAtAGlance) {
  EXPECT_TRUE(HasValue(Encoded({.create_revision = 7, .version = 3, .value = "v"})));
  EXPECT_TRUE(HasValue(Encoded({.create_revision = 7, .version = 3, .lease = 5, .value = ""})));
  EXPECT_FALSE(HasValue(Encoded({.deleted = true})));
  EXPECT_FALSE(HasValue(""));
}

TEST(ValueRecord, TheChecksumBindsTheRecordToItsKey) {
  const std::string bytes = Encoded({.create_revision = 7, .version = 3, .value = "v"});
  EXPECT_TRUE(DecodeValue(kKey, bytes));
  EXPECT_FALSE(DecodeValue(VersionKey("key", 8), bytes));
  EXPECT_FALSE(DecodeValue(VersionKey("kez", 9), bytes));
}

}  // namespace
}  // namespace arima::kv
