// Runtime: what Thread, Mutex, CondVar and SystemRandom64 stand on in place of the
// operating system. There is none in production; the simulator brings one that runs each thread as
// a fiber, in virtual time, with chance from a seed (src/simserver).
//
// Thread rule: a runtime serves the one thread of the operating system that installed it. All its
// functions are called by fibers or by whoever drives them, never by two at once.
// Units: nanoseconds.
#pragma once

#include <cstdint>
#include <functional>

namespace arima {

class Mutex;

class Runtime {
 public:
  using ThreadId = uint64_t;  // 0: none
  static constexpr uint64_t kForever = UINT64_MAX;

  virtual ~Runtime() = default;

  // Of the calling thread; null: the operating system.
  static Runtime* Current() { return current_; }
  // Null takes it away.
  static void Install(Runtime* runtime) { current_ = runtime; }

  virtual ThreadId StartThread(std::move_only_function<void()> body) = 0;
  // Returns when it has ended.
  virtual void JoinThread(ThreadId id) = 0;
  // The simulated process that it belonged to has died, and it with that: nobody need join it.
  virtual bool Died(ThreadId id) const = 0;

  // Returns when the caller holds it, by Mutex::TryLock.
  virtual void Lock(Mutex* mutex) = 0;
  // Has just been unlocked.
  virtual void Unlocked(Mutex* mutex) = 0;

  // As a condition variable does: the caller holds `mutex`, which it does not meanwhile. False: the
  // time is over. `condition` is only a name.
  virtual bool Wait(const void* condition, Mutex* mutex, uint64_t timeout_ns) = 0;
  virtual void Notify(const void* condition, bool all) = 0;

  virtual uint64_t Random64() = 0;

 private:
  static inline constinit thread_local Runtime* current_ = nullptr;
};

}  // namespace arima
