// The default is 0.0.0.0 on the device `lo`: every address of the loopback network (127.0.0.2 too)
// and, whatever the routing, nothing from outside. Binding 0.0.0.0 without the device and dropping
// strangers after accept was rejected: the port would be open to the world, if only for a moment.
// So where the device is refused the listener narrows to 127.0.0.1 and says so.
//
// When accept fails (no file descriptors left) it is tried again a little later; the connections
// wait in the kernel meanwhile.
#include "transport/listener.h"

#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "transport/asio_loop.h"
#include "transport/asio_stream.h"

namespace arima::transport {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 512;
constexpr uint64_t kAcceptRetryNs = 100'000'000;

}  // namespace

class Listener::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(IoLoop* loop, const TcpOptions& options, Accepted accepted)
      : loop_(loop), options_(options), accepted_(std::move(accepted)) {}

  Status OpenLoopback() {
    tcp::endpoint any(boost::asio::ip::address_v4::any(), options_.listen_port);
    if (OpenOn(any, /*loopback_device=*/true)) return {};
    if (device_error_ == 0) return std::unexpected(error_);
    narrowed_ = std::string("binding to device lo: ") + std::strerror(device_error_);
    tcp::endpoint local(boost::asio::ip::address_v4::loopback(), options_.listen_port);
    if (!OpenOn(local, false)) return std::unexpected(error_);
    return {};
  }

  // Every address that the host has on this machine; at least one must be free.
  Status OpenHost() {
    error_code error;
    tcp::resolver resolver(loop_->impl().context);
    auto results = resolver.resolve(options_.listen_host, std::to_string(options_.listen_port),
                                    tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error) {
      return Fail(Code::kInvalidArgument,
                  "listen on " + options_.listen_host + ": " + error.message());
    }
    for (const auto& result : results) {
      tcp::endpoint endpoint = result.endpoint();
      if (endpoint.port() == 0) endpoint.port(port());
      if (OpenOn(endpoint, false)) continue;
      if (taken_) break;
    }
    if (acceptors_.empty() || taken_) return std::unexpected(error_);
    return {};
  }

  void Start() {
    timers_.resize(acceptors_.size());
    for (size_t i = 0; i < acceptors_.size(); ++i) Accept(i);
  }

  void Close() {
    closed_ = true;
    accepted_ = nullptr;
    for (IoLoop::TimerId timer : timers_) loop_->Cancel(timer);
    error_code ignored;
    for (tcp::acceptor& acceptor : acceptors_) acceptor.close(ignored);
  }

  uint16_t port() const {
    error_code ignored;
    return acceptors_.empty() ? uint16_t{0} : acceptors_.front().local_endpoint(ignored).port();
  }
  const std::string& narrowed() const { return narrowed_; }

 private:
  // False: error_ says why; device_error_ too if the device was the trouble.
  bool OpenOn(const tcp::endpoint& endpoint, bool loopback_device) {
    error_code error;
    tcp::acceptor acceptor(loop_->impl().context);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) {
      acceptor.set_option(boost::asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
    }
    if (!error && loopback_device &&
        ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) != 0) {
      device_error_ = errno;
      return false;
    }
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(kBacklog, error);
    if (!error) {
      acceptors_.push_back(std::move(acceptor));
      return true;
    }
    taken_ = error == boost::asio::error::address_in_use;
    error_ = {Code::kUnavailable, "listen on " + ToString(endpoint) + ": " + error.message()};
    return false;
  }

  void Accept(size_t i) {
    acceptors_[i].async_accept(
        [self = shared_from_this(), i](const error_code& error, tcp::socket socket) {
          self->OnAccept(i, error, std::move(socket));
        });
  }

  void OnAccept(size_t i, const error_code& error, tcp::socket socket) {
    if (closed_) return;
    if (!error) {
      ConfigureSocket(socket.native_handle(), options_);
      accepted_(MakeStream(std::move(socket)));
      if (!closed_) Accept(i);
      return;
    }
    if (error == boost::asio::error::connection_aborted) return Accept(i);  // gone meanwhile
    timers_[i] = loop_->After(kAcceptRetryNs, [self = shared_from_this(), i] { self->Accept(i); });
  }

  IoLoop* const loop_;
  const TcpOptions& options_;
  Accepted accepted_;
  std::vector<tcp::acceptor> acceptors_;
  std::vector<IoLoop::TimerId> timers_;
  Error error_;         // of the last OpenOn that failed
  bool taken_ = false;  // it failed because somebody else listens there
  int device_error_ = 0;
  std::string narrowed_;
  bool closed_ = false;
};

Result<std::unique_ptr<Listening>> Listener::Open(IoLoop* loop, const TcpOptions& options,
                                                  Accepted accepted) {
  auto impl = std::make_shared<Impl>(loop, options, std::move(accepted));
  Status opened = options.listen_host.empty() ? impl->OpenLoopback() : impl->OpenHost();
  if (!opened) return std::unexpected(opened.error());
  impl->Start();
  return std::unique_ptr<Listening>(new Listener(std::move(impl)));
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() { impl_->Close(); }

uint16_t Listener::port() const { return impl_->port(); }
const std::string& Listener::narrowed() const { return impl_->narrowed(); }

}  // namespace arima::transport
