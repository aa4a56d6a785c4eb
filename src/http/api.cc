// Design note. Everything that can be refused is refused in Plan, from the head alone: a client
// that asks for the wrong thing is told before it sends its body. What the contract promises for
// later (conditions on writes, idempotency keys, further parameters) is refused rather than
// ignored: a client that relies on a condition must not be told "ok" without it.

#include "http/api.h"

#include "base/units.h"
#include "http/base64.h"
#include "http/error_mapping.h"
#include "http/header_values.h"
#include "http/target.h"

namespace arima::http {
namespace {

using service::kKeyBytesMax;

// A body nobody asked for is read and dropped up to this size; so large are the others but values.
constexpr uint64_t kSmallBodyBytesMax = 64 << 10;

constexpr uint64_t Base64Bytes(uint64_t bytes) { return (bytes + 2) / 3 * 4; }

std::unexpected<ErrorAnswer> Missing(std::string_view member) {
  return Refuse(400, "bad_member", "member \"" + std::string(member) + "\" is missing");
}

bool TakesParameter(std::string_view parameters, std::string_view name) {
  while (!parameters.empty()) {
    const size_t bar = std::min(parameters.find('|'), parameters.size());
    if (parameters.substr(0, bar) == name) return true;
    parameters.remove_prefix(std::min(bar + 1, parameters.size()));
  }
  return false;
}

// Of members `plain` and `plain + 1` (the same in base64), which must come alone.
Read<std::string> TakeBytes(JsonObjectReader* json, std::span<const JsonMember> members,
                            size_t plain) {
  const size_t encoded = plain + 1;
  const std::string name(members[plain].name);
  if (json->has(plain) && json->has(encoded)) {
    return Refuse(400, "bad_member",
                  "members \"" + name + "\" and \"" + name + "_base64\" exclude each other");
  }
  if (json->has(plain)) return std::move(json->text(plain));
  if (!json->has(encoded)) return Missing(name);
  std::optional<std::string> bytes = DecodeBase64(json->text(encoded));
  if (!bytes) {
    return Refuse(400, "bad_member",
                  "member \"" + name + "_base64\" is not base64 (standard alphabet, padded)");
  }
  return std::move(*bytes);
}

Read<void> CheckKey(std::string_view key, int status_too_large) {
  if (key.empty()) {
    return Refuse(400, "key_empty",
                  "the key is empty; a key has 1 to " + std::to_string(kKeyBytesMax) + " bytes");
  }
  if (key.size() > kKeyBytesMax) {
    return Refuse(status_too_large, "key_too_large",
                  "the key has " + std::to_string(key.size()) + " bytes; at most " +
                      std::to_string(kKeyBytesMax) + " are taken");
  }
  return {};
}

}  // namespace

Api::Api(const HttpOptions& options, service::KvService& kv, service::ClusterService& cluster,
         const Counters& counters)
    : options_(options),
      kv_(kv),
      cluster_(cluster),
      counters_(counters),
      key_limit_(std::to_string(kKeyBytesMax) + " bytes"),
      value_limit_(FormatBytes(options.value_bytes_max) + " (--max-value-bytes)"),
      key_value_members_{{{"key", JsonType::kString, kKeyBytesMax, key_limit_},
                          {"key_base64", JsonType::kString, Base64Bytes(kKeyBytesMax), key_limit_},
                          {"value", JsonType::kString, options.value_bytes_max, value_limit_},
                          {"value_base64", JsonType::kString, Base64Bytes(options.value_bytes_max),
                           value_limit_}}},
      join_members_{{{"node_id", JsonType::kString, 256, "256 bytes"},
                     {"raft_address", JsonType::kString, 512, "512 bytes"}}},
      remove_members_{
          {{"node_id", JsonType::kString, 256, "256 bytes"}, {"force", JsonType::kBool, 0, ""}}},
      transfer_members_{{{"node_id", JsonType::kString, 256, "256 bytes"}}} {}

Read<void> Api::Plan(const RequestHead& head, Exchange* exchange) const {
  const Read<Target> target = SplitTarget(head.target);
  if (!target) return std::unexpected(target.error());
  const Read<Match> match = FindRoute(target->path, head.method);
  if (!match) return std::unexpected(match.error());
  exchange->route = match->route;

  if (!match->encoded_key.empty()) {
    if (Read<void> read = PercentDecode(match->encoded_key, &exchange->key); !read) return read;
    if (Read<void> read = CheckKey(exchange->key, 414); !read) return read;
  }
  if (Read<void> read = PlanParameters(target->query, exchange); !read) return read;
  if (Read<void> read = PlanBody(head, *exchange); !read) return read;

  if (exchange->route->access == Access::kWrite) {
    const bool condition = !head.if_match.empty() || !head.if_none_match.empty();
    if (condition || !head.idempotency_key.empty()) {
      return Refuse(
          501, "not_supported",
          std::string(condition ? "conditions (If-Match, If-None-Match)" : "Idempotency-Key") +
              " on writes are not offered by this version; nothing was changed");
    }
  }
  exchange->if_match = head.if_match;
  exchange->if_none_match = head.if_none_match;
  exchange->wants_bytes = PrefersOctetStream(head.accept);
  return {};
}

Read<void> Api::PlanParameters(std::string_view query, Exchange* exchange) const {
  const Action action = exchange->route->action;
  exchange->timeout_ms = action == Action::kJoin || action == Action::kRemove
                             ? options_.membership_timeout_ms
                             : options_.request_timeout_ms;
  if (query.empty()) return {};
  // Listing keys has parameters of its own one day; it is refused as a whole in Answer.
  if (action == Action::kListKeys) return {};
  Read<std::vector<Parameter>> parameters = ParseQuery(query);
  if (!parameters) return std::unexpected(parameters.error());
  for (const Parameter& parameter : *parameters) {
    if (!TakesParameter(exchange->route->parameters, parameter.name)) {
      return Refuse(400, "bad_parameter",
                    "unknown query parameter \"" + parameter.name +
                        "\" (a ? that belongs to a key is written %3F)");
    }
    if (parameter.name == "timeout") {
      const Result<uint64_t> timeout_ms = ParseDurationMs(parameter.value);
      if (!timeout_ms || *timeout_ms == 0 || *timeout_ms > options_.request_timeout_ms_max) {
        return Refuse(400, "bad_parameter",
                      "timeout=" + parameter.value + " is not a duration between 1ms and " +
                          FormatDurationMs(options_.request_timeout_ms_max));
      }
      exchange->timeout_ms = *timeout_ms;
    } else if (parameter.name == "consistency") {
      if (parameter.value == "stale") {
        exchange->consistency = service::Consistency::kStale;
      } else if (parameter.value != "linearizable") {
        return Refuse(400, "bad_parameter",
                      "consistency=" + parameter.value + " is neither linearizable nor stale");
      }
    } else {
      exchange->verbose = true;
    }
  }
  return {};
}

Read<void> Api::PlanBody(const RequestHead& head, const Exchange& exchange) const {
  const Body body = exchange.route->body;
  if (body != Body::kNone && !head.chunked && !head.content_length) {
    return Refuse(411, "length_required",
                  "the request has neither Content-Length nor a chunked body");
  }
  if (!head.content_encoding.empty() && !EqualsIgnoringCase(head.content_encoding, "identity")) {
    return Refuse(415, "unsupported_media_type",
                  "bodies are taken as they are: send the request without Content-Encoding");
  }
  if (body == Body::kJson && !IsJsonContentType(head.content_type)) {
    return Refuse(415, "unsupported_media_type",
                  std::string(exchange.route->path) +
                      " takes JSON only: add the header Content-Type: application/json");
  }
  if (head.content_length.value_or(0) > BodyBytesMax(exchange)) {
    return std::unexpected(BodyTooLarge(exchange));
  }
  return {};
}

uint64_t Api::BodyBytesMax(const Exchange& exchange) const {
  switch (exchange.route->action) {
    case Action::kPutKey:
      return options_.value_bytes_max;
    case Action::kPostKey:
      return options_.body_bytes_max;
    default:
      return kSmallBodyBytesMax;
  }
}

ErrorAnswer Api::BodyTooLarge(const Exchange& exchange) const {
  ErrorAnswer answer{413, "too_large", {}, {}, {}, false};
  switch (exchange.route->action) {
    case Action::kPutKey:
      answer.message = "the value is larger than " + value_limit_;
      break;
    case Action::kPostKey:
      answer.message =
          "the body is larger than " + FormatBytes(options_.body_bytes_max) + " (--max-body-bytes)";
      break;
    default:
      answer.message = "the body is larger than " + FormatBytes(kSmallBodyBytesMax);
      break;
  }
  return answer;
}

std::span<const JsonMember> Api::Members(const Exchange& exchange) const {
  switch (exchange.route->action) {
    case Action::kPostKey:
      return key_value_members_;
    case Action::kJoin:
      return join_members_;
    case Action::kRemove:
      return remove_members_;
    case Action::kTransfer:
      return transfer_members_;
    default:
      return {};
  }
}

Read<void> Api::TakeMembers(JsonObjectReader* json, Exchange* exchange) const {
  if (Read<void> read = json->Finish(); !read) return read;
  if (exchange->route->action == Action::kPostKey) {
    Read<std::string> key = TakeBytes(json, key_value_members_, 0);
    if (!key) return std::unexpected(key.error());
    if (Read<void> read = CheckKey(*key, 413); !read) return read;
    Read<std::string> value = TakeBytes(json, key_value_members_, 2);
    if (!value) return std::unexpected(value.error());
    if (value->size() > options_.value_bytes_max) {
      return Refuse(413, "too_large", "the value is larger than " + value_limit_);
    }
    exchange->key = std::move(*key);
    exchange->value = SharedBytes::Take(std::move(*value));
    return {};
  }
  if (exchange->route->action == Action::kTransfer) {  // {}: to any healthy voter
    if (json->has(0)) exchange->node_id = json->text(0);
    if (!json->has(0) || !exchange->node_id.empty()) return {};
    return Refuse(400, "bad_member",
                  "member \"node_id\" is empty; leave it out to let the leader choose");
  }
  if (!json->has(0)) return Missing("node_id");
  exchange->node_id = json->text(0);
  if (exchange->route->action == Action::kJoin) {
    if (!json->has(1)) return Missing("raft_address");
    exchange->raft_address = json->text(1);
  } else {
    exchange->force = json->flag(1);
  }
  return {};
}

Api::Next Api::Begin(JsonObjectReader* json, const service::NodeView& view,
                     Exchange* exchange) const {
  if (exchange->route->body == Body::kJson) {
    if (Read<void> read = TakeMembers(json, exchange); !read) {
      exchange->outcome = std::move(read.error());
      return Next::kReady;
    }
  }
  const bool on_store = exchange->route->path.starts_with("/store");
  if (on_store && view.removed) {
    exchange->outcome =
        Error{Code::kRemoved, "this node was removed from its cluster; ask another node"};
    return Next::kReady;
  }
  const uint64_t timeout_ms = exchange->timeout_ms;
  switch (exchange->route->action) {
    case Action::kGetKey:
      return exchange->consistency == service::Consistency::kStale ? Next::kReady : Next::kBarrier;
    case Action::kPutKey:
      exchange->value = SharedBytes::Take(std::exchange(exchange->body, {}));
      [[fallthrough]];
    case Action::kPostKey:
      kv_.Put({exchange->key, exchange->value, timeout_ms}, Completion(exchange));
      return Next::kLent;
    case Action::kDeleteKey:
      kv_.Delete({exchange->key, timeout_ms}, Completion(exchange));
      return Next::kLent;
    case Action::kJoin:
      cluster_.Join({exchange->node_id, exchange->raft_address, timeout_ms}, Completion(exchange));
      return Next::kLent;
    case Action::kRemove:
      cluster_.Remove({exchange->node_id, exchange->force, timeout_ms}, Completion(exchange));
      return Next::kLent;
    case Action::kTransfer:
      cluster_.Transfer({exchange->node_id, timeout_ms}, Completion(exchange));
      return Next::kLent;
    case Action::kMembers:
      cluster_.GetMembers(Completion(exchange));
      return Next::kLent;
    case Action::kStats:
      cluster_.GetStats(Completion(exchange));
      return Next::kLent;
    case Action::kListKeys:
    case Action::kLive:
    case Action::kReady:
    case Action::kMetrics:
    case Action::kVersion:
      return Next::kReady;
  }
  return Next::kReady;
}

void Api::BeginBarrier(Exchange* first) const {
  kv_.ReadBarrier({first->timeout_ms}, Completion(first));
}

}  // namespace arima::http
