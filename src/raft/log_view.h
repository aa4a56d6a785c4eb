// LogView: everything the core knows about its log, without touching a disk.
//
//   snapshot.index <= applied <= applying <= min(commit, stable),  commit <= last,  stable <= last
//
//   first = snapshot.index + 1   first retained entry
//   last       newest entry, written or not
//   commit     known to be on a quorum (Raft paper 5.3)
//   stable     durable on the local disk
//   applying   handed to the state machine;   applied: it has said so
//
// Writes are asynchronous. Each gets a number; several may be in flight. When a suffix is
// overwritten, every write in flight is *clipped* below it, so that its completion can never vouch
// for entries that have been replaced, even by equal ones written again later (docs/design/raft.md
// 1.5; the A-B-A race).
//
// Owner: Core, core thread. Contract violations are programmer errors and assert; foreign input is
// checked by the callers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/mutants.h"
#include "raft/core.h"
#include "raft/entry_cache.h"
#include "raft/term_map.h"
#include "raft/types.h"

namespace arima::raft {

// One write that the driver was given and has not reported done.
struct InflightWrite {
  uint64_t seq = 0;
  Index clipped_last;  // its completion makes the log durable up to here; 0 = of nothing
  bool sync = false;
};

class LogView {
 public:
  // `initial` as in Core; commit is the caller's choice within [applied, last].
  LogView(const InitialState& initial, Index commit, uint64_t cache_bytes);

  Index first() const { return terms_.snapshot().index + 1; }
  EntryId snapshot() const { return terms_.snapshot(); }
  Index last() const { return terms_.last(); }
  Term last_term() const { return terms_.last_term(); }
  EntryId last_id() const { return {last_term(), last()}; }
  Index commit() const { return commit_; }
  Index stable() const { return stable_; }
  // What the state machine may have.
  Index appliable() const { return ARIMA_MUTANT(26) ? commit_ : std::min(commit_, stable_); }
  Index applying() const { return applying_; }
  Index applied() const { return applied_; }
  // Commit is at least the snapshot point, so its term is always known.
  Term commit_term() const { return *terms_.At(commit_); }
  const TermMap& terms() const { return terms_; }
  const EntryCache& cache() const { return cache_; }

  std::optional<Term> TermAt(Index index) const { return terms_.At(index); }
  bool Has(EntryId id) const { return terms_.At(id.index) == id.term; }
  // Whether a log that ends with `other` may lead this one (Raft paper 5.4.1). Judged by the whole
  // log, written or not.
  bool IsUpToDate(EntryId other) const {
    if (ARIMA_MUTANT(7)) return other.index >= last();
    return other.term > last_term() || (other.term == last_term() && other.index >= last());
  }

  // Payload bytes that are not committed; committed and not applied.
  uint64_t uncommitted_bytes() const { return ledger_.Between(commit_, last()); }
  uint64_t unapplied_bytes() const { return ledger_.Between(applied_, commit_); }

  // entry.index must be last() + 1.
  void Append(Entry entry);
  // Drops `index` and everything above; index > commit().
  void TruncateFrom(Index index);
  // commit() <= index <= last().
  void CommitTo(Index index);
  void AcceptApplying(Index index);
  void AppliedTo(Index index);
  // index <= applied().
  void CompactTo(Index index);
  // Everything is replaced by a snapshot that the state machine already holds durably.
  void Reset(EntryId snapshot);

  bool has_unwritten() const { return reset_pending_ || next_write_ <= last(); }
  bool reset_pending() const { return reset_pending_; }
  // Takes what is not written yet as the next write: fills in seq, reset and entries.
  void StartWrite(bool sync, Write* write);
  // All writes up to `seq` are durable. False if there was none such in flight.
  bool FinishWrite(uint64_t seq);
  const std::deque<InflightWrite>& writes() const { return writes_; }
  // The newest write in flight that must be synced; 0 if there is none.
  uint64_t newest_sync_write() const;
  uint64_t last_seq() const { return last_seq_; }
  Index next_write() const { return next_write_; }

 private:
  TermMap terms_;
  EntryCache cache_;
  ByteLedger ledger_;
  uint64_t cache_bytes_;
  Index commit_;
  Index stable_;
  Index applying_;
  Index applied_;
  Index next_write_;  // first entry that no write holds
  bool reset_pending_ = false;
  uint64_t last_seq_ = 0;
  std::deque<InflightWrite> writes_;
};

}  // namespace arima::raft
