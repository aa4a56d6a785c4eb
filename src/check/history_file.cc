#include "check/history_file.h"

#include <boost/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace arima::check {
namespace {

namespace json = boost::json;

constexpr std::string_view kHeaderName = "arima_history";
constexpr uint64_t kFormat = 1;

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};
constexpr Named<Kind> kKinds[] = {{"read", Kind::kRead},
                                  {"put", Kind::kPut},
                                  {"delete", Kind::kDelete},
                                  {"cas", Kind::kCompareAndSet}};
constexpr Named<Outcome> kOutcomes[] = {{"ok", Outcome::kOk},
                                        {"mismatch", Outcome::kMismatch},
                                        {"failed", Outcome::kFailed},
                                        {"unknown", Outcome::kUnknown}};
constexpr Named<bool> kConsistencies[] = {{"linearizable", false}, {"stale", true}};

// Takes the members out of one line. The first mistake is kept; everything after it is a no-op.
class Members {
 public:
  explicit Members(json::object object) : object_(std::move(object)) {}

  void Number(std::string_view name, uint64_t* out) {
    const std::optional<json::value> value = Take(name, /*needed=*/true);
    if (!value) return;
    boost::system::error_code error;
    const uint64_t number = value->is_number() ? value->to_number<uint64_t>(error) : 0;
    if (!value->is_number() || value->is_double() || error) {
      return Fault(name, "is no whole number >= 0");
    }
    *out = number;
  }
  void OptionalNumber(std::string_view name, std::optional<uint64_t>* out) {
    if (!object_.contains(name)) return;
    uint64_t number = 0;
    Number(name, &number);
    *out = number;
  }
  // null is `if_null`.
  void Number(std::string_view name, uint64_t if_null, uint64_t* out) {
    if (const json::value* value = object_.if_contains(name);
        value != nullptr && value->is_null()) {
      object_.erase(name);
      *out = if_null;
    } else {
      Number(name, out);
    }
  }
  void Text(std::string_view name, bool needed, std::string* out) {
    const std::optional<json::value> value = Take(name, needed);
    if (!value) return;
    if (!value->is_string()) return Fault(name, "is no text");
    out->assign(value->get_string().data(), value->get_string().size());
  }
  // null stands for no value.
  void TextOrNull(std::string_view name, bool needed, std::optional<std::string>* out) {
    const std::optional<json::value> value = Take(name, needed);
    if (!value || value->is_null()) return;
    if (!value->is_string()) return Fault(name, "is neither text nor null");
    out->emplace(value->get_string().data(), value->get_string().size());
  }
  void OptionalFlag(std::string_view name, std::optional<bool>* out) {
    const std::optional<json::value> value = Take(name, /*needed=*/false);
    if (!value) return;
    if (!value->is_bool()) return Fault(name, "is neither true nor false");
    *out = value->get_bool();
  }
  template <class Value, size_t kCount>
  void Word(std::string_view name, bool needed, const Named<Value> (&words)[kCount], Value* out) {
    std::string text;
    const bool there = object_.contains(name);
    Text(name, needed, &text);
    if (!there) return;
    for (const Named<Value>& word : words) {
      if (word.name != text) continue;
      *out = word.value;
      return;
    }
    Fault(name, "cannot be \"" + text + "\"");
  }

  // Empty if all went well and nothing is left.
  std::string Finish() {
    if (!object_.empty()) Fault(object_.begin()->key(), "is not known for this operation");
    return fault_;
  }

 private:
  std::optional<json::value> Take(std::string_view name, bool needed) {
    const auto it = object_.find(name);
    if (it == object_.end()) {
      if (needed) Fault(name, "is missing");
      return std::nullopt;
    }
    json::value value = std::move(it->value());
    object_.erase(it);
    return value;
  }
  void Fault(std::string_view name, std::string_view what) {
    if (fault_.empty()) fault_ = std::string(name) + " " + std::string(what);
  }

  json::object object_;
  std::string fault_;
};

