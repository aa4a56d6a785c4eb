// Scheduler: the runtime of simulated processes (base/runtime.h). Their threads are fibers on one
// thread; which of those that can run runs next is drawn from the seed, and virtual time goes on
// only when none can. The same seed and the same calls give the same run.
//
// A process can be killed at any moment between two events. Each of its fibers, the youngest first,
// then goes on to the next place where it waits or touches a disk (KillPoint), and is unwound from
// there by an exception that nothing catches; what it does until then, nobody outside sees. Locks
// are no such places: no lock is held across a wait (asserted), so none is ever waited for, and
// fibers are sometimes put back before they take their first one.
//
// Thread rule: one thread. "Outside": in an event or in the code that runs the scheduler; "inside":
// in a fiber. Units: nanoseconds of virtual time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "base/runtime.h"
#include "sim/event_heap.h"
#include "sim/mix.h"
#include "sim/verdict.h"
#include "simserver/fiber.h"

namespace arima::simserver {

using ProcessId = uint32_t;

struct SchedulerOptions {
  uint64_t seed = 1;
  uint32_t preempt_permille = 0;  // of first locks: somebody else goes first
  uint32_t late_permille = 0;     // of wakes: it takes up to late_ns_max
  uint64_t late_ns_max = 0;
  uint32_t weight_max = 1;  // fibers are up to so much more likely to go first than others
};

class Scheduler final : public Runtime {
 public:
  // Installs itself as the runtime of this thread; `verdict` outlives it.
  Scheduler(const SchedulerOptions& options, sim::Verdict* verdict);
  // No process is alive any more (asserted).
  ~Scheduler() override;

  uint64_t now_ns() const { return now_ns_; }
  uint64_t events() const { return events_; }
  // Of all events, all switches between fibers, and what others mix in.
  uint64_t digest() const { return digest_; }
  // What it was after each sim::kDigestEvery events.
  const std::vector<uint64_t>& digests() const { return digests_; }
  void Mix(uint64_t value) { digest_ = sim::Mix(digest_, value); }

  // Runs `task` outside, `delay_ns` from now. From anywhere.
  using Task = std::move_only_function<void()>;
  void After(uint64_t delay_ns, Task task);

  // Forgets what is still to come, at the end of a run.
  void DropEvents();

  // Outside: runs fibers and events until `done` says so, or time is over, or the verdict is
  // spoken, or nothing is left to do. True: `done` said so.
  bool RunUntil(uint64_t end_ns, const std::function<bool()>& done);

  // `died` is called outside, after the last fiber of a process that ended itself by ExitProcess.
  ProcessId StartProcess(std::move_only_function<void()> main, std::function<void()> died);
  // Outside. Returns when all of its fibers are gone; `died` is not called.
  void Kill(ProcessId process);
  // A process whose fibers have all ended by themselves.
  bool HasEnded(ProcessId process) const;
  void Pause(ProcessId process);
  void Continue(ProcessId process);
  // Inside: the process dies here and now.
  [[noreturn]] void ExitProcess();
  // Inside: ends this fiber if its process was killed.
  void KillPoint();
  // The process of the running fiber was killed, or none runs: what is asked of the outside is not
  // to be done.
  bool Dying() const { return current_ != nullptr && current_->dying; }

  // Inside: waits to be woken by WakeAll(key), which nobody does with null. False: the time was
  // over.
  bool Park(const void* key, uint64_t timeout_ns);
  // From anywhere.
  void WakeAll(const void* key) { Notify(key, /*all=*/true); }

  // --- Runtime
  ThreadId StartThread(std::move_only_function<void()> body) override;
  void JoinThread(ThreadId id) override;
  bool Died(ThreadId id) const override;
  void Lock(Mutex* mutex) override NO_THREAD_SAFETY_ANALYSIS;
  void Unlocked(Mutex* mutex) override;
  bool Wait(const void* condition, Mutex* mutex,
            uint64_t timeout_ns) override NO_THREAD_SAFETY_ANALYSIS;
  void Notify(const void* condition, bool all) override;
  uint64_t Random64() override;

  size_t fibers() const { return threads_.size(); }

 private:
  struct Killed {};
  enum class State : uint8_t { kReady, kParked, kLate, kRunning, kStopped };
  struct Thread {
    ThreadId id = 0;
    ProcessId process = 0;
    uint32_t weight = 1;
    State state = State::kReady;
    const void* key = nullptr;  // parked on it
    uint64_t wait = 0;          // counts waits: an older timer says nothing
    bool in_time = false;       // how the last wait ended
    uint32_t locks = 0;         // held
    ThreadId joining = 0;       // waits for its end
    bool dying = false;
    bool unwinding = false;
    std::unique_ptr<Fiber> fiber;
  };
  struct Process {
    bool alive = true;
    bool paused = false;
    size_t threads = 0;
    SeededRandom random{0};
    std::function<void()> died;
    std::vector<Thread*> stopped;  // could run, but the process is paused
  };
  struct Event {
    ThreadId thread = 0;  // 0: a task
    uint64_t wait = 0;
    uint32_t slot = 0;
  };

  void CountEvent(uint64_t value);
  ThreadId Spawn(ProcessId process, std::move_only_function<void()> body);
  void RunFiber(Thread* thread);
  Thread* PickReady();
  void MakeReady(Thread* thread, bool in_time);
  void Enqueue(Thread* thread);
  void OnEvent(const Event& event);
  void Unpark(Thread* thread);
  void KillThreads(ProcessId process);
  void Exit(ProcessId process);
  // Suspends the running fiber until somebody makes it ready.
  bool Suspend(const void* key, uint64_t timeout_ns);

  const SchedulerOptions options_;
  sim::Verdict& verdict_;
  SeededRandom random_;
  uint64_t now_ns_ = 1'000'000'000;
  uint64_t events_ = 0;
  uint64_t digest_ = 0;
  std::vector<uint64_t> digests_;
  uint64_t steps_at_this_time_ = 0;
  sim::EventHeap<Event> heap_;
  sim::SlotPool<Task> tasks_;
  std::map<ThreadId, std::unique_ptr<Thread>> threads_;
  std::vector<Process> processes_;
  std::vector<Thread*> ready_;
  std::unordered_map<const void*, std::vector<Thread*>> parked_;  // looked up, never walked
  Thread* current_ = nullptr;
  ProcessId exiting_ = UINT32_MAX;
  uint32_t next_thread_ = 1;
};

}  // namespace arima::simserver
