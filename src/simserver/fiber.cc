#include "simserver/fiber.h"

#include <sys/mman.h>

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARIMA_FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define ARIMA_FIBER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARIMA_FIBER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define ARIMA_FIBER_TSAN 1
#endif
#if defined(ARIMA_FIBER_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(ARIMA_FIBER_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace arima::simserver {
namespace {

namespace ctx = boost::context;

// Only what is touched takes memory. The lowest page stays out of reach.
constexpr size_t kStackBytes = 1 << 20;
constexpr size_t kGuardBytes = 4096;

// Stacks are used again: a run starts and ends fibers all the time.
class StackPool {
 public:
  ctx::stack_context Take() {
    void* low = nullptr;
    if (free_.empty()) {
      low = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
      ARIMA_ASSERT(low != MAP_FAILED);
      const int guarded = mprotect(low, kGuardBytes, PROT_NONE);
      ARIMA_ASSERT(guarded == 0);
    } else {
      low = free_.back();
      free_.pop_back();
    }
    ctx::stack_context stack;
    stack.size = kStackBytes;
    stack.sp = static_cast<char*>(low) + kStackBytes;
    return stack;
  }
  void Give(const ctx::stack_context& stack) {
    char* low = static_cast<char*>(stack.sp) - stack.size;
#if defined(ARIMA_FIBER_ASAN)
    __asan_unpoison_memory_region(low + kGuardBytes, kStackBytes - kGuardBytes);
#endif
    free_.push_back(low);
  }

 private:
  std::vector<void*> free_;
};

StackPool& Pool() {
  static thread_local StackPool pool;
  return pool;
}

struct PooledStack {
  ctx::stack_context stack;
  ctx::stack_context allocate() { return stack; }                   // NOLINT: the names are Boost's
  void deallocate(ctx::stack_context& done) { Pool().Give(done); }  // NOLINT
};

}  // namespace

struct Fiber::Impl {
  std::move_only_function<void()> body;
  ctx::fiber own;     // while it is suspended
  ctx::fiber caller;  // while it runs
  ctx::stack_context stack;
#if defined(ARIMA_FIBER_ASAN)
  void* caller_fake_stack = nullptr;
  void* own_fake_stack = nullptr;
  const void* caller_bottom = nullptr;
  size_t caller_bytes = 0;
#endif
#if defined(ARIMA_FIBER_TSAN)
  void* own_tsan = nullptr;
  void* caller_tsan = nullptr;
#endif

  void BeforeResume() {
#if defined(ARIMA_FIBER_ASAN)
    __sanitizer_start_switch_fiber(&caller_fake_stack, static_cast<char*>(stack.sp) - stack.size,
                                   stack.size);
#endif
#if defined(ARIMA_FIBER_TSAN)
    caller_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(own_tsan, 0);
#endif
  }
  void AfterResume() {
#if defined(ARIMA_FIBER_ASAN)
    __sanitizer_finish_switch_fiber(caller_fake_stack, nullptr, nullptr);
#endif
  }
  void Entered() {
#if defined(ARIMA_FIBER_ASAN)
    __sanitizer_finish_switch_fiber(own_fake_stack, &caller_bottom, &caller_bytes);
#endif
  }
  void BeforeSuspend(bool for_good) {
#if defined(ARIMA_FIBER_ASAN)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &own_fake_stack, caller_bottom,
                                   caller_bytes);
#endif
#if defined(ARIMA_FIBER_TSAN)
    __tsan_switch_to_fiber(caller_tsan, 0);
#endif
    (void)for_good;
  }
};

Fiber::Fiber(std::move_only_function<void()> body) : impl_(std::make_unique<Impl>()) {
  impl_->body = std::move(body);
}

Fiber::~Fiber() {
  ARIMA_ASSERT(!impl_->own);
#if defined(ARIMA_FIBER_TSAN)
  if (impl_->own_tsan != nullptr) __tsan_destroy_fiber(impl_->own_tsan);
#endif
}

void Fiber::Resume() {
  Impl& impl = *impl_;
  ARIMA_ASSERT(!ended_);
  if (impl.body) {
    impl.stack = Pool().Take();
#if defined(ARIMA_FIBER_TSAN)
    impl.own_tsan = __tsan_create_fiber(0);
#endif
    impl.own = ctx::fiber(
        std::allocator_arg, PooledStack{impl.stack},
        [this, &impl, run = std::exchange(impl.body, nullptr)](ctx::fiber&& from) mutable {
          impl.Entered();
          impl.caller = std::move(from);
          run();
          run = nullptr;  // what it holds may speak of this fiber
          ended_ = true;
          impl.BeforeSuspend(/*for_good=*/true);
          return std::move(impl.caller);
        });
  }
  impl.BeforeResume();
  impl.own = std::move(impl.own).resume();
  impl.AfterResume();
}

void Fiber::Suspend() {
  Impl& impl = *impl_;
  impl.BeforeSuspend(/*for_good=*/false);
  impl.caller = std::move(impl.caller).resume();
  impl.Entered();
}

}  // namespace arima::simserver
