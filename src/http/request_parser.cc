// Design note. Beast's basic_parser calls back with views into the bytes of the moment. The few
// fields Arima listens to are copied into one reused string, so a parsed request costs no heap.
//
// What Beast 1.81 leaves to its user, and what is done here about it:
// - header_limit bounds each call, not the head: a head that trickles in could be endless. Bytes of
//   the head, of chunk framing and of trailers are therefore counted here.
// - Transfer-Encoding other than `chunked` passes as "no body", which lets two parties disagree on
//   where the next request starts. Refused with 501.
// - Trailers run through the same callbacks as the head; they are dropped.
// - Some of its assertions can be broken by how a client cuts its bytes (a last chunk "0\r\n" whose
//   end arrives byte by byte). They guard nothing that the code after them relies on, and nothing a
//   client sends may end the process, so they are off in this file, the only one to include Beast.
#define BOOST_DISABLE_ASSERTS
#include "http/request_parser.h"

#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>
#include <string>

#include "http/header_values.h"
#include "service/limits.h"

namespace arima::http {
namespace {

namespace beast = boost::beast;
using beast::http::error;
using beast::http::field;
using beast::http::verb;

constexpr size_t kHeadBytesMax = service::kRequestHeadBytesMax;
constexpr size_t kTargetBytesMax = service::kRequestTargetBytesMax;
// Of one chunk's size line with extensions, or of the trailers.
constexpr size_t kFramingBytesMax = 8 << 10;

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

Method MethodOf(verb method) {
  switch (method) {
    case verb::get:
      return Method::kGet;
    case verb::head:
      return Method::kHead;
    case verb::post:
      return Method::kPost;
    case verb::put:
      return Method::kPut;
    case verb::delete_:
      return Method::kDelete;
    default:
      return Method::kOther;
  }
}

// Any code stops Beast; what went wrong is in Fields::fault.
const beast::error_code kStop = error::bad_value;

// The header fields that are kept.
enum Kept : size_t {
  kTarget,
  kContentType,
  kContentEncoding,
  kAccept,
  kIfMatch,
  kIfNoneMatch,
  kIdempotencyKey,
  kKeptCount,
};

class Parser final : public beast::http::basic_parser<true> {
 public:
  Parser() {
    header_limit(kHeadBytesMax);
    body_limit(boost::none);  // known per route, checked by the caller
  }

  // State that outlives one message lives in `Fields`, so that its buffer is reused.
  struct Fields {
    std::string buffer;
    std::array<std::pair<size_t, size_t>, kKeptCount> kept{};  // position and size in buffer
    RequestHead head;
    ErrorAnswer fault;
    bool faulted = false;
    bool stopped = false;
    bool start_line_seen = false;
    bool head_done = false;
    size_t host_count = 0;
    BodySink* sink = nullptr;

    void Reset() {
      buffer.clear();
      kept = {};
      head = {};
      faulted = false;
      stopped = false;
      start_line_seen = false;
      head_done = false;
      host_count = 0;
    }

    std::string_view Get(Kept name) const {
      return std::string_view(buffer).substr(kept[name].first, kept[name].second);
    }

    void Keep(Kept name, std::string_view value) {
      const std::pair<size_t, size_t> before = kept[name];
      const size_t position = buffer.size();
      if (before.second != 0) {
        buffer.append(buffer, before.first, before.second).append(", ");
      }
      buffer.append(value);
      kept[name] = {position, buffer.size() - position};
    }

    void Fault(int status, std::string_view code, std::string message) {
      fault = {status, code, std::move(message), {}, {}, true};
      faulted = true;
    }
  };
  Fields* fields = nullptr;

 private:
  void Fault(beast::error_code& ec, int status, std::string_view code, std::string message) {
    fields->Fault(status, code, std::move(message));
    ec = kStop;
  }