// Empty if `object` is an operation.
std::string ReadOperation(json::object object, Operation* operation) {
  Members members(std::move(object));
  members.Number("client", &operation->client);
  members.Word("op", /*needed=*/true, kKinds, &operation->kind);
  members.Word("outcome", /*needed=*/true, kOutcomes, &operation->outcome);
  members.Text("key", /*needed=*/true, &operation->key);
  members.Number("start_ns", &operation->start_ns);
  members.Number("end_ns", kNever, &operation->end_ns);
  const bool read = operation->kind == Kind::kRead;
  const bool ok = operation->outcome == Outcome::kOk;
  members.TextOrNull("value", operation->kind != Kind::kDelete && (!read || ok), &operation->value);
  if (operation->kind == Kind::kCompareAndSet) {
    members.TextOrNull("expected", /*needed=*/true, &operation->expected);
  }
  if (read) members.Word("consistency", /*needed=*/false, kConsistencies, &operation->stale);
  members.OptionalFlag("deleted", &operation->deleted);
  members.OptionalNumber("revision", &operation->revision);
  members.OptionalNumber("store_revision", &operation->store_revision);
  members.Text("note", /*needed=*/false, &operation->note);
  const std::string fault = members.Finish();
  return fault.empty() ? Misfit(*operation) : fault;
}

std::string ReadHeader(json::object object) {
  Members members(std::move(object));
  uint64_t format = 0;
  members.Number(kHeaderName, &format);
  std::string fault = members.Finish();
  if (fault.empty() && format != kFormat) {
    fault = "format " + std::to_string(format) + " is not known, this program reads format " +
            std::to_string(kFormat);
  }
  return fault;
}

template <class Value, size_t kCount>
std::string_view NameOf(const Named<Value> (&words)[kCount], Value value) {
  for (const Named<Value>& word : words) {
    if (word.value == value) return word.name;
  }
  return {};
}

json::value OrNull(const std::optional<std::string>& text) {
  return text ? json::value(*text) : json::value();
}

json::object ToJson(const Operation& operation) {
  json::object object;
  object["client"] = operation.client;
  object["op"] = NameOf(kKinds, operation.kind);
  object["key"] = operation.key;
  const bool read = operation.kind == Kind::kRead;
  if (operation.kind != Kind::kDelete && (!read || operation.outcome == Outcome::kOk)) {
    object["value"] = OrNull(operation.value);
  }
  if (operation.kind == Kind::kCompareAndSet) object["expected"] = OrNull(operation.expected);
  object["start_ns"] = operation.start_ns;
  object["end_ns"] = operation.end_ns == kNever ? json::value() : json::value(operation.end_ns);
  object["outcome"] = NameOf(kOutcomes, operation.outcome);
  if (operation.stale) object["consistency"] = "stale";
  if (operation.deleted) object["deleted"] = *operation.deleted;
  if (operation.revision) object["revision"] = *operation.revision;
  if (operation.store_revision) object["store_revision"] = *operation.store_revision;
  if (!operation.note.empty()) object["note"] = operation.note;
  return object;
}

}  // namespace

Result<std::vector<Operation>> ReadHistory(std::istream& in) {
  std::vector<Operation> history;
  bool header_read = false;
  std::string line;
  for (uint64_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    boost::system::error_code error;
    json::value value = json::parse(line, error);
    std::string fault;
    if (error) {
      fault = "is not JSON: " + error.message();
    } else if (!value.is_object()) {
      fault = "is no JSON object";
    } else if (!header_read) {
      fault = ReadHeader(std::move(value.get_object()));
      header_read = true;
    } else {
      history.emplace_back().id = number;
      fault = ReadOperation(std::move(value.get_object()), &history.back());
    }
    if (!fault.empty()) {
      return Fail(Code::kInvalidArgument, "line " + std::to_string(number) + ": " + fault);
    }
  }
  if (in.bad()) return Fail(Code::kIo, "it cannot be read to its end");
  if (!header_read) return Fail(Code::kInvalidArgument, "it is empty");
  return history;
}

std::string FormatHistory(const std::vector<Operation>& history) {
  std::string text = json::serialize(json::object{{kHeaderName, kFormat}}) + "\n";
  for (const Operation& operation : history) text += json::serialize(ToJson(operation)) + "\n";
  return text;
}

}  // namespace arima::check
