#include "kv/key_schema.h"

#include <algorithm>

#include "base/assert.h"
#include "base/hex.h"

namespace arima::kv {
namespace {

constexpr char kTerminator = '\x00';
constexpr char kEscape = '\x01';
constexpr char kEscapedZero = '\x01';
constexpr char kEscapedOne = '\x02';

void AppendBigEndian(uint64_t v, std::string* out) {
  char bytes[8];
  for (int i = 7; i >= 0; --i) {
    bytes[i] = static_cast<char>(v & 0xFF);
    v >>= 8;
  }
  out->append(bytes, sizeof bytes);
}

uint64_t ReadBigEndian(std::string_view bytes) {
  uint64_t v = 0;
  for (char c : bytes.substr(0, 8)) v = v << 8 | static_cast<uint8_t>(c);
  return v;
}

std::unexpected<Error> BadKey(std::string_view engine_key, std::string_view why) {
  return Fail(Code::kCorruption, "engine key " + Printable(engine_key) + ": " + std::string(why));
}

}  // namespace

Status CheckUserKey(std::string_view user_key) {
  if (user_key.empty()) return Fail(Code::kInvalidArgument, "key is empty");
  if (user_key.size() > kUserKeyBytesMax) {
    return Fail(Code::kInvalidArgument, "key has " + std::to_string(user_key.size()) +
                                            " bytes, limit is " + std::to_string(kUserKeyBytesMax));
  }
  return {};
}

void AppendEscaped(std::string_view user_key, std::string* out) {
  ARIMA_ASSERT(!user_key.empty() && user_key.size() <= kUserKeyBytesMax, user_key.size());
  const char* run = user_key.data();
  const char* const end = run + user_key.size();
  while (true) {
    const char* special =
        std::find_if(run, end, [](char c) { return static_cast<uint8_t>(c) <= 1; });
    out->append(run, special);
    if (special == end) break;
    out->push_back(kEscape);
    out->push_back(*special == '\x00' ? kEscapedZero : kEscapedOne);
    run = special + 1;
  }
  out->push_back(kTerminator);
}

Result<std::string> TakeEscaped(std::string_view* in) {
  size_t end = in->find(kTerminator);
  if (end == std::string_view::npos) return BadKey(*in, "no terminator");
  std::string key;
  key.reserve(end);
  for (size_t i = 0; i < end; ++i) {
    char c = (*in)[i];
    if (c == kEscape) {
      char next = (*in)[++i];  // at worst the terminator, refused below
      if (next != kEscapedZero && next != kEscapedOne) return BadKey(*in, "unknown escape");
      c = next == kEscapedZero ? '\x00' : '\x01';
    }
    key.push_back(c);
  }
  if (key.empty() || key.size() > kUserKeyBytesMax) return BadKey(*in, "user key length");
  in->remove_prefix(end + 1);
  return key;
}

std::string VersionKey(std::string_view user_key, uint64_t revision) {
  std::string key;
  SetVersionKey(user_key, revision, &key);
  return key;
}

void SetVersionKey(std::string_view user_key, uint64_t revision, std::string* out) {
  out->clear();
  out->push_back(static_cast<char>(Table::kVersions));
  AppendEscaped(user_key, out);
  AppendBigEndian(~revision, out);
}

void SetDeletionKey(uint64_t revision, std::string_view user_key, std::string* out) {
  out->clear();
  out->push_back(static_cast<char>(Table::kDeletions));
  AppendBigEndian(revision, out);
  AppendEscaped(user_key, out);
}

std::string DeletionsFrom(uint64_t revision) {
  std::string key(1, static_cast<char>(Table::kDeletions));
  AppendBigEndian(revision, &key);
  return key;
}

Result<KeyAndRevision> ParseVersionKey(std::string_view engine_key) {
  std::string_view rest = engine_key;
  if (!rest.starts_with(static_cast<char>(Table::kVersions))) {
    return BadKey(engine_key, "not in the table of versions");
  }
  rest.remove_prefix(1);
  Result<std::string> user_key = TakeEscaped(&rest);
  if (!user_key) return std::unexpected(user_key.error());
  if (rest.size() != kRevisionBytes) return BadKey(engine_key, "no 8 bytes of revision at its end");
  return KeyAndRevision{.user_key = std::move(*user_key), .revision = ~ReadBigEndian(rest)};
}

Result<KeyAndRevision> ParseDeletionKey(std::string_view engine_key) {
  std::string_view rest = engine_key;
  if (!rest.starts_with(static_cast<char>(Table::kDeletions))) {
    return BadKey(engine_key, "not in the table of deletions");
  }
  rest.remove_prefix(1);
  if (rest.size() < kRevisionBytes) return BadKey(engine_key, "no 8 bytes of revision");
  uint64_t revision = ReadBigEndian(rest);
  rest.remove_prefix(kRevisionBytes);
  Result<std::string> user_key = TakeEscaped(&rest);
  if (!user_key) return std::unexpected(user_key.error());
  if (!rest.empty()) return BadKey(engine_key, "bytes after its end");
  return KeyAndRevision{.user_key = std::move(*user_key), .revision = revision};
}

uint64_t RevisionOfVersionKey(std::string_view engine_key) {
  ARIMA_ASSERT(engine_key.size() > kRevisionBytes, engine_key.size());
  return ~ReadBigEndian(engine_key.substr(engine_key.size() - kRevisionBytes));
}

std::string_view FilterPrefix(std::string_view engine_key) {
  if (!engine_key.starts_with(static_cast<char>(Table::kVersions))) return {};
  size_t end = engine_key.find(kTerminator);
  return end == std::string_view::npos ? std::string_view() : engine_key.substr(0, end + 1);
}

}  // namespace arima::kv
