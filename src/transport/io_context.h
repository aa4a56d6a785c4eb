// IoLoop: the one event loop of a thread that owns sockets and timers (the core thread).
//
// The owner drives it, nothing runs behind its back:
//
//   while (running) {
//     loop.RunOnce(ns_until_next_tick);   // callbacks of sockets and timers run in here
//     raft_loop.Process();
//   }
//
// Thread rule: one owner thread calls everything, except Wake and Post, which any thread may call
// until the loop is destroyed. Callbacks run only inside RunOnce, on the owner thread.
// Times are nanoseconds of the machine's steady clock. No call fails.
//
// Host names are looked up by a helper thread that belongs to the loop; the destructor waits for a
// lookup that is under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace arima::transport {

class IoLoop {
 public:
  using Task = std::move_only_function<void()>;

  IoLoop();
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  // Waits up to `max_wait_ns` for something to do, then runs what is ready, at most
  // kCallbacksPerRunMax callbacks, so that a busy peer cannot keep the owner from its ticks.
  // Returns how many ran; 0: the time was over. 0 ns: does not wait.
  size_t RunOnce(uint64_t max_wait_ns);

  // Ends the wait of the current or, if none is under way, of the next RunOnce. Many calls before
  // that cost one system call. What the caller did before Wake is visible after that RunOnce.
  void Wake();

  // Runs `task` inside a later RunOnce, in order of posting.
  void Post(Task task);

  // Runs `task` once, `delay_ns` from now or a little later. The id is never 0 and never reused.
  using TimerId = uint64_t;
  TimerId After(uint64_t delay_ns, Task task);
  // After this the task does not run any more. Ids that are over, or 0, are fine.
  void Cancel(TimerId id);

  // Steady clock, the one that After counts on.
  uint64_t NowNs() const;

  static constexpr size_t kCallbacksPerRunMax = 256;

  // The Asio side, for the .cc files of this folder (transport/asio_loop.h).
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::transport