  void on_request_impl(verb method, beast::string_view, beast::string_view target, int version,
                       beast::error_code& ec) override {
    fields->start_line_seen = true;
    if (target.size() > kTargetBytesMax) {
      return Fault(
          ec, 414, "target_too_long",
          "the request target is longer than " + std::to_string(kTargetBytesMax) + " bytes");
    }
    fields->head.method = MethodOf(method);
    fields->head.http_1_0 = version == 10;
    fields->Keep(kTarget, View(target));
  }

  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}

  void on_field_impl(field name, beast::string_view name_text, beast::string_view value,
                     beast::error_code& ec) override {
    if (fields->head_done) return;  // a trailer
    switch (name) {
      case field::host:
        ++fields->host_count;
        break;
      case field::content_type:
        fields->Keep(kContentType, View(value));
        break;
      case field::content_encoding:
        fields->Keep(kContentEncoding, View(value));
        break;
      case field::accept:
        fields->Keep(kAccept, View(value));
        break;
      case field::if_match:
        fields->Keep(kIfMatch, View(value));
        break;
      case field::if_none_match:
        fields->Keep(kIfNoneMatch, View(value));
        break;
      case field::expect:
        if (!EqualsIgnoringCase(View(value), "100-continue")) {
          return Fault(ec, 417, "expectation_failed",
                       "the only expectation that can be met is 100-continue");
        }
        fields->head.expects_continue = true;
        break;
      case field::transfer_encoding:
        if (!EqualsIgnoringCase(View(value), "chunked") || fields->head.http_1_0) {
          return Fault(ec, 501, "not_supported",
                       "the only transfer coding taken is chunked, with HTTP/1.1");
        }
        break;
      case field::unknown:
        if (EqualsIgnoringCase(View(name_text), "Idempotency-Key")) {
          fields->Keep(kIdempotencyKey, View(value));
        }
        break;
      default:
        break;
    }
  }

  void on_header_impl(beast::error_code& ec) override {
    fields->head_done = true;
    RequestHead& head = fields->head;
    // RFC 9112 section 3.2.
    if (fields->host_count > 1 || (fields->host_count == 0 && !head.http_1_0)) {
      return Fault(ec, 400, "bad_request", "a request needs exactly one Host header");
    }
    head.chunked = chunked();
    const boost::optional<std::uint64_t> length = content_length();
    if (length && !head.chunked) head.content_length = *length;
    head.keep_alive = keep_alive();
    head.expects_continue = head.expects_continue && !head.http_1_0;
    head.target = fields->Get(kTarget);
    head.content_type = fields->Get(kContentType);
    head.content_encoding = fields->Get(kContentEncoding);
    head.accept = fields->Get(kAccept);
    head.if_match = fields->Get(kIfMatch);
    head.if_none_match = fields->Get(kIfNoneMatch);
    head.idempotency_key = fields->Get(kIdempotencyKey);
  }

  void on_body_init_impl(boost::optional<std::uint64_t> const&, beast::error_code&) override {}

  std::size_t on_body_impl(beast::string_view piece, beast::error_code& ec) override {
    return Take(piece, ec);
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, beast::error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view piece,
                                 beast::error_code& ec) override {
    return Take(piece, ec);
  }
  void on_finish_impl(beast::error_code&) override {}

  std::size_t Take(beast::string_view piece, beast::error_code& ec) {
    if (!fields->sink->Write(View(piece))) {
      fields->stopped = true;
      ec = kStop;
    }
    return piece.size();
  }
};

}  // namespace

struct RequestParser::Impl {
  std::optional<Parser> parser;  // made anew for each request: Beast's cannot be reset
  Parser::Fields fields;
  size_t head_bytes = 0;  // consumed so far

  Step Stop(size_t consumed) {
    return {consumed, fields.stopped ? Progress::kStopped : Progress::kFault};
  }
  Step HeadTooLong(size_t consumed, std::string_view rest);
  void DescribeFault(const beast::error_code& ec);
};

