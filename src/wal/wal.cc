// The write path. An Append becomes a plan (which records go into which frame, and how long that
// is), then, when the place is known, bytes in one buffer, one write, at most one sync. Payloads
// are copied into the buffer once: the hash wants them in one piece, and next to a sync the copy is
// nothing.
//
// What is known where:
//   state_        the log as written, synced or not        writer only
//   index_        the log as readers see it: what has been synced, or written without being asked
//   to cursor_       end of the written frames in active_ durable_      position up to which a sync
//   has returned ok attested_     highest position that a written frame or header vouches for
// attested_ <= durable_ <= end. Frames beyond attested_ look like a torn write if they rot, which
// is why Attest exists.
//
// Files are released only right after a sync, when the index is exactly what a recovery would find.

#include "wal/wal.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "base/mutex.h"
#include "wal/entry_index.h"
#include "wal/entry_reader.h"
#include "wal/frame.h"
#include "wal/log_state.h"
#include "wal/recovery.h"

namespace arima::wal {
namespace {

using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;

// The write buffer is given back to the system after an append larger than this.
constexpr size_t kBufferKeptBytes = 4 << 20;
// What a frame may hold besides entries: a hard state, and the truncate record.
constexpr uint64_t kFrameExtraBytes = RecordBytes(8) + RecordBytes(0);

static_assert(kEntryPayloadBytesMax + kRecordHeaderBytes + kFrameExtraBytes <=
              kFramePayloadBytesMax);
// The smallest segment holds the checkpoint, one frame and the reserve.
static_assert(kFirstFrameOffset + 2 * kFrameAlign + kSegmentReserveBytes < kSegmentBytesMin);

struct PlannedRecord {
  const Entry* entry = nullptr;
  const EntryId* reset = nullptr;  // if entry is null
};

struct PlannedFrame {
  std::vector<PlannedRecord> records;
  bool truncate = false;                  // begins with a TruncatePrefix record
  const HardState* hard_state = nullptr;  // commit still to be bounded by the last entry
  uint64_t payload_bytes = 0;
};

// Splits batches into frames.
class Planner {
 public:
  explicit Planner(bool truncate) {
    frames_.emplace_back();
    frames_.back().truncate = truncate;
    if (truncate) frames_.back().payload_bytes = RecordBytes(0);
  }

  void Add(const Batch& batch) {
    if (batch.hard_state) hard_state_ = &*batch.hard_state;
    if (batch.reset) AddRecord({nullptr, &*batch.reset}, RecordBytes(0));
    for (const Entry& entry : batch.entries) {
      AddRecord({&entry, nullptr}, RecordBytes(entry.payload.size()));
    }
  }

  std::vector<PlannedFrame> Take() {
    CloseFrame();
    if (frames_.back().payload_bytes == 0) frames_.pop_back();
    return std::move(frames_);
  }

 private:
  void AddRecord(PlannedRecord record, uint64_t bytes) {
    if (frames_.back().payload_bytes + bytes + kFrameExtraBytes > kFramePayloadBytesMax) {
      CloseFrame();
      frames_.emplace_back();
    }
    frames_.back().records.push_back(record);
    frames_.back().payload_bytes += bytes;
  }
  void CloseFrame() {
    if (hard_state_ == nullptr) return;
    frames_.back().hard_state = hard_state_;
    frames_.back().payload_bytes += RecordBytes(8);
  }

