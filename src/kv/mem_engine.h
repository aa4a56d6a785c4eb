// MemEngine: the engine of the simulator and of unit tests. Entries live in memory; durability is
// modelled, not done: what was written is durable when FlushUpTo says so, and DurableContents() is
// what a crash now would leave, to start the next life from.
//
// Flush(wait = true) makes everything durable at once. Flush(wait = false) only notes that it was
// asked for: the simulator sees flush_wanted() and completes it with FlushUpTo when it likes.
//
// Thread rule: Engine's; the extra functions may be called from any thread.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "kv/engine.h"
#include "kv/history_floor.h"
#include "kv/version_sieve.h"

namespace arima::kv {

class MemEngine final : public Engine {
 public:
  using Contents = std::map<std::string, std::string, std::less<>>;

  MemEngine() = default;
  explicit MemEngine(const Contents& durable);
  ~MemEngine() override;

  void StartAt(uint64_t position) override EXCLUDES(mutex_);
  Status Write(const Batch& batch, uint64_t position) override EXCLUDES(mutex_);
  Result<bool> Get(std::string_view key, std::string* value) const override EXCLUDES(mutex_);
  std::unique_ptr<Iterator> NewIterator(IterateOptions options) const override EXCLUDES(mutex_);
  uint64_t durable_position() const override EXCLUDES(mutex_);
  Status Flush(bool wait) override EXCLUDES(mutex_);
  void RaiseHistoryFloor(uint64_t revision, uint64_t position) override;
  // Does nothing while there are iterators: what they see must stay.
  Status CompactAll() override EXCLUDES(mutex_);
  EngineHealth health() const override EXCLUDES(mutex_);
  Status Resume() override EXCLUDES(mutex_);
  EngineStats stats() const override EXCLUDES(mutex_);

  // Makes the batches with a position up to `position` durable.
  void FlushUpTo(uint64_t position) EXCLUDES(mutex_);
  // Position up to which somebody asked for a flush without waiting; 0 = nobody.
  uint64_t flush_wanted() const EXCLUDES(mutex_);
  Contents DurableContents() const EXCLUDES(mutex_);
  // As a background job that failed. `state` is not kOk.
  void SetBackgroundError(EngineState state, Error error) EXCLUDES(mutex_);

 private:
  class View;

  // One entry is a chain of versions in writing order: readers and the durable state each look at
  // it as of their own sequence number. Chains shrink to one version once nobody looks further
  // back.
  struct Version {
    uint64_t sequence = 0;
    std::optional<std::string> value{};  // empty = deleted
  };
  using Chain = std::vector<Version>;
  struct WrittenBatch {
    uint64_t sequence = 0;
    uint64_t position = 0;
    size_t bytes = 0;
  };
  struct Superseded {
    uint64_t sequence = 0;  // of the version that made older ones obsolete
    std::string key;
  };

  static const std::string* VisibleAt(const Chain& chain, uint64_t sequence);
  void Append(std::string_view key, std::optional<std::string_view> value) REQUIRES(mutex_);
  void FlushUpToLocked(uint64_t position) REQUIRES(mutex_);
  void Prune() REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Chain, std::less<>> entries_ GUARDED_BY(mutex_);
  std::deque<WrittenBatch> unflushed_ GUARDED_BY(mutex_);
  std::deque<Superseded> superseded_ GUARDED_BY(mutex_);
  mutable std::multiset<uint64_t> view_sequences_ GUARDED_BY(mutex_);
  uint64_t sequence_ GUARDED_BY(mutex_) = 0;          // of the last batch
  uint64_t durable_sequence_ GUARDED_BY(mutex_) = 0;  // <= sequence_
  uint64_t position_ GUARDED_BY(mutex_) = 0;
  uint64_t durable_position_ GUARDED_BY(mutex_) = 0;  // <= position_
  uint64_t flush_wanted_ GUARDED_BY(mutex_) = 0;
  uint64_t flush_count_ GUARDED_BY(mutex_) = 0;
  EngineHealth health_ GUARDED_BY(mutex_);
  uint64_t dropped_count_ GUARDED_BY(mutex_) = 0;
  HistoryFloor history_floor_;
};

}  // namespace arima::kv
