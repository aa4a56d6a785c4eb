// Engine: the ordered map from bytes to bytes under the state machine. Two implementations pass the
// same tests: rocks_engine (production) and mem_engine (simulator, tests).
//
// Durability. There is no log here: the raft log is the log. Writes become durable later, always as
// a prefix of the batches written: a crash leaves batches 1..n for some n, never part of a batch.
// Each batch carries a position (the log index it applied); durable_position() is that of the last
// batch that a crash now would leave.
//
// Background errors. Work behind the caller's back (flush, compaction) can fail. From then on Write
// and Flush are refused with that error and health() tells what it is; reads go on as far as they
// can. Only a full disk can be resumed from.
//
// Thread rule: one thread writes (Write, StartAt). Everything else may be called from any thread at
// any time, Iterators by one thread each. Iterators must be gone before their engine.
//
// A write buffer of our own can stand in front of an engine by implementing this interface.
// Docs: docs/design/architecture.md section 5, docs/design/raft.md 5.1, 5.2; bytes: FORMAT.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "base/error.h"

namespace arima::kv {

// A run of operations that is written whole or not at all; later ones win over earlier ones. Lives
// in one flat buffer, which Clear keeps for the next batch.
class Batch {
 public:
  void Put(std::string_view key, std::string_view value) { Put(key, value, {}); }
  // The value is `head` followed by `body`, so that a record needs no copy of its own.
  void Put(std::string_view key, std::string_view head, std::string_view body);
  void Delete(std::string_view key);
  void Clear();

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }
  size_t bytes() const { return ops_.size(); }

  // Calls visit(std::string_view key, std::optional<std::string_view> value) in order; a deletion
  // has no value.
  template <class Visit>
  void ForEach(Visit visit) const {
    for (std::string_view rest = ops_; !rest.empty();) {
      size_t key_bytes = GetFixed<uint32_t>(rest.data() + 1);
      size_t value_bytes = GetFixed<uint32_t>(rest.data() + 5);
      std::string_view key = rest.substr(kHeadBytes, key_bytes);
      std::optional<std::string_view> value;
      if (rest[0] == kPut) value = rest.substr(kHeadBytes + key_bytes, value_bytes);
      rest.remove_prefix(kHeadBytes + key_bytes + value_bytes);
      visit(key, value);
    }
  }

 private:
  // Per operation: kind u8, key bytes u32, value bytes u32, key, value.
  enum Kind : char { kPut = 0, kDelete = 1 };
  static constexpr size_t kHeadBytes = 9;
  void AppendHead(Kind kind, size_t key_bytes, size_t value_bytes);

  std::string ops_;
  size_t count_ = 0;
};

// A consistent view: shows the batches written when it was made, none written later. Starts
// nowhere: Seek first. key() and value() are valid until the next move.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // The first entry at or after `key` within the iterator's range.
  virtual void Seek(std::string_view key) = 0;
  virtual void Next() = 0;
  // False at the end of the range and after an error: then status() tells which.
  virtual bool Valid() const = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  virtual Status status() const = 0;
};

struct IterateOptions {
  // True: after Seek(k) only entries with FilterPrefix(k) are seen, and filters may skip whole
  // files that do not have it; Seek then takes keys of table `k` only (asserted) and the bounds are
  // ignored.
  bool one_user_key = false;
  std::string lower{};     // first key of the range; empty = from the start
  std::string upper{};     // first key after the range; empty = to the end
  bool fill_cache = true;  // false for scans that would push hot blocks out
  // Seek and Next give up with kOverloaded after passing so many deleted entries; 0 = never. An
  // engine that need not pass any never gives up.
  uint64_t passed_max = 0;
};

enum class EngineState : uint8_t {
  kOk,
  kNoSpace,     // Resume() once there is space again
  kCorruption,  // found by a background job or a read: the data is bad, log and votes are not
  kFailed,      // any other background error: the process cannot go on
};

