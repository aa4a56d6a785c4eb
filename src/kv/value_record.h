// One version of a user key as the engine stores it (FORMAT.md section 3). Pure functions, any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace arima::kv {

struct ValueRecord {
  bool deleted = false;          // then nothing below has a meaning
  uint64_t create_revision = 0;  // >= 1
  uint64_t version = 0;          // >= 1
  uint64_t lease = 0;            // 0 = none
  std::string_view value{};      // when decoded: points into the bytes given
};

// Replaces *head with the bytes that go before record.value. The checksum covers the engine key the
// record will stand under, and the value.
void EncodeValueHead(std::string_view engine_key, const ValueRecord& record, std::string* head);

// True: a deletion, or a put over an existing value. A guess from the first bytes, unchecked, for
// estimates; false for bytes that are no record.
bool SupersedesAnother(std::string_view bytes);
// The same kind of guess: true for a put.
bool HasValue(std::string_view bytes);

// kCorruption or kNotSupported, naming the key and revision.
Result<ValueRecord> DecodeValue(std::string_view engine_key, std::string_view bytes);

}  // namespace arima::kv
