// One I/O thread: its event loop, its sessions, its mailbox, and what they share.
//
// A handler of the loop is one batch: the clock and the node's view are read once in it, finished
// exchanges are taken together, and each session writes once. Reads that arrive in one turn of the
// loop share one read barrier.
//
// Thread rule: everything belongs to the thread that runs Run(), but Deliver, Post and the
// constructor. Sessions hold the object; it outlives the last lent exchange.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "http/answer_writer.h"
#include "http/counters.h"
#include "http/exchange.h"
#include "http/mailbox.h"
#include "http/server_state.h"

namespace arima::http {

class Session;

class IoThread {
 public:
  IoThread(ServerState& state, ThreadCounters& counters);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // Until Finish. Then no session is left in the loop.
  void Run();

  boost::asio::io_context& io() { return io_; }
  // Any thread.
  void Deliver(Exchange* exchange);
  // Any thread: sessions close when idle; or all at once, and Run returns.
  void PostDrain();
  void PostFinish();
  // After Run has returned: exchanges that come back later are dropped.
  void CloseMailbox();

  // For sessions.
  ServerState& state() { return state_; }
  const HttpOptions& options() const { return state_.options; }
  ThreadCounters& counters() { return counters_; }
  void BeginBatch();
  uint64_t now_ns() const { return now_ns_; }  // of the batch
  bool finished() const { return finished_; }
  AnswerContext& context();
  std::span<char> read_buffer() { return read_buffer_; }
  std::unique_ptr<Exchange> NewExchange();
  void Recycle(std::unique_ptr<Exchange> exchange);
  // Lends a read whose owner is set; it comes back when a barrier begun after this call has passed.
  void JoinBarrier(Exchange* exchange);
  void Add(Session* session);
  void Remove(Session* session);

 private:
  void TakeMail();
  void GiveBack(Exchange* first);
  void BeginBarrier();
  void ArmSweep();
  void Sweep();
  void SetDate();
  template <class Call>
  void ForEachSession(Call call);

  ServerState& state_;
  ThreadCounters& counters_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer sweep_timer_;
  Mailbox mailbox_;
  AnswerContext context_;
  bool view_is_fresh_ = false;
  uint64_t now_ns_ = 0;
  bool finished_ = false;
  std::vector<char> read_buffer_;
  std::vector<std::unique_ptr<Exchange>> pool_;
  std::vector<Session*> sessions_;
  std::vector<std::shared_ptr<Session>> touched_;  // by the mail of this batch
  // Reads that wait for the next barrier, through next_in_barrier.
  Exchange* barrier_first_ = nullptr;
  Exchange* barrier_last_ = nullptr;
};

}  // namespace arima::http
