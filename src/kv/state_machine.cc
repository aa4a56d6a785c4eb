// Apply turns log records into one engine batch.
//
// A put must know the key's previous version. It comes from the table of recent keys or, on a miss,
// from the engine as it was before the batch; either way the table then holds the key's state as of
// the commands done so far. So later commands of the same batch see earlier ones through the table
// and nothing ever reads the unwritten batch. That is why the table evicts nothing before the batch
// is written, and why a batch that failed takes its keys out of the table again.
//
// Publication order, for readers on other threads: engine write, then store revision, then applied
// index. A reader that saw applied >= i thus reads at a revision that includes record i, and all
// versions up to the revision it loaded are in the engine: it needs no snapshot to be consistent,
// only to seek at that revision.
//
// What a crash leaves is the engine's matter (engine.h): a prefix of batches, each with the `m`
// record that says where to go on.
#include "kv/state_machine.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/hex.h"
#include "base/mutants.h"
#include "base/mutex.h"
#include "kv/applied_record.h"
#include "kv/command.h"
#include "kv/engine.h"
#include "kv/history_cleaner.h"
#include "kv/key_schema.h"
#include "kv/recent_keys.h"
#include "kv/value_record.h"

namespace arima::kv {

// Larger batches than clients make at once: applying lags behind, as after a start.
static constexpr size_t kReadAheadRecords = 512;

class StateMachine::Impl {
 public:
  Impl(std::unique_ptr<Engine> engine, const StateMachineOptions& options)
      : engine_(std::move(engine)),
        recent_keys_(options.recent_keys_bytes, options.recent_keys_hash_seed),
        cleaner_(engine_.get()) {}

  Status Load(const AppliedState& initial);
  Status Apply(std::span<const Record> records, std::vector<ApplyResult>* results);
  Result<bool> CleanStep();
  Result<ReadResult> Get(std::string_view key, uint64_t revision) const;

  AppliedState applied() const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return published_;
  }
  uint64_t applied_index() const { return applied_index_.load(std::memory_order_acquire); }
  uint64_t store_revision() const { return store_revision_.load(std::memory_order_acquire); }
  uint64_t compact_revision() const { return compact_revision_.load(std::memory_order_acquire); }
  uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }
  uint64_t cleaned_count() const { return cleaned_count_.load(std::memory_order_relaxed); }
  Engine& engine() const { return *engine_; }

 private:
  Status CheckFollows(std::span<const Record> records) const;
  void ReadAhead(std::span<const Record> records);
  Status ApplyAll(std::span<const Record> records, std::vector<ApplyResult>* results);
  Status ApplyOne(const Record& record, ApplyResult* result);
  Status ApplyCommand(std::string_view bytes, ApplyResult* result);
  Status Put(const PutCommand& put, ApplyResult* result);
  Status Delete(const DeleteCommand& erase, ApplyResult* result);
  void Compact(const CompactCommand& compact);
  void ApplyClock(std::string_view bytes, ApplyResult* result);

  Result<KeyState*> StateOf(std::string_view key);
  Result<KeyState> ReadState(std::string_view key);
  Status WriteBatch();
  void Publish() EXCLUDES(mutex_);
  void ForgetBatch() EXCLUDES(mutex_);

  const std::unique_ptr<Engine> engine_;

  // Owned by the applier.
  RecentKeys recent_keys_;
  AppliedState next_;  // applied state plus the batch in work; equals published_ between calls
  Batch batch_;
  std::vector<std::string_view> batch_keys_;  // user keys changed by batch_; point into its records
  std::unique_ptr<Iterator> misses_;          // engine as before the batch; made by its first miss
  std::string key_buffer_;
  std::string value_buffer_;
  uint64_t batch_written_bytes_ = 0;
  HistoryCleaner cleaner_;

  mutable Mutex mutex_;
  AppliedState published_ GUARDED_BY(mutex_);
  std::atomic<uint64_t> applied_index_{0};
  std::atomic<uint64_t> store_revision_{0};
  std::atomic<uint64_t> compact_revision_{1};
  std::atomic<uint64_t> written_bytes_{0};
  std::atomic<uint64_t> cleaned_count_{0};
};

// ---------------------------------------------------------------------------------------- applying

Status StateMachine::Impl::Apply(std::span<const Record> records,
                                 std::vector<ApplyResult>* results) {
  results->clear();
  if (records.empty()) return {};
  if (Status status = CheckFollows(records); !status) return status;
  if (records.size() >= kReadAheadRecords) ReadAhead(records);
  Status status = ApplyAll(records, results);
  misses_.reset();
  if (status) {
    Publish();
  } else {
    ForgetBatch();
    results->clear();
  }
  batch_.Clear();
  batch_keys_.clear();
  batch_written_bytes_ = 0;
  recent_keys_.EvictOverflow();
  return status;
}

