// Thread: the only way to a thread in the folders that the simulator runs; base/runtime.h stands
// behind it there.
#pragma once

#include <functional>
#include <thread>

#include "base/runtime.h"

namespace arima {

// As std::thread. Thread rule: one owner.
class Thread {
 public:
  Thread() = default;
  explicit Thread(std::move_only_function<void()> body);
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;  // this one is not joinable (asserted)
  ~Thread();                                   // likewise

  // Started and not joined yet; false after its simulated process died.
  bool joinable() const;
  void Join();

 private:
  std::thread thread_;
  Runtime::ThreadId id_ = 0;  // of a runtime's thread
};

}  // namespace arima
