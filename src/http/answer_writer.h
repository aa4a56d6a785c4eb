// Status line, headers and body of an answer, appended to a connection's output.
//
// One I/O thread at a time. What is the same for many answers (date, the node's names) is kept
// ready-made in AnswerContext.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "http/error_answer.h"
#include "http/exchange.h"
#include "service/cluster_service.h"

namespace arima::http {

// Per I/O thread.
struct AnswerContext {
  std::string date_line;   // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
  std::string node_lines;  // X-Arima-Served-By and the leader's name and address
  service::NodeView view;
  std::string scratch;  // bodies are made here, because their length goes first
  std::string lines;    // header lines of the answer being made

  // Before each answer: empty, and not larger than a usual one.
  void ClearScratch();

  void SetDate(std::time_t now);
  void SetView(service::NodeView new_view);
};

inline constexpr std::string_view kJsonContent = "application/json";
inline constexpr std::string_view kBytesContent = "application/octet-stream";

struct AnswerHead {
  int status = 200;
  std::string_view content_type = kJsonContent;
  std::string_view lines;  // further header lines, each ending in CRLF
};

// HEAD gets the head alone, with the length that GET would have; 304 has no body either.
void AppendAnswer(const Exchange& exchange, const AnswerHead& head, std::string_view body,
                  const AnswerContext& context, std::string* out);
void AppendErrorAnswer(const Exchange& exchange, const ErrorAnswer& error, AnswerContext* context,
                       std::string* out);

// "ETag: \"5\"\r\n" and "X-Arima-Revision: 5\r\n".
void AppendETagLine(uint64_t mod_revision, std::string* lines);
void AppendRevisionLine(uint64_t revision, std::string* lines);
void AppendNumber(uint64_t number, std::string* out);

}  // namespace arima::http
