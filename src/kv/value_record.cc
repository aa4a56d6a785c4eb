#include "kv/value_record.h"

#include <bit>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/coding.h"
#include "base/hex.h"
#include "kv/key_schema.h"

namespace arima::kv {
namespace {

enum Kind : uint8_t { kPut = 1, kPutWithLease = 2, kDeletion = 3 };
constexpr size_t kChecksumBytes = 4;

// `head` is what stands between the checksum and the value. Only the short head is hashed with a
// seed: XXH3 with a seed has to derive a new secret for every long input.
uint32_t RecordChecksum(std::string_view engine_key, std::string_view head,
                        std::string_view value) {
  return Checksum32(head, Checksum64(engine_key) ^ std::rotl(Checksum64(value), 32));
}

bool PutFieldsOk(std::string_view engine_key, uint8_t kind, const ValueRecord& record) {
  return record.version > 0 && record.create_revision > 0 && engine_key.size() > kRevisionBytes &&
         record.create_revision <= RevisionOfVersionKey(engine_key) &&
         (kind == kPut || record.lease != 0);
}

std::unexpected<Error> BadRecord(Code code, std::string_view engine_key, std::string_view why) {
  std::string what = "record under engine key " + Printable(engine_key);
  if (Result<KeyAndRevision> parsed = ParseVersionKey(engine_key)) {
    what = "record of key " + Printable(parsed->user_key) + " at revision " +
           std::to_string(parsed->revision);
  }
  return Fail(code, what + ": " + std::string(why));
}

}  // namespace

void EncodeValueHead(std::string_view engine_key, const ValueRecord& record, std::string* head) {
  head->clear();
  ByteWriter writer(head);
  writer.U32(0);
  if (record.deleted) {
    writer.U8(kDeletion);
  } else {
    ARIMA_ASSERT(record.create_revision > 0 && record.version > 0, record.create_revision,
                 record.version);
    writer.U8(record.lease == 0 ? kPut : kPutWithLease);
    writer.U64(record.create_revision);
    writer.U64(record.version);
    if (record.lease != 0) writer.U64(record.lease);
  }
  std::string_view value = record.deleted ? std::string_view() : record.value;
  std::string_view covered = std::string_view(*head).substr(kChecksumBytes);
  SetFixed(head->data(), RecordChecksum(engine_key, covered, value));
}

bool SupersedesAnother(std::string_view bytes) {
  ByteReader reader(bytes);
  reader.U32();
  const uint8_t kind = reader.U8();
  reader.U64();
  const uint64_t version = reader.U64();
  return kind == kDeletion || (reader.ok() && version > 1);
}

bool HasValue(std::string_view bytes) {
  ByteReader reader(bytes);
  reader.U32();
  const uint8_t kind = reader.U8();
  return kind == kPut || kind == kPutWithLease;
}

Result<ValueRecord> DecodeValue(std::string_view engine_key, std::string_view bytes) {
  ByteReader reader(bytes);
  uint32_t checksum = reader.U32();
  uint8_t kind = reader.U8();
  ValueRecord record{.deleted = kind == kDeletion};
  if (kind == kPut || kind == kPutWithLease) {
    record.create_revision = reader.U64();
    record.version = reader.U64();
    if (kind == kPutWithLease) record.lease = reader.U64();
    record.value = reader.Raw(reader.remaining());
  }
  if (!reader.ok()) return BadRecord(Code::kCorruption, engine_key, "cut short");

  // An unknown kind is judged after the checksum: damage must not look like a later version.
  size_t head_bytes = bytes.size() - kChecksumBytes - record.value.size();
  uint32_t actual =
      RecordChecksum(engine_key, bytes.substr(kChecksumBytes, head_bytes), record.value);
  if (actual != checksum) return BadRecord(Code::kCorruption, engine_key, "checksum mismatch");
  if (kind < kPut || kind > kDeletion) {
    return BadRecord(Code::kNotSupported, engine_key, "unknown kind " + std::to_string(kind));
  }
  bool fields_ok = record.deleted ? reader.remaining() == 0 : PutFieldsOk(engine_key, kind, record);
  // No damage does this: it was written so, and so it will be on every other node and after every
  // repair. Taken for damage, one database after the other would be thrown away.
  if (!fields_ok) {
    return BadRecord(Code::kInternal, engine_key,
                     "impossible fields under a right checksum, which is a fault of the program; "
                     "the data is intact, start the release that was used before");
  }
  return record;
}

}  // namespace arima::kv
