// Recovery in order:
//
//   FindFiles      names and headers                                        (segment_files)
//   FindChain      newest segment with frames, back along the `previous` links
//   ReplaySealed   every older segment up to its sealed length
//   ScanNewest     whole frames up to X; headers behind X; torn or corrupt?
//   ChooseCut      how much of the newest segment is sealed, how much is copied
//   ReplayNewest
//   CheckComplete  entries that are needed and were not found
//   BuildNext      the segment to go on with; only here the directory changes
//
// Why the newest segment is cut and copied: its last frames may have been read from the page cache
// of a machine whose disk refused them (after a failed sync, or simply not synced yet). They go
// into the new segment, whose sync succeeds in this life; only what an earlier life attested is
// left where it is. A segment that holds little is copied whole and released, so that a node that
// restarts in a loop does not fill the disk with nearly empty segments.
//
// A damaged or missing older segment is no corruption if nothing in it is needed any more (it only
// was not deleted yet): the replay starts over at the next Checkpoint, and CheckComplete decides.
// A crash anywhere in here leaves either the old chain or the complete new segment in front of it.

#include "wal/recovery.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/mutants.h"
#include "wal/entry_reader.h"
#include "wal/replay.h"
#include "wal/segment_files.h"

namespace arima::wal {
namespace {

using raft::EntryId;
using raft::HardState;
using raft::Index;

// A newest segment with at most this part of a segment used is copied whole.
constexpr uint64_t kCopyWholeDivisor = 8;

// One of the old segments that stay, with what it contributes to the index.
struct KeptSegment {
  const FoundSegment* found = nullptr;
  uint64_t end = 0;
  std::vector<IndexChange> changes;
};

SegmentPreparerOptions PreparerOptions(const WalOptions& options) {
  return {options.dir,           options.cluster_id,        options.incarnation,
          options.segment_bytes, options.free_segments_min, options.free_segments_max,
          options.salt};
}

SegmentHeader NewHeader(const WalOptions& options, uint64_t seq, SegmentReason reason,
                        uint64_t frames_bytes) {
  SegmentHeader header;
  header.cluster_id = options.cluster_id;
  header.incarnation = options.incarnation;
  header.seq = seq;
  header.reason = reason;
  // The name appears only after everything in the segment was synced.
  header.attested = Position{seq, kFirstFrameOffset + frames_bytes}.Pack();
  return header;
}

class Recovery {
 public:
  Recovery(env::Env& env, const WalOptions& options, RecoveredLog* out)
      : env_(env), options_(options), out_(*out) {
    out_ = RecoveredLog();
  }

  Result<OpenLog> Run();
  // Everything up to CheckComplete; nothing on disk changes.
  Status Examine();
  Status RunWithoutChange();

 private:
  Status FindChain();
  Status CheckUnused(const FoundSegment& segment);
  void ReplaySealed();
  Status ReplaySealedSegment(const FoundSegment& segment, const SegmentHeader& next,
                             Damage* damage);
  Status ScanNewest();
  Status ChooseCut();
  Status ReplayNewest();
  Status CheckComplete();
  Result<OpenLog> BuildNext();
  Status RemoveLeftovers();
  // `done`: the new segment is in place; otherwise the text tells what a start will do.
  void Describe(const LogState& state, uint64_t segments, bool done);

  Result<std::string> Load(const FoundSegment& segment, uint64_t bytes,
                           env::OpenMode mode = env::OpenMode::kReadUncached);
  void NoteDamage(const std::string& file, uint64_t offset, std::string what);
  Status Corrupt(const std::string& file, uint64_t offset, std::string what);
  Status CorruptBehind(const FrameTraces& traces, std::string what);

  env::Env& env_;
  const WalOptions& options_;
  RecoveredLog& out_;

  FoundFiles files_;
  std::vector<const FoundSegment*> unused_;  // prepared, newer than the chain
  std::vector<const FoundSegment*> chain_;   // oldest first; the last is the newest segment
  Replay replay_;
  std::vector<KeptSegment> kept_;
  std::optional<Damage> damage_;     // in older segments; harmless unless something is missing
  std::optional<Error> unreadable_;  // why an older segment could not be read at all

