// Design note. Listening sockets live on the first I/O thread and deal connections out in turn.
// Stop goes from the outside in: no new connections, then idle ones, then, when requests have
// finished or time is over, all of them; the loops end when their last socket is gone.

#include "http/http_server.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "http/io_thread.h"
#include "http/server_state.h"
#include "http/session.h"

namespace arima::http {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

// Connections that are being told 503 at one time; beyond it they are closed without a word.
constexpr uint64_t kRefusalsMax = 128;
// After accept failed for want of file descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{50};
constexpr int kPortTries = 16;

uint64_t ThreadCount(uint64_t asked) {
  if (asked != 0) return asked;
  return std::clamp<uint64_t>(std::thread::hardware_concurrency() / 4, 1, 4);
}

struct Listener {
  explicit Listener(boost::asio::io_context& io) : acceptor(io), pause(io) {}
  tcp::acceptor acceptor;
  boost::asio::steady_timer pause;
};
using Listeners = std::vector<std::unique_ptr<Listener>>;

std::string Describe(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" +
         std::to_string(endpoint.port());
}

// Null, without an error, when this machine does not have the address family.
Result<std::unique_ptr<Listener>> Listen(boost::asio::io_context& io, const tcp::endpoint& endpoint,
                                         bool family_required) {
  auto listener = std::make_unique<Listener>(io);
  error_code error;
  listener->acceptor.open(endpoint.protocol(), error);
  if (!error) listener->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // The wildcard takes IPv4 too; a plain address of either family leaves the other alone.
  if (!error && endpoint.address().is_v6()) {
    const bool wildcard = endpoint.address().is_unspecified();
    listener->acceptor.set_option(boost::asio::ip::v6_only(!wildcard), error);
  }
  if (!error) listener->acceptor.bind(endpoint, error);
  const bool no_family = error == boost::asio::error::address_family_not_supported ||
                         error == boost::system::errc::address_not_available;
  if (no_family && !family_required) return nullptr;
  if (!error) listener->acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) {
    return Fail(Code::kIo,
                "cannot listen on " + Describe(endpoint) + " for HTTP: " + error.message());
  }
  return listener;
}

Result<std::vector<tcp::endpoint>> Resolve(boost::asio::io_context& io, const std::string& host,
                                           uint16_t port) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error) {
    return Fail(Code::kInvalidArgument,
                "cannot listen on " + host + " for HTTP: " + error.message());
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  return endpoints;
}

// All endpoints on one port; with port 0 the first choice of the kernel that is free on all.
Result<Listeners> ListenOnAll(boost::asio::io_context& io, const HttpOptions& options) {
  std::vector<tcp::endpoint> endpoints = {{boost::asio::ip::address_v4::loopback(), options.port},
                                          {boost::asio::ip::address_v6::loopback(), options.port}};
  const bool named = !options.address.empty();
  if (named) {
    Result<std::vector<tcp::endpoint>> resolved = Resolve(io, options.address, options.port);
    if (!resolved) return std::unexpected(resolved.error());
    endpoints = std::move(*resolved);
  }
  for (int attempt = 1;; ++attempt) {
    Listeners listeners;
    uint16_t port = options.port;
    Status status;
    for (tcp::endpoint endpoint : endpoints) {
      endpoint.port(port);
      auto listener = Listen(io, endpoint, named || listeners.empty());
      if (!listener) {
        status = std::unexpected(listener.error());
        break;
      }
      if (*listener == nullptr) continue;
      port = (*listener)->acceptor.local_endpoint().port();
      listeners.push_back(std::move(*listener));
    }
    if (status) return listeners;
    if (options.port != 0 || attempt == kPortTries) return std::unexpected(status.error());
  }
}

}  // namespace

struct HttpServer::Impl {
  Impl(const HttpOptions& options, service::KvService& kv, service::ClusterService& cluster)
      : state(options, kv, cluster, clock) {}

  void Accept(Listener* listener);
  void OnAccepted(tcp::socket socket, std::shared_ptr<IoThread> thread);
  void StopListening();

  SystemClock clock;
  ServerState state;
  std::vector<std::shared_ptr<IoThread>> io_threads;
  Listeners listeners;  // owned by the first thread once it runs
  uint16_t port = 0;
  size_t next_thread = 0;
  bool stopping = false;  // as above
  std::vector<std::thread> threads;
};

