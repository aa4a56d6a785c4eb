// Design note. The socket is non-blocking. Reads wait for readiness and then read into the thread's
// one large buffer, so an idle connection owns no buffer; only what cannot be parsed yet is copied.
// Writes are tried at once and wait for readiness only when the socket is full.
//
// Everything runs from Pump(): take requests, answer what is ready, until neither makes progress;
// then send. OnReadable, the mailbox and the socket's readiness all end in it.

#include "http/session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>

#include "base/assert.h"

namespace arima::http {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kNsPerSecond = 1'000'000'000;

}  // namespace

Session::Session(boost::asio::ip::tcp::socket socket, std::shared_ptr<IoThread> thread,
                 bool counted)
    : thread_(std::move(thread)), socket_(std::move(socket)), counted_(counted) {}

Session::~Session() { ARIMA_ASSERT(!listed_); }

void Session::Start() {
  boost::system::error_code error;
  socket_.non_blocking(true, error);
  if (!error) socket_.set_option(boost::asio::ip::tcp::no_delay(true), error);
  thread_->Add(this);
  listed_ = true;
  thread_->counters().connections_opened.Add(1);
  if (error || thread_->finished()) return Close();
  idle_since_ns_ = thread_->now_ns();
  ArmRead();
}

void Session::StartRefusal() {
  Exchange exchange;
  exchange.last = true;
  ErrorAnswer error{503, "too_many_connections", {}, "Retry-After: 1\r\n", {}, true};
  error.message = std::to_string(thread_->options().connections_max) +
                  " connections are open, which is the limit (--max-connections)";
  stopped_reading_ = true;
  close_when_sent_ = true;
  thread_->counters().connections_refused.Add(1);
  Start();
  if (state_ != State::kOpen) return;
  thread_->context().ClearScratch();
  NoteOutputStart();
  AppendErrorAnswer(exchange, error, &thread_->context(), &out_);
  Send();
}

void Session::TakeBack(Exchange* exchange, std::shared_ptr<ExchangeOwner> self) {
  // Once delivered, the exchange and this session belong to the I/O thread again.
  const std::shared_ptr<IoThread> thread = thread_;
  exchange->owner = std::move(self);
  thread->Deliver(exchange);
}

bool Session::Completed(Exchange* exchange) {
  exchange->ready = true;
  if (state_ == State::kClosed) Forget(exchange);
  if (exchange->running && exchange->route->access == Access::kWrite) {
    exchange->running = false;
    --running_writes_;
  }
  return !std::exchange(pump_asked_, true);
}

void Session::Pump() {
  pump_asked_ = false;
  if (state_ != State::kOpen) return;
  if (input_.empty()) input_ = kept_;
  for (;;) {
    const bool taken = TakeRequests();
    const bool answered = AnswerReady();
    if (UnsentBytes() >= kOutputBytesHigh) {
      Send();
      if (state_ != State::kOpen) break;
      if (UnsentBytes() == 0) continue;
    }
    if (!taken && !answered) break;
  }
  KeepInput();
  Send();
  ArmRead();
}

// Before the first byte is appended to an empty output: its deadline counts from now.
void Session::NoteOutputStart() {
  if (UnsentBytes() > 0) return;
  out_since_ns_ = thread_->now_ns();
  out_total_bytes_ = 0;
}

bool Session::AnswerReady() {
  bool progress = false;
  while (!queue_.empty() && queue_.front()->ready && UnsentBytes() < kOutputBytesHigh) {
    std::unique_ptr<Exchange> exchange = std::move(queue_.front());
    queue_.pop_front();
    if (close_when_idle_ && queue_.empty() && reading_ == Reading::kNothing) exchange->last = true;
    NoteOutputStart();
    const int status = thread_->state().api.Answer(*exchange, &thread_->context(), &out_);
    thread_->counters().CountAnswer(exchange->route, status,
                                    thread_->now_ns() - exchange->started_ns);
    if (exchange->running) --running_reads_;
    if (exchange->last) {
      stopped_reading_ = true;
      close_when_sent_ = true;
    }
    idle_since_ns_ = thread_->now_ns();
    thread_->Recycle(std::move(exchange));
    progress = true;
  }
  if (continue_due_ && queue_.empty()) {
    continue_due_ = false;
    NoteOutputStart();
    out_.append("HTTP/1.1 100 Continue\r\n\r\n");
  }
  if (stopped_reading_ && queue_.empty() && reading_ == Reading::kNothing) close_when_sent_ = true;
  return progress;
}

