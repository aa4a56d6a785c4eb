// Two passes over the segments, one in memory at a time. The first finds out which entries count:
// it walks the frames and, at a damaged place, forgets what it had (what was lost there may have
// replaced it) until an entry or a mark says again where the log stands. The second copies those.
//
//   Walk       segments and frames in order; OnHole where something is missing between them
//   Collector  the ids behind `base`, the newest hard state, whether both are certain
//
// A frame whose header and payload check is genuine wherever it lies; that nothing is missing
// before it is what chain and number say.

#include "wal/salvage.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "wal/frame.h"
#include "wal/segment_files.h"

namespace arima::wal {
namespace {

using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;
using raft::Term;

constexpr uint64_t kCopyBytes = 4 << 20;
// An only voter raises its term by one at each start; no log loses so many of them.
constexpr uint64_t kTermLeap = 1'000'000;

class FrameVisitor {
 public:
  virtual ~FrameVisitor() = default;
  // Something between the frames seen and those that follow cannot be read.
  virtual void OnHole() = 0;
  // False: enough.
  virtual bool OnFrame(const Frame& frame) = 0;
};

class Walk {
 public:
  Walk(env::Env& env, const WalOptions& options) : env_(env), options_(options) {}

  Status Run(FrameVisitor* visitor);

 private:
  // Linked segments without a gap between them, oldest first.
  using Group = std::vector<const FoundSegment*>;

  std::vector<Group> FindGroups(bool* end_is_known) const;
  Result<bool> CheckUnused(const FoundSegment& segment) const;
  Result<std::string> Load(const FoundSegment& segment, uint64_t bytes) const;
  Result<bool> VisitSealed(const FoundSegment& segment, const SegmentHeader& next,
                           FrameVisitor* visitor) const;
  Result<bool> VisitLast(const FoundSegment& segment, FrameVisitor* visitor) const;
  // Frames one after the other; false: the visitor has enough. The cursor is where they end.
  static bool VisitRun(const FrameReader& reader, FrameCursor* cursor, uint64_t limit,
                       uint64_t* attested, FrameVisitor* visitor);

