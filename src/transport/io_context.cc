// A timer's task lives in the map, not in Asio's handler: Cancel can then take it away even when
// the timer has run out and its handler is already queued.
//
// Wake posts an empty handler unless one is on its way. Both sides use exchange, so that the
// handler reads what the last waker wrote and thereby sees all that was done before its Wake.
#include "transport/io_context.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "transport/asio_loop.h"
#include "transport/connector.h"
#include "transport/listener.h"

namespace arima::transport {
namespace {

constexpr uint64_t kWaitNsMax = 3600'000'000'000;  // keeps sums of clock and wait in range

std::chrono::nanoseconds Nanoseconds(uint64_t ns) {
  return std::chrono::nanoseconds(std::min(ns, kWaitNsMax));
}

}  // namespace

IoLoop::IoLoop() : impl_(std::make_unique<Impl>()) {}
IoLoop::~IoLoop() = default;

size_t IoLoop::RunOnce(uint64_t max_wait_ns) {
  boost::asio::io_context& context = impl_->context;
  size_t ran =
      max_wait_ns == 0 ? context.poll_one() : context.run_one_for(Nanoseconds(max_wait_ns));
  while (ran > 0 && ran < kCallbacksPerRunMax && context.poll_one() > 0) ++ran;
  return ran;
}

void IoLoop::Wake() {
  if (impl_->wake_pending.exchange(true, std::memory_order_acq_rel)) return;
  boost::asio::post(impl_->context,
                    [this] { impl_->wake_pending.exchange(false, std::memory_order_acq_rel); });
}

void IoLoop::Post(Task task) { boost::asio::post(impl_->context, std::move(task)); }

IoLoop::TimerId IoLoop::After(uint64_t delay_ns, Task task) {
  TimerId id = ++impl_->last_timer;
  boost::asio::steady_timer timer(impl_->context, Nanoseconds(delay_ns));
  auto [place, inserted] =
      impl_->timers.try_emplace(id, Impl::Timer{std::move(timer), std::move(task)});
  place->second.timer.async_wait([impl = impl_.get(), id](const boost::system::error_code& error) {
    if (error) return;  // cancelled
    auto node = impl->timers.extract(id);
    if (!node.empty()) node.mapped().task();
  });
  return id;
}

void IoLoop::Cancel(TimerId id) { impl_->timers.erase(id); }

uint64_t IoLoop::NowNs() const {
  auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(since).count());
}

std::unique_ptr<Connecting> IoLoop::Connect(const TcpOptions& options, const std::string& address,
                                            ConnectDone done) {
  return std::make_unique<Connector>(this, options, address, std::move(done));
}

Result<std::unique_ptr<Listening>> IoLoop::Listen(const TcpOptions& options, Accepted accepted) {
  return Listener::Open(this, options, std::move(accepted));
}

}  // namespace arima::transport
