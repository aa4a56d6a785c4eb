// The input half of a session: bytes in, requests started.

#include <algorithm>
#include <boost/asio/buffer.hpp>

#include "http/session.h"

namespace arima::http {
namespace {

// A refused request's body is read and dropped up to this size, to keep the connection.
constexpr uint64_t kDroppedBodyBytesMax = 64 << 10;

}  // namespace

// Where the parser writes the body of the current request.
class Session::Sink final : public BodySink {
 public:
  explicit Sink(Session* session) : session_(*session) {}
  bool Write(std::string_view piece) override { return session_.SinkPiece(piece); }

 private:
  Session& session_;
};

bool Session::WantsInput() const {
  if (state_ == State::kLingering) return !peer_closed_;
  return state_ == State::kOpen && !stopped_reading_ && !peer_closed_ &&
         reading_ != Reading::kComplete && queue_.size() < thread_->options().pipelined_max &&
         UnsentBytes() < kOutputBytesHigh;
}

void Session::ArmRead() {
  if (read_armed_ || !WantsInput()) return;
  read_armed_ = true;
  socket_.async_wait(boost::asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->read_armed_ = false;
                       if (error || self->state_ == State::kClosed) return;
                       self->thread_->BeginBatch();
                       self->OnReadable();
                     });
}

void Session::OnReadable() {
  const std::span<char> buffer = thread_->read_buffer();
  boost::system::error_code error;
  const size_t size = socket_.read_some(boost::asio::buffer(buffer.data(), buffer.size()), error);
  if (error == boost::asio::error::would_block || error == boost::asio::error::interrupted) {
    return ArmRead();
  }
  if (error && error != boost::asio::error::eof) return Close();
  thread_->counters().received_bytes.Add(size);
  if (error) peer_closed_ = true;
  if (state_ == State::kLingering) {
    lingered_bytes_ += size;
    return DropInput();
  }
  if (kept_.empty()) {
    input_ = std::string_view(buffer.data(), size);
  } else {
    kept_.append(buffer.data(), size);
    input_ = kept_;
  }
  Pump();
}

// What was not parsed stays for the next time.
void Session::KeepInput() {
  const bool in_kept = !kept_.empty();
  if (!in_kept) {
    kept_.assign(input_);
  } else if (input_.empty()) {
    kept_.clear();
    if (kept_.capacity() > kBufferBytesKept) kept_.shrink_to_fit();
  } else {
    kept_.erase(0, kept_.size() - input_.size());
  }
  input_ = {};
}

bool Session::TakeRequests() {
  bool progress = false;
  bool starved = false;
  while (!stopped_reading_) {
    if (reading_ == Reading::kComplete) {
      if (!MayLaunch()) break;
      Launch();
      progress = true;
      continue;
    }
    if (queue_.size() >= thread_->options().pipelined_max) break;
    if (UnsentBytes() >= kOutputBytesHigh) break;
    if (reading_ == Reading::kNothing) {
      // RFC 9112 section 2.2: empty lines before a request are skipped.
      while (input_.starts_with('\r') || input_.starts_with('\n')) input_.remove_prefix(1);
      if (input_.empty()) {
        starved = true;
        break;
      }
      parser_.Reset();
      current_ = thread_->NewExchange();
      current_->started_ns = thread_->now_ns();
      head_since_ns_ = thread_->now_ns();
      reading_ = Reading::kHead;
    }
    if (!(reading_ == Reading::kHead ? TakeHead() : TakeBody())) {
      starved = true;
      break;
    }
    progress = true;
  }
  // Nobody will complete the request that was being read.
  if (peer_closed_ && starved) {
    stopped_reading_ = true;
    if (current_) thread_->Recycle(std::move(current_));
    reading_ = Reading::kNothing;
    input_ = {};
    progress = true;
  }
  return progress;
}

// True when the head is complete, or broken.
bool Session::TakeHead() {
  const RequestParser::Step step = parser_.ParseHead(input_);
  input_.remove_prefix(step.consumed);
  if (step.progress == RequestParser::Progress::kNeedMore) return false;
  if (step.progress != RequestParser::Progress::kDone) {
    RefuseAndStop(parser_.fault());
    return true;
  }
  FinishHead(current_.get());
  return true;
}