struct EngineHealth {
  EngineState state = EngineState::kOk;
  Error error;  // of the first thing that went wrong; meaningful unless kOk
};

// Estimates, for metrics and for deciding when to flush.
struct EngineStats {
  uint64_t unflushed_bytes = 0;
  uint64_t table_bytes = 0;
  uint64_t table_count = 0;
  uint64_t entry_count = 0;
  uint64_t cache_bytes = 0;
  uint64_t compaction_pending_bytes = 0;
  uint64_t flush_count = 0;
  // In this life, because of RaiseHistoryFloor: versions dropped, times the engine looked whether a
  // compaction would free much, compactions it did for that.
  uint64_t dropped_count = 0;
  uint64_t sweep_count = 0;
  uint64_t sweep_compaction_count = 0;
  bool write_stalled = false;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Declares what is there now to be position `position`, and durable. Once, before the first
  // Write.
  virtual void StartAt(uint64_t position) = 0;

  // Applies the batch atomically; visible to everyone on return. `position` never decreases. On an
  // error nothing was applied. kOverloaded: what was written before has still to be brought into
  // order; the same call may be repeated.
  virtual Status Write(const Batch& batch, uint64_t position) = 0;

  // False: no such key.
  virtual Result<bool> Get(std::string_view key, std::string* value) const = 0;

  virtual std::unique_ptr<Iterator> NewIterator(IterateOptions options) const = 0;

  // A hint: these keys of table `k` are sought next, each with a `one_user_key` iterator. Returns
  // when what that takes is in memory, or could not be read: what is wrong is for the seek to say.
  // Default: nothing, for engines that are memory.
  virtual void ReadAhead(std::span<const std::string> keys) const;

  virtual uint64_t durable_position() const = 0;

  // Makes everything written so far durable. With `wait` it is so on return; without, it is on its
  // way; kOverloaded: too much is on its way already, nothing was done, and only who waits is
  // served. Either may block while the engine is short of memory or disk bandwidth: not for hot
  // paths.
  virtual Status Flush(bool wait) = 0;

  // From now on nobody reads versions as of a revision below `revision`, and the engine may drop
  // what only such a reader could see (FORMAT.md section 6), behind the caller's back, as soon as
  // the batch of `position` is durable: a crash must not bring back a state that still promises
  // them. Call it after readers on all threads can know. Neither argument ever decreases.
  virtual void RaiseHistoryFloor(uint64_t revision, uint64_t position) = 0;
  // Drops all that may be dropped, at once; may block for long. For tests and tools: the engine
  // does so by itself in time, a piece here and a piece there.
  virtual Status CompactAll() = 0;

  // Makes `dir`, which must not exist (its parent must; kAlreadyExists), a database of its own with
  // at least every batch written before the call, and perhaps some written during it: what it holds
  // is for its applied record to say (kv/checkpoint.h). Durable on return. Tables are shared by
  // hard links, so it costs no copy but keeps their space until `dir` is deleted. An error leaves
  // nothing behind; a crash may leave `dir` or `dir`.tmp. Flushes, so it may block as Flush does.
  // Default: kNotSupported, for engines that know no files.
  virtual Status Checkpoint(const std::string& dir);

  virtual EngineHealth health() const = 0;
  // Somebody found that what is stored cannot be true, in a way that the engine does not see itself
  // (a record that does not decode, a checkpoint that a peer refused). health() tells from then on;
  // whoever owns the engine decides. Default: nothing, for engines that no disk can damage.
  virtual void ReportCorruption(const Error& error);
  // Leaves kNoSpace after space was made; any other error stays and is returned. May block.
  virtual Status Resume() = 0;

  virtual EngineStats stats() const = 0;
};

// Digest of everything the engine holds, in key order: equal contents give equal digests in any
// engine. Reads it all; for tests and the simulator.
Result<uint64_t> ContentDigest(const Engine& engine);

}  // namespace arima::kv
