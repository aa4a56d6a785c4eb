// Loop: the one event loop of a thread that owns connections and timers (the core thread), and the
// way to connections. io_context.h is the real one; the simulator has another.
//
// The owner drives it, nothing runs behind its back:
//
//   while (running) {
//     loop.RunOnce(ns_until_next_tick);   // callbacks of connections and timers run in here
//     raft_loop.Process();
//   }
//
// Thread rule: one owner thread calls everything, except Wake and Post, which any thread may call
// until the loop is destroyed. Callbacks run only inside RunOnce, on the owner thread.
// Times are nanoseconds of a steady clock. No call fails, but for Listen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "transport/stream.h"

namespace arima::transport {

struct TcpOptions;

struct ConnectFailure {
  bool refused = false;  // the host is there and nobody listens (on any of its addresses)
  std::string text;
};

// An attempt to connect. Destroyed, it gives up.
class Connecting {
 public:
  virtual ~Connecting() = default;
};

// Destroyed, it accepts no more.
class Listening {
 public:
  virtual ~Listening() = default;
  virtual uint16_t port() const = 0;
  // Not empty: it does not listen on all that was asked for; says why.
  virtual const std::string& narrowed() const = 0;
};

class Loop {
 public:
  using Task = std::move_only_function<void()>;

  virtual ~Loop() = default;

  // Waits up to `max_wait_ns` for something to do, then runs what is ready, at most
  // kCallbacksPerRunMax callbacks, so that a busy peer cannot keep the owner from its ticks.
  // Returns how many ran; 0: the time was over. 0 ns: does not wait.
  virtual size_t RunOnce(uint64_t max_wait_ns) = 0;

  // Ends the wait of the current or, if none is under way, of the next RunOnce. Many calls before
  // that cost no more than one. What the caller did before Wake is visible after that RunOnce.
  virtual void Wake() = 0;

  // Runs `task` inside a later RunOnce, in order of posting.
  virtual void Post(Task task) = 0;

  // Runs `task` once, `delay_ns` from now or a little later. The id is never 0 and never reused.
  using TimerId = uint64_t;
  virtual TimerId After(uint64_t delay_ns, Task task) = 0;
  // After this the task does not run any more. Ids that are over, or 0, are fine.
  virtual void Cancel(TimerId id) = 0;

  // The clock that After counts on.
  virtual uint64_t NowNs() const = 0;

  // Connects to `address` (host:port); every address that a name has is tried in turn. `done` runs
  // once, inside a later RunOnce: a stream, or null and why not. `options` outlives the attempt.
  using ConnectDone = std::move_only_function<void(std::unique_ptr<Stream>, ConnectFailure)>;
  virtual std::unique_ptr<Connecting> Connect(const TcpOptions& options, const std::string& address,
                                              ConnectDone done) = 0;

  // Errors as TcpTransport::Open. `options` outlives it.
  using Accepted = std::move_only_function<void(std::unique_ptr<Stream>)>;
  virtual Result<std::unique_ptr<Listening>> Listen(const TcpOptions& options,
                                                    Accepted accepted) = 0;

  static constexpr size_t kCallbacksPerRunMax = 256;
};

}  // namespace arima::transport