  env::Env& env_;
  const WalOptions& options_;
  FoundFiles files_;
};

Status Walk::Run(FrameVisitor* visitor) {
  auto files = FindFiles(env_, options_);
  if (!files && files.error().code == Code::kNotFound) {
    visitor->OnHole();
    return {};
  }
  if (!files) return std::unexpected(files.error());
  files_ = std::move(*files);
  bool end_is_known = true;
  const std::vector<Group> groups = FindGroups(&end_is_known);
  for (const Group& group : groups) {
    visitor->OnHole();
    for (size_t i = 0; i < group.size(); ++i) {
      auto more = i + 1 < group.size() ? VisitSealed(*group[i], group[i + 1]->header, visitor)
                                       : VisitLast(*group[i], visitor);
      if (!more) return std::unexpected(more.error());
      if (!*more) return {};
    }
  }
  for (const FoundSegment& segment : files_.segments) {
    if (groups.empty() || segment.seq < groups.back().back()->seq) continue;
    if (segment.state != FoundSegment::State::kPrepared) continue;
    auto unused = CheckUnused(segment);
    if (!unused) return std::unexpected(unused.error());
    end_is_known = end_is_known && *unused;
  }
  if (groups.empty() || !end_is_known) visitor->OnHole();
  return {};
}

// From the newest segment with frames back along the links; where they break, again from the newest
// one before the break.
std::vector<Walk::Group> Walk::FindGroups(bool* end_is_known) const {
  std::map<uint64_t, const FoundSegment*> active;
  uint64_t newest = 0;
  for (const FoundSegment& segment : files_.segments) {
    if (segment.state == FoundSegment::State::kActive) active[segment.seq] = &segment;
  }
  if (!active.empty()) newest = active.rbegin()->first;
  uint64_t expected = newest;
  for (const FoundSegment& segment : files_.segments) {
    if (segment.seq <= newest) continue;
    // Damaged or missing: frames may have been in it.
    bool sound = segment.state == FoundSegment::State::kPrepared && segment.seq == expected + 1;
    if (!sound) *end_is_known = false;
    expected = segment.seq;
  }
  std::vector<Group> groups;
  while (!active.empty()) {
    Group group;
    auto at = std::prev(active.end());
    while (at != active.end()) {
      const FoundSegment* segment = at->second;
      group.push_back(segment);
      const uint64_t previous = segment->header.previous_seq;
      active.erase(at, active.end());
      at = previous == 0 ? active.end() : active.find(previous);
      // Strays between the two are of an interrupted recovery.
      if (at != active.end()) active.erase(std::next(at), active.end());
    }
    std::ranges::reverse(group);
    bool whole = group.front()->header.previous_seq == 0;
    groups.push_back(std::move(group));
    if (whole) break;  // what is older was given up long ago
  }
  std::ranges::reverse(groups);
  return groups;
}

// A frame that attests bytes of a segment without active header: that header has rotted. Of a file
// that was cut short both may be gone.
Result<bool> Walk::CheckUnused(const FoundSegment& segment) const {
  if (segment.file_bytes < segment.header.segment_bytes) return false;
  auto bytes = Load(segment, segment.header.segment_bytes);
  if (!bytes) return std::unexpected(bytes.error());
  const FrameTraces traces =
      FrameReader(*bytes, segment.seq, segment.header.salt).Search(kFirstFrameOffset, 0);
  return traces.attested <= Position{segment.seq, kFirstFrameOffset}.Pack();
}

// As much of it as there is.
Result<std::string> Walk::Load(const FoundSegment& segment, uint64_t bytes) const {
  auto file = env_.Open(segment.path, env::OpenMode::kReadUncached);
  if (!file) return std::unexpected(file.error());
  return (*file)->Read(0, std::min(bytes, segment.file_bytes));
}

bool Walk::VisitRun(const FrameReader& reader, FrameCursor* cursor, uint64_t limit,
                    uint64_t* attested, FrameVisitor* visitor) {
  while (cursor->offset < limit) {
    auto frame = reader.Read(*cursor);
    if (!frame) break;
    *attested = std::max(*attested, frame->header.attested);
    *cursor = {frame->end, cursor->number + 1, frame->chain};
    if (!visitor->OnFrame(*frame)) return false;
  }
  return true;
}

Result<bool> Walk::VisitSealed(const FoundSegment& segment, const SegmentHeader& next,
                               FrameVisitor* visitor) const {
  const uint64_t limit = next.previous_length;
  auto bytes = Load(segment, limit);
  if (!bytes) return std::unexpected(bytes.error());
  const FrameReader reader(*bytes, segment.seq, segment.header.salt);
  FrameCursor cursor{kFirstFrameOffset, segment.header.first_frame, segment.header.previous_chain};
  auto complete = [&] {
    return cursor.offset == limit && cursor.number == next.first_frame &&
           cursor.chain == next.previous_chain;
  };
  uint64_t attested = 0;
  if (!VisitRun(reader, &cursor, limit, &attested, visitor)) return false;
  if (complete()) return true;
  const FrameTraces traces = reader.Search(cursor.offset, cursor.number);
  for (const Frame& frame : traces.whole) {
    if (frame.offset < cursor.offset) continue;  // part of a run that was visited
    visitor->OnHole();
    cursor = {frame.offset, frame.header.number, frame.header.previous_chain};
    if (!VisitRun(reader, &cursor, limit, &attested, visitor)) return false;
  }
  if (!complete()) visitor->OnHole();
  return true;
}

// The end of the log: what no frame attests was never acknowledged.
Result<bool> Walk::VisitLast(const FoundSegment& segment, FrameVisitor* visitor) const {
  auto bytes = Load(segment, segment.file_bytes);
  if (!bytes) return std::unexpected(bytes.error());
  const uint64_t limit = bytes->size();
  const FrameReader reader(*bytes, segment.seq, segment.header.salt);
  FrameCursor cursor{kFirstFrameOffset, segment.header.first_frame, segment.header.previous_chain};
  uint64_t attested = segment.header.attested;
  if (!VisitRun(reader, &cursor, limit, &attested, visitor)) return false;
  const FrameTraces traces = reader.Search(cursor.offset, cursor.number);
  attested = std::max(attested, traces.attested);
  // What is cut off may have attested more than is left.
  const bool cut = segment.file_bytes < segment.header.segment_bytes;
  auto complete = [&] { return !cut && attested <= Position{segment.seq, cursor.offset}.Pack(); };
  for (const Frame& frame : traces.whole) {
    if (complete()) break;
    if (frame.offset < cursor.offset) continue;
    visitor->OnHole();
    cursor = {frame.offset, frame.header.number, frame.header.previous_chain};
    if (!VisitRun(reader, &cursor, limit, &attested, visitor)) return false;
  }
  if (!complete()) visitor->OnHole();
  return true;
}

// What the records amount to, seen from `base`.
class Collector final : public FrameVisitor {
 public:
  Collector(EntryId base, SalvageMode mode) : base_(base), mode_(mode) {}

