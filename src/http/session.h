// One connection: requests in, answers out in the same order, until either side has enough.
//
// Pipelining: requests are started as they arrive, up to HttpOptions::pipelined_max, reads beside
// reads and writes beside writes. A read waits for the writes before it and a write for the reads
// before it, so a client sees its own pipelined writes. Writes of one run are given to the service
// in their order.
//
// Memory per connection is bounded: one read buffer's worth of input that waits, answers are made
// only while little output waits, values are read from the store only when their turn has come.
//
// Closing: with input possibly unread, closing at once would make the kernel throw away the answer.
// The session then shuts down its sending side and drops what comes, for a while, before it closes.
//
//                      Start                 answer with `last` sent, or peer closed
//   (accepted) ------------------> kOpen ------------------------------> kLingering
//        | StartRefusal              | peer broke, deadline, Close()          | peer closed,
//        | (503) -> kLingering       v                                        v deadline
//        +------------------------ kClosed <----------------------------------+
//
// Thread rule: all on the thread of its IoThread but TakeBack and the destructor.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "http/exchange.h"
#include "http/io_thread.h"
#include "http/json_object_reader.h"
#include "http/request_parser.h"

namespace arima::http {

// While so much output waits, no further answer is made and no further request taken.
inline constexpr size_t kOutputBytesHigh = 256 << 10;
// What an emptied input or output buffer may keep.
inline constexpr size_t kBufferBytesKept = 64 << 10;

class Session final : public ExchangeOwner, public std::enable_shared_from_this<Session> {
 public:
  // `counted` connections give their place back to ServerState::connections when they close, the
  // others to ServerState::refusals.
  Session(boost::asio::ip::tcp::socket socket, std::shared_ptr<IoThread> thread, bool counted);
  ~Session() override;

  void Start();
  // Tells the client that there are too many connections, and closes.
  void StartRefusal();

  void TakeBack(Exchange* exchange, std::shared_ptr<ExchangeOwner> self) override;

  // For IoThread. An exchange is back; true when Pump should follow and was not asked for yet.
  bool Completed(Exchange* exchange);
  // Starts what may start, answers what is ready, sends, and asks for more input.
  void Pump();
  void CheckDeadlines();
  void CloseWhenIdle();
  void Close();
  void set_position(size_t position) { position_ = position; }
  size_t position() const { return position_; }

 private:
  enum class State : uint8_t { kOpen, kLingering, kClosed };
  // Of the request that is being read.
  enum class Reading : uint8_t { kNothing, kHead, kBody, kComplete };

  class Sink;

  // Input.
  void ArmRead();
  void OnReadable();
  bool WantsInput() const;
  void KeepInput();
  bool TakeRequests();
  bool TakeHead();
  bool TakeBody();
  bool SinkPiece(std::string_view piece);
  void FinishHead(Exchange* exchange);
  void RefuseAndStop(ErrorAnswer error);
  bool MayLaunch() const;
  void Launch();

  // Output.
  void NoteOutputStart();
  bool AnswerReady();
  size_t UnsentBytes() const { return out_.size() - sent_; }
  void Send();
  void Linger();
  void DropInput();
  void Forget(Exchange* exchange);
  bool Idle() const;
  bool TooSlow(uint64_t since_ns, uint64_t bytes) const;

  const std::shared_ptr<IoThread> thread_;
  boost::asio::ip::tcp::socket socket_;
  const bool counted_;
  State state_ = State::kOpen;
  size_t position_ = 0;  // in the thread's list
  bool listed_ = false;

  // Input. `input_` is what has not been parsed yet: in the thread's read buffer while OnReadable
  // runs, else in kept_.
  RequestParser parser_;
  std::unique_ptr<JsonObjectReader> json_;
  std::string kept_;
  std::string_view input_;
  Reading reading_ = Reading::kNothing;
  std::unique_ptr<Exchange> current_;
  uint64_t body_received_bytes_ = 0;
  bool body_dropped_ = false;  // already refused: the body is read and forgotten
  ErrorAnswer body_error_;     // why the sink stopped the parser
  bool read_armed_ = false;
  bool stopped_reading_ = false;  // no further request is taken
  bool peer_closed_ = false;

  // Requests whose answers are due, oldest first.
  std::deque<std::unique_ptr<Exchange>> queue_;
  size_t running_reads_ = 0;   // started, not answered
  size_t running_writes_ = 0;  // started, not completed
  bool pump_asked_ = false;

  // Output.
  std::string out_;
  size_t sent_ = 0;
  bool write_armed_ = false;
  bool close_when_sent_ = false;
  bool close_when_idle_ = false;
  bool continue_due_ = false;  // a 100 Continue, once earlier answers are out

  // Deadlines count from here.
  uint64_t idle_since_ns_ = 0;
  uint64_t head_since_ns_ = 0;
  uint64_t body_since_ns_ = 0;
  uint64_t out_since_ns_ = 0;
  uint64_t out_total_bytes_ = 0;  // since out_since_ns_
  uint64_t linger_since_ns_ = 0;
  uint64_t lingered_bytes_ = 0;
};

}  // namespace arima::http