void Session::FinishHead(Exchange* exchange) {
  const RequestHead& head = parser_.head();
  exchange->method = head.method;
  exchange->http_1_0 = head.http_1_0;
  exchange->last = !head.keep_alive;
  body_dropped_ = false;
  body_received_bytes_ = 0;
  if (Read<void> planned = thread_->state().api.Plan(head, exchange); !planned) {
    const bool droppable = !head.chunked && !head.expects_continue &&
                           head.content_length.value_or(0) <= kDroppedBodyBytesMax;
    if (head.HasBody() && !droppable) return RefuseAndStop(std::move(planned.error()));
    exchange->outcome = std::move(planned.error());
    body_dropped_ = true;
  } else if (exchange->route->body == Body::kJson) {
    if (!json_) json_ = std::make_unique<JsonObjectReader>();
    json_->Begin(thread_->state().api.Members(*exchange));
  }
  if (!head.HasBody()) {
    reading_ = Reading::kComplete;
    return;
  }
  reading_ = Reading::kBody;
  body_since_ns_ = thread_->now_ns();
  // A client that sends on without waiting has made the 100 superfluous.
  continue_due_ = head.expects_continue && input_.empty();
}

bool Session::TakeBody() {
  Sink sink(this);
  const RequestParser::Step step = parser_.ParseBody(input_, &sink);
  if (step.consumed > 0) continue_due_ = false;
  input_.remove_prefix(step.consumed);
  switch (step.progress) {
    case RequestParser::Progress::kNeedMore:
      return false;
    case RequestParser::Progress::kDone:
      reading_ = Reading::kComplete;
      break;
    case RequestParser::Progress::kFault:
      RefuseAndStop(parser_.fault());
      break;
    case RequestParser::Progress::kStopped:
      RefuseAndStop(std::move(body_error_));
      break;
  }
  return true;
}

// A piece of the body; false when the request must be refused for it.
bool Session::SinkPiece(std::string_view piece) {
  body_received_bytes_ += piece.size();
  if (body_dropped_) return true;  // its length was known and small
  const Api& api = thread_->state().api;
  if (body_received_bytes_ > api.BodyBytesMax(*current_)) {
    body_error_ = api.BodyTooLarge(*current_);
    return false;
  }
  if (!thread_->state().HoldBody(piece.size())) {
    body_error_ = {429, "overloaded", {}, "Retry-After: 1\r\n", {}, false};
    body_error_.message = "too many bytes of requests are being worked on; nothing was changed";
    body_error_.members = ",\"outcome\":\"not_applied\"";
    return false;
  }
  current_->body_bytes += piece.size();
  switch (current_->route->body) {
    case Body::kNone:
      break;
    case Body::kJson:
      json_->Write(piece);
      break;
    case Body::kValue:
      current_->body.append(piece);
      break;
  }
  return true;
}

// The answer to the current request; what follows on the connection cannot be trusted or is not
// wanted.
void Session::RefuseAndStop(ErrorAnswer error) {
  current_->outcome = std::move(error);
  current_->last = true;
  current_->ready = true;
  queue_.push_back(std::move(current_));
  reading_ = Reading::kNothing;
  continue_due_ = false;
  stopped_reading_ = true;
  input_ = {};
}

// Reads run beside reads, writes beside writes.
bool Session::MayLaunch() const {
  if (std::holds_alternative<ErrorAnswer>(current_->outcome)) return true;
  return current_->route->access == Access::kRead ? running_writes_ == 0 : running_reads_ == 0;
}

void Session::Launch() {
  reading_ = Reading::kNothing;
  Exchange* exchange = current_.get();
  queue_.push_back(std::move(current_));
  if (exchange->last) stopped_reading_ = true;
  if (std::holds_alternative<ErrorAnswer>(exchange->outcome)) {
    exchange->ready = true;
    return;
  }
  const bool is_write = exchange->route->access == Access::kWrite;
  ++(is_write ? running_writes_ : running_reads_);
  exchange->running = true;
  exchange->owner = shared_from_this();
  switch (thread_->state().api.Begin(json_.get(), thread_->context().view, exchange)) {
    case Api::Next::kReady:
      exchange->owner.reset();
      Completed(exchange);
      pump_asked_ = false;  // Pump is running
      break;
    case Api::Next::kBarrier:
      thread_->JoinBarrier(exchange);
      break;
    case Api::Next::kLent:
      break;
  }
}

}  // namespace arima::http