Status StateMachine::Impl::CheckFollows(std::span<const Record> records) const {
  uint64_t index = next_.index;
  uint64_t term = next_.term;
  for (const Record& record : records) {
    if (record.index != index + 1 || record.term < term) {
      return Fail(Code::kInternal, "apply record (" + std::to_string(record.index) + ", " +
                                       std::to_string(record.term) + ") after (" +
                                       std::to_string(index) + ", " + std::to_string(term) +
                                       "): not consecutive");
    }
    index = record.index;
    term = record.term;
  }
  return {};
}

// Reads one after the other are what holds up a large batch on a large store after a start, when
// nothing is in memory yet. Whatever is wrong with a command, ApplyAll finds it again.
void StateMachine::Impl::ReadAhead(std::span<const Record> records) {
  std::vector<std::string> missing;
  auto look = [&](std::string_view key) {
    if (recent_keys_.Find(key) != nullptr) return;
    SetVersionKey(key, std::numeric_limits<uint64_t>::max(), &missing.emplace_back());
  };
  for (const Record& record : records) {
    if (record.kind != RecordKind::kCommand) continue;
    Result<Command> command = DecodeCommand(record.bytes);
    if (!command) continue;
    if (const auto* put = std::get_if<PutCommand>(&*command)) look(put->key);
    if (const auto* erase = std::get_if<DeleteCommand>(&*command)) look(erase->key);
  }
  if (missing.size() >= kReadAheadRecords) engine_->ReadAhead(missing);
}

Status StateMachine::Impl::ApplyAll(std::span<const Record> records,
                                    std::vector<ApplyResult>* results) {
  results->reserve(records.size());
  for (const Record& record : records) {
    ApplyResult& result = results->emplace_back();
    if (Status status = ApplyOne(record, &result); !status) return status;
    next_.index = record.index;
    next_.term = record.term;
    result.revision = next_.revision;
  }
  return WriteBatch();
}

Status StateMachine::Impl::ApplyOne(const Record& record, ApplyResult* result) {
  switch (record.kind) {
    case RecordKind::kNothing:
      return {};
    case RecordKind::kCommand:
      return ApplyCommand(record.bytes, result);
    case RecordKind::kConf:
      next_.conf = record.conf;
      return {};
    case RecordKind::kClock:
      ApplyClock(record.bytes, result);
      return {};
  }
  ARIMA_ASSERT(false, static_cast<int>(record.kind));
  return {};
}

// An answer that says no, the same on every node; the record is consumed.
static void Refuse(Error error, ApplyResult* result) {
  result->ok = false;
  result->code = error.code;
  result->message = std::move(error.message);
}

Status StateMachine::Impl::ApplyCommand(std::string_view bytes, ApplyResult* result) {
  Result<Command> command = DecodeCommand(bytes);
  if (command && std::holds_alternative<CompactCommand>(*command)) {
    Compact(std::get<CompactCommand>(*command));
    return {};
  }
  ++next_.user_op_count;
  if (!command) {
    Refuse(std::move(command.error()), result);
    return {};
  }
  if (const auto* put = std::get_if<PutCommand>(&*command)) return Put(*put, result);
  return Delete(std::get<DeleteCommand>(*command), result);
}

Status StateMachine::Impl::Put(const PutCommand& put, ApplyResult* result) {
  Result<KeyState*> state = StateOf(put.key);
  if (!state) return std::unexpected(state.error());
  KeyState& key = **state;
  const uint64_t revision = ++next_.revision;
  ARIMA_ASSERT(key.mod_revision < revision, key.mod_revision, revision);
  if (!key.exists()) key.create_revision = revision;
  key.mod_revision = revision;
  ++key.version;
  batch_keys_.push_back(put.key);

  SetVersionKey(put.key, revision, &key_buffer_);
  EncodeValueHead(key_buffer_,
                  {.create_revision = key.create_revision,
                   .version = key.version,
                   .lease = put.lease,
                   .value = put.value},
                  &value_buffer_);
  batch_.Put(key_buffer_, value_buffer_, put.value);
  batch_written_bytes_ += key_buffer_.size() + value_buffer_.size() + put.value.size();
  result->create_revision = key.create_revision;
  result->version = key.version;
  return {};
}

Status StateMachine::Impl::Delete(const DeleteCommand& erase, ApplyResult* result) {
  Result<KeyState*> state = StateOf(erase.key);
  if (!state) return std::unexpected(state.error());
  KeyState& key = **state;
  if (!key.exists()) return {};  // changes nothing: the revision stays
  const uint64_t revision = ++next_.revision;
  ARIMA_ASSERT(key.mod_revision < revision, key.mod_revision, revision);
  key = {};
  batch_keys_.push_back(erase.key);

  SetVersionKey(erase.key, revision, &key_buffer_);
  EncodeValueHead(key_buffer_, {.deleted = true}, &value_buffer_);
  batch_.Put(key_buffer_, value_buffer_);
  batch_written_bytes_ += key_buffer_.size() + value_buffer_.size();
  SetDeletionKey(revision, erase.key, &key_buffer_);
  batch_.Put(key_buffer_, {});
  result->deleted = true;
  return {};
}

