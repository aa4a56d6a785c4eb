// Any bytes as a request, all the way through the API to the answer, over services that succeed or
// fail: nothing crashes, what reaches a service keeps the limits, and the answer is always whole.
//
// The first byte says how the services behave, the rest is the request.
#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "http/api.h"
#include "http/request_parser.h"
#include "http/test_peer.h"

namespace {

using namespace arima::http;
namespace service = arima::service;

constexpr uint64_t kValueBytesMax = 64;  // small, so that limits are met
constexpr uint64_t kBodyBytesMax = 256;

// Fails each call with `code`, or lets it through.
class CheckedKv final : public service::KvService {
 public:
  explicit CheckedKv(std::optional<arima::Error> error) : error_(std::move(error)) {}

  void Put(service::PutRequest request, service::Done<service::PutResponse> done) override {
    CheckKey(request.key);
    ARIMA_ASSERT(request.value.view().size() <= kValueBytesMax);
    CheckTimeout(request.timeout_ms);
    if (error_) return done(std::unexpected(*error_));
    store_.Put(std::move(request), std::move(done));
  }
  void Delete(service::DeleteRequest request,
              service::Done<service::DeleteResponse> done) override {
    CheckKey(request.key);
    CheckTimeout(request.timeout_ms);
    if (error_) return done(std::unexpected(*error_));
    store_.Delete(std::move(request), std::move(done));
  }
  void ReadBarrier(service::BarrierRequest request, service::Done<void> done) override {
    CheckTimeout(request.timeout_ms);
    if (error_) return done(std::unexpected(*error_));
    store_.ReadBarrier(request, std::move(done));
  }
  arima::Result<service::GetResponse> GetLocal(const service::GetRequest& request) override {
    CheckKey(request.key);
    if (error_) return std::unexpected(*error_);
    return store_.GetLocal(request);
  }

