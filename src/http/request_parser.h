// HTTP/1.1 requests out of bytes as they arrive (RFC 9112), one at a time.
//
// The grammar is Boost.Beast's; this class adds what Beast leaves open: a limit on the whole head,
// on chunk framing and trailers, refusal of transfer codings other than chunked, Host and Expect.
// It allocates nothing per request once its buffer has grown. One thread at a time.
//
//   parser.Reset();
//   while (parser.ParseHead(bytes) ...)          // head(), or fault()
//   while (parser.ParseBody(bytes, &sink) ...)
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "http/error_answer.h"
#include "http/request_head.h"

namespace arima::http {

// Takes the pieces of a body. False stops the parser: the sink knows why.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual bool Write(std::string_view piece) = 0;
};

class RequestParser {
 public:
  enum class Progress : uint8_t {
    kNeedMore,  // all usable bytes were consumed; the rest must be offered again with more
    kDone,      // the head, or the body, is complete
    kFault,     // see fault(); the connection cannot go on
    kStopped,   // the sink said so
  };
  struct Step {
    size_t consumed = 0;
    Progress progress = Progress::kNeedMore;
  };

  RequestParser();
  ~RequestParser();

  void Reset();

  // `bytes` starts where the last step stopped.
  Step ParseHead(std::string_view bytes);
  // After the head; done at once if there is no body.
  Step ParseBody(std::string_view bytes, BodySink* sink);

  const RequestHead& head() const;
  const ErrorAnswer& fault() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::http
