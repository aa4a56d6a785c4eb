// Fiber: a flow of control with a stack of its own, on the thread of whoever resumes it.
//
// The only use of Boost.Context, and of what the sanitizers must be told about stacks. One thread.
#pragma once

#include <functional>
#include <memory>

namespace arima::simserver {

class Fiber {
 public:
  // `body` runs from the first Resume on, and may let no exception out.
  explicit Fiber(std::move_only_function<void()> body);
  // It has ended, or was never resumed (asserted).
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs it until it suspends itself or ends. Not from within a fiber.
  void Resume();
  // From within it: back to whoever resumed it, until the next Resume.
  void Suspend();
  bool ended() const { return ended_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  bool ended_ = false;
};

}  // namespace arima::simserver
