#include "base/thread.h"

#include <utility>

#include "base/assert.h"

namespace arima {

Thread::Thread(std::move_only_function<void()> body) {
  if (Runtime* runtime = Runtime::Current()) {
    id_ = runtime->StartThread(std::move(body));
  } else {
    thread_ = std::thread(std::move(body));
  }
}

Thread::Thread(Thread&& other) noexcept
    : thread_(std::move(other.thread_)), id_(std::exchange(other.id_, 0)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  ARIMA_ASSERT(!joinable());
  thread_ = std::move(other.thread_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

Thread::~Thread() { ARIMA_ASSERT(!joinable()); }

bool Thread::joinable() const {
  if (id_ == 0) return thread_.joinable();
  Runtime* runtime = Runtime::Current();
  return runtime != nullptr && !runtime->Died(id_);
}

void Thread::Join() {
  if (id_ == 0) return thread_.join();
  const Runtime::ThreadId id = std::exchange(id_, 0);
  Runtime::Current()->JoinThread(id);
}

}  // namespace arima