  std::vector<PlannedFrame> frames_;
  const HardState* hard_state_ = nullptr;  // newest one seen
};

Status CheckEntry(const Entry& entry) {
  if (entry.payload.size() > kEntryPayloadBytesMax) {
    return Fail(Code::kTooLarge, "write log entry " + std::to_string(entry.index.value) + ": " +
                                     std::to_string(entry.payload.size()) +
                                     " bytes, the limit is " +
                                     std::to_string(kEntryPayloadBytesMax));
  }
  if (raft::EntryChecksum(entry.kind, entry.payload.view()) != entry.checksum) {
    return Fail(Code::kCorruption, "write log entry " + std::to_string(entry.index.value) +
                                       ": its checksum does not match its payload");
  }
  return {};
}

}  // namespace

class WalImpl {
 public:
  WalImpl(env::Env& env, const WalOptions& options, OpenLog log)
      : env_(env),
        options_(options),
        preparer_(std::move(log.preparer)),
        index_(std::move(log.index)),
        state_(std::move(log.state)),
        active_(std::move(log.active)),
        cursor_(log.cursor),
        durable_(End()),
        attested_(durable_),
        durable_data_(durable_),
        data_end_(durable_) {}

  Status Append(std::span<const Batch> batches, bool sync);
  bool NeedsAttest() const { return durable_data_ > attested_; }
  Status Attest();
  Status CompactTo(Index index);
  Status Close();
  Result<std::vector<Entry>> Read(Index low, Index high, uint64_t bytes_max) const;
  WalStats Stats() const;
  std::vector<SegmentSpan> Segments() const { return index_->Spans(); }
  SegmentPreparer& preparer() { return *preparer_; }

 private:
  Status Write(const std::vector<PlannedFrame>& frames, bool sync);
  Result<std::shared_ptr<SegmentFile>> NextSegment(uint64_t frames_bytes);
  void EncodeRollHeader(const SegmentFile& next);
  void EncodeFrame(const PlannedFrame& frame, FrameBuilder* builder);
  Status WriteAttest(uint8_t sub_type);
  Status SyncActive();
  void ReleaseUnused();
  Position End() const { return {active_->seq, cursor_.offset}; }

  // Remembers the first failure, leaves the marker; returns the error.
  Status Poison(const Error& error) EXCLUDES(mutex_);
  Status CheckUsable() const EXCLUDES(mutex_);

  env::Env& env_;
  const WalOptions options_;
  const std::unique_ptr<SegmentPreparer> preparer_;
  const std::unique_ptr<EntryIndex> index_;

  // Writer only.
  LogState state_;
  std::shared_ptr<SegmentFile> active_;
  FrameCursor cursor_;
  Position durable_;
  Position attested_;
  Position durable_data_;          // durable_ without trailing attest frames
  Position data_end_;              // End() without trailing attest frames
  bool truncate_pending_ = false;  // state_ was cut and no frame says so yet
  bool closed_ = false;
  std::string buffer_;
  std::vector<IndexChange> changes_;

