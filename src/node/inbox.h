// Inbox: everything that other threads hand to the core thread.
//
// Client work is bounded and refused when full (the front end answers 429); completions of the
// node's own log and applier are never refused, their number is bounded by what the core handed
// out. The core thread takes all of it at once; it is woken only when it was told that the inbox
// was empty.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "base/shared_bytes.h"
#include "node/proposal_table.h"
#include "node/read_queue.h"
#include "raft/core.h"

namespace arima::node {

// Wakes the core thread out of its wait for sockets and timers. Any thread.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void Wake() = 0;
};

struct ClientWrite {
  SharedBytes command;
  uint32_t checksum = 0;  // raft::EntryChecksum(kCommand, command)
  uint64_t deadline_ns = 0;
  WriteDone done;
};

// A write of the log that is durable, with the messages that waited for it.
struct LogCompletion {
  uint64_t seq = 0;
  std::vector<raft::Message> after_durable;
};

struct InboxBatch {
  std::vector<ClientWrite> writes;
  std::vector<ReadWaiter> reads;
  std::vector<LogCompletion> log;
  std::vector<raft::Input> inputs;  // Applied, EntriesLoaded

  bool empty() const { return writes.empty() && reads.empty() && log.empty() && inputs.empty(); }
};

struct InboxLimits {
  uint64_t write_bytes_max = 32 << 20;
  uint64_t reads_max = 65536;
};

class Inbox {
 public:
  Inbox(std::shared_ptr<Waker> waker, const InboxLimits& limits)
      : waker_(std::move(waker)), limits_(limits) {}

  // False when full or closed; the argument is then untouched and its callback never runs.
  [[nodiscard]] bool AddWrite(ClientWrite& write) EXCLUDES(mutex_);
  [[nodiscard]] bool AddRead(ReadWaiter& read) EXCLUDES(mutex_);

  void AddLogCompletions(std::vector<LogCompletion> completions) EXCLUDES(mutex_);
  void AddInput(raft::Input input) EXCLUDES(mutex_);

  InboxBatch Take() EXCLUDES(mutex_);
  // Refuses further client work; completions still pass.
  void Close() EXCLUDES(mutex_);
  uint64_t refused() EXCLUDES(mutex_);

 private:
  void Wake(bool needed) {
    if (needed) waker_->Wake();
  }

  const std::shared_ptr<Waker> waker_;
  const InboxLimits limits_;
  Mutex mutex_;
  InboxBatch batch_ GUARDED_BY(mutex_);
  uint64_t write_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t refused_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace arima::node
