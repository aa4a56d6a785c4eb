// Connection: frames over one stream, in both directions.
//
// Thread rule: the thread of the Loop. Held by shared_ptr: pending socket operations keep it
// alive; its user is told of the end once, unless the user itself closed it. Internal to
// transport/.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "transport/frame.h"
#include "transport/loop.h"
#include "transport/stream.h"

namespace arima::transport {

class Connection;

enum class EndCause : uint8_t {
  kByHost,    // FIN or RST
  kBadInput,  // what came makes no sense
  kOther,     // time-out, own wish
};
struct ConnectionEnd {
  EndCause cause = EndCause::kOther;
  std::string text;
};

class ConnectionUser {
 public:
  // `frame.meta` is valid during the call. An error closes the connection as bad input.
  virtual Status OnFrame(Connection* connection, Frame frame) = 0;
  // What was waiting to be sent has gone to the kernel.
  virtual void OnDrained(Connection* connection) = 0;
  // Over. Not called after Close.
  virtual void OnClosed(Connection* connection, const ConnectionEnd& end) = 0;

 protected:
  ~ConnectionUser() = default;
};

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  // Make with make_shared, then Start. `incoming`: a preamble comes first.
  Connection(Loop* loop, std::unique_ptr<Stream> stream, bool incoming);

  // Begins to read. The user may change hands later.
  void Start(ConnectionUser* user);
  void SetUser(ConnectionUser* user) { user_ = user; }
  void Allow(std::initializer_list<FrameType> types) { reader_.Allow(types); }

  // Sends at once what the kernel takes; the rest follows when it can. Never calls the user: a
  // broken connection shows on the reading side. Ignored when nothing can be sent any more.
  void Write(OutFrame frame);
  // Nothing waits to be sent, so that a Write would go straight to the kernel.
  bool idle() const { return open() && !finishing_ && !write_failed_ && pending_.empty(); }

  // Sends what waits, then closes; further input is ignored. OnClosed tells when it is over, at
  // the latest after kFinishNs.
  void Finish();
  // Closes now; the user hears nothing more.
  void Close();

  // For the user, in OnFrame: gives the stream away (Stream::Detach) and is closed then. Null if
  // anything was received behind that frame or could not be sent, or the stream is lost.
  std::unique_ptr<ByteStream> Detach(std::shared_ptr<void> counted);

  bool open() const { return stream_ != nullptr; }
  const std::string& remote() const { return remote_; }
  uint64_t sent_bytes() const { return sent_bytes_; }
  uint64_t received_bytes() const { return received_bytes_; }

  static constexpr uint64_t kFinishNs = 1'000'000'000;

 private:
  void Read();
  void OnRead(IoResult result);
  void HandleFrames();
  void Flush();
  void OnWritable();
  void ShutdownIfDone();
  void End(ConnectionEnd end);

  Loop* const loop_;
  std::unique_ptr<Stream> stream_;  // null: closed
  const std::string remote_;
  ConnectionUser* user_ = nullptr;
  FrameReader reader_;
  std::deque<OutFrame> pending_;
  size_t front_sent_ = 0;     // bytes of pending_.front() that are with the kernel
  std::vector<iovec> parts_;  // of the write under way; a member to keep its memory
  bool awaiting_writable_ = false;
  bool finishing_ = false;
  bool write_failed_ = false;
  int write_error_ = 0;  // what write_failed_ was
  Loop::TimerId finish_timer_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t received_bytes_ = 0;
};

}  // namespace arima::transport
