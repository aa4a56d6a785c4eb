// Reads go through Asio; writes go to the socket directly, because Asio's own gather write stops at
// 64 buffers and 64 KiB, while a frame should leave in one system call.
#include "transport/asio_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <climits>
#include <utility>

#include "transport/side_stream.h"

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

class SocketStream final : public Stream {
 public:
  SocketStream(boost::asio::ip::tcp::socket socket, std::string remote)
      : socket_(std::move(socket)), remote_(std::move(remote)) {}

  const std::string& remote() const override { return remote_; }

  void Read(std::span<char> into, std::move_only_function<void(IoResult)> done) override {
    socket_.async_read_some(
        boost::asio::buffer(into.data(), into.size()),
        [done = std::move(done)](const error_code& error, size_t bytes) mutable {
          done({bytes, false, ErrnoOf(error)});
        });
  }

  IoResult Write(std::span<const iovec> parts) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = std::min<size_t>(parts.size(), IOV_MAX);
    ssize_t sent = 0;
    do {
      sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return {static_cast<size_t>(sent), false, 0};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return {0, true, 0};
    return {0, false, errno};
  }

  void AwaitWritable(std::move_only_function<void()> ready) override {
    socket_.async_wait(boost::asio::ip::tcp::socket::wait_write,
                       [ready = std::move(ready)](const error_code&) mutable { ready(); });
  }

  void ShutdownSend() override {
    error_code ignored;  // the read side tells what has become of the connection
    socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  }

  std::unique_ptr<ByteStream> Detach(std::shared_ptr<void> counted) override {
    error_code error;
    socket_.native_non_blocking(true, error);
    if (error) return nullptr;
    const int fd = socket_.release(error);
    if (error) return nullptr;
    return std::make_unique<SideStream>(fd, std::move(counted));
  }

 private:
  boost::asio::ip::tcp::socket socket_;
  const std::string remote_;
};

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
  return std::make_unique<SocketStream>(std::move(socket), std::move(remote));
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
