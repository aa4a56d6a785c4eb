#include "simserver/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/mutex.h"
#include "sim/simulator.h"

namespace arima::simserver {
namespace {

// More than any run does between two moments: somebody turns in circles.
constexpr uint64_t kStepsAtOneTimeMax = 2'000'000;

uint64_t Join(ProcessId process, uint32_t number) {
  return (static_cast<uint64_t>(process) + 1) << 32 | number;
}
ProcessId ProcessOf(Runtime::ThreadId id) { return static_cast<ProcessId>((id >> 32) - 1); }

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, sim::Verdict* verdict)
    : options_(options), verdict_(*verdict), random_(options.seed) {
  ARIMA_ASSERT(Runtime::Current() == nullptr);
  Runtime::Install(this);
}

Scheduler::~Scheduler() {
  ARIMA_ASSERT(threads_.empty(), threads_.size());
  Runtime::Install(nullptr);
}

void Scheduler::CountEvent(uint64_t value) {
  Mix(value);
  if (++events_ % sim::kDigestEvery == 0) digests_.push_back(digest_);
}

void Scheduler::After(uint64_t delay_ns, Task task) {
  heap_.Push(now_ns_ + delay_ns, {0, 0, tasks_.Put(std::move(task))});
}

void Scheduler::DropEvents() {
  while (!heap_.empty()) {
    const Event event = heap_.Pop().second;
    if (event.thread == 0) (void)tasks_.Take(event.slot);
  }
}

// ---------------------------------------------------------------- the loop

bool Scheduler::RunUntil(uint64_t end_ns, const std::function<bool()>& done) {
  ARIMA_ASSERT(current_ == nullptr);
  while (verdict_.ok()) {
    if (exiting_ != UINT32_MAX) Exit(std::exchange(exiting_, UINT32_MAX));
    if (++steps_at_this_time_ > kStepsAtOneTimeMax) {
      verdict_.Fail("liveness", "virtual time stands still");
      return false;
    }
    if (Thread* thread = PickReady()) {
      RunFiber(thread);
      continue;
    }
    if (done()) return true;
    if (heap_.empty() || heap_.NextTime() > end_ns) {
      now_ns_ = std::max(now_ns_, end_ns);
      return false;
    }
    if (heap_.NextTime() > now_ns_) steps_at_this_time_ = 0;
    auto [time_ns, event] = heap_.Pop();
    now_ns_ = std::max(now_ns_, time_ns);
    OnEvent(event);
  }
  return false;
}

void Scheduler::OnEvent(const Event& event) {
  if (event.thread == 0) {
    CountEvent(now_ns_);
    tasks_.Take(event.slot)();
    return;
  }
  auto found = threads_.find(event.thread);
  if (found == threads_.end() || found->second->wait != event.wait) return;
  Thread* thread = found->second.get();
  if (thread->state == State::kLate) return Enqueue(thread);
  if (thread->state != State::kParked) return;
  Unpark(thread);
  MakeReady(thread, /*in_time=*/false);
}

Scheduler::Thread* Scheduler::PickReady() {
  if (ready_.empty()) return nullptr;
  size_t chosen = 0;
  if (ready_.size() > 1) {
    uint64_t sum = 0;
    for (const Thread* thread : ready_) sum += thread->weight;
    uint64_t ticket = random_.Below(sum);
    while (ticket >= ready_[chosen]->weight) ticket -= ready_[chosen++]->weight;
  }
  Thread* thread = ready_[chosen];
  ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(chosen));
  return thread;
}

void Scheduler::RunFiber(Thread* thread) {
  ARIMA_ASSERT(current_ == nullptr);
  CountEvent(now_ns_ ^ thread->id);
  thread->state = State::kRunning;
  current_ = thread;
  thread->fiber->Resume();
  current_ = nullptr;
  if (!thread->fiber->ended()) return;
  Process& process = processes_[thread->process];
  --process.threads;
  Notify(thread, /*all=*/true);  // whoever joins it
  threads_.erase(thread->id);
}

