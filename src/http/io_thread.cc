// Design note. Two things here save most of the work per request under load.
//
// Mail: a completion from the applier or the core pushes its exchange and wakes this thread only
// if the box was empty. One turn then serves all of them, and each touched session sends all its
// answers with one system call.
//
// Barriers: a linearizable read needs a barrier begun after it arrived. The first read of a turn
// queues a handler behind the handlers that are ready already; when it runs, all reads that those
// have parsed ride on one barrier. An idle server pays nothing for it: the handler runs at once.

#include "http/io_thread.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <ctime>

#include "base/assert.h"
#include "http/session.h"

namespace arima::http {
namespace {

constexpr size_t kReadBufferBytes = 64 << 10;
constexpr size_t kPooledExchangesMax = 1024;

std::chrono::milliseconds SweepInterval(const HttpOptions& options) {
  const uint64_t shortest = std::min({options.idle_timeout_ms, options.head_timeout_ms,
                                      options.transfer_grace_ms, options.drain_ms_max});
  return std::chrono::milliseconds(std::clamp<uint64_t>(shortest / 4, 10, 500));
}

}  // namespace

IoThread::IoThread(ServerState& state, ThreadCounters& counters)
    : state_(state),
      counters_(counters),
      io_(1),
      work_(io_.get_executor()),
      sweep_timer_(io_),
      read_buffer_(kReadBufferBytes) {
  SetDate();
  now_ns_ = state_.clock.NowNs();
}

IoThread::~IoThread() { ARIMA_ASSERT(sessions_.empty(), sessions_.size()); }

void IoThread::Run() {
  ArmSweep();
  io_.run();
}

void IoThread::BeginBatch() {
  view_is_fresh_ = false;
  now_ns_ = state_.clock.NowNs();
}

AnswerContext& IoThread::context() {
  if (!view_is_fresh_) {
    context_.SetView(state_.cluster.View());
    view_is_fresh_ = true;
  }
  return context_;
}

std::unique_ptr<Exchange> IoThread::NewExchange() {
  if (pool_.empty()) return std::make_unique<Exchange>();
  std::unique_ptr<Exchange> exchange = std::move(pool_.back());
  pool_.pop_back();
  return exchange;
}

void IoThread::Recycle(std::unique_ptr<Exchange> exchange) {
  state_.ReleaseBody(exchange->body_bytes);
  if (pool_.size() >= kPooledExchangesMax) return;
  exchange->Recycle();
  pool_.push_back(std::move(exchange));
}

void IoThread::Deliver(Exchange* exchange) {
  switch (mailbox_.Push(exchange)) {
    case Mailbox::Pushed::kFirst:
      boost::asio::post(io_, [this] { TakeMail(); });
      break;
    case Mailbox::Pushed::kMore:
      break;
    case Mailbox::Pushed::kClosed: {
      // The server is gone. Letting go of the owners frees the sessions, and the exchanges in them.
      while (exchange != nullptr) {
        Exchange* next = exchange->next_in_barrier;
        const std::shared_ptr<ExchangeOwner> owner = std::move(exchange->owner);
        exchange = next;
      }
      break;
    }
  }
}

void IoThread::TakeMail() {
  BeginBatch();
  Exchange* exchange = mailbox_.TakeAll();
  while (exchange != nullptr) {
    Exchange* next = std::exchange(exchange->next_in_mailbox, nullptr);
    GiveBack(exchange);
    exchange = next;
  }
  // A session may close while it is served; the vector keeps it until all are done.
  for (size_t i = 0; i < touched_.size(); ++i) touched_[i]->Pump();
  touched_.clear();
}

// `first`, and the reads that waited for the same barrier, go to their sessions.
void IoThread::GiveBack(Exchange* first) {
  const Outcome outcome = first->next_in_barrier == nullptr ? Outcome{} : first->outcome;
  for (Exchange* exchange = first; exchange != nullptr;) {
    Exchange* next = std::exchange(exchange->next_in_barrier, nullptr);
    if (exchange != first) exchange->outcome = outcome;
    // Only sessions of this thread lend exchanges that come back here.
    auto session = std::static_pointer_cast<Session>(std::move(exchange->owner));
    if (session->Completed(exchange)) touched_.push_back(std::move(session));
    exchange = next;
  }
}

void IoThread::JoinBarrier(Exchange* exchange) {
  ARIMA_ASSERT(exchange->owner != nullptr && exchange->next_in_barrier == nullptr);
  if (exchange->timeout_ms != options().request_timeout_ms) {
    counters_.barriers.Add(1);
    state_.api.BeginBarrier(exchange);
    return;
  }
  if (barrier_first_ == nullptr) {
    barrier_first_ = exchange;
    boost::asio::post(io_, [this] { BeginBarrier(); });
  } else {
    barrier_last_->next_in_barrier = exchange;
  }
  barrier_last_ = exchange;
}

void IoThread::BeginBarrier() {
  counters_.barriers.Add(1);
  barrier_last_ = nullptr;
  state_.api.BeginBarrier(std::exchange(barrier_first_, nullptr));
}

void IoThread::Add(Session* session) {
  session->set_position(sessions_.size());
  sessions_.push_back(session);
}

void IoThread::Remove(Session* session) {
  const size_t position = session->position();
  ARIMA_ASSERT(position < sessions_.size() && sessions_[position] == session, position);
  sessions_[position] = sessions_.back();
  sessions_[position]->set_position(position);
  sessions_.pop_back();
}

// Sessions may remove themselves while they are visited.
template <class Call>
void IoThread::ForEachSession(Call call) {
  const std::vector<Session*> visited = sessions_;
  for (Session* session : visited) {
    const std::shared_ptr<Session> kept = session->shared_from_this();
    call(*session);
  }
}

void IoThread::SetDate() { context_.SetDate(std::time(nullptr)); }

void IoThread::ArmSweep() {
  sweep_timer_.expires_after(SweepInterval(options()));
  sweep_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || finished_) return;
    Sweep();
    ArmSweep();
  });
}

void IoThread::Sweep() {
  BeginBatch();
  SetDate();
  ForEachSession([](Session& session) { session.CheckDeadlines(); });
}

void IoThread::PostDrain() {
  boost::asio::post(io_, [this] {
    BeginBatch();
    ForEachSession([](Session& session) { session.CloseWhenIdle(); });
  });
}

void IoThread::PostFinish() {
  boost::asio::post(io_, [this] {
    finished_ = true;
    sweep_timer_.cancel();
    work_.reset();
    ForEachSession([](Session& session) { session.Close(); });
  });
}

void IoThread::CloseMailbox() {
  Exchange* exchange = mailbox_.Close();
  while (exchange != nullptr) {
    Exchange* next = std::exchange(exchange->next_in_mailbox, nullptr);
    Deliver(exchange);
    exchange = next;
  }
}

}  // namespace arima::http
