// Wal: the Raft log on disk. Entries and hard state of one data directory in one sequence of
// checksummed, chained frames; what Append(sync) has accepted survives any crash. FORMAT.md is the
// format, docs/design/raft.md section 4 the reasoning. Nothing here decides anything about Raft.
//
// Thread rule: one writer (the log writer thread) calls Append, Attest, CompactTo and Close; Read
// and Stats may be called from any thread at any time; preparer() has its own rule. There is no
// thread, clock or timer inside: the writer thread calls Attest after a pause (see NeedsAttest).
//
// Failure policy (4.7): a write or sync that fails is returned once, a marker file `io_poison` is
// left, and from then on every call answers the same error: the caller ends the process, nothing is
// retried. Exceptions, which leave the Wal as it was: kDiskFull when no new segment could be had
// (nothing was written; the same Append may be repeated later), kTooLarge and kCorruption for an
// entry that must not be written.
//
//   RecoveredLog found;
//   auto wal = Wal::Open(env, options, &found);      // kNotFound: Wal::Create
//   (*wal)->Append({{.hard_state = hs, .entries = entries}}, /*sync=*/true);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "env/env.h"
#include "raft/types.h"
#include "wal/segment_preparer.h"

namespace arima::wal {

// An entry's payload; above it Append answers kTooLarge. Encoded commands stay below 12 MiB.
inline constexpr uint64_t kEntryPayloadBytesMax = 15 << 20;

inline constexpr uint64_t kSegmentBytesMin = 64 << 10;
inline constexpr uint64_t kSegmentBytesMax = 1 << 30;

struct WalOptions {
  std::string dir;   // .../wal
  Uuid cluster_id;   // of the identity file; segments of another one are refused
  Uuid incarnation;  // likewise
  // Size of new segments, a multiple of 4096 in [kSegmentBytesMin, kSegmentBytesMax]. A batch that
  // needs more gets a segment of its own size.
  uint64_t segment_bytes = 64 << 20;
  // Recycled files kept ready besides the prepared next segment; they are also the reserve in which
  // hard states still fit when the disk is full.
  uint32_t free_segments_min = 1;
  // Files beyond this many are deleted instead of kept for reuse.
  uint32_t free_segments_max = 4;
  // RecoveredLog::tail holds at most about this much.
  uint64_t tail_bytes = 64 << 20;
  // Makes the salt of each segment; must differ from use to use. Seeded in tests and simulation.
  std::function<uint64_t()> salt = SystemRandom64;
};

// What one raft::Write asks for, in this order: reset, then entries; the hard state holds with
// them. After the batches of one Append: commit <= last and term >= term of the last entry
// (asserted).
struct Batch {
  std::optional<raft::HardState> hard_state = {};
  std::optional<raft::EntryId> reset = {};    // the log is replaced by this snapshot point
  std::span<const raft::Entry> entries = {};  // contiguous; the first may overwrite a suffix
};

// How the log that Open found had ended.
enum class Ending : uint8_t {
  kClosed,    // by Close
  kUnclosed,  // the process died; no trace of an unfinished write
  kTornTail,  // an unfinished, never acknowledged write was discarded
};

// Where and what, when bytes are damaged that had been durable. Indexes: entries that may be lost.
struct Damage {
  std::string file;
  uint64_t offset = 0;
  std::string what;                       // "payload hash of frame 17 does not match"
  raft::Index first_index;                // first entry that cannot be vouched for
  std::optional<raft::Index> last_index;  // last such entry, if what follows tells
  // Of the readable frames behind the damage, if any; else of those before it.
  raft::HardState newest_hard_state;
};

// "FILE at byte N: WHAT; entries from A to B may be lost"
std::string DamageText(const Damage& damage);

struct RecoveredLog {
  raft::HardState hard_state;
  raft::Index snapshot_index;  // first retained index - 1
  raft::Term snapshot_term;
  raft::Index last;  // == snapshot_index when the log is empty
  // Runs (term, first index of the term) of (snapshot_index, last], ascending.
  std::vector<raft::EntryId> term_runs;
  std::vector<raft::Entry> conf_entries;  // every Conf entry retained, ascending
  std::vector<raft::Entry> tail;          // the newest entries, ending at `last`