// Clamped, never refused: the proposer cannot know better than the log, and nobody waits for the
// answer.
void StateMachine::Impl::Compact(const CompactCommand& compact) {
  uint64_t revision = std::min(compact.revision, next_.revision);
  next_.compact_revision = std::max(next_.compact_revision, revision);
}

void StateMachine::Impl::ApplyClock(std::string_view bytes, ApplyResult* result) {
  Result<uint64_t> clock_ms = DecodeClock(bytes);
  if (!clock_ms) return Refuse(std::move(clock_ms.error()), result);
  // A new leader may tick from a little further back; cluster time itself never does.
  next_.clock_ms = std::max(next_.clock_ms, *clock_ms);
}

// The key's state after the commands done so far, in the table.
Result<KeyState*> StateMachine::Impl::StateOf(std::string_view key) {
  if (KeyState* known = recent_keys_.Find(key)) return known;
  Result<KeyState> state = ReadState(key);
  if (!state) return std::unexpected(state.error());
  return recent_keys_.Insert(key, *state);
}

Result<KeyState> StateMachine::Impl::ReadState(std::string_view key) {
  if (misses_ == nullptr) misses_ = engine_->NewIterator({.one_user_key = true});
  // From the highest revision there can be, not from the newest known one: a version that lies
  // beyond the applied state is damage and must be seen.
  SetVersionKey(key, std::numeric_limits<uint64_t>::max(), &key_buffer_);
  misses_->Seek(key_buffer_);
  if (Status status = misses_->status(); !status) return std::unexpected(status.error());
  if (!misses_->Valid()) return KeyState{};
  Result<ValueRecord> record = DecodeValue(misses_->key(), misses_->value());
  if (!record) return std::unexpected(record.error());
  const uint64_t mod_revision = RevisionOfVersionKey(misses_->key());
  if (mod_revision > store_revision()) {
    return Fail(Code::kCorruption, "record of key " + Printable(key) + " at revision " +
                                       std::to_string(mod_revision) +
                                       " is newer than the applied state");
  }
  if (record->deleted) return KeyState{};
  return KeyState{.create_revision = record->create_revision,
                  .mod_revision = mod_revision,
                  .version = record->version};
}

Status StateMachine::Impl::WriteBatch() {
  if (ARIMA_MUTANT(27)) {
    if (Status alone = engine_->Write(batch_, next_.index); !alone) return alone;
    batch_.Clear();
  }
  EncodeApplied(next_, &value_buffer_);
  batch_.Put(kAppliedKey, value_buffer_);
  return engine_->Write(batch_, next_.index);
}

// The engine hears of a new compaction revision last: whatever it then drops, a reader that can see
// the hole can see the revision too.
void StateMachine::Impl::Publish() {
  store_revision_.store(next_.revision, std::memory_order_release);
  bool compacted = compact_revision() != next_.compact_revision;
  compact_revision_.store(next_.compact_revision, std::memory_order_release);
  written_bytes_.fetch_add(batch_written_bytes_, std::memory_order_relaxed);
  {
    MutexLock lock(&mutex_);
    published_ = next_;
  }
  applied_index_.store(next_.index, std::memory_order_release);
  if (compacted) engine_->RaiseHistoryFloor(next_.compact_revision, next_.index);
}

void StateMachine::Impl::ForgetBatch() {
  for (std::string_view key : batch_keys_) recent_keys_.Erase(key);
  MutexLock lock(&mutex_);
  next_ = published_;
}

// The batch ends with the `m` record like every other one: engines rely on it (rocks_engine.cc).
Result<bool> StateMachine::Impl::CleanStep() {
  const uint64_t compacted = next_.compact_revision;
  if (cleaner_.Done(compacted)) return false;
  batch_.Clear();
  Status status = cleaner_.Step(compacted, &batch_);
  const size_t removed = batch_.count();
  if (status && removed > 0) status = WriteBatch();
  batch_.Clear();
  if (!status) return std::unexpected(status.error());
  const bool progress = cleaner_.Commit();
  cleaned_count_.fetch_add(removed, std::memory_order_relaxed);
  return progress && !cleaner_.Done(compacted);
}

// ----------------------------------------------------------------------------------------- reading

static Error Compacted(uint64_t revision, uint64_t oldest) {
  return {Code::kCompacted, "revision " + std::to_string(revision) +
                                " is no longer kept; the oldest that can be read is " +
                                std::to_string(oldest)};
}