 private:
  static void CheckKey(std::string_view key) {
    ARIMA_ASSERT(!key.empty() && key.size() <= service::kKeyBytesMax, key.size());
  }
  static void CheckTimeout(uint64_t ms) { ARIMA_ASSERT(ms >= 1 && ms <= 600'000, ms); }

  const std::optional<arima::Error> error_;
  FakeKv store_;
};

// The part of a session: lends exchanges and gets them back.
class Owner final : public ExchangeOwner {
 public:
  void TakeBack(Exchange*, std::shared_ptr<ExchangeOwner>) override { ++taken_back_; }
  int taken_back() const { return taken_back_; }

 private:
  int taken_back_ = 0;
};

class Sink final : public BodySink {
 public:
  Sink(const Api& api, JsonObjectReader* json, Exchange* exchange)
      : api_(api), json_(*json), exchange_(*exchange) {}
  bool Write(std::string_view piece) override {
    bytes_ += piece.size();
    if (!std::holds_alternative<std::monostate>(exchange_.outcome)) return true;
    if (bytes_ > api_.BodyBytesMax(exchange_)) return false;
    if (exchange_.route->body == Body::kJson) json_.Write(piece);
    if (exchange_.route->body == Body::kValue) exchange_.body.append(piece);
    return true;
  }

 private:
  const Api& api_;
  JsonObjectReader& json_;
  Exchange& exchange_;
  uint64_t bytes_ = 0;
};

bool IsStatus(int status) {
  return std::ranges::find(kCountedStatuses, status) != kCountedStatuses.end();
}

// Head, length and body of an answer fit together; errors say what and why.
void CheckAnswer(const std::string& answer, int status, const Exchange& exchange) {
  ARIMA_ASSERT(status != 0 && IsStatus(status), status);
  ARIMA_ASSERT(answer.starts_with("HTTP/1.1 " + std::to_string(status) + " "), answer);
  const size_t end = answer.find("\r\n\r\n");
  ARIMA_ASSERT(end != std::string::npos, answer);
  const std::string_view head = std::string_view(answer).substr(0, end + 2);
  const std::string_view body = std::string_view(answer).substr(end + 4);
  const bool has_body = exchange.method != Method::kHead && status != 304;
  if (!has_body) {
    ARIMA_ASSERT(body.empty(), answer);
    return;
  }
  const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
  ARIMA_ASSERT(head.find(length) != std::string_view::npos, answer);
  if (head.find("Content-Type: application/json\r\n") == std::string_view::npos) return;
  boost::system::error_code error;
  const boost::json::value json = boost::json::parse(body, error);
  ARIMA_ASSERT(!error && json.is_object(), answer);
  const bool failed =
      status >= 400 && exchange.route != nullptr && exchange.route->action != Action::kReady;
  ARIMA_ASSERT(!failed || (json.as_object().contains("error") && json.as_object().contains("code")),
               answer);
}

class Machine {
 public:
  explicit Machine(uint8_t behaviour) : kv_(FailureOf(behaviour)) {
    cluster_.error = FailureOf(behaviour);
    cluster_.caught_up = (behaviour & 0x20) != 0;
    cluster_.moved = (behaviour & 0x40) != 0;
    view_ = cluster_.View();
    view_.removed = (behaviour & 0x80) != 0;
    context_.SetView(view_);
    context_.SetDate(0);
  }

  void Run(std::string_view bytes) {
    RequestParser parser;
    RequestParser::Step step = parser.ParseHead(bytes);
    if (step.progress == RequestParser::Progress::kNeedMore) return;
    if (step.progress != RequestParser::Progress::kDone) {
      exchange_.outcome = parser.fault();
      return Answer();
    }
    bytes.remove_prefix(step.consumed);
    const RequestHead& head = parser.head();
    exchange_.method = head.method;
    exchange_.http_1_0 = head.http_1_0;
    exchange_.last = !head.keep_alive;
    if (Read<void> planned = api_.Plan(head, &exchange_); !planned) {
      exchange_.outcome = std::move(planned.error());
    } else if (exchange_.route->body == Body::kJson) {
      json_.Begin(api_.Members(exchange_));
    }
    Sink sink(api_, &json_, &exchange_);
    step = parser.ParseBody(bytes, &sink);
    if (step.progress == RequestParser::Progress::kNeedMore) return;
    if (step.progress == RequestParser::Progress::kFault) exchange_.outcome = parser.fault();
    if (step.progress == RequestParser::Progress::kStopped) {
      exchange_.outcome = api_.BodyTooLarge(exchange_);
    }
    if (std::holds_alternative<std::monostate>(exchange_.outcome)) Begin();
    Answer();
  }

 private:
  static std::optional<arima::Error> FailureOf(uint8_t behaviour) {
    const int code = behaviour & 0x1f;
    if (code == 0 || code > static_cast<int>(arima::Code::kInternal) + 1) return std::nullopt;
    return arima::Error{static_cast<arima::Code>(code - 1), "it \"failed\"\n\x01\xff"};
  }

  void Begin() {
    auto owner = std::make_shared<Owner>();
    exchange_.owner = owner;
    const Api::Next next = api_.Begin(&json_, view_, &exchange_);
    if (next == Api::Next::kBarrier) api_.BeginBarrier(&exchange_);
    ARIMA_ASSERT(owner->taken_back() == (next == Api::Next::kReady ? 0 : 1));
  }

  void Answer() {
    std::string answer;
    context_.ClearScratch();
    const int status = api_.Answer(exchange_, &context_, &answer);
    CheckAnswer(answer, status, exchange_);
  }

  static HttpOptions SmallLimits() {
    HttpOptions options;
    options.value_bytes_max = kValueBytesMax;
    options.body_bytes_max = kBodyBytesMax;
    return options;
  }

  const HttpOptions options_ = SmallLimits();
  CheckedKv kv_;
  FakeCluster cluster_;
  const Counters counters_;
  const Api api_{options_, kv_, cluster_, counters_};
  service::NodeView view_;
  AnswerContext context_;
  JsonObjectReader json_;
  Exchange exchange_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Machine machine(data[0]);
  machine.Run(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
