#include "kv/mem_engine.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hex.h"
#include "kv/key_schema.h"

namespace arima::kv {

// Looks up its next entry by key at each move, so that entries may come and go in between.
class MemEngine::View final : public Iterator {
 public:
  View(const MemEngine& engine, IterateOptions options, uint64_t sequence)
      : engine_(engine), options_(std::move(options)), sequence_(sequence) {}
  ~View() override {
    MutexLock lock(&engine_.mutex_);
    engine_.view_sequences_.erase(engine_.view_sequences_.find(sequence_));
  }
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  void Seek(std::string_view key) override {
    if (options_.one_user_key) {
      prefix_ = FilterPrefix(key);
      ARIMA_ASSERT(!prefix_.empty(), Printable(key));
    }
    std::string_view from = std::max<std::string_view>(key, options_.lower);
    MutexLock lock(&engine_.mutex_);
    Settle(engine_.entries_.lower_bound(from));
  }
  void Next() override {
    ARIMA_ASSERT(valid_);
    MutexLock lock(&engine_.mutex_);
    Settle(engine_.entries_.upper_bound(key_));
  }
  bool Valid() const override { return valid_; }
  std::string_view key() const override { return key_; }
  std::string_view value() const override { return value_; }
  Status status() const override { return {}; }

 private:
  bool InRange(std::string_view key) const {
    if (options_.one_user_key) return key.starts_with(prefix_);
    return options_.upper.empty() || key < options_.upper;
  }

  // Stops at the first entry from `at` on that this view can see.
  void Settle(std::map<std::string, Chain, std::less<>>::const_iterator at)
      REQUIRES(engine_.mutex_) {
    valid_ = false;
    for (; at != engine_.entries_.end() && InRange(at->first); ++at) {
      if (const std::string* value = VisibleAt(at->second, sequence_)) {
        valid_ = true;
        key_ = at->first;
        value_ = *value;
        return;
      }
    }
  }

