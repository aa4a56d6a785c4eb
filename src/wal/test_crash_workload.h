// A log under a workload, random or by script, on a disk in memory, with the account of what a
// crash may leave: what the tests of crashes share. Test-only.
//
//   Workload work(seed);
//   work.Visit(...);        // called before each operation that changes the disk
//   work.Start();
//   work.AppendEntries(2, 100, /*sync=*/true);
//
// After a failed operation all later ones do nothing; broken() tells.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wal/wal.h"
#include "wal/wal_test_util.h"

namespace arima::wal {

// What may come back: any of these. The first one is acknowledged.
struct Allowed {
  std::vector<Model> models;
  uint64_t cut_max = 0;
  bool none = false;  // no log at all: the first Create has not returned
};

// Sectors of the last sync: no later sync has made anything durable that attests them, so damage
// to them may look like a write that was never finished (docs/design/raft.md 4.6, R4). Then one of
// `models` comes back.
struct Exposed {
  std::vector<env::DirtySector> sectors;  // ascending
  std::vector<Model> models;
};

// The one of `allowed` that the log holds; a test failure and nothing if there is none.
inline std::optional<Model> Match(const Wal& wal, const RecoveredLog& found,
                                  const Allowed& allowed) {
  std::string why;
  for (const Model& model : allowed.models) {
    const std::string difference = Difference(wal, found, model, allowed.cut_max);
    if (difference.empty()) return model;
    why += difference + "; ";
  }
  ADD_FAILURE() << "recovered something else: " << why << found.text;
  return std::nullopt;
}

inline std::unique_ptr<Wal> MustOpen(env::Env& env, const WalOptions& options,
                                     RecoveredLog* found) {
  auto wal = Wal::Open(env, options, found);
  if (!wal) {
    ADD_FAILURE() << "not recovered: " << wal.error().message;
    return nullptr;
  }
  return std::move(*wal);
}

// Drives a log and keeps track of what was acknowledged.
class Workload {
 public:
  using Visitor = std::function<void(const env::MemEnv& disk, const Allowed& allowed)>;

  // On a copy of `disk`, which holds no log.
  explicit Workload(uint64_t seed, const env::MemEnv& disk = env::MemEnv())
      : Workload(seed, disk, seed) {}
  Workload(uint64_t seed, const env::MemEnv& disk, uint64_t salt_seed)
      : random_(seed), mem_(disk.Clone()), options_(TestOptions(salt_seed)) {
    fault_.SetObserver([this](env::Op op, const std::string& path) { BeforeOperation(op, path); });
  }

  void Visit(Visitor visitor) { visitor_ = std::move(visitor); }
  // One operation will fail, perhaps in a recovery.
  void Inject(const env::Fault& fault) {
    faults_ = true;
    fault_.Inject(fault);
  }
  void Start() {
    allowed_ = {.models = {Model()}, .none = true};
    auto made = Wal::Create(fault_, options_, Point(1, 1), Hard(1, 0, 1));
    if (!Done(made)) return;
    wal_ = std::move(*made);
    allowed_.none = false;
    Settle();
    exposed_ = {};
  }

  // ---------------------------------------------------------------- by script

  void Append(const Batch& batch, bool sync) { Append(std::span(&batch, 1), sync); }
  // All of them in one frame.
  void Append(std::span<const Batch> batches, bool sync) {
    if (!usable()) return;
    Model next = newest();
    for (const Batch& batch : batches) next.Apply(batch);
    allowed_.models.push_back(next);
    if (!Done(wal_->Append(batches, sync))) return;
    if (sync) allowed_.models = {next};
  }
  void AppendEntries(uint64_t count, uint64_t bytes, bool sync) {
    Append(EntriesBatch(newest().last() + 1, newest().last_term(), count, bytes), sync);
  }
  // Replaces everything from `low` on, in a new term.
  void Overwrite(uint64_t low, uint64_t count, uint64_t bytes, bool sync) {
    Append(EntriesBatch(low, NextTerm(), count, bytes), sync);
  }
  // Only makes durable what was written.
  void Sync() {
    if (!usable()) return;
    if (Done(wal_->Append(std::span<const Batch>(), true))) allowed_.models = {newest()};
  }
  void Attest() {
    if (usable()) Done(wal_->Attest());
  }
  void CompactTo(uint64_t index) {
    if (!usable()) return;
    allowed_.cut_max = std::max(allowed_.cut_max, index);
    Done(wal_->CompactTo(raft::Index(index)));
  }
  // True: the helper had something to do.
  bool Prepare() {
    if (!usable()) return false;
    auto did = wal_->preparer().PrepareOne();
    return Done(did) && *did;
  }
  void Roll(uint64_t bytes) {
    if (!usable()) return;
    for (const uint64_t rolls = Rolls(); usable() && Rolls() == rolls;) {
      AppendEntries(1, bytes, true);
    }
  }
  // An orderly end or the death of the process; the machine goes on. Also after Drop.
  void Restart(bool close) {
    if (broken_) return;
    if (close && wal_ != nullptr && !Done(wal_->Close())) return;
    wal_.reset();
    RecoveredLog found;
    auto opened = Wal::Open(fault_, options_, &found);
    if (!opened && faults_ && opened.error().code == Code::kIo) broken_ = true;
    if (broken_) return;
    ASSERT_TRUE(opened) << "not recovered: " << opened.error().message;
    wal_ = std::move(*opened);
    auto model = Match(*wal_, found, allowed_);
    ASSERT_TRUE(model.has_value());
    allowed_.models = {*model};
    Settle();
    exposed_ = {};  // the header of the new segment attests all that is in it
  }

