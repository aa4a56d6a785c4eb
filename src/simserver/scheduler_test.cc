#include "simserver/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "base/notification.h"
#include "base/thread.h"
#include "sim/swarm.h"

namespace arima::simserver {
namespace {

using sim::kMillisecond;
using std::chrono::milliseconds;

constexpr uint64_t kLongNs = 1000 * kMillisecond;

// Says when it goes, as what lies on a stack does.
struct Going {
  Going(std::vector<std::string>* to, std::string text) : list(to), name(std::move(text)) {}
  ~Going() { list->push_back(name); }
  Going(const Going&) = delete;
  Going& operator=(const Going&) = delete;
  std::vector<std::string>* list;
  std::string name;
};

// Virtual time goes by for the calling fiber.
void Pass(uint64_t ns) { static_cast<Scheduler*>(Runtime::Current())->Park(nullptr, ns); }

struct Fixture {
  explicit Fixture(uint64_t seed = 1, uint32_t preempt_permille = 0)
      : scheduler({.seed = seed, .preempt_permille = preempt_permille, .weight_max = 4}, &verdict) {
  }
  void RunFor(uint64_t ns) {
    scheduler.RunUntil(scheduler.now_ns() + ns, [] { return false; });
  }
  sim::Verdict verdict;
  Scheduler scheduler;
};

TEST(Scheduler, TimePassesOnlyWhenNobodyCanRun) {
  Fixture fixture;
  const uint64_t begin_ns = fixture.scheduler.now_ns();
  uint64_t slept_ns = 0;
  fixture.scheduler.StartProcess(
      [&] {
        for (int i = 0; i < 1000; ++i) {
          Mutex mutex;
          MutexLock lock(&mutex);
        }
        EXPECT_EQ(fixture.scheduler.now_ns(), begin_ns);
        Pass(7 * kMillisecond);
        slept_ns = fixture.scheduler.now_ns() - begin_ns;
      },
      nullptr);
  fixture.RunFor(kLongNs);
  EXPECT_EQ(slept_ns, 7 * kMillisecond);
}

TEST(Scheduler, WaitsEndByWakesAndByTime) {
  Fixture fixture;
  bool in_time = false;
  bool late = true;
  fixture.scheduler.StartProcess(
      [&] {
        auto soon = std::make_shared<Notification>();
        Notification never;
        Thread other([soon] {
          Pass(5 * kMillisecond);
          soon->Notify();
        });
        in_time = soon->WaitFor(milliseconds(10));
        late = never.WaitFor(milliseconds(10));
        other.Join();
      },
      nullptr);
  fixture.RunFor(kLongNs);
  EXPECT_TRUE(in_time);
  EXPECT_FALSE(late);
}

// What three producers bring to one consumer, in the order of its coming.
std::string OrderOf(uint64_t seed, uint64_t* digest) {
  Fixture fixture(seed, 300);
  std::string order;
  fixture.scheduler.StartProcess(
      [&] {
        BoundedQueue<char> queue(1000);
        std::vector<Thread> producers;
        for (const char name : {'a', 'b', 'c'}) {
          producers.emplace_back([&queue, name] {
            for (int i = 0; i < 5; ++i) {
              EXPECT_TRUE(queue.Push(char{name}));
              Pass(1 * kMillisecond);
            }
          });
        }
        while (order.size() < 15) {
          for (const char item : queue.PopAll()) order += item;
        }
        for (Thread& producer : producers) producer.Join();
      },
      nullptr);
  fixture.RunFor(kLongNs);
  *digest = fixture.scheduler.digest();
  return order;
}

TEST(Scheduler, TheSeedAloneDecidesWhoGoesFirst) {
  bool differs = false;
  uint64_t first_digest = 0;
  const std::string first = OrderOf(1, &first_digest);
  for (uint64_t seed = 1; seed < 10; ++seed) {
    uint64_t digest = 0;
    uint64_t again = 0;
    const std::string order = OrderOf(seed, &digest);
    EXPECT_EQ(OrderOf(seed, &again), order);
    EXPECT_EQ(digest, again);
    differs |= order != first;
  }
  EXPECT_TRUE(differs);
}

TEST(Scheduler, AKilledProcessGoesFromItsYoungestThreadToItsOldest) {
  Fixture fixture;
  std::vector<std::string> gone;
  bool went_on = false;
  const ProcessId process = fixture.scheduler.StartProcess(
      [&] {
        Going main(&gone, "main");
        Thread child([&] {
          Going on_stack(&gone, "child");
          Mutex mutex;
          CondVar never;
          MutexLock lock(&mutex);
          never.Wait(&mutex);
          went_on = true;
        });
        Pass(100'000 * kMillisecond);
        went_on = true;
      },
      nullptr);
  fixture.RunFor(kLongNs);
  EXPECT_TRUE(gone.empty());
  fixture.scheduler.Kill(process);
  const std::vector<std::string> expected = {"child", "main"};
  EXPECT_EQ(gone, expected);
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(fixture.scheduler.HasEnded(process));
}

// As an engine does that joins its thread when it is destroyed.
struct Owner {
  Owner() {
    thread = Thread([this] {
      MutexLock lock(&mutex);
      while (!stopping) changed.Wait(&mutex);
      SleepAfter();
    });
  }
  void SleepAfter() { ended = true; }
  ~Owner() {
    {
      MutexLock lock(&mutex);
      stopping = true;
    }
    changed.NotifyAll();
    if (thread.joinable()) thread.Join();
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  Mutex mutex;
  CondVar changed;
  bool stopping = false;
  bool ended = false;
  Thread thread;
};

TEST(Scheduler, AKillAtAnyMomentMeetsNoDestructorThatJoins) {
  for (uint64_t seed = 1; seed < 200; ++seed) {
    Fixture fixture(seed, 500);
    const ProcessId process = fixture.scheduler.StartProcess(
        [&] {
          while (true) {
            Owner owner;
            Pass(1000);
          }
        },
        nullptr);
    fixture.RunFor(seed * 100);
    fixture.scheduler.Kill(process);
    EXPECT_TRUE(fixture.scheduler.HasEnded(process));
  }
}

TEST(Scheduler, WhoJoinsAnOlderThreadGoesAfterIt) {
  Fixture fixture;
  std::vector<std::string> gone;
  const ProcessId process = fixture.scheduler.StartProcess(
      [&] {
        Thread older([&] {
          Going on_stack(&gone, "older");
          Pass(100'000 * kMillisecond);
        });
        Thread younger([&] {
          Going on_stack(&gone, "younger");
          older.Join();
        });
        Pass(100'000 * kMillisecond);
      },
      nullptr);
  fixture.RunFor(kLongNs);
  fixture.scheduler.Kill(process);
  const std::vector<std::string> expected = {"older", "younger"};
  EXPECT_EQ(gone, expected);
}

TEST(Scheduler, AProcessMayEndItself) {
  Fixture fixture;
  std::vector<std::string> gone;
  bool died = false;
  fixture.scheduler.StartProcess(
      [&] {
        Going main(&gone, "main");
        Thread child([&] {
          Going on_stack(&gone, "child");
          fixture.scheduler.ExitProcess();
        });
        Pass(100'000 * kMillisecond);
      },
      [&] { died = true; });
  fixture.RunFor(kLongNs);
  EXPECT_TRUE(died);
  const std::vector<std::string> expected = {"child", "main"};
  EXPECT_EQ(gone, expected);
}

TEST(Scheduler, APausedProcessGoesOnWhereItWas) {
  Fixture fixture;
  int rounds = 0;
  const ProcessId process = fixture.scheduler.StartProcess(
      [&] {
        for (; rounds < 100; ++rounds) Pass(1 * kMillisecond);
      },
      nullptr);
  fixture.RunFor(10 * kMillisecond);
  const int before = rounds;
  fixture.scheduler.Pause(process);
  fixture.RunFor(50 * kMillisecond);
  EXPECT_EQ(rounds, before);
  fixture.scheduler.Continue(process);
  fixture.RunFor(kLongNs);
  EXPECT_EQ(rounds, 100);
}

TEST(Scheduler, WhoTurnsInCirclesIsFound) {
  Fixture fixture;
  const ProcessId process = fixture.scheduler.StartProcess(
      [] {
        while (true) Pass(0);
      },
      nullptr);
  fixture.RunFor(kMillisecond);
  EXPECT_NE(fixture.verdict.text().find("time stands still"), std::string::npos);
  fixture.scheduler.Kill(process);
}

}  // namespace
}  // namespace arima::simserver