  std::string newest_bytes_;
  std::vector<Frame> frames_;  // whole ones of the newest segment
  FrameCursor stop_;           // where they end (X)
  uint64_t durable_ = 0;       // offset in the newest segment up to which it is attested
  uint64_t cut_ = 0;           // frames from here on are copied
  Checkpoint checkpoint_;      // of the next segment: the state at cut_
  std::vector<IndexChange> copied_changes_;
};

Status Recovery::Examine() {
  auto files = FindFiles(env_, options_);
  if (!files) return std::unexpected(files.error());
  files_ = std::move(*files);
  out_.after_io_failure = files_.poison.has_value();
  if (auto s = FindChain(); !s) return s;
  ReplaySealed();
  if (auto s = ScanNewest(); !s) return s;
  if (auto s = ChooseCut(); !s) return s;
  if (auto s = ReplayNewest(); !s) return s;
  return CheckComplete();
}

Status Recovery::RunWithoutChange() {
  if (auto s = Examine(); !s) return s;
  Describe(replay_.state(), chain_.size(), false);
  return {};
}

Result<OpenLog> Recovery::Run() {
  if (auto s = Examine(); !s) return std::unexpected(s.error());
  // A process may have died between a rename and its sync. A file that is written to from here on
  // must not come back under the name that it had before.
  if (auto s = env_.SyncDir(options_.dir); !s) return std::unexpected(s.error());
  auto log = BuildNext();
  if (!log) return log;
  if (auto s = RemoveLeftovers(); !s) return std::unexpected(s.error());
  Describe(log->state, log->index->segments(), true);
  const Index tail = log->index->TailStart(options_.tail_bytes);
  auto entries = ReadEntries(*log->index, tail, out_.last + 1, UINT64_MAX);
  if (!entries) return std::unexpected(entries.error());
  out_.tail = std::move(*entries);
  return log;
}

// R1, R2: the newest segment with frames, and from there back along the links.
Status Recovery::FindChain() {
  if (files_.segments.empty()) {
    return Fail(Code::kNotFound, "there is no raft log in " + options_.dir);
  }
  std::map<uint64_t, const FoundSegment*> by_seq;
  for (const FoundSegment& segment : files_.segments) by_seq[segment.seq] = &segment;
  auto newest = files_.segments.rbegin();
  for (; newest != files_.segments.rend(); ++newest) {
    if (newest->state == FoundSegment::State::kActive) break;
    if (newest->state == FoundSegment::State::kDamaged) {
      return Corrupt(newest->path, 0, newest->problem);
    }
    if (auto s = CheckUnused(*newest); !s) return s;
    unused_.push_back(&*newest);
  }
  if (newest == files_.segments.rend()) {
    return Corrupt(options_.dir, 0, "no segment has an active header");
  }
  // Segments are prepared one by one, so what is newer than the log follows it without a gap.
  if (!unused_.empty() && unused_.front()->seq != newest->seq + unused_.size()) {
    return Corrupt(env::JoinPath(options_.dir, SegmentName(newest->seq + 1)), 0,
                   "a segment is missing");
  }
  const FoundSegment* segment = &*newest;
  while (true) {
    chain_.push_back(segment);
    const uint64_t previous = segment->header.previous_seq;
    if (previous == 0) break;
    auto found = by_seq.find(previous);
    if (found == by_seq.end()) break;  // deleted, which CheckComplete finds right or wrong
    segment = found->second;
    if (segment->state != FoundSegment::State::kActive) {
      NoteDamage(
          segment->path, 0,
          segment->problem.empty() ? "the active segment header is damaged" : segment->problem);
      break;
    }
  }
  std::reverse(chain_.begin(), chain_.end());
  return {};
}

// A segment without an active header was never written to, or its first write never finished - or
// its header has rotted, which a frame that attests bytes of it gives away.
Status Recovery::CheckUnused(const FoundSegment& segment) {
  auto bytes = Load(segment, segment.file_bytes);
  if (!bytes) return std::unexpected(bytes.error());
  if (segment.file_bytes < segment.header.segment_bytes) {
    return Corrupt(segment.path, segment.file_bytes, "the file is cut short");
  }
  const FrameTraces traces =
      FrameReader(*bytes, segment.seq, segment.header.salt).Search(kFirstFrameOffset, 0);
  if (traces.attested > Position{segment.seq, kFirstFrameOffset}.Pack()) {
    return Corrupt(segment.path, kActiveBlockOffset, "the active segment header is damaged");
  }
  return {};
}

void Recovery::ReplaySealed() {
  for (size_t i = 0; i + 1 < chain_.size(); ++i) {
    const FoundSegment& segment = *chain_[i];
    Damage damage;
    damage.file = segment.path;
    if (auto s = ReplaySealedSegment(segment, chain_[i + 1]->header, &damage); !s) {
      NoteDamage(segment.path, damage.offset, s.error().message);
      // An operation that failed says nothing about the bytes: the next start may read them.
      const Code code = s.error().code;
      if (code != Code::kCorruption && code != Code::kNotSupported) unreadable_ = s.error();
      replay_.Restart();
      kept_.clear();
      continue;
    }
    kept_.push_back({&segment, chain_[i + 1]->header.previous_length, replay_.TakeChanges()});
  }
}

Status Recovery::ReplaySealedSegment(const FoundSegment& segment, const SegmentHeader& next,
                                     Damage* damage) {
  // The next segment was begun after the last sync of this one had returned, so what the page cache
  // has of it is on the disk; the cache makes the restart of a process much faster.
  const uint64_t sealed = ARIMA_MUTANT(33) ? segment.file_bytes : next.previous_length;
  auto bytes =
      Load(segment, sealed, files_.poison ? env::OpenMode::kReadUncached : env::OpenMode::kRead);
  if (!bytes) return std::unexpected(bytes.error());
  const FrameReader reader(*bytes, segment.seq, segment.header.salt);
  FrameCursor cursor{kFirstFrameOffset, segment.header.first_frame, segment.header.previous_chain};
  do {
    damage->offset = cursor.offset;
    auto frame = reader.Read(cursor);
    if (!frame) return std::unexpected(frame.error());
    const bool first = cursor.offset == kFirstFrameOffset;
    if (auto s = first ? replay_.StartSegment(*frame) : replay_.Apply(*frame); !s) return s;
    cursor = {frame->end, cursor.number + 1, frame->chain};
  } while (cursor.offset < next.previous_length ||
           (ARIMA_MUTANT(33) && reader.Read(cursor).has_value()));
  if (ARIMA_MUTANT(33)) return {};
  if (cursor.offset != next.previous_length || cursor.chain != next.previous_chain ||
      cursor.number != next.first_frame) {
    return Fail(Code::kCorruption, "it does not end as the segment after it says");
  }
  return {};
}

// R3, R4.
Status Recovery::ScanNewest() {
  const FoundSegment& segment = *chain_.back();
  const SegmentHeader& header = segment.header;
  if (segment.file_bytes < header.segment_bytes) {
    return Corrupt(segment.path, segment.file_bytes, "the file is cut short");
  }
  auto bytes = Load(segment, segment.file_bytes);
  if (!bytes) return std::unexpected(bytes.error());
  newest_bytes_ = std::move(*bytes);
  const FrameReader reader(newest_bytes_, segment.seq, header.salt);
  stop_ = {kFirstFrameOffset, header.first_frame, header.previous_chain};
  uint64_t attested = header.attested;
  std::string problem;
  while (true) {
    auto frame = reader.Read(stop_);
    if (!frame) {
      problem = frame.error().message;
      break;
    }
    attested = std::max(attested, frame->header.attested);
    stop_ = {frame->end, stop_.number + 1, frame->chain};
    frames_.push_back(*frame);
  }
  const FrameTraces traces = reader.Search(stop_.offset, stop_.number);
  attested = std::max(attested, traces.attested);
  if (attested > Position{segment.seq, stop_.offset}.Pack() && !ARIMA_MUTANT(34)) {
    return CorruptBehind(traces, problem);
  }
  const Position durable = Position::Unpack(attested);
  durable_ = durable.seq == segment.seq ? durable.offset : kFirstFrameOffset;
  if (traces.end != 0) {
    out_.ending = Ending::kTornTail;
    out_.torn_file = segment.path;
    out_.torn_offset = stop_.offset;
    out_.torn_bytes = traces.end - stop_.offset;
  }
  return {};
}

Status Recovery::ChooseCut() {
  const uint64_t used = stop_.offset - kFirstFrameOffset;
  if (used <= options_.segment_bytes / kCopyWholeDivisor || durable_ == kFirstFrameOffset) {
    cut_ = kFirstFrameOffset;
    return {};
  }
  cut_ = durable_;
  const bool at_frame_end =
      std::any_of(frames_.begin(), frames_.end(), [this](const Frame& f) { return f.end == cut_; });
  if (!at_frame_end) return Corrupt(chain_.back()->path, cut_, "a frame attests half a frame");
  return {};
}

Status Recovery::ReplayNewest() {
  const FoundSegment& segment = *chain_.back();
  auto apply = [&](const Frame& frame, bool first) -> Status {
    auto s = first ? replay_.StartSegment(frame) : replay_.Apply(frame);
    if (!s) return Corrupt(segment.path, frame.offset, s.error().message);
    return {};
  };
  const bool copy_whole = cut_ == kFirstFrameOffset;
  size_t next = 0;
  // The Checkpoint always counts, and is never copied: the new segment gets its own.
  for (; next < frames_.size() && (next == 0 || frames_[next].offset < cut_); ++next) {
    if (auto s = apply(frames_[next], next == 0); !s) return s;
  }
  if (!replay_.started()) {
    if (unreadable_) return std::unexpected(*unreadable_);
    return Corrupt(segment.path, kFirstFrameOffset, "its checkpoint was never finished");
  }
  std::vector<IndexChange> changes = replay_.TakeChanges();
  if (!copy_whole) {
    kept_.push_back({&segment, cut_, std::move(changes)});
  } else {
    copied_changes_ = std::move(changes);
  }
  checkpoint_ = replay_.checkpoint();

  std::vector<Frame> copies;
  uint64_t offset = kFirstFrameOffset + FrameBytes(RecordBytes(kCheckpointBodyBytes));
  for (; next < frames_.size(); ++next) {
    Frame moved = frames_[next];
    moved.offset = offset;
    if (auto s = apply(moved, false); !s) return s;
    if ((moved.header.flags & kFrameAttestOnly) != 0) continue;
    offset += FrameBytes(moved.header.payload_bytes);
    copies.push_back(moved);
  }
  frames_ = std::move(copies);
  for (IndexChange& change : replay_.TakeChanges()) copied_changes_.push_back(change);
  if (out_.ending != Ending::kTornTail) {
    out_.ending = replay_.closed() ? Ending::kClosed : Ending::kUnclosed;
  }
  return {};
}

Status Recovery::CheckComplete() {
  const auto missing = replay_.missing();
  const Index snapshot = replay_.checkpoint().snapshot.index;
  if (!missing) {
    ARIMA_ASSERT(replay_.state().snapshot().index == snapshot, snapshot);
    return {};
  }
  if (unreadable_) return std::unexpected(*unreadable_);
  if (!damage_) {
    const uint64_t previous = chain_.front()->header.previous_seq;
    NoteDamage(env::JoinPath(options_.dir, SegmentName(previous)), 0, "the segment is missing");
    damage_->first_index = snapshot + 1;
  }
  damage_->first_index = std::min(std::max(damage_->first_index, snapshot + 1), *missing);
  damage_->last_index = *missing;
  damage_->newest_hard_state = replay_.state().hard_state();
  out_.damage = damage_;
  return Corrupt(damage_->file, damage_->offset, damage_->what);
}

// R5. One step that reads best from top to bottom. NOLINTNEXTLINE(readability-function-size)
Result<OpenLog> Recovery::BuildNext() {
  const FoundSegment& newest = *chain_.back();
  const uint64_t seq = files_.segments.back().seq + 1;
  OpenLog log;
  log.preparer =
      std::make_unique<SegmentPreparer>(env_, PreparerOptions(options_), seq, files_.free_files);
  auto release = [&](const FoundSegment& segment) {
    auto file = std::make_shared<SegmentFile>();
    file->seq = segment.seq;
    file->bytes = segment.file_bytes;
    file->path = segment.path;
    log.preparer->Release(std::move(file));
  };
  // Before anything is needed: on a full disk they are what the new segment is made of.
  for (const FoundSegment* segment : unused_) release(*segment);

  uint64_t frames_bytes = FrameBytes(RecordBytes(kCheckpointBodyBytes));
  for (const Frame& frame : frames_) frames_bytes += FrameBytes(frame.header.payload_bytes);
  SegmentHeader header = NewHeader(options_, seq, SegmentReason::kRecovery, frames_bytes);
  if (cut_ == kFirstFrameOffset) {
    header.first_frame = newest.header.first_frame;
    header.previous_seq = newest.header.previous_seq;
    header.previous_length = newest.header.previous_length;
    header.previous_chain = newest.header.previous_chain;
  } else {
    FrameCursor at{kFirstFrameOffset, newest.header.first_frame, newest.header.previous_chain};
    const FrameReader reader(newest_bytes_, newest.seq, newest.header.salt);
    while (at.offset < cut_) {
      auto frame = reader.Read(at);
      ARIMA_ASSERT(frame.has_value(), at.offset, cut_);  // it was read before
      at = {frame->end, at.number + 1, frame->chain};
    }
    header.first_frame = at.number;
    header.previous_seq = newest.seq;
    header.previous_length = cut_;
    header.previous_chain = at.chain;
  }
  auto encode = [&](const SegmentHeader& with_salt) {
    std::string bytes;
    FrameBuilder builder(seq, with_salt.salt,
                         {kFirstFrameOffset, with_salt.first_frame, with_salt.previous_chain},
                         &bytes);
    const uint64_t attested = Position{header.previous_seq, header.previous_length}.Pack();
    builder.Begin();
    builder.Add(checkpoint_);
    builder.End(attested, checkpoint_.hard_state.term);
    for (const Frame& frame : frames_) {
      builder.Begin();
      builder.AddRaw(frame.payload, frame.header.records, frame.header.flags);
      builder.End(attested, frame.header.term);
    }
    log.cursor = builder.cursor();
    return bytes;
  };
  auto active = log.preparer->Build(header, frames_bytes, encode);
  if (!active) return std::unexpected(active.error());
  log.active = std::move(*active);
  log.state = replay_.state();

  log.index = std::make_unique<EntryIndex>();
  for (KeptSegment& kept : kept_) {
    auto file = std::make_shared<SegmentFile>();
    file->seq = kept.found->seq;
    file->bytes = kept.found->file_bytes;
    file->path = kept.found->path;
    auto opened = env_.Open(file->path, env::OpenMode::kRead);
    if (!opened) return std::unexpected(opened.error());
    file->file = std::move(*opened);
    log.index->Apply(kept.changes, kept.end, std::move(file));
  }
  log.index->Apply(copied_changes_, log.cursor.offset, log.active);
  // Whatever is not part of the log any more; newer ones were released above.
  for (const FoundSegment& segment : files_.segments) {
    const bool kept = std::any_of(kept_.begin(), kept_.end(),
                                  [&](const KeptSegment& k) { return k.found == &segment; });
    if (!kept && segment.seq <= newest.seq) release(segment);
  }
  for (auto& unused : log.index->TakeUnused()) log.preparer->Release(std::move(unused));
  return log;
}

Status Recovery::RemoveLeftovers() {
  for (const std::string& path : files_.temporary) {
    // The new segment may have been made under the same name.
    if (auto s = env_.Unlink(path); !s && s.error().code != Code::kNotFound) return s;
  }
  if (files_.poison) {
    if (auto s = env_.Unlink(*files_.poison); !s) return s;
    if (auto s = env_.SyncDir(options_.dir); !s) return s;
  }
  return {};
}

void Recovery::Describe(const LogState& state, uint64_t segments, bool done) {
  out_.hard_state = state.hard_state();
  // What was cut off or replaced by a snapshot had been committed.
  out_.hard_state.commit = std::max(out_.hard_state.commit, state.snapshot().index);
  out_.snapshot_index = state.snapshot().index;
  out_.snapshot_term = state.snapshot().term;
  out_.last = state.last();
  out_.term_runs = state.terms().runs();
  out_.conf_entries = replay_.conf_entries();
  std::string& text = out_.text;
  text = "raft log holds entries " + std::to_string(out_.snapshot_index.value + 1) + " to " +
         std::to_string(out_.last.value) + ", term " + std::to_string(out_.hard_state.term.value) +
         ", commit " + std::to_string(out_.hard_state.commit.value) + ", in " +
         std::to_string(segments) + " segments; ";
  switch (out_.ending) {
    case Ending::kClosed:
      text += "it was closed cleanly";
      break;
    case Ending::kUnclosed:
      text += "it was not closed";
      break;
    case Ending::kTornTail:
      text += "an unfinished write of " + std::to_string(out_.torn_bytes) +
              " bytes, never acknowledged, " + (done ? "was" : "is to be") + " discarded in " +
              out_.torn_file + " at byte " + std::to_string(out_.torn_offset);
      break;
  }
  if (out_.after_io_failure) {
    text += "; a write or sync had failed in the life before: unattested frames ";
    text += done ? "were rewritten" : "are rewritten by the next start";
  }
  if (damage_) {
    text += "; damage where nothing is needed any more: " + damage_->file + " at byte " +
            std::to_string(damage_->offset) + ": " + damage_->what;
  }
}

Result<std::string> Recovery::Load(const FoundSegment& segment, uint64_t bytes,
                                   env::OpenMode mode) {
  auto file = env_.Open(segment.path, mode);
  if (!file) return std::unexpected(file.error());
  if (bytes > segment.file_bytes) {
    return Fail(Code::kCorruption, "the file is cut short");
  }
  out_.bytes_read += bytes;
  return (*file)->Read(0, bytes);
}

void Recovery::NoteDamage(const std::string& file, uint64_t offset, std::string what) {
  if (damage_) return;
  damage_ = Damage();
  damage_->file = file;
  damage_->offset = offset;
  damage_->what = std::move(what);
  if (replay_.started()) {
    damage_->first_index = replay_.state().last() + 1;
    damage_->newest_hard_state = replay_.state().hard_state();
  }
}

Status Recovery::Corrupt(const std::string& file, uint64_t offset, std::string what) {
  if (!out_.damage) {
    damage_.reset();
    NoteDamage(file, offset, std::move(what));
    out_.damage = damage_;
  }
  return Fail(Code::kCorruption,
              "raft log is corrupt: " + DamageText(*out_.damage) +
                  "; nothing was changed; next step: keep the files, and let this node join the "
                  "cluster again with an empty directory (a single node: restore a backup)");
}

// X lies below what later frames attest. What is whole behind it narrows down what is lost.
Status Recovery::CorruptBehind(const FrameTraces& traces, std::string what) {
  Replay readable = replay_;
  bool sound = !frames_.empty() && readable.StartSegment(frames_.front()).has_value();
  for (size_t i = 1; i < frames_.size() && sound; ++i) {
    sound = readable.Apply(frames_[i]).has_value();
  }
  Damage damage;
  damage.file = chain_.back()->path;
  damage.offset = stop_.offset;
  damage.what = std::move(what);
  if (readable.started()) {
    damage.first_index = readable.state().last() + 1;
    damage.newest_hard_state = readable.state().hard_state();
  }
  for (const Frame& frame : traces.whole) {
    // What cannot be read adds nothing; that it is damaged is known already.
    Status ignored = ForEachRecord(frame, [&](const Record& record, uint64_t) -> Status {
      if (record.type == RecordType::kEntry && !damage.last_index && record.index > 0) {
        damage.last_index = Index(record.index - 1);
      }
      if (record.type == RecordType::kHardState) {
        if (auto hard_state = DecodeHardState(record)) damage.newest_hard_state = *hard_state;
      }
      return {};
    });
    (void)ignored;
  }
  out_.damage = damage;
  return Corrupt(damage.file, damage.offset, damage.what);
}

}  // namespace

std::string DamageText(const Damage& damage) {
  std::string range = "which entries are lost is unknown";
  if (damage.first_index != Index(0)) {
    range = "entries from " + std::to_string(damage.first_index.value) +
            (damage.last_index ? " to " + std::to_string(damage.last_index->value) : " on") +
            " may be lost";
  }
  return damage.file + " at byte " + std::to_string(damage.offset) + ": " + damage.what +
         ", though these bytes had been durable; " + range;
}

Status CheckOptions(const WalOptions& options) {
  if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax ||
      options.segment_bytes % kBlockBytes != 0) {
    return Fail(Code::kInvalidArgument, "segment size " + std::to_string(options.segment_bytes) +
                                            " is not a multiple of 4096 from " +
                                            std::to_string(kSegmentBytesMin) + " to " +
                                            std::to_string(kSegmentBytesMax));
  }
  if (options.dir.empty()) return Fail(Code::kInvalidArgument, "log directory is not named");
  if (!options.salt) return Fail(Code::kInvalidArgument, "no source of salts");
  return {};
}