  void OnHole() override {
    if (mode_ == SalvageMode::kPrefix && known_) done_ = true;
    if (done_) return;
    known_ = false;
    hard_state_.reset();
    base_term_.reset();
    ids_.clear();
  }

  bool OnFrame(const Frame& frame) override {
    highest_term_ = std::max(highest_term_, frame.header.term);
    if (done_) return true;  // only terms are of interest now
    Status read = ForEachRecord(frame, [this](const Record& record, uint64_t) -> Status {
      Take(record);
      return {};
    });
    if (!read) OnHole();
    return true;
  }

  // kTail: ok if nothing is missing.
  Status Check() const {
    auto lacks = [](const std::string& what) { return Fail(Code::kCorruption, what); };
    const std::string base = std::to_string(base_.index.value);
    if (!known_) return lacks("entries behind " + base + " cannot be read");
    if (!hard_state_) return lacks("the newest term and vote cannot be read");
    if (last_ < base_.index) {
      return lacks("the log ends at entry " + std::to_string(last_.value) + ", before " + base);
    }
    if (base_term_ && *base_term_ != base_.term) {
      return lacks("entry " + base + " has another term in the log");
    }
    Term term = base_.term;
    for (const EntryId& id : ids_) {
      if (id.term < term) return lacks("terms of entries behind " + base + " are out of order");
      term = id.term;
    }
    if (hard_state_->term < term) return lacks("the newest term is older than the newest entry");
    return {};
  }

  // kPrefix: what is certain.
  void DropDoubtful() {
    bool fits = known_ && last_ >= base_.index && (!base_term_ || *base_term_ == base_.term);
    if (!fits) ids_.clear();
    Term term = base_.term;
    auto wrong = std::ranges::find_if(ids_, [&](const EntryId& id) {
      return id.term < std::exchange(term, std::max(term, id.term));
    });
    ids_.erase(wrong, ids_.end());
  }

  const std::vector<EntryId>& ids() const { return ids_; }
  Index last() const { return base_.index + ids_.size(); }
  HardState hard_state() const {
    HardState state = hard_state_.value_or(HardState());
    if (mode_ == SalvageMode::kPrefix) {
      Term term = std::max({state.term, highest_term_, base_.term});
      state = {term + kTermLeap, raft::MemberId(), state.commit};
    }
    state.commit = std::clamp(state.commit, base_.index, last());
    return state;
  }

 private:
  void Take(const Record& record) {
    if (record.type == RecordType::kEntry) {
      TakeEntry({Term(record.term), Index(record.index)});
    } else if (record.type == RecordType::kHardState) {
      if (auto state = DecodeHardState(record)) hard_state_ = *state;
    } else if (record.type == RecordType::kReset) {
      StandAt({Term(record.term), Index(record.index)});
    } else if (record.type == RecordType::kCheckpoint) {
      auto checkpoint = DecodeCheckpoint(record);
      if (!checkpoint) return;
      hard_state_ = checkpoint->hard_state;
      // It tells where the log stands when that is not known any more.
      if (!known_) StandAt(checkpoint->last);
    }
  }

  // The log ends here, and what is behind `base` in it, if anything, is not known.
  void StandAt(EntryId last) {
    ids_.clear();
    base_term_.reset();
    known_ = last.index <= base_.index;
    last_ = last.index;
    if (last.index == base_.index) base_term_ = last.term;
  }

