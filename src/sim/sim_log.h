// SimLog: what a simulated node has for a raft log. Level 0 keeps it in a SimDisk (model_log.h);
// level 1 is the production log on a simulated disk (wal_log.h).
//
// Either way the node's SimDisk says what is certain to be found after a crash now, and that is
// what the checkers look at: the log may recover no less than this, and nothing that was not
// written. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "raft/core.h"

namespace arima::sim {

// What happened in logs; for the summary of a run.
struct LogCounters {
  uint64_t rolls = 0;          // segments begun
  uint64_t recoveries = 0;     // of a log after a crash
  uint64_t torn = 0;           // of these: with an unfinished write
  uint64_t clone_checks = 0;   // recoveries of a copy of the disk of a running node
  uint64_t damages = 0;        // injected
  uint64_t corruptions = 0;    // found by recovery
  uint64_t salvaged = 0;       // of these: nothing was lost
  uint64_t io_errors = 0;      // that ended a process
  uint64_t full_disks = 0;     // writes that had to wait for space
  uint64_t killed_starts = 0;  // recoveries in the middle of which the process died

  LogCounters& operator+=(const LogCounters& other);
};

class SimLog {
 public:
  enum class Outcome : uint8_t {
    kDone,
    kLater,    // no space (Append), or the start failed: try again
    kFailed,   // the process must end
    kDamaged,  // acknowledged entries are lost for good
  };
  using OnDurable = std::function<void(const raft::Write&)>;

  virtual ~SimLog() = default;

  // Makes an empty log; durable.
  virtual void Format(const raft::HardState& hard_state, raft::EntryId snapshot) = 0;

  // All writes in order, with one sync if one of them needs it. kDone: they have taken effect, and
  // `on_durable` was called for each, with the SimDisk as of then. kLater: none has.
  virtual Outcome Append(std::span<const raft::Write> writes, const OnDurable& on_durable) = 0;

  // Entries up to `index`, a position inside the log, are not needed any more.
  virtual void CompactTo(raft::Index index) = 0;

  // Entries [low, high) for a slow peer, as wal::Wal::Read.
  virtual Result<std::vector<raft::Entry>> Read(raft::Index low, raft::Index high,
                                                uint64_t bytes_max) = 0;

  // What a process does beside writing: keep segments ready; say that the last write is durable,
  // when nothing came after it for a while.
  virtual void Prepare() {}
  virtual bool NeedsAttest() const { return false; }
  virtual void Attest() {}

  // The process dies. `under_way` was handed to the disk and has not completed, `queued` was not
  // handed to it. `power`: what the machine had not written is lost, too.
  virtual void Crash(std::span<const raft::Write> under_way, std::span<const raft::Write> queued,
                     bool power) = 0;

  // The next process finds the log again; the SimDisk then says what it has found. The state
  // machine durably holds everything up to `applied`. kLater: this process has died as well.
  virtual Outcome Recover(raft::EntryId applied) = 0;
  // Starts over behind a snapshot that the state machine has switched to (raft.md 4.6 R7).
  virtual Outcome ResetTo(raft::EntryId snapshot) = 0;
  // What a core starts from; after Recover.
  virtual raft::InitialState Initial(raft::Index applied, const raft::ConfState& conf) = 0;

  // ---- faults, each in force until Heal; without effect at level 0
  virtual void Heal() {}
  virtual void FillDisk() {}          // nearly; writes that need a new segment find no space
  virtual void BreakNextAppend() {}   // an error of the disk
  virtual void DisturbNextStart() {}  // the process that recovers dies, or is told an error
  // Changes bytes that were durable and that a later durable write vouches for. False: there are
  // none.
  virtual bool Damage() { return false; }
  virtual bool damaged() const { return false; }  // Damage was called, and is not mended

  virtual uint64_t Digest() const { return 0; }
  virtual LogCounters counters() const { return {}; }
};

}  // namespace arima::sim