  // ---------------------------------------------------------------- by chance

  void Step() {
    if (!usable()) return;
    const uint64_t dice = random_.Below(100);
    if (dice < 60) {
      Append(RandomBatch(), random_.Percent(75));
    } else if (dice < 70) {
      Attest();
    } else if (dice < 80) {
      CompactTo(random_.Between(newest().base.index.value, newest().hard_state.commit.value));
    } else if (dice < 95) {
      Prepare();
    } else if (dice < 98) {
      Restart(random_.Percent(50));
    } else {
      Append(ResetBatch(newest().last() + random_.Below(50)), true);
    }
  }

  Batch EntriesBatch(uint64_t low, uint64_t term, uint64_t count, uint64_t bytes) {
    entries_.clear();
    for (uint64_t i = low; i < low + count; ++i) {
      const auto kind = random_.Percent(5) ? raft::EntryKind::kConf : raft::EntryKind::kCommand;
      std::string payload = "(" + std::to_string(i) + "," + std::to_string(random_.Next()) + ")";
      while (payload.size() < bytes) payload += payload;
      entries_.push_back(MakeEntry(i, term, payload, kind));
    }
    const uint64_t hard_term = std::max(term, newest().hard_state.term.value);
    return {.hard_state = Hard(hard_term, random_.Below(4), newest().hard_state.commit.value),
            .entries = entries_};
  }
  Batch ResetBatch(uint64_t index) {
    const uint64_t term = NextTerm();
    return {.hard_state = Hard(term, 0, index), .reset = Point(index, term)};
  }
  uint64_t NextTerm() const {
    return std::max(newest().last_term(), newest().hard_state.term.value) + 1;
  }

  env::MemEnv& mem() { return *mem_; }
  env::FaultEnv& fault() { return fault_; }
  Wal* wal() { return wal_.get(); }
  const Allowed& allowed() const { return allowed_; }
  const Model& newest() const { return allowed_.models.back(); }
  const Exposed& exposed() {
    Settle();
    return exposed_;
  }
  // The operation that comes next, or came last.
  const std::string& operation() const { return operation_; }
  bool broken() const { return broken_; }
  void Drop() { wal_.reset(); }

 private:
  bool usable() const { return wal_ != nullptr && !broken_; }
  uint64_t Rolls() const { return wal_->Stats().rolls; }
  template <class T>
  bool Done(const Result<T>& result) {
    if (!result) broken_ = true;
    return result.has_value();
  }
  Batch RandomBatch() {
    const Model& now = newest();
    if (random_.Percent(15)) {
      // Only the commit index, or a vote in a new term.
      const uint64_t commit = random_.Between(now.hard_state.commit.value, now.last());
      return {.hard_state = Hard(now.hard_state.term.value + random_.Below(2), 1, commit)};
    }
    const uint64_t bytes = random_.Percent(10) ? random_.Below(30'000) : random_.Below(1500);
    const uint64_t floor = std::max(now.hard_state.commit.value, allowed_.cut_max);
    const bool overwrite = random_.Percent(20) && floor < now.last();
    const uint64_t low = overwrite ? random_.Between(floor + 1, now.last()) : now.last() + 1;
    const uint64_t term = std::max(now.last_term(), now.hard_state.term.value) +
                          (overwrite || random_.Percent(5) ? 1 : 0);
    return EntriesBatch(low, term, random_.Below(4) + 1, bytes);
  }

  // Old content may be the same as new: such a sector is needed as well as others.
  std::vector<env::DirtySector> WrittenSegmentSectors() const {
    std::vector<env::DirtySector> sectors = mem_->WrittenSectors();
    std::erase_if(sectors, [](const auto& sector) { return !sector.path.ends_with(".seg"); });
    std::sort(sectors.begin(), sectors.end());
    return sectors;
  }
  void BeforeOperation(env::Op op, const std::string& path) {
    Settle();
    operation_ = path + " (operation " + std::to_string(++operations_) + ")";
    if (visitor_) visitor_(*mem_, allowed_);
    if (op == env::Op::kSync) before_ = {WrittenSegmentSectors(), allowed_.models};
  }
  // What was dirty before a sync and is not any more was made durable by it. (The path of the
  // operation is that under which the file was opened.)
  void Settle() {
    if (before_.sectors.empty()) return;
    const auto now = WrittenSegmentSectors();
    std::vector<env::DirtySector> synced;
    std::set_difference(before_.sectors.begin(), before_.sectors.end(), now.begin(), now.end(),
                        std::back_inserter(synced));
    if (!synced.empty()) exposed_ = {std::move(synced), std::move(before_.models)};
    before_ = {};
  }

  SeededRandom random_;
  const std::unique_ptr<env::MemEnv> mem_;
  env::FaultEnv fault_{*mem_, 1};
  WalOptions options_;
  std::unique_ptr<Wal> wal_;
  Visitor visitor_;
  Allowed allowed_;  // models: the acknowledged one and what unsynced appends made of it since
  Exposed before_;   // the sync under way: dirty sectors, and what was allowed
  Exposed exposed_;
  std::vector<raft::Entry> entries_;
  std::string operation_;
  uint64_t operations_ = 0;
  bool faults_ = false;
  bool broken_ = false;  // an operation has failed
};

}  // namespace arima::wal
