// SimMachine: a state machine that is one hash over everything it has applied.
//
// It becomes durable as a prefix: Flush() makes durable what is applied so far, a crash goes back
// to the last flush. Installing a snapshot is durable at once (a pointer switch), and until the log
// has confirmed it by a reset, recovery may find the state machine ahead of the log
// (docs/design/raft.md 4.6 R7). One thread.
#pragma once

#include <cstdint>

#include "raft/core.h"
#include "sim/mix.h"

namespace arima::sim {

struct MachineState {
  raft::EntryId applied;
  uint64_t hash = 1;
  raft::ConfState conf;
};

class SimMachine {
 public:
  void Format(MachineState state) { current_ = durable_ = std::move(state); }

  void Apply(const raft::ApplyItem& item) {
    current_.applied = item.entry.id();
    current_.hash = Mix(Mix(current_.hash, item.entry.term.value),
                        (static_cast<uint64_t>(item.entry.kind) << 32) | item.entry.checksum);
    if (item.conf) current_.conf = *item.conf;
  }
  void Flush() { durable_ = current_; }
  void Install(MachineState state) {
    current_ = durable_ = std::move(state);
    unconfirmed_install_ = current_.applied.index;
  }
  // The log starts behind `index` now.
  void ConfirmInstall(raft::Index index) {
    if (unconfirmed_install_ <= index) unconfirmed_install_ = raft::Index(0);
  }
  void Crash() { current_ = durable_; }

  const MachineState& current() const { return current_; }
  const MachineState& durable() const { return durable_; }
  // The snapshot that no log reset has confirmed yet; 0 = none.
  raft::Index unconfirmed_install() const { return unconfirmed_install_; }

 private:
  MachineState current_;
  MachineState durable_;
  raft::Index unconfirmed_install_;
};

}  // namespace arima::sim
