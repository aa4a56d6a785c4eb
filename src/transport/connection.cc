// Any call to the user may close this connection, so every step after one asks open() again, and
// every handler holds a reference to the connection while it runs.
#include "transport/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace arima::transport {
namespace {

constexpr size_t kPartsPerWriteMax = 1024;  // IOV_MAX of Linux

bool ClosedByHost(int error) {
  return error == 0 || error == ECONNRESET || error == EPIPE || error == ECONNABORTED;
}

std::string Describe(int error) {
  return error == 0 ? "closed by the other side" : std::generic_category().message(error);
}

// What is left of `frame` after `skip` bytes, appended to `parts`.
void AppendParts(const OutFrame& frame, size_t skip, std::vector<iovec>* parts) {
  auto add = [&](const char* data, size_t size) {
    size_t gone = std::min(skip, size);
    skip -= gone;
    if (gone < size) parts->push_back({const_cast<char*>(data) + gone, size - gone});
  };
  add(frame.lead.data(), frame.lead.size());
  add(frame.header.data(), frame.header.size());
  add(frame.meta.data(), frame.meta.size());
  for (const SharedBytes& part : frame.payload) {
    if (parts->size() >= kPartsPerWriteMax) return;
    add(part.view().data(), part.size());
  }
}

}  // namespace

Connection::Connection(Loop* loop, std::unique_ptr<Stream> stream, bool incoming)
    : loop_(loop), stream_(std::move(stream)), remote_(stream_->remote()), reader_(incoming) {}

void Connection::Start(ConnectionUser* user) {
  user_ = user;
  Read();
}

void Connection::Read() {
  stream_->Read(reader_.Space(), [self = shared_from_this()](IoResult result) {
    if (self->open()) self->OnRead(result);
  });
}

void Connection::OnRead(IoResult result) {
  if (result.bytes == 0) {
    // The write side may have taken the socket's error away.
    int error = write_error_ != 0 ? write_error_ : result.error;
    return End({ClosedByHost(error) ? EndCause::kByHost : EndCause::kOther, Describe(error)});
  }
  if (finishing_) return Read();  // into the same space: nobody wants it any more
  received_bytes_ += result.bytes;
  reader_.Filled(result.bytes);
  HandleFrames();
  if (open()) Read();
}

void Connection::HandleFrames() {
  while (open() && !finishing_) {
    Result<std::optional<Frame>> frame = reader_.Next();
    if (!frame) return End({EndCause::kBadInput, frame.error().message});
    if (!*frame) return;
    if (Status status = user_->OnFrame(this, std::move(**frame)); !status && open()) {
      return End({EndCause::kBadInput, status.error().message});
    }
  }
}

void Connection::Write(OutFrame frame) {
  if (!open() || finishing_ || write_failed_) return;
  frame.bytes += frame.lead.size();
  pending_.push_back(std::move(frame));
  Flush();
}

void Connection::Flush() {
  while (open() && !pending_.empty() && !awaiting_writable_ && !write_failed_) {
    parts_.clear();
    size_t skip = front_sent_;
    for (const OutFrame& frame : pending_) {
      if (parts_.size() >= kPartsPerWriteMax) break;
      AppendParts(frame, std::exchange(skip, 0), &parts_);
    }
    IoResult result = stream_->Write(parts_);
    if (result.again) {
      awaiting_writable_ = true;
      return stream_->AwaitWritable([self = shared_from_this()] { self->OnWritable(); });
    }
    if (result.error != 0) {
      write_failed_ = true;
      write_error_ = result.error;
      pending_.clear();
      return;
    }
    sent_bytes_ += result.bytes;
    front_sent_ += result.bytes;
    while (!pending_.empty() && front_sent_ >= pending_.front().bytes) {
      front_sent_ -= pending_.front().bytes;
      pending_.pop_front();
    }
  }
}

void Connection::OnWritable() {
  awaiting_writable_ = false;
  if (!open()) return;
  Flush();
  if (!pending_.empty()) return;
  if (finishing_) return ShutdownIfDone();
  if (!write_failed_) user_->OnDrained(this);
}

void Connection::Finish() {
  if (!open() || finishing_) return;
  finishing_ = true;
  finish_timer_ = loop_->After(kFinishNs, [self = shared_from_this()] {
    if (self->open()) self->End({EndCause::kOther, "closed"});
  });
  ShutdownIfDone();
}

// Half-closing lets the other side read what was sent last; a full close with unread input would
// make the kernel throw that away.
void Connection::ShutdownIfDone() {
  if (pending_.empty()) stream_->ShutdownSend();
}

void Connection::Close() {
  user_ = nullptr;
  pending_.clear();
  loop_->Cancel(std::exchange(finish_timer_, 0));
  stream_.reset();
}

std::unique_ptr<ByteStream> Connection::Detach(std::shared_ptr<void> counted) {
  std::unique_ptr<ByteStream> detached;
  if (idle() && reader_.unread() == 0) detached = stream_->Detach(std::move(counted));
  Close();
  return detached;
}

void Connection::End(ConnectionEnd end) {
  auto self = shared_from_this();
  ConnectionUser* user = user_;
  Close();
  if (user != nullptr) user->OnClosed(this, end);
}

}  // namespace arima::transport