void Scheduler::MakeReady(Thread* thread, bool in_time) {
  thread->in_time = in_time;
  ++thread->wait;
  if (options_.late_permille > 0 && !thread->dying &&
      random_.Below(1000) < options_.late_permille) {
    thread->state = State::kLate;
    heap_.Push(now_ns_ + random_.Below(options_.late_ns_max + 1), {thread->id, thread->wait, 0});
    return;
  }
  Enqueue(thread);
}

void Scheduler::Enqueue(Thread* thread) {
  Process& process = processes_[thread->process];
  if (process.paused) {
    thread->state = State::kStopped;
    process.stopped.push_back(thread);
    return;
  }
  thread->state = State::kReady;
  ready_.push_back(thread);
}

// ---------------------------------------------------------------- waiting

bool Scheduler::Suspend(const void* key, uint64_t timeout_ns) {
  Thread* self = current_;
  self->key = key;
  self->state = State::kParked;
  if (key != nullptr) parked_[key].push_back(self);
  if (timeout_ns != kForever) {
    heap_.Push(now_ns_ + timeout_ns, {self->id, self->wait, 0});
  }
  self->fiber->Suspend();
  return self->in_time;
}

void Scheduler::Unpark(Thread* thread) {
  const void* key = std::exchange(thread->key, nullptr);
  if (key == nullptr) return;
  auto place = parked_.find(key);
  std::erase(place->second, thread);
  if (place->second.empty()) parked_.erase(place);
}

void Scheduler::KillPoint() {
  if (current_ == nullptr || !current_->dying || current_->unwinding) return;
  current_->unwinding = true;
  throw Killed();
}

bool Scheduler::Park(const void* key, uint64_t timeout_ns) {
  ARIMA_ASSERT(current_ != nullptr);
  KillPoint();
  if (current_->unwinding) return false;
  ARIMA_ASSERT(current_->locks == 0, current_->locks);
  const bool in_time = Suspend(key, timeout_ns);
  KillPoint();
  return in_time;
}

void Scheduler::Lock(Mutex* mutex) {
  Thread* self = current_;
  const bool may_yield = self != nullptr && !self->dying && self->locks == 0;
  if (may_yield && options_.preempt_permille > 0 &&
      random_.Below(1000) < options_.preempt_permille) {
    self->in_time = true;
    ++self->wait;
    Enqueue(self);
    self->fiber->Suspend();
  }
  const bool got = mutex->TryLock();
  ARIMA_ASSERT(got);  // else somebody waits while holding it
  if (self != nullptr) ++self->locks;
}

void Scheduler::Unlocked(Mutex*) {
  if (current_ != nullptr) --current_->locks;
}

bool Scheduler::Wait(const void* condition, Mutex* mutex, uint64_t timeout_ns) {
  ARIMA_ASSERT(current_ != nullptr);
  KillPoint();
  if (current_->unwinding) return false;
  ARIMA_ASSERT(current_->locks == 1, current_->locks);
  mutex->Unlock();
  const bool in_time = Suspend(condition, timeout_ns);
  const bool got = mutex->TryLock();
  ARIMA_ASSERT(got);
  ++current_->locks;
  KillPoint();
  return in_time;
}

