// WalLog: the log of level 1: wal::Wal, its recovery and its salvage, on files in memory that lose
// what was not synced.
//
// An Append happens at one moment of virtual time, when its sync ends. A crash while it is under
// way does it too, up to a random operation; nobody can tell the difference, because nobody looks
// at the files meanwhile. After each recovery, what was found is compared with what was written:
//
//   I9  what was acknowledged is found, unless Damage was called; and nothing that was not written
//   I16 recovery says Corruption only after Damage, and after Damage whenever something is missing
//   I19 what is retained can be read
//
// Now and then the same is checked on a copy of the disk while the node runs. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "env/mem_env.h"
#include "sim/crash_env.h"
#include "sim/sim_disk.h"
#include "sim/sim_log.h"
#include "sim/swarm.h"
#include "sim/verdict.h"
#include "wal/wal.h"

namespace arima::sim {

class WalLog final : public SimLog {
 public:
  // `disk`, `swarm` and `verdict` outlive this. `who` names the node in what the verdict is told.
  WalLog(SimDisk* disk, const DiskSwarm* swarm, Verdict* verdict, std::string who, uint64_t seed);

  void Format(const raft::HardState& hard_state, raft::EntryId snapshot) override;
  Outcome Append(std::span<const raft::Write> writes, const OnDurable& on_durable) override;
  void CompactTo(raft::Index index) override;
  Result<std::vector<raft::Entry>> Read(raft::Index low, raft::Index high,
                                        uint64_t bytes_max) override;
  void Prepare() override;
  bool NeedsAttest() const override { return wal_ != nullptr && wal_->NeedsAttest(); }
  void Attest() override;
  void Crash(std::span<const raft::Write> under_way, std::span<const raft::Write> queued,
             bool power) override;
  Outcome Recover(raft::EntryId applied) override;
  Outcome ResetTo(raft::EntryId snapshot) override;
  raft::InitialState Initial(raft::Index applied, const raft::ConfState& conf) override;

  void Heal() override;
  void FillDisk() override;
  void BreakNextAppend() override { break_next_append_ = true; }
  void DisturbNextStart() override { disturb_next_start_ = true; }
  bool Damage() override;
  bool damaged() const override { return damaged_; }

  uint64_t Digest() const override;
  // For tests: what lies on the disk.
  env::MemEnv& files() { return files_; }
  LogCounters counters() const override { return counters_; }

 private:
  // A file under the name that it had then, and a position in it.
  struct Place {
    std::shared_ptr<const std::string> path;
    uint64_t offset = 0;
  };

  // The disk was filled on purpose, and that is all that is wrong.
  bool IsFull(const Error& error) const { return error.code == Code::kDiskFull && disk_full_; }
  Status AppendBatches(std::span<const raft::Write> writes, bool sync);
  // Everything that was written is durable now.
  void NoteSync();
  void PowerLoss(env::MemEnv* files);
  // Opens the log, and compares what is found unless the state machine is ahead of it.
  Outcome Open(raft::EntryId applied);
  Outcome OnOpenFailure(raft::EntryId applied, const Error& error, bool injected);
  Outcome Salvage(raft::EntryId applied);
  Status ReplaceLog(raft::EntryId applied);
  void Accept(std::unique_ptr<wal::Wal> wal, wal::RecoveredLog found,
              std::vector<raft::Entry> entries);
  void CheckClone();
  void NoteWritten(uint64_t appends_before, bool synced);
  void FollowWrite();
  // "" or how the recovered log differs from all that it may be.
  std::string Difference(const wal::RecoveredLog& found,
                         std::span<const raft::Entry> entries) const;
  std::string DifferenceTo(const SimDisk& disk, const wal::RecoveredLog& found,
                           std::span<const raft::Entry> entries) const;
  bool MayHave(const SimDisk& disk, raft::HardState found, raft::Index snapshot) const;
  // An entry of `disk`, or one that was cut from it and may still be found; null if unknown.
  const raft::Entry* Expected(const SimDisk& disk, raft::Index index) const;
  // A place in a sound, vouched for part of the log; nothing if there is none.
  std::optional<Place> AnyVouched();
  bool Overwrite(const Place& place, const Place* other);

  SimDisk& disk_;
  const DiskSwarm& swarm_;
  Verdict& verdict_;
  const std::string who_;
  SeededRandom random_;
  env::MemEnv files_;
  CrashEnv env_;
  const wal::WalOptions options_;
  std::unique_ptr<wal::Wal> wal_;
  std::vector<raft::Entry> tail_;  // as found

  // What a recovery may find, besides `disk_` with its newest synced hard state:
  std::vector<raft::HardState> lazy_;   // any of these, written since the last sync
  std::optional<SimDisk> under_way_;    // what it would be with the write that a crash cut off
  raft::EntryId snapshot_floor_;        // a snapshot point as old as this,
  std::vector<raft::Entry> cut_;        // with these entries behind it, up to that of `disk_`
  bool under_way_done_ = false;         // its sync had returned: it must be there
  std::optional<raft::Index> restart_;  // Salvage has made a log that begins here

  // Frames end at written_; those up to durable_ are synced, those up to vouched_ are so and a
  // later synced frame says it.
  Place written_;
  Place durable_;
  Place vouched_;
  std::shared_ptr<const std::string> active_;  // the name of the file that is written, as it is now

  bool failed_ = false;
  bool break_next_append_ = false;
  bool disturb_next_start_ = false;
  bool disk_full_ = false;
  bool damaged_ = false;  // until a sound log is in its place
  uint64_t digest_ = 1;
  LogCounters counters_;
};

}  // namespace arima::sim
