// Design note. Boost.JSON's incremental SAX parser does the grammar (UTF-8, escapes, numbers,
// depth); the handler below accepts only the declared flat shape and stops at the first mistake.
// No tree is built: a value of a megabyte is decoded once, straight into the string that becomes
// the value.

#include "http/json_object_reader.h"

#include <array>
#include <boost/json/basic_parser_impl.hpp>

#include "base/assert.h"

namespace arima::http {
namespace {

using boost::json::error_code;
using boost::json::string_view;

std::string_view View(string_view text) { return {text.data(), text.size()}; }

// Any error code stops the parser; what went wrong is kept in `mistake`.
const error_code kStop = boost::json::error::syntax;

struct Handler {
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  struct Slot {
    bool seen = false;
    bool flag = false;
    std::string text;
  };

  std::span<const JsonMember> members;
  std::array<Slot, kJsonMembersMax> slots;
  std::string name;    // of the member being read
  size_t current = 0;  // its position in members
  bool in_object = false;
  ErrorAnswer mistake;
  bool failed = false;

  void Reset(std::span<const JsonMember> expected) {
    members = expected;
    for (Slot& slot : slots) {
      slot.seen = false;
      slot.flag = false;
      slot.text.clear();
    }
    name.clear();
    in_object = false;
    failed = false;
  }

  bool Stop(error_code& ec, int status, std::string_view code, std::string message) {
    mistake = {status, code, std::move(message), {}, {}, false};
    failed = true;
    ec = kStop;
    return false;
  }

  // A value of a kind no member takes, or not the kind that the current one takes.
  bool WrongType(error_code& ec, std::string_view got) {
    if (!in_object) {
      return Stop(ec, 400, "bad_json", "the body must be a JSON object, not " + std::string(got));
    }
    const bool text = members[current].type == JsonType::kString;
    return Stop(ec, 400, "bad_member",
                "member \"" + std::string(members[current].name) + "\" must be " +
                    (text ? "a string" : "true or false") + ", not " + std::string(got));
  }

  std::string Names() const {
    std::string names;
    for (const JsonMember& member : members) {
      names.append(names.empty() ? "" : ", ").append(member.name);
    }
    return names;
  }

  bool AppendText(string_view piece, error_code& ec) {
    if (!in_object || members[current].type != JsonType::kString) return WrongType(ec, "a string");
    const JsonMember& member = members[current];
    std::string& text = slots[current].text;
    if (piece.size() > member.bytes_max - text.size()) {
      return Stop(ec, 413, "too_large",
                  "member \"" + std::string(member.name) + "\" is larger than " +
                      std::string(member.limit_hint));
    }
    text.append(piece.data(), piece.size());
    return true;
  }

  // Boost.JSON's handler concept. Names of members are bounded like everything else.
  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& ec) {
    if (in_object) return WrongType(ec, "an object");
    in_object = true;
    return true;
  }
  bool on_object_end(std::size_t, error_code&) { return true; }
  bool on_array_begin(error_code& ec) { return WrongType(ec, "an array"); }
  bool on_array_end(std::size_t, error_code&) { return true; }
  bool on_key_part(string_view piece, std::size_t, error_code&) {
    constexpr size_t kNameBytesMax = 64;
    name.append(View(piece).substr(0, kNameBytesMax - std::min(name.size(), kNameBytesMax)));
    return true;
  }
  bool on_key(string_view piece, std::size_t total, error_code& ec) {
    on_key_part(piece, total, ec);
    size_t found = 0;
    while (found < members.size() && members[found].name != name) ++found;
    if (found == members.size()) {
      return Stop(ec, 400, "bad_member", "unknown member \"" + name + "\"; known are " + Names());
    }
    if (slots[found].seen) {
      return Stop(ec, 400, "bad_member", "member \"" + name + "\" comes twice");
    }
    slots[found].seen = true;
    current = found;
    name.clear();
    return true;
  }
  bool on_string_part(string_view piece, std::size_t, error_code& ec) {
    return AppendText(piece, ec);
  }
  bool on_string(string_view piece, std::size_t, error_code& ec) { return AppendText(piece, ec); }
  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t, string_view, error_code& ec) { return WrongType(ec, "a number"); }
  bool on_uint64(uint64_t, string_view, error_code& ec) { return WrongType(ec, "a number"); }
  bool on_double(double, string_view, error_code& ec) { return WrongType(ec, "a number"); }
  bool on_bool(bool value, error_code& ec) {
    if (!in_object || members[current].type != JsonType::kBool) {
      return WrongType(ec, value ? "true" : "false");
    }
    slots[current].flag = value;
    return true;
  }
  bool on_null(error_code& ec) { return WrongType(ec, "null"); }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }
};

}  // namespace

struct JsonObjectReader::Impl {
  boost::json::basic_parser<Handler> parser{boost::json::parse_options{}};
  uint64_t bytes = 0;  // taken so far, for the place of a mistake

  Handler& handler() { return parser.handler(); }

  void Take(bool more, std::string_view piece) {
    if (handler().failed) return;
    error_code ec;
    const size_t taken = parser.write_some(more, piece.data(), piece.size(), ec);
    bytes += taken;
    if (handler().failed) return;
    if (ec || taken < piece.size()) {
      std::string where = " near byte " + std::to_string(bytes);
      if (ec == boost::json::error::incomplete) where = ": it ends too early";
      if (!ec) where.append(": nothing may follow the object");
      handler().mistake = {400, "bad_json", "the body is not valid JSON" + where, {}, {}, false};
      handler().failed = true;
    }
  }
};

JsonObjectReader::JsonObjectReader() : impl_(std::make_unique<Impl>()) {}
JsonObjectReader::~JsonObjectReader() = default;

void JsonObjectReader::Begin(std::span<const JsonMember> members) {
  ARIMA_ASSERT(members.size() <= kJsonMembersMax, members.size());
  impl_->parser.reset();
  impl_->handler().Reset(members);
  impl_->bytes = 0;
}

void JsonObjectReader::Write(std::string_view piece) { impl_->Take(true, piece); }

Read<void> JsonObjectReader::Finish() {
  impl_->Take(false, {});
  if (impl_->handler().failed) return std::unexpected(impl_->handler().mistake);
  return {};
}

bool JsonObjectReader::has(size_t member) const { return impl_->handler().slots[member].seen; }
std::string& JsonObjectReader::text(size_t member) { return impl_->handler().slots[member].text; }
bool JsonObjectReader::flag(size_t member) const { return impl_->handler().slots[member].flag; }

}  // namespace arima::http