  Ending ending = Ending::kClosed;
  bool after_io_failure = false;  // an io_poison marker was there
  std::string torn_file;          // for kTornTail: where, and how many bytes show traces
  uint64_t torn_offset = 0;
  uint64_t torn_bytes = 0;
  uint64_t bytes_read = 0;
  std::string text;  // one line for the operator: what was found and done

  std::optional<Damage> damage;  // set iff Open answered kCorruption for damaged bytes
};

// Counters since Open or Create.
struct WalStats {
  uint64_t frames = 0;  // with attest frames
  uint64_t attest_frames = 0;
  uint64_t entries = 0;
  uint64_t payload_bytes = 0;  // of entries
  uint64_t written_bytes = 0;
  uint64_t syncs = 0;
  uint64_t rolls = 0;
  uint64_t inline_segments = 0;  // segments the writer had to make itself: the helper was late
  uint64_t segments = 0;         // live now
  uint64_t segment_bytes = 0;    // of live segments
  raft::Index first;             // first retained entry
  raft::Index last;
  bool failed = false;
};

// A live segment: cutting the log at `last` lets it and all older ones go. `last` does not fall
// from one segment to the next; that of the newest one, which never goes, is the last entry of the
// log.
struct SegmentSpan {
  raft::Index last;
  uint64_t bytes = 0;  // of the file
};

class WalImpl;

class Wal {
 public:
  // Makes a new, empty log that grows from `snapshot_point`; durable when it returns. The directory
  // is made if needed and must hold no segment (kAlreadyExists). Interrupted, it leaves no log.
  static Result<std::unique_ptr<Wal>> Create(env::Env& env, const WalOptions& options,
                                             raft::EntryId snapshot_point,
                                             const raft::HardState& hard_state);

  // Recovers the log. kNotFound: there is none. kCorruption: `*out` tells what is damaged, nothing
  // on disk was changed. kConflict: it belongs to another cluster or incarnation. kNotSupported: a
  // newer version wrote it.
  static Result<std::unique_ptr<Wal>> Open(env::Env& env, const WalOptions& options,
                                           RecoveredLog* out);

  ~Wal();  // without Close: as if the process had died
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  // One write for all batches and, with `sync`, one sync; when it returns ok with `sync`, they and
  // all before them are durable. Without, they become durable with the next sync. Batches follow
  // each other: entries continue or overwrite the log as it then is (asserted), above its snapshot
  // point.
  Status Append(std::span<const Batch> batches, bool sync);
  Status Append(const Batch& batch, bool sync) { return Append({&batch, 1}, sync); }

  // True while durable frames exist that no later frame attests: damage to them would look like a
  // torn write. The writer calls Attest when nothing came for kAttestDelayNs; it costs one small
  // write without sync.
  static constexpr uint64_t kAttestDelayNs = 2'000'000;
  bool NeedsAttest() const;
  Status Attest();

  // Entries up to `index` are not needed any more (their effects are durable elsewhere). Reads of
  // them answer kCompacted at once; files go after the next synced Append, which may be an empty
  // one: that one finds room also where a full disk has no new segment for entries. An index at or
  // below the snapshot point is a no-op; above `last` asserts.
  Status CompactTo(raft::Index index);

  // Clean shutdown: everything durable and attested. Nothing may be called afterwards.
  Status Close();

  // Entries [low, high), as many as fit `bytes_max` payload bytes but at least one; fewer if the
  // log ends before `high`, none if it ends before `low`. Each is checked against its checksum,
  // index and term. kCompacted: low is at or below the snapshot point. Any thread.
  Result<std::vector<raft::Entry>> Read(raft::Index low, raft::Index high,
                                        uint64_t bytes_max) const;

  WalStats Stats() const;

  // What a cut would free: the live segments, oldest first. Any thread.
  std::vector<SegmentSpan> Segments() const;

  // Makes and recycles segment files, off the writer thread; lives as long as the Wal.
  SegmentPreparer& preparer();

 private:
  explicit Wal(std::unique_ptr<WalImpl> impl);
  std::unique_ptr<WalImpl> impl_;
};

}  // namespace arima::wal