void Scheduler::Notify(const void* condition, bool all) {
  auto place = parked_.find(condition);
  if (place == parked_.end()) return;
  std::vector<Thread*> woken;
  if (all || place->second.size() == 1) {
    woken = std::move(place->second);
    parked_.erase(place);
  } else {
    const size_t chosen = random_.Below(place->second.size());
    woken = {place->second[chosen]};
    place->second.erase(place->second.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  for (Thread* thread : woken) {
    thread->key = nullptr;
    MakeReady(thread, /*in_time=*/true);
  }
}

// ---------------------------------------------------------------- threads and processes

Runtime::ThreadId Scheduler::Spawn(ProcessId process, std::move_only_function<void()> body) {
  auto thread = std::make_unique<Thread>();
  thread->id = Join(process, next_thread_++);
  thread->process = process;
  thread->weight = static_cast<uint32_t>(random_.Between(1, options_.weight_max));
  thread->fiber = std::make_unique<Fiber>([run = std::move(body)]() mutable {
    try {
      run();
    } catch (const Killed&) {
    }
  });
  ++processes_[process].threads;
  Thread* place = thread.get();
  threads_.emplace(place->id, std::move(thread));
  Enqueue(place);
  return place->id;
}

ProcessId Scheduler::StartProcess(std::move_only_function<void()> main,
                                  std::function<void()> died) {
  const auto process = static_cast<ProcessId>(processes_.size());
  processes_.emplace_back();
  processes_.back().random = SeededRandom(random_.Next());
  processes_.back().died = std::move(died);
  Spawn(process, std::move(main));
  return process;
}

Runtime::ThreadId Scheduler::StartThread(std::move_only_function<void()> body) {
  ARIMA_ASSERT(current_ != nullptr);
  KillPoint();
  return Spawn(current_->process, std::move(body));
}

// Not a kill point, because destructors join too: when a process dies, whoever joins goes after
// whom it waits for.
void Scheduler::JoinThread(ThreadId id) {
  while (true) {
    auto found = threads_.find(id);
    if (found == threads_.end()) return;
    ARIMA_ASSERT(current_ != nullptr && current_->locks == 0);
    current_->joining = id;
    Suspend(found->second.get(), kForever);
    current_->joining = 0;
  }
}

bool Scheduler::Died(ThreadId id) const { return !processes_[ProcessOf(id)].alive; }

bool Scheduler::HasEnded(ProcessId process) const { return processes_[process].threads == 0; }

void Scheduler::KillThreads(ProcessId process) {
  ARIMA_ASSERT(current_ == nullptr);
  processes_[process].alive = false;
  processes_[process].paused = false;
  processes_[process].stopped.clear();
  std::vector<Thread*> doomed;
  for (auto at = threads_.lower_bound(Join(process, 0));
       at != threads_.end() && ProcessOf(at->first) == process; ++at) {
    doomed.push_back(at->second.get());
    at->second->dying = true;
  }
  std::erase_if(ready_, [&](const Thread* thread) { return thread->process == process; });
  while (!doomed.empty()) {
    auto next = std::find_if(doomed.rbegin(), doomed.rend(), [&](const Thread* thread) {
      return thread->joining == 0 || !threads_.contains(thread->joining);
    });
    ARIMA_ASSERT(next != doomed.rend());
    Thread* thread = *next;
    if (thread->state == State::kParked) Unpark(thread);
    thread->in_time = true;
    const ThreadId id = thread->id;
    RunFiber(thread);
    // It may have come to wait for another one's end.
    if (!threads_.contains(id)) std::erase(doomed, thread);
    // What it woke on its way is doomed as well.
    std::erase_if(ready_, [&](const Thread* woken) { return woken->process == process; });
  }
}

void Scheduler::Kill(ProcessId process) {
  if (exiting_ == process) exiting_ = UINT32_MAX;
  KillThreads(process);
}

void Scheduler::Exit(ProcessId process) {
  KillThreads(process);
  if (processes_[process].died) processes_[process].died();
}

// Its other fibers, which are younger than what they use of this one, must go first.
void Scheduler::ExitProcess() {
  ARIMA_ASSERT(current_ != nullptr && !current_->unwinding);
  if (!current_->dying) {
    exiting_ = current_->process;
    Suspend(nullptr, kForever);
  }
  current_->unwinding = true;
  throw Killed();
}

void Scheduler::Pause(ProcessId process) {
  Process& paused = processes_[process];
  if (!paused.alive || paused.paused) return;
  paused.paused = true;
  for (Thread* thread : ready_) {
    if (thread->process == process) thread->state = State::kStopped;
  }
  for (Thread* thread : ready_) {
    if (thread->process == process) paused.stopped.push_back(thread);
  }
  std::erase_if(ready_, [&](const Thread* thread) { return thread->process == process; });
}

void Scheduler::Continue(ProcessId process) {
  Process& paused = processes_[process];
  if (!paused.paused) return;
  paused.paused = false;
  for (Thread* thread : std::exchange(paused.stopped, {})) Enqueue(thread);
}

uint64_t Scheduler::Random64() {
  return current_ != nullptr ? processes_[current_->process].random.Next() : random_.Next();
}

}  // namespace arima::simserver
