// ModelLog: the log of level 0. A write takes effect as a whole or not at all, and nothing ever
// breaks. One thread.
#pragma once

#include "base/random.h"
#include "sim/sim_disk.h"
#include "sim/sim_log.h"

namespace arima::sim {

class ModelLog final : public SimLog {
 public:
  // Both outlive this.
  ModelLog(SimDisk* disk, SeededRandom* random) : disk_(*disk), random_(*random) {}

  void Format(const raft::HardState& hard_state, raft::EntryId snapshot) override {
    disk_.Format(hard_state, snapshot);
  }
  Outcome Append(std::span<const raft::Write> writes, const OnDurable& on_durable) override {
    for (const raft::Write& write : writes) {
      disk_.Complete(write);
      on_durable(write);
    }
    return Outcome::kDone;
  }
  void CompactTo(raft::Index index) override { disk_.CompactTo(index); }
  Result<std::vector<raft::Entry>> Read(raft::Index low, raft::Index high,
                                        uint64_t bytes_max) override {
    if (low <= disk_.snapshot().index) return Fail(Code::kCompacted, "read behind a snapshot");
    if (low > disk_.last()) return std::vector<raft::Entry>();
    return disk_.Read(low, high, bytes_max);
  }
  // The log is one stream: of what was not synced, some first part may have reached the disk.
  void Crash(std::span<const raft::Write> under_way, std::span<const raft::Write> queued,
             bool) override {
    const size_t kept = random_.Below(under_way.size() + queued.size() + 1);
    for (size_t i = 0; i < kept; ++i) {
      disk_.Complete(i < under_way.size() ? under_way[i] : queued[i - under_way.size()]);
    }
    disk_.Crash(&random_);
  }
  Outcome Recover(raft::EntryId) override { return Outcome::kDone; }
  Outcome ResetTo(raft::EntryId snapshot) override {
    disk_.ResetTo(snapshot);
    return Outcome::kDone;
  }
  raft::InitialState Initial(raft::Index applied, const raft::ConfState& conf) override {
    return disk_.Recover(applied, conf);
  }

 private:
  SimDisk& disk_;
  SeededRandom& random_;
};

}  // namespace arima::sim
