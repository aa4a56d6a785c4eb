// Mutex, MutexLock and CondVar with clang's thread-safety annotations: a field marked
// GUARDED_BY(mutex_) cannot be touched without the lock in the clang build. In the simulator a
// base/runtime.h decides who waits; otherwise it costs them one branch.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/runtime.h"

#if defined(__clang__)
#define ARIMA_TS(x) __attribute__((x))
#else
#define ARIMA_TS(x)
#endif
#define CAPABILITY(x) ARIMA_TS(capability(x))
#define SCOPED_CAPABILITY ARIMA_TS(scoped_lockable)
#define GUARDED_BY(x) ARIMA_TS(guarded_by(x))
#define REQUIRES(...) ARIMA_TS(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) ARIMA_TS(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) ARIMA_TS(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) ARIMA_TS(release_capability(__VA_ARGS__))
#define EXCLUDES(...) ARIMA_TS(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS ARIMA_TS(no_thread_safety_analysis)

namespace arima {

class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() {
    if (Runtime* runtime = Runtime::Current(); runtime != nullptr) [[unlikely]] {
      return runtime->Lock(this);
    }
    mutex_.lock();
  }
  bool TryLock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void Unlock() RELEASE() {
    mutex_.unlock();
    if (Runtime* runtime = Runtime::Current(); runtime != nullptr) [[unlikely]] {
      runtime->Unlocked(this);
    }
  }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ACQUIRE(mutex) : mutex_(*mutex) { mutex_.Lock(); }
  ~MutexLock() RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  // The caller holds `mutex`; wakes may be spurious, so wait in a loop on the condition.
  void Wait(Mutex* mutex) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    if (Runtime* runtime = Runtime::Current(); runtime != nullptr) [[unlikely]] {
      runtime->Wait(this, mutex, Runtime::kForever);
      return;
    }
    std::unique_lock lock(mutex->mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when the time is over.
  template <class Duration>
  bool WaitFor(Mutex* mutex, Duration duration) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    if (Runtime* runtime = Runtime::Current(); runtime != nullptr) [[unlikely]] {
      const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
      return runtime->Wait(this, mutex, ns > 0 ? static_cast<uint64_t>(ns) : 0);
    }
    std::unique_lock lock(mutex->mutex_, std::adopt_lock);
    bool in_time = condition_.wait_for(lock, duration) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { Notify(/*all=*/false); }
  void NotifyAll() { Notify(/*all=*/true); }

 private:
  void Notify(bool all) {
    if (Runtime* runtime = Runtime::Current(); runtime != nullptr) [[unlikely]] {
      return runtime->Notify(this, all);
    }
    all ? condition_.notify_all() : condition_.notify_one();
  }

  std::condition_variable condition_;
};

}  // namespace arima