RequestParser::RequestParser() : impl_(std::make_unique<Impl>()) { Reset(); }
RequestParser::~RequestParser() = default;

void RequestParser::Reset() {
  impl_->parser.emplace();
  impl_->parser->fields = &impl_->fields;
  impl_->fields.Reset();
  impl_->head_bytes = 0;
}

const RequestHead& RequestParser::head() const { return impl_->fields.head; }
const ErrorAnswer& RequestParser::fault() const { return impl_->fields.fault; }

// `rest` is what of the head was not consumed: Beast may keep even the start line until the end of
// the head has come, so the line that is too long is looked for here.
RequestParser::Step RequestParser::Impl::HeadTooLong(size_t consumed, std::string_view rest) {
  if (fields.start_line_seen || rest.find('\n') <= kTargetBytesMax) {
    fields.Fault(431, "head_too_long",
                 "the request head is longer than " + std::to_string(kHeadBytesMax) + " bytes");
  } else {
    fields.Fault(414, "target_too_long",
                 "the request target is longer than " + std::to_string(kTargetBytesMax) + " bytes");
  }
  return {consumed, Progress::kFault};
}

// Beast's verdict in words; a fault that this file found is kept.
void RequestParser::Impl::DescribeFault(const beast::error_code& ec) {
  if (fields.faulted || fields.stopped) return;
  if (ec == error::bad_version) {
    return fields.Fault(505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  fields.Fault(400, "bad_request", "malformed HTTP request: " + ec.message());
}

RequestParser::Step RequestParser::ParseHead(std::string_view bytes) {
  Impl& impl = *impl_;
  if (impl.fields.faulted) return {0, Progress::kFault};
  size_t consumed = 0;
  // Beast hands back after the start line even when the fields are there.
  while (consumed < bytes.size()) {
    const std::string_view rest = bytes.substr(consumed);
    beast::error_code ec;
    const size_t taken = impl.parser->put(boost::asio::const_buffer(rest.data(), rest.size()), ec);
    consumed += taken;
    impl.head_bytes += taken;
    if (ec == error::header_limit) return impl.HeadTooLong(consumed, bytes.substr(consumed));
    if (ec && ec != error::need_more) {
      impl.DescribeFault(ec);
      return impl.Stop(consumed);
    }
    if (impl.head_bytes > kHeadBytesMax) return impl.HeadTooLong(consumed, bytes.substr(consumed));
    if (impl.fields.head_done) return {consumed, Progress::kDone};
    if (taken == 0) break;
  }
  if (impl.head_bytes + (bytes.size() - consumed) > kHeadBytesMax) {
    return impl.HeadTooLong(consumed, bytes.substr(consumed));
  }
  return {consumed, Progress::kNeedMore};
}

RequestParser::Step RequestParser::ParseBody(std::string_view bytes, BodySink* sink) {
  Impl& impl = *impl_;
  if (impl.fields.faulted || impl.fields.stopped) return impl.Stop(0);
  impl.fields.sink = sink;
  size_t consumed = 0;
  while (!impl.parser->is_done() && consumed < bytes.size()) {
    const std::string_view rest = bytes.substr(consumed);
    beast::error_code ec;
    const size_t taken = impl.parser->put(boost::asio::const_buffer(rest.data(), rest.size()), ec);
    consumed += taken;
    if (ec && ec != error::need_more) {
      impl.DescribeFault(ec);
      return impl.Stop(consumed);
    }
    if (taken == 0) break;
  }
  if (impl.parser->is_done()) return {consumed, Progress::kDone};
  if (bytes.size() - consumed > kFramingBytesMax) {
    impl.fields.Fault(400, "bad_request",
                      "a chunk's size line or the trailers are longer than " +
                          std::to_string(kFramingBytesMax) + " bytes");
    return impl.Stop(consumed);
  }
  return {consumed, Progress::kNeedMore};
}

}  // namespace arima::http
