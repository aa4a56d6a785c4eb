// Reads go through Asio; writes go to the socket directly, because Asio's own gather write stops at
// 64 buffers and 64 KiB, while a frame should leave in one system call.
#include "transport/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <climits>
#include <utility>

#include "transport/asio_stream.h"

namespace arima::transport {
namespace {

using boost::system::error_code;

int ErrnoOf(const error_code& error) {
  if (!error || error == boost::asio::error::eof) return 0;
  return error.category() == boost::system::system_category() ? error.value() : EIO;
}

void SetInt(int fd, int level, int name, uint64_t value) {
  int v = static_cast<int>(std::min<uint64_t>(value, INT_MAX));
  (void)::setsockopt(fd, level, name, &v, sizeof v);
}

}  // namespace

std::string ToString(const boost::asio::ip::tcp::endpoint& endpoint) {
  std::string host = endpoint.address().to_string();
  if (endpoint.address().is_v6()) host = "[" + host + "]";
  return host + ":" + std::to_string(endpoint.port());
}

std::unique_ptr<Stream> MakeStream(boost::asio::ip::tcp::socket socket) {
  error_code error;
  auto endpoint = socket.remote_endpoint(error);
  std::string remote = error ? "unknown" : ToString(endpoint);
  return std::make_unique<Stream>(
      std::make_unique<Stream::Impl>(Stream::Impl{std::move(socket), std::move(remote)}));
}

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::~Stream() = default;

const std::string& Stream::remote() const { return impl_->remote; }

void Stream::Read(std::span<char> into, std::move_only_function<void(IoResult)> done) {
  impl_->socket.async_read_some(
      boost::asio::buffer(into.data(), into.size()),
      [done = std::move(done)](const error_code& error, size_t bytes) mutable {
        done({bytes, false, ErrnoOf(error)});
      });
}

IoResult Stream::Write(std::span<const iovec> parts) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = std::min<size_t>(parts.size(), IOV_MAX);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(impl_->socket.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {static_cast<size_t>(sent), false, 0};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return {0, true, 0};
  return {0, false, errno};
}

void Stream::AwaitWritable(std::move_only_function<void()> ready) {
  impl_->socket.async_wait(boost::asio::ip::tcp::socket::wait_write,
                           [ready = std::move(ready)](const error_code&) mutable { ready(); });
}

void Stream::ShutdownSend() {
  error_code ignored;  // the read side tells what has become of the connection
  impl_->socket.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
}

int Stream::Release() {
  error_code error;
  impl_->socket.native_non_blocking(true, error);
  if (error) return -1;
  int fd = impl_->socket.release(error);
  return error ? -1 : fd;
}

void Stream::Close() {
  error_code ignored;
  impl_->socket.close(ignored);
}

void ConfigureSocket(int fd, const TcpOptions& options) {
  SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  uint64_t idle_s = std::max<uint64_t>(options.keepalive_idle_ms / 1000, 1);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  SetInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms);
  if (options.socket_buffer_bytes > 0) {
    SetInt(fd, SOL_SOCKET, SO_SNDBUF, static_cast<uint64_t>(options.socket_buffer_bytes));
    SetInt(fd, SOL_SOCKET, SO_RCVBUF, static_cast<uint64_t>(options.socket_buffer_bytes));
  }
}

}  // namespace arima::transport
