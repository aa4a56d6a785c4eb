#include "wal/replay.h"

#include <string>
#include <utility>

#include "base/assert.h"

namespace arima::wal {

using raft::Entry;
using raft::EntryId;
using raft::EntryKind;
using raft::Index;
using raft::Term;

namespace {

std::unexpected<Error> Contradiction(std::string what) {
  return Fail(Code::kCorruption, std::move(what));
}

EntryId IdOf(const Record& record) { return {Term(record.term), Index(record.index)}; }

}  // namespace

Status Replay::StartSegment(const Frame& frame) {
  std::optional<Checkpoint> checkpoint;
  auto status = ForEachRecord(frame, [&](const Record& record, uint64_t) -> Status {
    if (record.type != RecordType::kCheckpoint || checkpoint) {
      return Contradiction("the first frame is not a checkpoint");
    }
    auto decoded = DecodeCheckpoint(record);
    if (!decoded) return std::unexpected(decoded.error());
    checkpoint = *decoded;
    return {};
  });
  if (!status) return status;
  if (!checkpoint) return Contradiction("the first frame is empty");
  closed_ = false;
  return ApplyCheckpoint(*checkpoint);
}

Status Replay::Apply(const Frame& frame) {
  ARIMA_ASSERT(started_);
  closed_ = false;
  auto status = ForEachRecord(
      frame, [this](const Record& record, uint64_t offset) { return ApplyRecord(record, offset); });
  if (!status) return status;
  return state_.CheckFrameEnd();
}

void Replay::Restart() { *this = Replay(); }

Checkpoint Replay::checkpoint() const {
  ARIMA_ASSERT(started_);
  Checkpoint checkpoint = state_.ToCheckpoint();
  checkpoint.snapshot = snapshot_;
  return checkpoint;
}

std::optional<Index> Replay::missing() const {
  if (!incomplete_) return std::nullopt;
  return state_.snapshot().index;
}

std::vector<IndexChange> Replay::TakeChanges() { return std::exchange(changes_, {}); }

Status Replay::ApplyRecord(const Record& record, uint64_t offset) {
  switch (record.type) {
    case RecordType::kEntry:
      return ApplyEntry(record, offset);
    case RecordType::kHardState: {
      auto hard_state = DecodeHardState(record);
      if (!hard_state) return std::unexpected(hard_state.error());
      state_.SetHardState(*hard_state);
      return {};
    }
    case RecordType::kReset:
      ApplyReset(IdOf(record));
      return {};
    case RecordType::kTruncatePrefix:
      return ApplyTruncatePrefix(IdOf(record));
    case RecordType::kCheckpoint:
      return Contradiction("a checkpoint amid a segment");
    case RecordType::kAttest:
      closed_ = record.sub_type == kAttestShutdown;
      return {};
    case RecordType::kGroupRemoved:
      break;  // refused by DecodeRecord
  }
  return Contradiction("a record of unknown type");
}

Status Replay::ApplyEntry(const Record& record, uint64_t offset) {
  const EntryId id = IdOf(record);
  if (incomplete_ && id.index > snapshot_.index && id.index <= state_.snapshot().index) {
    // It replaces missing entries from here on; those before it stay missing. Their terms are
    // unknown, and only their order matters here.
    if (id.term < snapshot_.term) {
      return Contradiction("entry " + std::to_string(id.index.value) + " has term " +
                           std::to_string(id.term.value) + ", below that of the log's beginning");
    }
    const EntryId before{Term(0), id.index - 1};
    state_.Reset(before);
    incomplete_ = before.index > snapshot_.index;
    if (!incomplete_) state_.Reset(snapshot_);
    changes_.push_back({IndexChange::Kind::kReset, state_.snapshot(), 0});
    conf_entries_.clear();
  }
  if (auto s = state_.CheckAppend(id); !s) return s;
  state_.Append(id);
  changes_.push_back({IndexChange::Kind::kAppend, id, offset});
  while (!conf_entries_.empty() && conf_entries_.back().index >= id.index) conf_entries_.pop_back();
  const auto kind = static_cast<EntryKind>(record.sub_type);
  if (kind == EntryKind::kConf) {
    if (raft::EntryChecksum(kind, record.body) != record.checksum) {
      return Contradiction("checksum of configuration entry " + std::to_string(id.index.value) +
                           " does not match");
    }
    conf_entries_.push_back(
        {id.term, id.index, kind, record.checksum, SharedBytes::Copy(record.body)});
  }
  return {};
}

// Among missing entries only the order of terms can be checked.
bool Replay::TermFitsAmongMissing(EntryId to) const {
  const EntryId known = state_.snapshot();
  Term highest = state_.hard_state().term;
  if (known.index < state_.last()) highest = state_.terms().TermAt(known.index + 1);
  if (to.index < known.index && known.term) highest = known.term;
  return snapshot_.term <= to.term && to.term <= highest;
}

Status Replay::ApplyTruncatePrefix(EntryId to) {
  if (to.index < snapshot_.index) return Contradiction("the log is cut below its beginning");
  if (!incomplete_ || to.index > state_.snapshot().index) {
    if (auto s = state_.CheckTruncatePrefix(to); !s) return s;
  } else if (!TermFitsAmongMissing(to)) {
    return Contradiction("the log is cut at " + std::to_string(to.index.value) + " of term " +
                         std::to_string(to.term.value) + ", out of order");
  }
  if (incomplete_ && to.index < state_.snapshot().index) {
    snapshot_ = to;
    return {};
  }
  incomplete_ = false;
  snapshot_ = to;
  state_.TruncatePrefix(to);
  changes_.push_back({IndexChange::Kind::kTruncatePrefix, to, 0});
  std::erase_if(conf_entries_, [&](const Entry& entry) { return entry.index <= to.index; });
  return {};
}

void Replay::ApplyReset(EntryId snapshot) {
  snapshot_ = snapshot;
  incomplete_ = false;
  state_.Reset(snapshot);
  changes_.push_back({IndexChange::Kind::kReset, snapshot, 0});
  conf_entries_.clear();
}

Status Replay::ApplyCheckpoint(const Checkpoint& checkpoint) {
  if (!started_) {
    started_ = true;
    snapshot_ = checkpoint.snapshot;
    incomplete_ = checkpoint.last.index > checkpoint.snapshot.index;
    state_ = LogState(checkpoint.last, checkpoint.hard_state);
    changes_.push_back({IndexChange::Kind::kReset, checkpoint.last, 0});
    return {};
  }
  if (checkpoint.last.index != state_.last() ||
      checkpoint.last.term != state_.terms().last_term()) {
    return Contradiction("the checkpoint ends at entry " +
                         std::to_string(checkpoint.last.index.value) +
                         ", the segments before it at " + std::to_string(state_.last().value));
  }
  if (auto s = ApplyTruncatePrefix(checkpoint.snapshot); !s) return s;
  state_.SetHardState(checkpoint.hard_state);
  return {};
}

}  // namespace arima::wal