// In this order: the store revision is loaded, so the view has every version up to it; the view is
// pinned; the compaction revision is loaded, so that if the view misses anything, this tells.
Result<ReadResult> StateMachine::Impl::Get(std::string_view key, uint64_t revision) const {
  if (Status status = CheckUserKey(key); !status) return std::unexpected(status.error());
  ReadResult result{.store_revision = store_revision()};
  if (revision > result.store_revision) {
    return Fail(Code::kInvalidArgument, "revision " + std::to_string(revision) +
                                            " is in the future, the store is at " +
                                            std::to_string(result.store_revision));
  }
  std::unique_ptr<Iterator> it = engine_->NewIterator({.one_user_key = true});
  const uint64_t oldest = compact_revision();
  if (revision != 0 && revision < oldest) return std::unexpected(Compacted(revision, oldest));
  // History never ends above the store revision, so this one has moved as well.
  if (revision == 0 && result.store_revision < oldest) return Get(key, 0);
  it->Seek(VersionKey(key, revision != 0 ? revision : result.store_revision));
  if (Status status = it->status(); !status) return std::unexpected(status.error());
  if (!it->Valid()) return result;
  Result<ValueRecord> record = DecodeValue(it->key(), it->value());
  if (!record) return std::unexpected(record.error());
  if (record->deleted) return result;
  result.found = true;
  result.value = SharedBytes::Copy(record->value);
  result.create_revision = record->create_revision;
  result.mod_revision = RevisionOfVersionKey(it->key());
  result.version = record->version;
  result.lease = record->lease;
  return result;
}

// ----------------------------------------------------------------------------------------- opening

static Result<bool> HoldsAnything(const Engine& engine) {
  std::unique_ptr<Iterator> it = engine.NewIterator({});
  it->Seek({});
  if (Status status = it->status(); !status) return std::unexpected(status.error());
  return it->Valid();
}

// Reads one record, whatever the size of the store.
Status StateMachine::Impl::Load(const AppliedState& initial) {
  ARIMA_ASSERT(initial.revision >= 1, initial.revision);
  std::string bytes;
  Result<bool> found = engine_->Get(kAppliedKey, &bytes);
  if (!found) return std::unexpected(found.error());
  if (*found) {
    Result<AppliedState> stored = DecodeApplied(bytes);
    if (!stored) return std::unexpected(stored.error());
    if (stored->cluster_id != initial.cluster_id) {
      return Fail(Code::kConflict, "state machine belongs to cluster " + ToHex(stored->cluster_id) +
                                       ", not to " + ToHex(initial.cluster_id));
    }
    next_ = std::move(*stored);
    engine_->StartAt(next_.index);
    Publish();
    return {};
  }
  Result<bool> damaged = HoldsAnything(*engine_);
  if (!damaged) return std::unexpected(damaged.error());
  if (*damaged) {
    return Fail(Code::kCorruption, "state machine has data but no applied record");
  }
  next_ = initial;
  engine_->StartAt(next_.index);
  if (Status status = WriteBatch(); !status) return status;
  batch_.Clear();
  // From here on the engine knows its cluster, whatever happens.
  if (Status status = engine_->Flush(true); !status) return status;
  Publish();
  return {};
}

StateMachine::StateMachine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StateMachine::~StateMachine() = default;

Result<std::unique_ptr<StateMachine>> StateMachine::Open(std::unique_ptr<Engine> engine,
                                                         const AppliedState& initial,
                                                         const StateMachineOptions& options) {
  ARIMA_ASSERT(engine != nullptr);
  auto impl = std::make_unique<Impl>(std::move(engine), options);
  if (Status status = impl->Load(initial); !status) return std::unexpected(status.error());
  return std::unique_ptr<StateMachine>(new StateMachine(std::move(impl)));
}

Status StateMachine::Apply(std::span<const Record> records, std::vector<ApplyResult>* results) {
  return impl_->Apply(records, results);
}
Result<bool> StateMachine::CleanStep() { return impl_->CleanStep(); }
Result<ReadResult> StateMachine::Get(std::string_view key, uint64_t revision) const {
  return impl_->Get(key, revision);
}
AppliedState StateMachine::applied() const { return impl_->applied(); }
uint64_t StateMachine::applied_index() const { return impl_->applied_index(); }
uint64_t StateMachine::store_revision() const { return impl_->store_revision(); }
uint64_t StateMachine::compact_revision() const { return impl_->compact_revision(); }
uint64_t StateMachine::written_bytes() const { return impl_->written_bytes(); }
uint64_t StateMachine::cleaned_count() const { return impl_->cleaned_count(); }
uint64_t StateMachine::durable_applied_index() const { return impl_->engine().durable_position(); }
Status StateMachine::Flush(bool wait) { return impl_->engine().Flush(wait); }
Engine& StateMachine::engine() { return impl_->engine(); }

}  // namespace arima::kv