Result<OpenLog> CreateLog(env::Env& env, const WalOptions& options, EntryId snapshot_point,
                          const HardState& hard_state) {
  if (auto s = CheckOptions(options); !s) return std::unexpected(s.error());
  if (auto s = env::MakeDirs(env, options.dir); !s) return std::unexpected(s.error());
  auto files = FindFiles(env, options);
  if (!files) return std::unexpected(files.error());
  if (!files->segments.empty()) {
    return Fail(Code::kAlreadyExists, "there is a raft log in " + options.dir + " already");
  }
  OpenLog log;
  log.state = LogState(snapshot_point, hard_state);
  const uint64_t seq = 1;
  log.preparer =
      std::make_unique<SegmentPreparer>(env, PreparerOptions(options), seq, files->free_files);
  const uint64_t frames_bytes = FrameBytes(RecordBytes(kCheckpointBodyBytes));
  SegmentHeader header = NewHeader(options, seq, SegmentReason::kCreated, frames_bytes);
  header.first_frame = 1;
  auto active = log.preparer->Build(header, frames_bytes, [&](const SegmentHeader& with_salt) {
    std::string bytes;
    FrameBuilder builder(seq, with_salt.salt, {}, &bytes);
    builder.Begin();
    builder.Add(log.state.ToCheckpoint());
    builder.End(0, hard_state.term);
    log.cursor = builder.cursor();
    return bytes;
  });
  if (!active) return std::unexpected(active.error());
  log.active = std::move(*active);
  log.index = std::make_unique<EntryIndex>();
  log.index->Start(snapshot_point);
  log.index->Apply({}, log.cursor.offset, log.active);
  return log;
}

Status ExamineLog(env::Env& env, const WalOptions& options, RecoveredLog* out) {
  if (auto s = CheckOptions(options); !s) return s;
  return Recovery(env, options, out).RunWithoutChange();
}

Result<OpenLog> RecoverLog(env::Env& env, const WalOptions& options, RecoveredLog* out) {
  if (auto s = CheckOptions(options); !s) return std::unexpected(s.error());
  return Recovery(env, options, out).Run();
}

}  // namespace arima::wal
