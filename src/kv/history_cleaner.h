// HistoryCleaner: finds deletions that no reader can see any more, and what goes with them
// (FORMAT.md section 6, rule 3). A compaction may not drop a deletion, because it cannot know
// whether an older version lies in a table that it does not see; this one looks.
//
// A key with many older versions, or many that the engine has not swept away yet, is left until
// compactions have dropped them: removing it at once would leave a long trail of deleted entries
// for every later look at that key. Such keys wait in a bounded list.
//
// Thread rule: the applier.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/error.h"
#include "kv/engine.h"

namespace arima::kv {

class HistoryCleaner {
 public:
  // One step looks at so many deletions and makes a batch of about so many bytes.
  static constexpr size_t kStepDeletionsMax = 256;
  static constexpr uint64_t kStepBytesMax = 1 << 20;
  // A key is removed while it has at most so many older versions.
  static constexpr uint64_t kOlderMax = 64;

  explicit HistoryCleaner(const Engine* engine) : engine_(*engine) {}

  // True: nothing is left to look at before `compact_revision`.
  bool Done(uint64_t compact_revision) const {
    return next_.from > compact_revision && next_.retries == 0 &&
           (next_.seen == compact_revision || next_.postponed.empty());
  }
  // Appends what one step removes to *batch. The step counts when Commit says that the batch was
  // written; else the next one begins where this one did. An error is the engine's, or
  // kCorruption naming the entry.
  Status Step(uint64_t compact_revision, Batch* batch);
  // False: the step found nothing to look at; the next one makes sense after a later floor.
  bool Commit() {
    next_ = step_;
    return looked_ > 0;
  }

 private:
  struct Deletion {
    uint64_t revision = 0;
    std::string user_key;
  };
  struct Progress {
    uint64_t from = 0;               // deletions below were looked at
    uint64_t seen = 0;               // compaction revision of the last step
    std::deque<Deletion> postponed;  // looked at, but too much to remove
    size_t retries = 0;              // of `postponed`, to look at again
  };
  enum class Outcome : uint8_t { kRemoved, kTooMuch };

  Result<Outcome> Remove(const Deletion& deletion, Iterator* versions, Batch* batch);
  Status Retry(Iterator* versions, Batch* batch);
  Status Advance(uint64_t compact_revision, Iterator* versions, Batch* batch);

  const Engine& engine_;
  Progress next_;
  Progress step_;      // next_ as it will be after Commit
  size_t looked_ = 0;  // deletions, in the last step
  std::string key_buffer_;
};

}  // namespace arima::kv
