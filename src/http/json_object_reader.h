// Reads one flat JSON object with declared members, piece by piece as it arrives.
//
// Exactly the declared members are taken: unknown, repeated and wrongly typed ones are errors, and
// so is anything after the object. Strings come out decoded and are never held twice; memory is
// bounded by the members' limits whatever is sent. Reusable; one thread at a time.
//
//   reader.Begin({{"key", JsonType::kString, 4096}, ...});
//   while (more) reader.Write(piece);
//   if (auto read = reader.Finish(); !read) return read.error();
//   reader.text(0)
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "http/error_answer.h"

namespace arima::http {

enum class JsonType : uint8_t { kString, kBool };

struct JsonMember {
  std::string_view name;
  JsonType type = JsonType::kString;
  size_t bytes_max = 0;         // of a string, decoded
  std::string_view limit_hint;  // how the limit is called or raised; ends the message of a 413
};
inline constexpr size_t kJsonMembersMax = 8;

class JsonObjectReader {
 public:
  JsonObjectReader();
  ~JsonObjectReader();

  // `members` must stay valid until Finish; at most kJsonMembersMax.
  void Begin(std::span<const JsonMember> members);
  // After a mistake the rest is ignored; Finish tells.
  void Write(std::string_view piece);
  Read<void> Finish();

  // After Finish succeeded, by position in `members`.
  bool has(size_t member) const;
  std::string& text(size_t member);
  bool flag(size_t member) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::http