  void TakeEntry(EntryId id) {
    if (id.index <= base_.index) {  // and everything behind it is dropped
      StandAt(id);
      return;
    }
    const size_t at = static_cast<size_t>(id.index - base_.index - 1);
    if (!known_) {
      // The first one behind `base` needs nothing before it.
      if (at != 0) return;
      known_ = true;
      base_term_.reset();
    } else if (at > ids_.size()) {
      // A gap without a hole: not what a log writes.
      known_ = false;
      ids_.clear();
      return;
    }
    ids_.resize(at);
    ids_.push_back(id);
    last_ = id.index;
  }

  const EntryId base_;
  const SalvageMode mode_;
  bool done_ = false;
  bool known_ = false;  // `ids_` is all that is behind base
  Index last_;
  std::vector<EntryId> ids_;
  std::optional<HardState> hard_state_;
  std::optional<Term> base_term_;  // of the log's entry at base, if it was seen
  Term highest_term_;
};

// Copies the entries of `ids`, which begin behind `base`, in their order.
class Copier final : public FrameVisitor {
 public:
  Copier(Wal* wal, const std::vector<EntryId>& ids) : wal_(*wal), ids_(ids) {}

  void OnHole() override {}
  bool OnFrame(const Frame& frame) override {
    if (status_)
      status_ = ForEachRecord(frame, [this](const Record& r, uint64_t) { return Take(r); });
    return status_.has_value() && next_ < ids_.size();
  }
  Status Finish() {
    if (status_) status_ = Flush();
    if (status_ && next_ < ids_.size()) {
      status_ = Fail(Code::kCorruption, "the log changed while it was read");
    }
    return status_;
  }

 private:
  Status Take(const Record& record) {
    if (next_ == ids_.size() || record.type != RecordType::kEntry) return {};
    const EntryId id = ids_[next_];
    if (id != EntryId{Term(record.term), Index(record.index)}) return {};
    batch_.push_back({id.term, id.index, static_cast<raft::EntryKind>(record.sub_type),
                      record.checksum, SharedBytes::Copy(record.body)});
    bytes_ += record.body.size();
    ++next_;
    return bytes_ < kCopyBytes ? Status() : Flush();
  }
  Status Flush() {
    bytes_ = 0;
    const std::vector<Entry> entries = std::exchange(batch_, {});
    if (entries.empty()) return {};
    return wal_.Append({.entries = entries}, false);
  }

  Wal& wal_;
  const std::vector<EntryId>& ids_;
  size_t next_ = 0;
  std::vector<Entry> batch_;
  uint64_t bytes_ = 0;
  Status status_;
};

Status Build(env::Env& env, const WalOptions& damaged, const Collector& collected, EntryId base,
             const std::string& target) {
  WalOptions options = damaged;
  options.dir = target;
  HardState state = collected.hard_state();
  auto wal = Wal::Create(env, options, base, {state.term, state.vote, base.index});
  if (!wal) return std::unexpected(wal.error());
  Copier copier(wal->get(), collected.ids());
  if (Status walked = Walk(env, damaged).Run(&copier); !walked) return walked;
  if (Status copied = copier.Finish(); !copied) return copied;
  if (Status synced = (*wal)->Append({.hard_state = state}, true); !synced) return synced;
  return (*wal)->Close();
}

}  // namespace

Result<Salvaged> SalvageLog(env::Env& env, const WalOptions& options, EntryId base,
                            SalvageMode mode, const std::string& target) {
  Collector collected(base, mode);
  if (Status walked = Walk(env, options).Run(&collected); !walked) {
    return std::unexpected(walked.error());
  }
  if (mode == SalvageMode::kPrefix) {
    collected.DropDoubtful();
  } else if (Status whole = collected.Check(); !whole) {
    return std::unexpected(whole.error());
  }
  if (!target.empty()) {
    if (Status gone = env::RemoveTree(env, target); !gone) return std::unexpected(gone.error());
    Status built = Build(env, options, collected, base, target);
    if (!built) return std::unexpected(built.error());
  }
  return Salvaged{base, collected.last(), collected.hard_state()};
}

}  // namespace arima::wal
