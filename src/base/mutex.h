// Mutex, MutexLock and CondVar with clang's thread-safety annotations: a field marked
// GUARDED_BY(mutex_) cannot be touched without the lock in the clang build.
#pragma once

#include <condition_variable>
#include <mutex>

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
#define RELEASE(...) ARIMA_TS(release_capability(__VA_ARGS__))
#define EXCLUDES(...) ARIMA_TS(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS ARIMA_TS(no_thread_safety_analysis)

namespace arima {

class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }

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
    std::unique_lock lock(mutex->mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when the time is over.
  template <class Duration>
  bool WaitFor(Mutex* mutex, Duration duration) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(mutex->mutex_, std::adopt_lock);
    bool in_time = condition_.wait_for(lock, duration) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace arima