  const MemEngine& engine_;
  const IterateOptions options_;
  const uint64_t sequence_;
  std::string prefix_;
  bool valid_ = false;
  std::string key_;
  std::string value_;
};

MemEngine::MemEngine(const Contents& durable) {
  MutexLock lock(&mutex_);
  for (const auto& [key, value] : durable) {
    entries_.emplace_hint(entries_.end(), key, Chain{{.sequence = 0, .value = value}});
  }
}

MemEngine::~MemEngine() {
  MutexLock lock(&mutex_);
  ARIMA_ASSERT(view_sequences_.empty(), view_sequences_.size());
}

void MemEngine::StartAt(uint64_t position) {
  MutexLock lock(&mutex_);
  ARIMA_ASSERT(sequence_ == 0, sequence_);
  position_ = durable_position_ = position;
}

Status MemEngine::Write(const Batch& batch, uint64_t position) {
  MutexLock lock(&mutex_);
  ARIMA_ASSERT(position >= position_, position, position_);
  if (health_.state != EngineState::kOk) return std::unexpected(health_.error);
  ++sequence_;
  position_ = position;
  batch.ForEach([this](std::string_view key, std::optional<std::string_view> value)
                    NO_THREAD_SAFETY_ANALYSIS { Append(key, value); });
  unflushed_.push_back({.sequence = sequence_, .position = position, .bytes = batch.bytes()});
  return {};
}

void MemEngine::Append(std::string_view key, std::optional<std::string_view> value) {
  auto at = entries_.find(key);
  if (at == entries_.end()) {
    if (!value) return;
    at = entries_.emplace(key, Chain{}).first;
  } else if (at->second.back().sequence == sequence_) {
    at->second.pop_back();
  }
  Chain& chain = at->second;
  chain.push_back({.sequence = sequence_});
  if (value) chain.back().value = *value;
  if (chain.size() > 1 || !value) superseded_.push_back({sequence_, std::string(key)});
}

const std::string* MemEngine::VisibleAt(const Chain& chain, uint64_t sequence) {
  for (auto version = chain.rbegin(); version != chain.rend(); ++version) {
    if (version->sequence <= sequence) return version->value ? &*version->value : nullptr;
  }
  return nullptr;
}

Result<bool> MemEngine::Get(std::string_view key, std::string* value) const {
  MutexLock lock(&mutex_);
  auto at = entries_.find(key);
  const std::string* found = at == entries_.end() ? nullptr : VisibleAt(at->second, sequence_);
  if (found != nullptr) *value = *found;
  return found != nullptr;
}

std::unique_ptr<Iterator> MemEngine::NewIterator(IterateOptions options) const {
  MutexLock lock(&mutex_);
  view_sequences_.insert(sequence_);
  return std::make_unique<View>(*this, std::move(options), sequence_);
}

uint64_t MemEngine::durable_position() const {
  MutexLock lock(&mutex_);
  return durable_position_;
}

Status MemEngine::Flush(bool wait) {
  MutexLock lock(&mutex_);
  if (health_.state != EngineState::kOk) return std::unexpected(health_.error);
  if (wait) {
    FlushUpToLocked(position_);
  } else {
    flush_wanted_ = position_;
  }
  return {};
}

void MemEngine::FlushUpTo(uint64_t position) {
  MutexLock lock(&mutex_);
  FlushUpToLocked(position);
}

void MemEngine::FlushUpToLocked(uint64_t position) {
  while (!unflushed_.empty() && unflushed_.front().position <= position) {
    durable_sequence_ = unflushed_.front().sequence;
    durable_position_ = unflushed_.front().position;
    unflushed_.pop_front();
  }
  if (flush_wanted_ <= durable_position_) flush_wanted_ = 0;
  ++flush_count_;
  Prune();
}

// Forgets versions that neither a view nor the durable state, now or after any later FlushUpTo, can
// see: those below the newest one at or under both.
void MemEngine::Prune() {
  uint64_t floor = durable_sequence_;
  if (!view_sequences_.empty()) floor = std::min(floor, *view_sequences_.begin());
  for (; !superseded_.empty() && superseded_.front().sequence <= floor; superseded_.pop_front()) {
    auto at = entries_.find(superseded_.front().key);
    if (at == entries_.end()) continue;
    Chain& chain = at->second;
    auto newer = std::find_if(chain.begin(), chain.end(),
                              [floor](const Version& v) { return v.sequence > floor; });
    if (newer != chain.begin()) chain.erase(chain.begin(), newer - 1);
    if (chain.size() == 1 && !chain.front().value) entries_.erase(at);
  }
}

void MemEngine::RaiseHistoryFloor(uint64_t revision, uint64_t position) {
  history_floor_.Raise(revision, position);
}

// Drops what a compaction of the durable entries would, for good: they are gone after a crash too.
Status MemEngine::CompactAll() {
  MutexLock lock(&mutex_);
  if (!view_sequences_.empty()) return {};
  Prune();
  VersionSieve sieve(history_floor_.At(durable_position_));
  for (auto at = entries_.begin(); at != entries_.end();) {
    const Version& oldest = at->second.front();
    bool durable = oldest.sequence <= durable_sequence_ && oldest.value;
    if (durable && sieve.Drops(at->first) && at->second.size() == 1) {
      at = entries_.erase(at);
      ++dropped_count_;
    } else {
      ++at;
    }
  }
  return {};
}

uint64_t MemEngine::flush_wanted() const {
  MutexLock lock(&mutex_);
  return flush_wanted_;
}

MemEngine::Contents MemEngine::DurableContents() const {
  MutexLock lock(&mutex_);
  Contents contents;
  for (const auto& [key, chain] : entries_) {
    const std::string* value = VisibleAt(chain, durable_sequence_);
    if (value != nullptr) contents.emplace_hint(contents.end(), key, *value);
  }
  return contents;
}

void MemEngine::SetBackgroundError(EngineState state, Error error) {
  ARIMA_ASSERT(state != EngineState::kOk);
  MutexLock lock(&mutex_);
  if (health_.state == EngineState::kOk) health_ = {.state = state, .error = std::move(error)};
}

EngineHealth MemEngine::health() const {
  MutexLock lock(&mutex_);
  return health_;
}

Status MemEngine::Resume() {
  MutexLock lock(&mutex_);
  if (health_.state == EngineState::kNoSpace) health_ = {};
  if (health_.state != EngineState::kOk) return std::unexpected(health_.error);
  return {};
}

EngineStats MemEngine::stats() const {
  MutexLock lock(&mutex_);
  EngineStats stats;
  for (const WrittenBatch& batch : unflushed_) stats.unflushed_bytes += batch.bytes;
  stats.entry_count = entries_.size();
  stats.flush_count = flush_count_;
  stats.dropped_count = dropped_count_;
  return stats;
}

}  // namespace arima::kv
