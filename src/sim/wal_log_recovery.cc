// Recovery of a simulated log, and the comparison of what it finds with what was written.

#include <algorithm>
#include <utility>

#include "raft/describe.h"
#include "sim/wal_log.h"
#include "wal/salvage.h"

namespace arima::sim {

using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;
using raft::Term;

namespace {

constexpr uint64_t kStartOperationsMax = 14;
constexpr uint64_t kStartReadsMax = 8;
constexpr char kLogDir[] = "/wal";
constexpr char kNewLogDir[] = "/wal.new";

// "" or what recovery says of its own findings that is not so.
std::string Inconsistency(const wal::RecoveredLog& found, std::span<const Entry> entries) {
  if (entries.size() != found.last - found.snapshot_index) return "fewer entries than it says";
  std::vector<EntryId> runs;
  std::vector<Entry> confs;
  for (const Entry& entry : entries) {
    if (runs.empty() || runs.back().term != entry.term) runs.push_back(entry.id());
    if (entry.kind == raft::EntryKind::kConf) confs.push_back(entry);
  }
  if (found.term_runs != runs) return "other terms than those of its entries";
  if (found.conf_entries != confs) return "other configurations than those of its entries";
  if (found.tail.size() > entries.size() ||
      !std::equal(found.tail.rbegin(), found.tail.rend(), entries.rbegin())) {
    return "another tail than its last entries";
  }
  return "";
}

}  // namespace

SimLog::Outcome WalLog::Recover(EntryId applied) {
  ++counters_.recoveries;
  wal_.reset();
  restart_.reset();
  if (std::exchange(disturb_next_start_, false)) {
    if (random_.Percent(60)) {
      env_.StopAfter(random_.Below(kStartOperationsMax));
    } else {
      env_.FailRead(random_.Between(1, kStartReadsMax));
    }
  }
  const Outcome outcome = Open(applied);
  env_.ClearFailures();
  if (!env_.Resume()) return outcome;
  // It died, whatever it believed to have found.
  ++counters_.killed_starts;
  wal_.reset();
  if (random_.Percent(50)) PowerLoss(&files_);
  return Outcome::kLater;
}

SimLog::Outcome WalLog::Open(EntryId applied) {
  const uint64_t failures = env_.failures();
  wal::RecoveredLog found;
  auto wal = wal::Wal::Open(env_, options_, &found);
  if (env_.stopped()) return Outcome::kLater;
  if (!wal) return OnOpenFailure(applied, wal.error(), env_.failures() != failures);
  auto entries = (*wal)->Read(found.snapshot_index + 1, found.last + 1, UINT64_MAX);
  if (!entries) {
    // A read that was made to fail, perhaps, and this is the first to see it.
    if (env_.failures() != failures) return Outcome::kLater;
    verdict_.Fail("I19 retained is readable", who_ + " after a start: " + entries.error().message);
    return Outcome::kLater;
  }
  const bool ahead = restart_ && !disk_.Covers(applied);
  const std::string difference = ahead ? "" : Difference(found, *entries);
  if (!difference.empty()) {
    verdict_.Fail(damaged() ? "I16 damage is noticed" : "I9 stable is durable",
                  who_ + " recovers " + difference + " (" + found.text + ")");
  }
  if (found.ending == wal::Ending::kTornTail) ++counters_.torn;
  Accept(std::move(*wal), std::move(found), std::move(*entries));
  return Outcome::kDone;
}

SimLog::Outcome WalLog::OnOpenFailure(EntryId applied, const Error& error, bool injected) {
  switch (error.code) {
    case Code::kDiskFull:
      if (disk_full_) return Outcome::kLater;
      break;
    case Code::kIo:
      if (injected) return Outcome::kLater;
      break;
    case Code::kCorruption:
      if (restart_) break;
      if (!damaged()) {
        verdict_.Fail("I16 no false corruption", who_ + ": " + error.message);
        return Outcome::kDamaged;
      }
      ++counters_.corruptions;
      return Salvage(applied);
    default:
      break;
  }
  verdict_.Fail("log recovery", who_ + ": " + error.message);
  return Outcome::kLater;
}

SimLog::Outcome WalLog::Salvage(EntryId applied) {
  // What a death or an error in the middle of it leaves is not for this level.
  env_.Resume();
  env_.ClearFailures();
  if (Status replaced = ReplaceLog(applied); !replaced) {
    if (IsFull(replaced.error())) return Outcome::kLater;
    if (replaced.error().code != Code::kCorruption || !damaged()) {
      verdict_.Fail("log recovery", who_ + ": " + replaced.error().message);
    }
    return Outcome::kDamaged;
  }
  ++counters_.salvaged;
  damaged_ = false;
  restart_ = applied.index;
  return Open(applied);
}

// As node/log_damage.cc does it, without the steps in between.
Status WalLog::ReplaceLog(EntryId applied) {
  auto saved = wal::SalvageLog(env_, options_, applied, wal::SalvageMode::kTail, kNewLogDir);
  if (!saved) return std::unexpected(saved.error());
  if (auto s = env::RemoveTree(env_, kLogDir); !s) return s;
  if (auto s = env_.Rename(kNewLogDir, kLogDir); !s) return s;
  return env_.SyncDir("/");
}

void WalLog::Accept(std::unique_ptr<wal::Wal> wal, wal::RecoveredLog found,
                    std::vector<Entry> entries) {
  wal_ = std::move(wal);
  tail_ = std::move(found.tail);
  disk_.Load(found.hard_state, EntryId{found.snapshot_term, found.snapshot_index},
             std::move(entries));
  NoteSync();
  under_way_.reset();
  under_way_done_ = false;
  restart_.reset();
  // The new segment was complete when its name appeared, and its header says so.
  FollowWrite();
  durable_ = vouched_ = written_;
}

SimLog::Outcome WalLog::ResetTo(EntryId snapshot) {
  SimDisk reset = disk_;
  reset.ResetTo(snapshot);
  const wal::Batch batch{.hard_state = reset.newest(), .reset = snapshot, .entries = {}};
  const uint64_t appends = env_.appends();
  if (Status done = wal_->Append(batch, /*sync=*/true); !done) {
    if (!IsFull(done.error())) {
      verdict_.Fail("log write", who_ + ": " + done.error().message);
    }
    return Outcome::kLater;
  }
  NoteWritten(appends, /*synced=*/true);
  disk_ = std::move(reset);
  NoteSync();
  tail_.clear();
  return Outcome::kDone;
}

raft::InitialState WalLog::Initial(Index applied, const raft::ConfState& conf) {
  raft::InitialState initial = disk_.Recover(applied, conf);
  initial.tail = std::move(tail_);
  tail_.clear();
  return initial;
}

void WalLog::CheckClone() {
  ++counters_.clone_checks;
  const std::unique_ptr<env::MemEnv> copy = files_.Clone();
  copy->SetCapacity(UINT64_MAX);
  PowerLoss(copy.get());
  wal::RecoveredLog found;
  auto wal = wal::Wal::Open(*copy, options_, &found);
  if (!wal) {
    if (wal.error().code == Code::kCorruption && damaged()) return;
    verdict_.Fail("I16 no false corruption", who_ + " on a copy: " + wal.error().message);
    return;
  }
  auto entries = (*wal)->Read(found.snapshot_index + 1, found.last + 1, UINT64_MAX);
  const std::string difference = entries ? Difference(found, *entries) : entries.error().message;
  if (!difference.empty()) {
    verdict_.Fail(damaged() ? "I16 damage is noticed" : "I9 stable is durable",
                  who_ + " would recover " + difference + " (" + found.text + ")");
  }
}

// ---------------------------------------------------------------- comparison

std::string WalLog::Difference(const wal::RecoveredLog& found,
                               std::span<const Entry> entries) const {
  std::string difference = Inconsistency(found, entries);
  if (!difference.empty()) return difference;
  if (under_way_) {
    difference = DifferenceTo(*under_way_, found, entries);
    if (difference.empty() || under_way_done_) return difference;
  }
  return DifferenceTo(disk_, found, entries);
}

std::string WalLog::DifferenceTo(const SimDisk& disk, const wal::RecoveredLog& found,
                                 std::span<const Entry> entries) const {
  if (found.last != disk.last()) {
    return "entries up to " + std::to_string(found.last.value) + " where there were some up to " +
           std::to_string(disk.last().value);
  }
  if (!MayHave(disk, found.hard_state, found.snapshot_index)) {
    return Describe(found.hard_state) + " where the last one was " + Describe(disk.newest()) +
           " and the last synced one " + Describe(disk_.hard_state());
  }
  const bool within = restart_ ? found.snapshot_index == *restart_
                               : found.snapshot_index <= disk.snapshot().index &&
                                     (found.snapshot_index >= snapshot_floor_.index ||
                                      found.snapshot_index == disk.snapshot().index);
  const std::string start = "a log that begins behind " +
                            std::to_string(found.snapshot_term.value) + "/" +
                            std::to_string(found.snapshot_index.value);
  if (!within) return start + ", which is not where it was cut";
  Term term;
  if (found.snapshot_index == disk.snapshot().index) {
    term = disk.snapshot().term;
  } else if (found.snapshot_index == snapshot_floor_.index) {
    term = snapshot_floor_.term;
  } else if (const Entry* entry = Expected(disk, found.snapshot_index)) {
    term = entry->term;
  }
  if (found.snapshot_term != term) return start + ", which has another term";
  for (const Entry& entry : entries) {
    const Entry* expected = Expected(disk, entry.index);
    if (expected == nullptr || *expected != entry) {
      return "another entry " + std::to_string(entry.index.value);
    }
  }
  return "";
}

bool WalLog::MayHave(const SimDisk& disk, HardState found, Index snapshot) const {
  const auto equal = [&](HardState state) {
    state.commit = std::max(state.commit, snapshot);
    found.commit = std::max(found.commit, snapshot);
    return state == found;
  };
  if (&disk != &disk_) return equal(disk.newest());
  return equal(disk.hard_state()) || std::ranges::any_of(lazy_, equal);
}

const Entry* WalLog::Expected(const SimDisk& disk, Index index) const {
  if (index > disk.last()) return nullptr;
  if (index > disk.snapshot().index) return &disk.entries()[index - disk.snapshot().index - 1];
  if (index <= snapshot_floor_.index) return nullptr;
  const uint64_t at = index - snapshot_floor_.index - 1;
  return at < cut_.size() ? &cut_[at] : nullptr;
}

}  // namespace arima::sim
