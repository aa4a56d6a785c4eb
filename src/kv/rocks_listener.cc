#include "kv/rocks_listener.h"

namespace arima::kv {
namespace {

EngineState StateOf(Code code) {
  switch (code) {
    case Code::kDiskFull:
      return EngineState::kNoSpace;
    case Code::kCorruption:
      return EngineState::kCorruption;
    default:
      return EngineState::kFailed;
  }
}

}  // namespace

EngineHealth RocksListener::health() const {
  MutexLock lock(&mutex_);
  return health_;
}

// The first error stands: later ones tend to be its consequences. A full disk gives way to anything
// worse, because it is the only one that can be left again.
void RocksListener::Note(const Error& error) {
  EngineState state = StateOf(error.code);
  {
    MutexLock lock(&mutex_);
    bool replace = health_.state == EngineState::kOk ||
                   (health_.state == EngineState::kNoSpace && state != EngineState::kNoSpace);
    if (!replace) return;
    health_ = {.state = state, .error = error};
    failed_.store(true, std::memory_order_release);
  }
  tracker_.Wake();  // a flush that somebody waits for may never be reported now
}

void RocksListener::WaitForStallChange(std::chrono::milliseconds timeout) {
  MutexLock lock(&mutex_);
  stall_changed_.WaitFor(&mutex_, timeout);
}

void RocksListener::Clear() {
  MutexLock lock(&mutex_);
  health_ = {};
  failed_.store(false, std::memory_order_release);
}

}  // namespace arima::kv
