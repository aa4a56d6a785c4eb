#include "kv/history_cleaner.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/mutants.h"
#include "kv/key_schema.h"
#include "kv/value_record.h"

namespace arima::kv {
namespace {

constexpr size_t kPostponedMax = 256;
// Deleted entries passed in one move of an iterator before the key counts as too much.
constexpr uint64_t kPassedMax = 64;

}  // namespace

Status HistoryCleaner::Step(uint64_t compact_revision, Batch* batch) {
  step_ = next_;
  if (step_.seen != compact_revision) {
    step_.seen = compact_revision;
    step_.retries = step_.postponed.size();
  }
  std::unique_ptr<Iterator> versions =
      engine_.NewIterator({.one_user_key = true, .fill_cache = false, .passed_max = kPassedMax});
  looked_ = 0;
  if (Status status = Retry(versions.get(), batch); !status) return status;
  return Advance(compact_revision, versions.get(), batch);
}

Status HistoryCleaner::Retry(Iterator* versions, Batch* batch) {
  for (; step_.retries > 0 && looked_ < kStepDeletionsMax; --step_.retries) {
    if (batch->bytes() >= kStepBytesMax) return {};
    ++looked_;
    Deletion deletion = std::move(step_.postponed.front());
    step_.postponed.pop_front();
    Result<Outcome> outcome = Remove(deletion, versions, batch);
    if (!outcome) return std::unexpected(outcome.error());
    if (*outcome == Outcome::kTooMuch) step_.postponed.push_back(std::move(deletion));
  }
  return {};
}

Status HistoryCleaner::Advance(uint64_t compact_revision, Iterator* versions, Batch* batch) {
  if (step_.retries > 0 || step_.from > compact_revision) return {};
  std::unique_ptr<Iterator> deletions =
      engine_.NewIterator({.lower = DeletionsFrom(step_.from),
                           .upper = DeletionsFrom(compact_revision + 1),
                           .fill_cache = false});
  for (deletions->Seek({}); deletions->Valid(); deletions->Next()) {
    if (looked_ == kStepDeletionsMax || batch->bytes() >= kStepBytesMax) return {};
    // When the list is full, what comes next waits in its place until a later floor.
    if (step_.postponed.size() == kPostponedMax) return {};
    ++looked_;
    Result<KeyAndRevision> at = ParseDeletionKey(deletions->key());
    if (!at) return std::unexpected(at.error());
    Deletion deletion{at->revision, std::move(at->user_key)};
    Result<Outcome> outcome = Remove(deletion, versions, batch);
    if (!outcome) return std::unexpected(outcome.error());
    step_.from = deletion.revision + 1;
    if (*outcome == Outcome::kTooMuch) step_.postponed.push_back(std::move(deletion));
  }
  if (Status status = deletions->status(); !status) return status;
  step_.from = compact_revision + 1;
  return {};
}

// Everything of one deletion goes in one batch: whatever a crash leaves, the deletion hides the
// older versions or they are gone as well.
Result<HistoryCleaner::Outcome> HistoryCleaner::Remove(const Deletion& deletion, Iterator* versions,
                                                       Batch* batch) {
  auto too_much = [versions] {
    Status status = versions->status();
    return !status && status.error().code == Code::kOverloaded;
  };
  SetVersionKey(deletion.user_key, deletion.revision, &key_buffer_);
  versions->Seek(key_buffer_);
  if (too_much()) return Outcome::kTooMuch;
  std::vector<std::string> older;
  if (versions->Valid() && versions->key() == key_buffer_) {
    Result<ValueRecord> record = DecodeValue(versions->key(), versions->value());
    if (!record) return std::unexpected(record.error());
    if (!record->deleted) {
      return Fail(Code::kCorruption, "key " + Printable(deletion.user_key) +
                                         " is listed as deleted"
                                         " at revision " +
                                         std::to_string(deletion.revision) +
                                         ", but has a value there");
    }
    for (versions->Next(); versions->Valid(); versions->Next()) {
      if (older.size() == kOlderMax) return Outcome::kTooMuch;
      older.emplace_back(versions->key());
    }
    if (too_much()) return Outcome::kTooMuch;
    if (ARIMA_MUTANT(73)) older.clear();
    older.push_back(key_buffer_);
  }
  if (Status status = versions->status(); !status) return std::unexpected(status.error());
  for (const std::string& key : older) batch->Delete(key);
  SetDeletionKey(deletion.revision, deletion.user_key, &key_buffer_);
  batch->Delete(key_buffer_);
  return Outcome::kRemoved;
}

}  // namespace arima::kv
