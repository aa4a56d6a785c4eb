#include "http/answer_writer.h"

#include <array>
#include <charconv>

#include "http/json_text.h"

namespace arima::http {
namespace {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "";
  }
}

void AppendStatusLine(int status, std::string* out) {
  if (status == 200) {
    out->append("HTTP/1.1 200 OK\r\n");
    return;
  }
  out->append("HTTP/1.1 ");
  AppendNumber(static_cast<uint64_t>(status), out);
  out->append(1, ' ').append(ReasonPhrase(status)).append("\r\n");
}

// A header line, unless the value is empty. Names come from other nodes and operators: what could
// end the line is dropped.
void AppendHeaderLine(std::string_view name, std::string_view value, std::string* out) {
  if (value.empty()) return;
  out->append(name).append(": ");
  for (char c : value) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) out->push_back(c);
  }
  out->append("\r\n");
}

}  // namespace

void AnswerContext::SetDate(std::time_t now) {
  constexpr std::array<std::string_view, 7> days = {"Sun", "Mon", "Tue", "Wed",
                                                    "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&now, &utc);
  const auto two_digits = [this](int value) {
    date_line.push_back(static_cast<char>('0' + value / 10));
    date_line.push_back(static_cast<char>('0' + value % 10));
  };
  date_line.assign("Date: ").append(days[static_cast<size_t>(utc.tm_wday)]).append(", ");
  two_digits(utc.tm_mday);
  date_line.append(" ").append(months[static_cast<size_t>(utc.tm_mon)]).append(" ");
  date_line.append(std::to_string(utc.tm_year + 1900)).append(" ");
  two_digits(utc.tm_hour);
  date_line.append(":");
  two_digits(utc.tm_min);
  date_line.append(":");
  two_digits(utc.tm_sec);
  date_line.append(" GMT\r\n");
}

void AnswerContext::ClearScratch() {
  constexpr size_t kKeptBytesMax = 256 << 10;
  scratch.clear();
  if (scratch.capacity() > kKeptBytesMax) scratch.shrink_to_fit();
  lines.clear();
}

void AnswerContext::SetView(service::NodeView new_view) {
  const bool same = !node_lines.empty() && new_view.node_name == view.node_name &&
                    new_view.leader_name == view.leader_name &&
                    new_view.leader_http_address == view.leader_http_address;
  view = std::move(new_view);
  if (same) return;
  node_lines.clear();
  AppendHeaderLine("X-Arima-Served-By", view.node_name, &node_lines);
  AppendHeaderLine("X-Arima-Leader", view.leader_name, &node_lines);
  AppendHeaderLine("X-Arima-Leader-Address", view.leader_http_address, &node_lines);
}

void AppendAnswer(const Exchange& exchange, const AnswerHead& head, std::string_view body,
                  const AnswerContext& context, std::string* out) {
  AppendStatusLine(head.status, out);
  out->append(context.date_line);
  if (head.status != 304) {
    out->append("Content-Type: ").append(head.content_type).append("\r\nContent-Length: ");
    AppendNumber(body.size(), out);
    out->append("\r\n");
  }
  out->append(head.lines).append(context.node_lines);
  if (exchange.last) {
    out->append("Connection: close\r\n");
  } else if (exchange.http_1_0) {
    out->append("Connection: keep-alive\r\n");
  }
  out->append("\r\n");
  if (exchange.method != Method::kHead && head.status != 304) out->append(body);
}

void AppendErrorAnswer(const Exchange& exchange, const ErrorAnswer& error, AnswerContext* context,
                       std::string* out) {
  std::string& body = context->scratch;
  body.assign("{\"error\":");
  AppendJsonMessage(error.message, &body);
  body.append(",\"code\":\"")
      .append(error.code)
      .append(1, '"')
      .append(error.members)
      .append(1, '}');
  AppendAnswer(exchange, {error.status, kJsonContent, error.header_lines}, body, *context, out);
}

void AppendETagLine(uint64_t mod_revision, std::string* lines) {
  lines->append("ETag: \"");
  AppendNumber(mod_revision, lines);
  lines->append("\"\r\n");
}

void AppendRevisionLine(uint64_t revision, std::string* lines) {
  lines->append("X-Arima-Revision: ");
  AppendNumber(revision, lines);
  lines->append("\r\n");
}

void AppendNumber(uint64_t number, std::string* out) {
  std::array<char, 20> digits{};
  const std::to_chars_result end = std::to_chars(digits.begin(), digits.end(), number);
  out->append(digits.data(), end.ptr);
}

}  // namespace arima::http