void Session::Send() {
  if (state_ != State::kOpen || write_armed_) return;
  while (sent_ < out_.size()) {
    boost::system::error_code error;
    const size_t size =
        socket_.write_some(boost::asio::buffer(out_.data() + sent_, out_.size() - sent_), error);
    if (error == boost::asio::error::would_block) {
      write_armed_ = true;
      socket_.async_wait(boost::asio::ip::tcp::socket::wait_write,
                         [self = shared_from_this()](const boost::system::error_code& failed) {
                           self->write_armed_ = false;
                           if (failed || self->state_ == State::kClosed) return;
                           self->thread_->BeginBatch();
                           self->Send();
                           self->Pump();
                         });
      return;
    }
    if (error && error != boost::asio::error::interrupted) return Close();
    sent_ += size;
    out_total_bytes_ += size;
    thread_->counters().sent_bytes.Add(size);
  }
  out_.clear();
  sent_ = 0;
  if (out_.capacity() > kBufferBytesKept) out_.shrink_to_fit();
  if (close_when_sent_ && queue_.empty()) Linger();
}

void Session::Linger() {
  if (peer_closed_) return Close();
  boost::system::error_code error;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, error);
  if (error) return Close();
  state_ = State::kLingering;
  linger_since_ns_ = thread_->now_ns();
  kept_.clear();
  ArmRead();
}

void Session::DropInput() {
  if (peer_closed_ || lingered_bytes_ > thread_->options().drain_bytes_max) return Close();
  ArmRead();
}

void Session::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  boost::system::error_code error;
  socket_.close(error);
  if (listed_) {
    thread_->Remove(this);
    listed_ = false;
    thread_->counters().connections_closed.Add(1);
  }
  if (current_) thread_->Recycle(std::move(current_));
  for (const std::unique_ptr<Exchange>& exchange : queue_) {
    if (exchange->ready) Forget(exchange.get());
  }
  std::string().swap(out_);
  sent_ = 0;
  if (counted_) {
    thread_->state().ConnectionClosed();
  } else {
    thread_->state().refusals.fetch_sub(1, std::memory_order_relaxed);
  }
}

// Nobody waits for the answer any more.
void Session::Forget(Exchange* exchange) {
  thread_->state().ReleaseBody(std::exchange(exchange->body_bytes, 0));
  exchange->value = {};
}

bool Session::Idle() const {
  return reading_ == Reading::kNothing && queue_.empty() && UnsentBytes() == 0;
}

bool Session::TooSlow(uint64_t since_ns, uint64_t bytes) const {
  const HttpOptions& options = thread_->options();
  const uint64_t allowed_ns = options.transfer_grace_ms * kNsPerMs +
                              bytes * kNsPerSecond / options.transfer_bytes_per_second_min;
  return thread_->now_ns() - since_ns > allowed_ns;
}

void Session::CheckDeadlines() {
  const HttpOptions& options = thread_->options();
  const uint64_t now_ns = thread_->now_ns();
  if (state_ == State::kLingering) {
    if (now_ns - linger_since_ns_ > options.drain_ms_max * kNsPerMs) Close();
    return;
  }
  if (UnsentBytes() > 0 && TooSlow(out_since_ns_, out_total_bytes_)) return Close();
  if (Idle()) {
    if (close_when_idle_ || now_ns - idle_since_ns_ > options.idle_timeout_ms * kNsPerMs) Close();
    return;
  }
  if (reading_ != Reading::kHead && reading_ != Reading::kBody) return;
  if (!read_armed_) {  // this side does not read at the moment: no fault of the client's
    head_since_ns_ = now_ns;
    body_since_ns_ = now_ns;
    return;
  }
  const bool late = reading_ == Reading::kHead
                        ? now_ns - head_since_ns_ > options.head_timeout_ms * kNsPerMs
                        : TooSlow(body_since_ns_, body_received_bytes_);
  if (!late) return;
  RefuseAndStop({408,
                 "request_timeout",
                 "the request did not arrive in time; nothing was changed",
                 {},
                 {},
                 true});
  kept_.clear();
  Pump();
}

void Session::CloseWhenIdle() {
  close_when_idle_ = true;
  if (state_ == State::kOpen && Idle()) Close();
}

}  // namespace arima::http
