#include "http/api.h"
#include "http/error_mapping.h"
#include "http/header_values.h"
#include "http/json_text.h"
#include "http/metrics_text.h"
#include "http/utf8.h"

namespace arima::http {
namespace {

// For readers of error messages, who know their keys; long ones and bytes are only counted.
std::string DescribeKey(std::string_view key) {
  constexpr size_t kShownBytesMax = 200;
  if (key.size() <= kShownBytesMax && IsUtf8(key)) return "\"" + std::string(key) + "\"";
  return "of " + std::to_string(key.size()) + " bytes";
}

void AppendKeyValue(const Exchange& exchange, std::string_view value, std::string* body) {
  body->append("{\"data\":{");
  AppendJsonBytes("key", exchange.key, body);
  body->append(1, ',');
  AppendJsonBytes("value", value, body);
  body->append("},\"message\":\"success fetching data\"}");
}

void AppendTextMember(std::string_view name, std::string_view value, std::string* body) {
  body->append(body->ends_with('{') ? "\"" : ",\"").append(name).append("\":");
  AppendJsonMessage(value, body);
}

void AppendFlagMember(std::string_view name, bool value, std::string* body) {
  body->append(",\"").append(name).append(value ? "\":true" : "\":false");
}

// Ids and indexes are 64 bits wide, which not every reader of JSON numbers can hold: strings.
void AppendMember(const service::MemberView& member, std::string* body) {
  body->append(1, '{');
  AppendTextMember("id", std::to_string(member.id), body);
  AppendTextMember("name", member.name, body);
  AppendTextMember("raft_address", member.raft_address, body);
  AppendTextMember("http_address", member.http_address, body);
  AppendTextMember("role", member.role, body);
  AppendFlagMember("is_leader", member.is_leader, body);
  if (member.replaces != 0) AppendTextMember("replaces", std::to_string(member.replaces), body);
  if (member.progress) {
    AppendTextMember("match", std::to_string(member.progress->match), body);
    AppendTextMember("next", std::to_string(member.progress->next), body);
    AppendTextMember("state", member.progress->state, body);
    AppendTextMember("last_contact", member.progress->last_contact, body);
    AppendFlagMember("reachable", member.progress->reachable, body);
    AppendFlagMember("damaged", member.progress->damaged, body);
  }
  body->append(1, '}');
}

constexpr std::string_view kReadLines = "Cache-Control: no-cache\r\nVary: Accept\r\n";

}  // namespace

int Api::Answer(const Exchange& exchange, AnswerContext* context, std::string* out) const {
  context->ClearScratch();
  if (const auto* error = std::get_if<ErrorAnswer>(&exchange.outcome)) {
    return AnswerError(exchange, *error, context, out);
  }
  if (const auto* error = std::get_if<Error>(&exchange.outcome)) {
    const Operation operation =
        exchange.route->access == Access::kWrite ? Operation::kWrite : Operation::kRead;
    return AnswerError(exchange, MapError(*error, operation), context, out);
  }
  if (const auto* put = std::get_if<service::PutResponse>(&exchange.outcome)) {
    return AnswerPut(exchange, *put, context, out);
  }
  if (const auto* deletion = std::get_if<service::DeleteResponse>(&exchange.outcome)) {
    return AnswerDelete(exchange, *deletion, context, out);
  }
  if (const auto* join = std::get_if<service::JoinResponse>(&exchange.outcome)) {
    const std::string subject = "node " + exchange.node_id + " at " + exchange.raft_address;
    return join->caught_up
               ? AnswerStats(exchange, 200, subject + " joined successfully", join->stats, context,
                             out)
               : AnswerStats(exchange, 202, subject + " is catching up", join->stats, context, out);
  }
  if (const auto* removal = std::get_if<service::RemoveResponse>(&exchange.outcome)) {
    return AnswerStats(exchange, 200, "node " + exchange.node_id + " removed successfully",
                       removal->stats, context, out);
  }
  if (const auto* transfer = std::get_if<service::TransferResponse>(&exchange.outcome)) {
    const std::string message = transfer->moved ? "leadership transferred to " + transfer->leader
                                                : "node " + transfer->leader + " leads already";
    return AnswerStats(exchange, 200, message, transfer->stats, context, out);
  }
  if (const auto* members = std::get_if<service::Members>(&exchange.outcome)) {
    return AnswerMembers(exchange, *members, context, out);
  }
  if (const auto* stats = std::get_if<service::Stats>(&exchange.outcome)) {
    return AnswerStats(exchange, 200, "Here is the raft status", *stats, context, out);
  }
  return AnswerLocal(exchange, context, out);
}

int Api::AnswerLocal(const Exchange& exchange, AnswerContext* context, std::string* out) const {
  switch (exchange.route->action) {
    case Action::kGetKey:
      return AnswerGet(exchange, context, out);
    case Action::kReady:
      return AnswerReady(exchange, context, out);
    case Action::kListKeys:
      return AnswerError(exchange,
                         {501,
                          "not_supported",
                          "listing keys is not offered by this version; GET /store/:key reads one",
                          {},
                          {},
                          false},
                         context, out);
    case Action::kLive:
      AppendAnswer(exchange, {}, "{\"status\":\"ok\"}", *context, out);
      return 200;
    case Action::kVersion:
      context->scratch.assign("{\"name\":\"arima\",\"version\":");
      AppendJsonMessage(options_.version, &context->scratch);
      context->scratch.append(1, '}');
      AppendAnswer(exchange, {}, context->scratch, *context, out);
      return 200;
    case Action::kMetrics:
      AppendAnswer(exchange, {200, kMetricsContent, {}}, MetricsText(cluster_.Metrics(), counters_),
                   *context, out);
      return 200;
    default:
      break;
  }
  return AnswerError(exchange, {}, context, out);
}

int Api::AnswerError(const Exchange& exchange, const ErrorAnswer& error, AnswerContext* context,
                     std::string* out) const {
  AppendErrorAnswer(exchange, error, context, out);
  return error.status;
}

int Api::AnswerGet(const Exchange& exchange, AnswerContext* context, std::string* out) const {
  const Result<service::GetResponse> read = kv_.GetLocal({exchange.key, exchange.consistency});
  if (!read) {
    return AnswerError(exchange, MapError(read.error(), Operation::kRead), context, out);
  }
  std::string& lines = context->lines;
  if (read->found) AppendETagLine(read->mod_revision, &lines);
  AppendRevisionLine(read->store_revision, &lines);
  if (exchange.consistency == service::Consistency::kStale && read->staleness_ms) {
    lines.append("X-Arima-Staleness-Ms: ");
    AppendNumber(*read->staleness_ms, &lines);
    lines.append("\r\n");
  }
  lines.append(kReadLines);

  // RFC 9110 section 13.2.2: If-Match first, then If-None-Match.
  if (!exchange.if_match.empty() &&
      !(read->found &&
        MatchesEntityTag(exchange.if_match, read->mod_revision, Comparison::kStrong))) {
    return AnswerError(
        exchange,
        {412,
         CodeName(Code::kConditionFailed),
         "If-Match does not name the current ETag of key " + DescribeKey(exchange.key),
         lines,
         {},
         false},
        context, out);
  }
  if (!read->found) {
    return AnswerError(
        exchange,
        {404, "key_not_found", "there is no key " + DescribeKey(exchange.key), lines, {}, false},
        context, out);
  }
  if (MatchesEntityTag(exchange.if_none_match, read->mod_revision, Comparison::kWeak)) {
    AppendAnswer(exchange, {304, {}, lines}, {}, *context, out);
    return 304;
  }
  if (exchange.wants_bytes) {
    AppendAnswer(exchange, {200, kBytesContent, lines}, read->value.view(), *context, out);
    return 200;
  }
  AppendKeyValue(exchange, read->value.view(), &context->scratch);
  AppendAnswer(exchange, {200, kJsonContent, lines}, context->scratch, *context, out);
  return 200;
}

int Api::AnswerPut(const Exchange& exchange, const service::PutResponse& response,
                   AnswerContext* context, std::string* out) const {
  std::string& lines = context->lines;
  AppendETagLine(response.revision, &lines);
  AppendRevisionLine(response.revision, &lines);
  AppendKeyValue(exchange, exchange.value.view(), &context->scratch);
  AppendAnswer(exchange, {200, kJsonContent, lines}, context->scratch, *context, out);
  return 200;
}

int Api::AnswerDelete(const Exchange& exchange, const service::DeleteResponse& response,
                      AnswerContext* context, std::string* out) const {
  std::string& lines = context->lines;
  AppendRevisionLine(response.revision, &lines);
  if (!response.deleted) lines.append("X-Arima-Deleted: 0\r\n");
  context->scratch.assign("{\"data\":{");
  AppendJsonBytes("key", exchange.key, &context->scratch);
  context->scratch.append(",\"value\":null},\"message\":\"success removing data\"}");
  AppendAnswer(exchange, {200, kJsonContent, lines}, context->scratch, *context, out);
  return 200;
}

int Api::AnswerStats(const Exchange& exchange, int status, std::string_view message,
                     const service::Stats& stats, AnswerContext* context, std::string* out) const {
  std::string& body = context->scratch;
  body.assign("{\"message\":");
  AppendJsonMessage(message, &body);
  body.append(",\"data\":{");
  bool first = true;
  for (const auto& [name, value] : stats) {
    if (!first) body.append(1, ',');
    first = false;
    AppendJsonMessage(name, &body);
    body.append(1, ':');
    AppendJsonMessage(value, &body);
  }
  body.append("}}");
  AppendAnswer(exchange, {status, kJsonContent, {}}, body, *context, out);
  return status;
}

int Api::AnswerMembers(const Exchange& exchange, const service::Members& members,
                       AnswerContext* context, std::string* out) const {
  std::string& body = context->scratch;
  body.assign("{\"message\":\"Here are the members\",\"data\":[");
  for (const service::MemberView& member : members) {
    if (&member != &members.front()) body.append(1, ',');
    AppendMember(member, &body);
  }
  body.append("]}");
  AppendAnswer(exchange, {200, kJsonContent, {}}, body, *context, out);
  return 200;
}

int Api::AnswerReady(const Exchange& exchange, AnswerContext* context, std::string* out) const {
  const std::vector<service::Check> checks = cluster_.Readiness();
  std::string failed;
  std::string members;
  for (const service::Check& check : checks) {
    if (!check.ok) {
      failed.append(failed.empty() ? "" : "; ").append(check.name).append(": ");
      failed.append(check.detail);
    }
    members.append(members.empty() ? ",\"checks\":[" : ",").append("{\"name\":");
    AppendJsonMessage(check.name, &members);
    members.append(check.ok ? ",\"ok\":true,\"detail\":" : ",\"ok\":false,\"detail\":");
    AppendJsonMessage(check.detail, &members);
    members.append(1, '}');
  }
  if (!members.empty()) members.append(1, ']');
  if (!exchange.verbose) members.clear();
  if (!failed.empty()) {
    return AnswerError(exchange,
                       {503, "not_ready", "this node is not ready: " + failed, "Retry-After: 1\r\n",
                        members, false},
                       context, out);
  }
  context->scratch.assign("{\"status\":\"ok\"").append(members).append(1, '}');
  AppendAnswer(exchange, {200, kJsonContent, {}}, context->scratch, *context, out);
  return 200;
}

}  // namespace arima::http