void HttpServer::Impl::Accept(Listener* listener) {
  const std::shared_ptr<IoThread> thread = io_threads[next_thread++ % io_threads.size()];
  listener->acceptor.async_accept(
      thread->io(), [this, listener, thread](const error_code& error, tcp::socket socket) {
        if (stopping) return;
        if (error && error != boost::asio::error::connection_aborted) {
          state.counters.front()->accept_failures.Add(1);
          listener->pause.expires_after(kAcceptPause);
          listener->pause.async_wait([this, listener](const error_code& cancelled) {
            if (!cancelled && !stopping) Accept(listener);
          });
          return;
        }
        if (!error) OnAccepted(std::move(socket), thread);
        Accept(listener);
      });
}

void HttpServer::Impl::OnAccepted(tcp::socket socket, std::shared_ptr<IoThread> thread) {
  const bool admitted =
      state.connections.fetch_add(1, std::memory_order_acq_rel) < state.options.connections_max;
  if (!admitted) {
    state.ConnectionClosed();
    if (state.refusals.fetch_add(1, std::memory_order_relaxed) >= kRefusalsMax) {
      state.refusals.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
  }
  IoThread* target = thread.get();
  auto session = std::make_shared<Session>(std::move(socket), std::move(thread), admitted);
  boost::asio::post(target->io(), [session, target, admitted] {
    target->BeginBatch();
    admitted ? session->Start() : session->StartRefusal();
  });
}

// Returns when no further connection can be dealt out.
void HttpServer::Impl::StopListening() {
  std::promise<void> done;
  boost::asio::post(io_threads.front()->io(), [this, &done] {
    stopping = true;
    for (const std::unique_ptr<Listener>& listener : listeners) {
      error_code ignored;
      listener->acceptor.close(ignored);
      listener->pause.cancel();
    }
    done.set_value();
  });
  done.get_future().wait();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(0); }
uint16_t HttpServer::port() const { return impl_->port; }

Status HttpServer::CheckListen(const HttpOptions& options) {
  boost::asio::io_context io;
  Result<Listeners> listeners = ListenOnAll(io, options);
  if (!listeners) return std::unexpected(listeners.error());
  return {};
}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options,
                                                      service::KvService& kv,
                                                      service::ClusterService& cluster) {
  auto impl = std::make_unique<Impl>(options, kv, cluster);
  const uint64_t count = ThreadCount(options.threads);
  for (uint64_t i = 0; i < count; ++i) {
    impl->state.counters.push_back(std::make_unique<ThreadCounters>());
    impl->io_threads.push_back(
        std::make_shared<IoThread>(impl->state, *impl->state.counters.back()));
  }
  Result<Listeners> listeners = ListenOnAll(impl->io_threads.front()->io(), options);
  if (!listeners) return std::unexpected(listeners.error());
  impl->listeners = std::move(*listeners);
  impl->port = impl->listeners.front()->acceptor.local_endpoint().port();
  for (const std::unique_ptr<Listener>& listener : impl->listeners) impl->Accept(listener.get());
  for (uint64_t i = 0; i < count; ++i) {
    impl->threads.emplace_back([thread = impl->io_threads[i]] { thread->Run(); });
    const std::string name = "arima-http-" + std::to_string(i);
    pthread_setname_np(impl->threads.back().native_handle(), name.c_str());
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::Stop(uint64_t drain_ms) {
  Impl& impl = *impl_;
  if (impl.threads.empty()) return;
  impl.StopListening();
  for (const std::shared_ptr<IoThread>& thread : impl.io_threads) thread->PostDrain();
  {
    const uint64_t deadline_ns = impl.clock.NowNs() + drain_ms * 1'000'000;
    MutexLock lock(&impl.state.mutex);
    while (impl.state.connections.load(std::memory_order_acquire) != 0) {
      const uint64_t now_ns = impl.clock.NowNs();
      if (now_ns >= deadline_ns) break;
      impl.state.idle.WaitFor(&impl.state.mutex, std::chrono::nanoseconds(deadline_ns - now_ns));
    }
  }
  for (const std::shared_ptr<IoThread>& thread : impl.io_threads) thread->PostFinish();
  for (std::thread& thread : impl.threads) thread.join();
  impl.threads.clear();
  for (const std::shared_ptr<IoThread>& thread : impl.io_threads) thread->CloseMailbox();
}

}  // namespace arima::http
