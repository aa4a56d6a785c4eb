// Inbox: everything that other threads hand to the core thread.
//
// Client work is bounded and refused when full (the front end answers 429); completions of the
// node's own log and applier are never refused, their number is bounded by what the core handed
// out. The core thread takes all of it at once; it is woken only by what comes into an empty inbox.
//
// Thread rule: any thread; Take from the core thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
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
  // Of commands that wait to be taken; each counts kWriteOverheadBytes more. One of any size passes
  // an empty inbox.
  uint64_t write_bytes_max = 32 << 20;
  uint64_t reads_max = 65536;
};

// About what a waiting write costs besides its bytes.
inline constexpr uint64_t kWriteOverheadBytes = 256;

// Who finds that the disk is short of space, and what that means (raft::DiskLevel).
enum class DiskUser : uint8_t {
  kReserve,    // kLow: what is free has fallen below the reserve
  kDatabase,   // kStuck: applying waits for space
  kLogAhead,   // kFull: no segment can be made, and the reserve of them is touched
  kLogWriter,  // kFull: a write waits for space
};

class Inbox {
 public:
  Inbox(std::shared_ptr<Waker> waker, const InboxLimits& limits)
      : waker_(std::move(waker)), limits_(limits) {}

  // Refused: the argument is untouched and its callback never runs. kOverloaded when full, after
  // Close what that said; not applied in both cases.
  Status AddWrite(ClientWrite& write) EXCLUDES(mutex_);
  Status AddRead(ReadWaiter& read) EXCLUDES(mutex_);

  void AddLogCompletions(std::vector<LogCompletion> completions) EXCLUDES(mutex_);
  void AddInput(raft::Input input) EXCLUDES(mutex_);
  // The core hears the worst of what they find.
  void SetDiskLow(DiskUser user, bool low) EXCLUDES(mutex_);

  InboxBatch Take() EXCLUDES(mutex_);
  // Refuses further client work with `why`; completions still pass.
  void Close(Error why) EXCLUDES(mutex_);
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
  std::optional<Error> closed_ GUARDED_BY(mutex_);
  std::array<bool, 4> disk_low_ GUARDED_BY(mutex_){};  // by DiskUser
};

}  // namespace arima::node