  mutable Mutex mutex_;
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  WalStats stats_ GUARDED_BY(mutex_);
};

Status WalImpl::Append(std::span<const Batch> batches, bool sync) {
  ARIMA_ASSERT(!closed_);
  if (auto s = CheckUsable(); !s) return s;
  Planner planner(truncate_pending_);
  for (const Batch& batch : batches) {
    for (const Entry& entry : batch.entries) {
      if (auto s = CheckEntry(entry); !s) return s;
    }
    planner.Add(batch);
  }
  const std::vector<PlannedFrame> frames = planner.Take();
  if (!frames.empty()) {
    if (auto s = Write(frames, sync); !s) return s;
  } else if (sync && durable_ < End()) {
    if (auto s = SyncActive(); !s) return s;
  }
  if (sync) ReleaseUnused();
  return {};
}

// Everything before the first EncodeFrame may fail and leave the log as it was.
Status WalImpl::Write(const std::vector<PlannedFrame>& frames, bool sync) {
  uint64_t frames_bytes = 0;
  for (const PlannedFrame& frame : frames) frames_bytes += FrameBytes(frame.payload_bytes);
  const PlannedFrame& first = frames.front();
  const bool only_cut = frames.size() == 1 && first.records.empty() && first.hard_state == nullptr;
  const uint64_t reserve = only_cut ? kAttestReserveBytes : kSegmentReserveBytes;
  std::shared_ptr<SegmentFile> next;
  if (cursor_.offset + frames_bytes + reserve > active_->bytes) {
    auto made = NextSegment(frames_bytes);
    if (!made) return std::unexpected(made.error());
    next = std::move(*made);
  }

  buffer_.clear();
  changes_.clear();
  uint64_t write_offset = cursor_.offset;
  if (next != nullptr) {
    EncodeRollHeader(*next);
    active_ = next;
    cursor_.offset = kFirstFrameOffset;
    write_offset = kActiveBlockOffset;
  }
  FrameBuilder builder(active_->seq, active_->salt, cursor_, &buffer_);
  if (next != nullptr) {
    builder.Begin();
    builder.Add(state_.ToCheckpoint());
    builder.End(durable_.Pack(), state_.hard_state().term);
  }
  for (const PlannedFrame& frame : frames) EncodeFrame(frame, &builder);
  const HardState* last_hard_state = frames.back().hard_state;
  ARIMA_ASSERT(last_hard_state == nullptr || last_hard_state->commit <= state_.last(),
               state_.last());
  const uint64_t first_frame = cursor_.number;
  cursor_ = builder.cursor();
  data_end_ = End();
  ARIMA_ASSERT(write_offset + buffer_.size() == cursor_.offset, write_offset, buffer_.size());
  ARIMA_ASSERT(cursor_.offset + reserve <= active_->bytes, cursor_.offset);

  if (auto s = active_->file->WriteAt(write_offset, buffer_); !s) return Poison(s.error());
  attested_ = durable_;
  if (sync) {
    if (auto s = SyncActive(); !s) return s;
  }
  index_->Apply(changes_, cursor_.offset, next);

  MutexLock lock(&mutex_);
  stats_.frames += cursor_.number - first_frame;
  stats_.written_bytes += buffer_.size();
  stats_.rolls += next != nullptr ? 1 : 0;
  for (const PlannedFrame& frame : frames) {
    for (const PlannedRecord& record : frame.records) {
      if (record.entry == nullptr) continue;
      ++stats_.entries;
      stats_.payload_bytes += record.entry->payload.size();
    }
  }
  if (buffer_.capacity() > kBufferKeptBytes) std::string().swap(buffer_);
  return {};
}

Result<std::shared_ptr<SegmentFile>> WalImpl::NextSegment(uint64_t frames_bytes) {
  // The new header seals the old segment: all of it must be there before the header can be.
  if (durable_ < End()) {
    if (auto s = SyncActive(); !s) return std::unexpected(s.error());
  }
  const uint64_t bytes_min = kFirstFrameOffset + FrameBytes(RecordBytes(kCheckpointBodyBytes)) +
                             frames_bytes + kSegmentReserveBytes;
  bool made_inline = false;
  auto next = preparer_->Take(active_->seq + 1, bytes_min, &made_inline);
  if (!next) {
    if (next.error().code == Code::kDiskFull) return next;
    return std::unexpected(Poison(next.error()).error());
  }
  MutexLock lock(&mutex_);
  stats_.inline_segments += made_inline ? 1 : 0;
  return next;
}

void WalImpl::EncodeRollHeader(const SegmentFile& next) {
  ARIMA_ASSERT(durable_ == End(), durable_.offset, cursor_.offset);
  ARIMA_ASSERT(next.seq == active_->seq + 1, next.seq, active_->seq);
  SegmentHeader header;
  header.cluster_id = options_.cluster_id;
  header.incarnation = options_.incarnation;
  header.seq = next.seq;
  header.salt = next.salt;
  header.kind = BlockKind::kActive;
  header.segment_bytes = next.bytes;
  header.reason = SegmentReason::kRoll;
  header.first_frame = cursor_.number;
  header.previous_seq = active_->seq;
  header.previous_length = cursor_.offset;
  header.previous_chain = cursor_.chain;
  header.attested = durable_.Pack();
  buffer_ = EncodeSegmentHeader(header);
}

void WalImpl::EncodeFrame(const PlannedFrame& frame, FrameBuilder* builder) {
  builder->Begin();
  if (frame.truncate) {
    builder->Add(Record{.type = RecordType::kTruncatePrefix,
                        .index = state_.snapshot().index.value,
                        .term = state_.snapshot().term.value});
    truncate_pending_ = false;
  }
  for (const PlannedRecord& record : frame.records) {
    if (record.entry == nullptr) {
      state_.Reset(*record.reset);
      changes_.push_back({IndexChange::Kind::kReset, *record.reset, 0});
      builder->Add(Record{.type = RecordType::kReset,
                          .index = record.reset->index.value,
                          .term = record.reset->term.value});
      continue;
    }
    const Entry& entry = *record.entry;
    state_.Append(entry.id());  // asserts that it continues the log
    const uint64_t offset = builder->Add(Record{.type = RecordType::kEntry,
                                                .sub_type = static_cast<uint8_t>(entry.kind),
                                                .index = entry.index.value,
                                                .term = entry.term.value,
                                                .checksum = entry.checksum,
                                                .body = entry.payload.view()});
    changes_.push_back({IndexChange::Kind::kAppend, entry.id(), offset});
  }
  if (frame.hard_state != nullptr) {
    HardState hard_state = *frame.hard_state;
    // A batch that was split: the entries it commits are in a later frame.
    hard_state.commit = std::min(hard_state.commit, state_.last());
    state_.SetHardState(hard_state);
    builder->Add(hard_state);
  }
  ARIMA_ASSERT(builder->payload_bytes() == frame.payload_bytes, builder->payload_bytes(),
               frame.payload_bytes);
  const Status sound = state_.CheckFrameEnd();
  ARIMA_ASSERT(sound.has_value(), state_.last(), state_.hard_state().term,
               state_.hard_state().commit);
  builder->End(durable_.Pack(), std::max(state_.hard_state().term, state_.terms().last_term()));
}

Status WalImpl::Attest() {
  ARIMA_ASSERT(!closed_);
  if (auto s = CheckUsable(); !s) return s;
  if (!NeedsAttest()) return {};
  return WriteAttest(kAttestIdle);
}

Status WalImpl::WriteAttest(uint8_t sub_type) {
  ARIMA_ASSERT(cursor_.offset + kFrameAlign <= active_->bytes, cursor_.offset, active_->bytes);
  buffer_.clear();
  FrameBuilder builder(active_->seq, active_->salt, cursor_, &buffer_);
  builder.Begin();
  if (truncate_pending_) {
    builder.Add(Record{.type = RecordType::kTruncatePrefix,
                       .index = state_.snapshot().index.value,
                       .term = state_.snapshot().term.value});
    truncate_pending_ = false;
  }
  builder.Add(Record{.type = RecordType::kAttest, .sub_type = sub_type});
  builder.End(durable_.Pack(), state_.hard_state().term);
  const uint64_t offset = cursor_.offset;
  cursor_ = builder.cursor();
  if (auto s = active_->file->WriteAt(offset, buffer_); !s) return Poison(s.error());
  attested_ = durable_;
  MutexLock lock(&mutex_);
  ++stats_.frames;
  ++stats_.attest_frames;
  stats_.written_bytes += buffer_.size();
  return {};
}

Status WalImpl::SyncActive() {
  auto synced = ARIMA_MUTANT(38) ? Status() : active_->file->Sync();
  if (!synced && ARIMA_MUTANT(37)) synced = active_->file->Sync();
  if (!synced) return Poison(synced.error());
  durable_ = End();
  durable_data_ = data_end_;
  MutexLock lock(&mutex_);
  ++stats_.syncs;
  return {};
}

void WalImpl::ReleaseUnused() {
  ARIMA_ASSERT(durable_ == End(), durable_.offset, cursor_.offset);
  // Were the cut itself not durable, a recovery would miss what is released.
  ARIMA_ASSERT(!truncate_pending_);
  for (auto& segment : index_->TakeUnused()) preparer_->Release(std::move(segment));
}

Status WalImpl::CompactTo(Index index) {
  ARIMA_ASSERT(!closed_);
  if (auto s = CheckUsable(); !s) return s;
  if (index <= state_.snapshot().index) return {};
  ARIMA_ASSERT(index <= state_.last(), index, state_.last());
  const EntryId snapshot{state_.terms().TermAt(index), index};
  state_.TruncatePrefix(snapshot);
  index_->TruncatePrefix(snapshot);
  truncate_pending_ = true;
  return {};
}

Status WalImpl::Close() {
  ARIMA_ASSERT(!closed_);
  if (auto s = CheckUsable(); !s) return s;
  if (durable_ < End()) {
    if (auto s = SyncActive(); !s) return s;
  }
  if (auto s = WriteAttest(kAttestShutdown); !s) return s;
  if (auto s = SyncActive(); !s) return s;
  closed_ = true;
  return {};
}

Result<std::vector<Entry>> WalImpl::Read(Index low, Index high, uint64_t bytes_max) const {
  if (auto s = CheckUsable(); !s) return std::unexpected(s.error());
  return ReadEntries(*index_, low, high, bytes_max);
}

WalStats WalImpl::Stats() const {
  WalStats stats;
  {
    MutexLock lock(&mutex_);
    stats = stats_;
    stats.failed = failure_.has_value();
  }
  const TermRuns terms = index_->terms();
  stats.segments = index_->segments();
  stats.segment_bytes = index_->segment_bytes();
  stats.first = terms.snapshot().index + 1;
  stats.last = terms.last();
  return stats;
}

Status WalImpl::Poison(const Error& error) {
  // Always kIo: kDiskFull would say that the same call may be repeated.
  Error failure{Code::kIo, error.message};
  // Best effort: recovery does not depend on the marker, it only tells the operator of it.
  const std::string path = env::JoinPath(options_.dir, kPoisonName);
  if (auto s = env::WriteFileAtomically(env_, path, error.message + "\n"); !s) {
    failure.message += "; the marker could not be left: " + s.error().message;
  }
  MutexLock lock(&mutex_);
  if (!failure_) failure_ = failure;
  return std::unexpected(failure);
}

Status WalImpl::CheckUsable() const {
  MutexLock lock(&mutex_);
  if (!failure_) return {};
  return Fail(failure_->code, "the raft log refuses everything since: " + failure_->message);
}

Wal::Wal(std::unique_ptr<WalImpl> impl) : impl_(std::move(impl)) {}
Wal::~Wal() = default;

Result<std::unique_ptr<Wal>> Wal::Create(env::Env& env, const WalOptions& options,
                                         EntryId snapshot_point, const HardState& hard_state) {
  auto log = CreateLog(env, options, snapshot_point, hard_state);
  if (!log) return std::unexpected(log.error());
  return std::unique_ptr<Wal>(new Wal(std::make_unique<WalImpl>(env, options, std::move(*log))));
}

Result<std::unique_ptr<Wal>> Wal::Open(env::Env& env, const WalOptions& options,
                                       RecoveredLog* out) {
  auto log = RecoverLog(env, options, out);
  if (!log) return std::unexpected(log.error());
  return std::unique_ptr<Wal>(new Wal(std::make_unique<WalImpl>(env, options, std::move(*log))));
}

Status Wal::Append(std::span<const Batch> batches, bool sync) {
  return impl_->Append(batches, sync);
}
bool Wal::NeedsAttest() const { return impl_->NeedsAttest(); }
Status Wal::Attest() { return impl_->Attest(); }
Status Wal::CompactTo(Index index) { return impl_->CompactTo(index); }
Status Wal::Close() { return impl_->Close(); }
Result<std::vector<Entry>> Wal::Read(Index low, Index high, uint64_t bytes_max) const {
  return impl_->Read(low, high, bytes_max);
}
WalStats Wal::Stats() const { return impl_->Stats(); }
std::vector<SegmentSpan> Wal::Segments() const { return impl_->Segments(); }
SegmentPreparer& Wal::preparer() { return impl_->preparer(); }

}  // namespace arima::wal
