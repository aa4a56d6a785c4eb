// HistoryKeeper: decides where the store's history ends (docs/design/architecture.md section 5):
// after a time, or when it has grown too large, whichever comes first, but never within the newest
// revisions; almost at once while the leader's disk is low.
//
// Every node notes when it saw which revision, on its own clock; the leader's notes decide. Time
// that a node has no notes of, before its start above all, does not count: history then lasts
// longer, never shorter. Replicas stay equal because the end moves by a command; nothing of this is
// looked at when it is applied.
//
// Pure decisions. Thread rule: the core thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace arima::node {

struct HistoryOptions {
  uint64_t max_age_ns = 600'000'000'000;
  // Of keys and values in versions written; what was written since a revision is taken for the
  // size of the history since then (kv::StateMachine::written_bytes).
  uint64_t max_bytes = 4ull << 30;
  uint64_t min_revisions = 1000;
};

class HistoryKeeper {
 public:
  explicit HistoryKeeper(const HistoryOptions& options) : options_(options) {}

  // What this node has applied now; called at least every few seconds. `written_bytes` only grows.
  void Note(uint64_t now_ns, uint64_t revision, uint64_t written_bytes);
  // The leader asks: the compaction revision to propose, if it is time. Answers at most once a
  // second, and seldom for a small step: each answer is an entry in every log.
  std::optional<uint64_t> Propose(uint64_t now_ns, uint64_t compact_revision);
  // While the disk is low, history ends a few seconds ago, whatever the limits say, or what is
  // deleted would keep its space.
  void SetShort(bool is_short) { short_ = is_short; }
  // The data is another one now; SetShort is to be said again.
  void Forget();

  size_t notes() const { return marks_.size(); }

 private:
  struct Mark {
    uint64_t time_ns = 0;
    uint64_t revision = 0;
    uint64_t written_bytes = 0;
  };

  const HistoryOptions options_;
  std::deque<Mark> marks_;  // ascending; those that are neither too old nor too far back
  uint64_t revision_ = 1;   // now
  uint64_t target_ = 1;     // of the newest mark that was too old or too far back
  std::optional<uint64_t> proposed_ns_;
  bool short_ = false;
  Mark recent_;                // renewed every few seconds
  uint64_t short_target_ = 1;  // of the mark before
};

}  // namespace arima::node
