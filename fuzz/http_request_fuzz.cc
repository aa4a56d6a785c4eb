// Any bytes as an HTTP request: nothing crashes, and where the bytes are cut makes no difference.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/request_parser.h"
#include "http/route.h"
#include "http/target.h"

namespace {

using arima::http::RequestParser;

class Collector final : public arima::http::BodySink {
 public:
  bool Write(std::string_view piece) override {
    body.append(piece);
    return true;
  }
  std::string body;
};

// What the parser made of `bytes` when they arrive `step` at a time.
std::string Parse(std::string_view bytes, size_t step) {
  RequestParser parser;
  Collector sink;
  std::string pending;
  bool head_done = false;
  for (;;) {
    const RequestParser::Step read =
        head_done ? parser.ParseBody(pending, &sink) : parser.ParseHead(pending);
    ARIMA_ASSERT(read.consumed <= pending.size(), read.consumed, pending.size());
    pending.erase(0, read.consumed);
    if (read.progress == RequestParser::Progress::kFault) {
      return "fault " + std::to_string(parser.fault().status);
    }
    if (read.progress == RequestParser::Progress::kDone) {
      if (head_done) break;
      head_done = true;
      continue;
    }
    if (bytes.empty()) return "incomplete";
    pending.append(bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  const arima::http::RequestHead& head = parser.head();
  if (auto target = arima::http::SplitTarget(head.target)) {
    std::string key;
    (void)arima::http::PercentDecode(target->path, &key);
    (void)arima::http::ParseQuery(target->query);
    (void)arima::http::FindRoute(target->path, head.method);
  }
  return std::string(head.target) + "\n" + std::string(head.content_type) + "\n" +
         std::string(head.accept) + "\n" + sink.body + "\n" +
         std::to_string(pending.size() + bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = Parse(bytes, std::max<size_t>(size, 1));
  for (size_t step : {1u, 7u}) {
    const std::string cut = Parse(bytes, step);
    // A head that came in pieces is looked at again only when its end has come.
    const bool fault_not_seen_yet = cut == "incomplete" && whole.starts_with("fault");
    ARIMA_ASSERT(cut == whole || fault_not_seen_yet, cut, whole);
  }
  return 0;
}
