#include "wal/entry_index.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"

namespace arima::wal {
namespace {

constexpr uint64_t kOffsetUnit = 8;  // records are aligned to it

}  // namespace

using raft::EntryId;
using raft::Index;

void EntryIndex::Start(EntryId snapshot) {
  MutexLock lock(&mutex_);
  terms_ = TermRuns(snapshot);
  runs_.clear();
}

void EntryIndex::AddSegment(std::shared_ptr<SegmentFile> segment) {
  Apply({}, 0, std::move(segment));
}

void EntryIndex::Apply(std::span<const IndexChange> changes, uint64_t end,
                       std::shared_ptr<SegmentFile> segment) {
  MutexLock lock(&mutex_);
  if (segment != nullptr) {
    ARIMA_ASSERT(runs_.empty() || runs_.back().segment->seq < segment->seq, segment->seq);
    runs_.push_back({std::move(segment), Index(0), {}, 0});
  }
  for (const IndexChange& change : changes) {
    ARIMA_ASSERT(!runs_.empty());
    if (change.kind == IndexChange::Kind::kReset) {
      for (Run& run : runs_) run.offsets.clear();
      terms_ = TermRuns(change.id);
      continue;
    }
    if (change.kind == IndexChange::Kind::kTruncatePrefix) {
      DropThrough(change.id.index);
      terms_.TruncatePrefix(change.id);
      continue;
    }
    ARIMA_ASSERT(change.offset % kOffsetUnit == 0 && change.offset / kOffsetUnit <= UINT32_MAX,
                 change.offset);
    DropFrom(change.id.index);
    Run& newest = runs_.back();
    if (newest.offsets.empty()) newest.first = change.id.index;
    newest.offsets.push_back(static_cast<uint32_t>(change.offset / kOffsetUnit));
    terms_.Append(change.id);
  }
  if (!runs_.empty()) runs_.back().end = std::max(runs_.back().end, end);
  CheckRuns();
}

void EntryIndex::TruncatePrefix(EntryId snapshot) {
  MutexLock lock(&mutex_);
  DropThrough(snapshot.index);
  terms_.TruncatePrefix(snapshot);
  CheckRuns();
}

std::vector<std::shared_ptr<SegmentFile>> EntryIndex::TakeUnused() {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<SegmentFile>> unused;
  while (runs_.size() > 1 && runs_.front().offsets.empty()) {
    unused.push_back(std::move(runs_.front().segment));
    runs_.pop_front();
  }
  return unused;
}

Result<EntryPlaces> EntryIndex::Find(Index low, Index high, uint64_t span_bytes) const {
  MutexLock lock(&mutex_);
  if (low <= terms_.snapshot().index) {
    return Fail(Code::kCompacted, "log entry " + std::to_string(low.value) +
                                      " is gone, the log begins at " +
                                      std::to_string(terms_.snapshot().index.value + 1));
  }
  EntryPlaces places;
  places.first = low;
  high = std::min(high, terms_.last() + 1);
  if (low >= high) return places;
  const auto run = std::find_if(runs_.begin(), runs_.end(), [low](const Run& candidate) {
    return !candidate.offsets.empty() && low < candidate.limit();
  });
  ARIMA_ASSERT(run != runs_.end() && low >= run->first, low, terms_.last());
  places.segment = run->segment;
  places.end = run->end;
  for (Index index = low; index < run->limit(); ++index) {
    const uint64_t offset = run->offsets[index - run->first] * kOffsetUnit;
    const bool far = !places.offsets.empty() && offset - places.offsets.front() > span_bytes;
    if (far || index >= high) {
      places.end = offset;
      break;
    }
    places.offsets.push_back(offset);
    places.terms.push_back(terms_.TermAt(index));
  }
  return places;
}

Index EntryIndex::TailStart(uint64_t bytes) const {
  MutexLock lock(&mutex_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->offsets.empty()) continue;
    const uint64_t begin = run->offsets.front() * kOffsetUnit;
    if (run->end - begin <= bytes) {
      bytes -= run->end - begin;
      continue;
    }
    const auto kept =
        std::lower_bound(run->offsets.begin(), run->offsets.end(), run->end - bytes,
                         [](uint32_t unit, uint64_t from) { return unit * kOffsetUnit < from; });
    return run->first + static_cast<uint64_t>(kept - run->offsets.begin());
  }
  return terms_.snapshot().index + 1;
}

TermRuns EntryIndex::terms() const {
  MutexLock lock(&mutex_);
  return terms_;
}

std::vector<SegmentSpan> EntryIndex::Spans() const {
  MutexLock lock(&mutex_);
  std::vector<SegmentSpan> spans;
  spans.reserve(runs_.size());
  Index last = terms_.snapshot().index;
  for (const Run& run : runs_) {
    // One without entries of its own (they were cut off or replaced) goes with its predecessors.
    if (!run.offsets.empty()) last = run.limit() - 1;
    spans.push_back({last, run.segment->bytes});
  }
  return spans;
}

uint64_t EntryIndex::segments() const {
  MutexLock lock(&mutex_);
  return runs_.size();
}

uint64_t EntryIndex::segment_bytes() const {
  MutexLock lock(&mutex_);
  uint64_t bytes = 0;
  for (const Run& run : runs_) bytes += run.segment->bytes;
  return bytes;
}

void EntryIndex::DropFrom(Index index) {
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->offsets.empty()) continue;
    if (index >= run->limit()) break;
    const uint64_t kept = index > run->first ? index - run->first : 0;
    run->offsets.resize(kept);
  }
}

void EntryIndex::DropThrough(Index index) {
  for (Run& run : runs_) {
    while (!run.offsets.empty() && run.first <= index) {
      run.offsets.pop_front();
      ++run.first;
    }
  }
}

void EntryIndex::CheckRuns() const {
#ifdef ARIMA_CHECK_INVARIANTS
  Index next = terms_.snapshot().index + 1;
  for (const Run& run : runs_) {
    if (run.offsets.empty()) continue;
    ARIMA_ASSERT(run.first == next, run.first, next);
    ARIMA_ASSERT(run.offsets.back() * kOffsetUnit < run.end, run.offsets.back(), run.end);
    next = run.limit();
  }
  ARIMA_ASSERT(next == terms_.last() + 1, next, terms_.last());
#endif
}

}  // namespace arima::wal
