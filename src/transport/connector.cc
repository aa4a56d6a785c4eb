// An attempt is kept alive by its pending Asio handlers; the Connector only cancels it. At any time
// exactly one thing is pending: a lookup or a connect, with a timer that ends it.
//
// Asio's resolver runs getaddrinfo on one helper thread of the loop, one after the other. A lookup
// given up here still occupies that thread until the system's resolver returns, and later lookups
// wait behind it; numeric addresses never go there.
#include "transport/connector.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/asio_loop.h"
#include "transport/asio_stream.h"

namespace arima::transport {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr uint64_t kNsPerMs = 1'000'000;

}  // namespace

class Connector::Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(IoLoop* loop, const TcpOptions& options, std::string address, Done done)
      : loop_(loop),
        options_(options),
        address_(std::move(address)),
        done_(std::move(done)),
        resolver_(loop->impl().context),
        socket_(loop->impl().context) {}

  void Start() {
    size_t colon = address_.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == address_.size()) {
      return FailLater("is not host:port");
    }
    std::string host = address_.substr(0, colon);
    std::string port = address_.substr(colon + 1);
    if (port.find_first_not_of("0123456789") != std::string::npos || port.size() > 5 ||
        std::stoul(port) > 65535) {
      return FailLater("is not host:port");
    }
    if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    error_code error;
    auto numeric = boost::asio::ip::make_address(host, error);
    if (!error) {
      endpoints_ = {tcp::endpoint(numeric, static_cast<uint16_t>(std::stoul(port)))};
      return TryNext();
    }
    StartTimer(options_.resolve_timeout_ms, [this] { resolver_.cancel(); });
    resolver_.async_resolve(host, port, tcp::resolver::numeric_service,
                            [self = shared_from_this()](const error_code& e, auto results) {
                              self->OnResolved(e, results);
                            });
  }

  void Cancel() {
    done_ = nullptr;
    StopTimer();
    resolver_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  void OnResolved(const error_code& error, const tcp::resolver::results_type& results) {
    StopTimer();
    if (!done_) return;
    if (error) {
      failure_.text = error == boost::asio::error::operation_aborted ? "the name lookup timed out"
                                                                     : error.message();
      return Finish(nullptr);
    }
    for (const auto& result : results) endpoints_.push_back(result.endpoint());
    TryNext();
  }

  void TryNext() {
    if (next_ == endpoints_.size()) {
      failure_.refused = next_ > 0 && refused_ == next_;
      return Finish(nullptr);
    }
    const tcp::endpoint& endpoint = endpoints_[next_++];
    timed_out_ = false;
    error_code error;
    socket_.close(error);
    socket_.open(endpoint.protocol(), error);
    if (error) {
      failure_.text = error.message();
      return loop_->Post([self = shared_from_this()] {
        if (self->done_) self->TryNext();
      });
    }
    ConfigureSocket(socket_.native_handle(), options_);
    StartTimer(options_.connect_timeout_ms, [this] {
      timed_out_ = true;
      error_code ignored;
      socket_.close(ignored);
    });
    socket_.async_connect(
        endpoint, [self = shared_from_this()](const error_code& e) { self->OnConnected(e); });
  }

  void OnConnected(const error_code& error) {
    StopTimer();
    if (!done_) return;
    if (!error && socket_.is_open()) return Finish(MakeStream(std::move(socket_)));
    if (error == boost::asio::error::connection_refused) ++refused_;
    failure_.text = timed_out_
                        ? "no answer within " + std::to_string(options_.connect_timeout_ms) + " ms"
                        : error.message();
    if (endpoints_.size() > 1) failure_.text += " (" + ToString(endpoints_[next_ - 1]) + ")";
    TryNext();
  }

  void Finish(std::unique_ptr<Stream> stream) {
    if (!stream) failure_.text = "connect to " + address_ + ": " + failure_.text;
    std::exchange(done_, nullptr)(std::move(stream), std::move(failure_));
  }

  void FailLater(const char* why) {
    loop_->Post([self = shared_from_this(), why] {
      if (!self->done_) return;
      self->failure_.text = why;
      self->Finish(nullptr);
    });
  }

  // The task may use `this`: the timer is stopped before the pending handler lets go of it.
  void StartTimer(uint64_t timeout_ms, IoLoop::Task task) {
    timer_ = loop_->After(timeout_ms * kNsPerMs, std::move(task));
  }
  void StopTimer() { loop_->Cancel(std::exchange(timer_, 0)); }

  IoLoop* const loop_;
  const TcpOptions& options_;
  const std::string address_;
  Done done_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  IoLoop::TimerId timer_ = 0;
  std::vector<tcp::endpoint> endpoints_;
  size_t next_ = 0;  // the next endpoint to try
  size_t refused_ = 0;
  bool timed_out_ = false;
  ConnectFailure failure_;
};

Connector::Connector(IoLoop* loop, const TcpOptions& options, const std::string& address, Done done)
    : attempt_(std::make_shared<Attempt>(loop, options, address, std::move(done))) {
  attempt_->Start();
}

Connector::~Connector() { attempt_->Cancel(); }

}  // namespace arima::transport
