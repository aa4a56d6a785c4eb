// Keys of the engine (FORMAT.md section 2): how user keys, revisions and tables become bytes whose
// order is the order wanted. Pure functions, any thread.
//
// User keys are any 1..kUserKeyBytesMax bytes. Builders assert that (callers have validated);
// parsers take foreign bytes and answer kCorruption.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace arima::kv {

inline constexpr size_t kUserKeyBytesMax = 4096;
inline constexpr size_t kRevisionBytes = 8;

// First byte of every engine key.
enum class Table : char {
  kUsers = 'a',
  kDeletions = 'd',
  kVersions = 'k',
  kLeases = 'l',
  kMeta = 'm',
  kIdempotency = 's',
};

inline constexpr std::string_view kAppliedKey = "mapplied";

// kInvalidArgument unless `user_key` has a permitted length.
Status CheckUserKey(std::string_view user_key);

// Appends the escaped key with its terminator. Byte order is kept; no result is a prefix of
// another.
void AppendEscaped(std::string_view user_key, std::string* out);
// Takes one escaped key off the front of `in`, terminator included.
Result<std::string> TakeEscaped(std::string_view* in);

// `k` key of one version. SetVersionKey replaces *out, to reuse its memory.
std::string VersionKey(std::string_view user_key, uint64_t revision);
void SetVersionKey(std::string_view user_key, uint64_t revision, std::string* out);

// `d` key of one deletion.
void SetDeletionKey(uint64_t revision, std::string_view user_key, std::string* out);

// The `d` keys of revisions at or after `revision` are at or after this one.
std::string DeletionsFrom(uint64_t revision);

struct KeyAndRevision {
  std::string user_key;
  uint64_t revision = 0;
};
Result<KeyAndRevision> ParseVersionKey(std::string_view engine_key);
Result<KeyAndRevision> ParseDeletionKey(std::string_view engine_key);

// Revision of a `k` key whose prefix is known to be right (cheaper than ParseVersionKey).
uint64_t RevisionOfVersionKey(std::string_view engine_key);

// The part of a `k` key that all versions of one user key share; empty for keys of other tables,
// which have none. FilterPrefix(FilterPrefix(k)) == FilterPrefix(k).
std::string_view FilterPrefix(std::string_view engine_key);

}  // namespace arima::kv
