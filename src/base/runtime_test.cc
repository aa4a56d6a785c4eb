#include "base/runtime.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "base/thread.h"

namespace arima {
namespace {

// Notes what it is asked for; its threads run when they are joined.
class NotingRuntime final : public Runtime {
 public:
  NotingRuntime() { Install(this); }
  ~NotingRuntime() override { Install(nullptr); }

  ThreadId StartThread(std::move_only_function<void()> body) override {
    bodies_.push_back(std::move(body));
    return bodies_.size();
  }
  void JoinThread(ThreadId id) override { bodies_[id - 1](); }
  bool Died(ThreadId) const override { return died; }
  void Lock(Mutex* mutex) override NO_THREAD_SAFETY_ANALYSIS {
    ASSERT_TRUE(mutex->TryLock());
    calls.push_back("lock");
  }
  void Unlocked(Mutex*) override { calls.push_back("unlocked"); }
  bool Wait(const void*, Mutex*, uint64_t timeout_ns) override {
    calls.push_back(timeout_ns == kForever ? "wait" : "wait " + std::to_string(timeout_ns));
    return false;
  }
  void Notify(const void*, bool all) override { calls.push_back(all ? "all" : "one"); }
  uint64_t Random64() override { return 7; }

  bool died = false;
  std::vector<std::string> calls;

 private:
  std::vector<std::move_only_function<void()>> bodies_;
};

TEST(Runtime, StandsUnderThreadsLocksAndChance) {
  NotingRuntime runtime;
  bool ran = false;
  Thread thread([&] { ran = true; });
  EXPECT_TRUE(thread.joinable());
  EXPECT_FALSE(ran);
  thread.Join();
  EXPECT_TRUE(ran);
  Mutex mutex;
  CondVar changed;
  {
    MutexLock lock(&mutex);
    changed.Wait(&mutex);
    EXPECT_FALSE(changed.WaitFor(&mutex, std::chrono::microseconds(3)));
  }
  changed.NotifyOne();
  changed.NotifyAll();
  const std::vector<std::string> expected = {"lock", "wait", "wait 3000", "unlocked", "one", "all"};
  EXPECT_EQ(runtime.calls, expected);
  EXPECT_EQ(SystemRandom64(), 7u);
  EXPECT_EQ(SystemRandomUuid().bytes[8], 7);
}

TEST(Runtime, AThreadThatDiedWithItsProcessNeedNotBeJoined) {
  NotingRuntime runtime;
  Thread thread([] {});
  runtime.died = true;
  EXPECT_FALSE(thread.joinable());
}

TEST(Runtime, OtherThreadsOfTheSystemHaveNone) {
  std::function<Runtime*()> of_another = [] {
    Runtime* seen = nullptr;
    Thread thread([&] { seen = Runtime::Current(); });
    thread.Join();
    return seen;
  };
  EXPECT_EQ(of_another(), nullptr);
}

}  // namespace
}  // namespace arima
