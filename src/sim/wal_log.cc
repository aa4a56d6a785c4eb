#include "sim/wal_log.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "sim/mix.h"
#include "wal/format.h"

namespace arima::sim {

using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;

namespace {

constexpr uint64_t kCrashOperationsMax = 14;  // a roll whose segment is made inline has as many
constexpr char kLogDir[] = "/wal";

wal::WalOptions MakeOptions(const DiskSwarm& swarm, uint64_t seed) {
  wal::WalOptions options;
  options.dir = kLogDir;
  options.cluster_id.bytes.fill(0xC1);
  options.incarnation.bytes.fill(0x1A);
  options.segment_bytes = swarm.segment_bytes;
  options.free_segments_min = swarm.free_segments_min;
  options.free_segments_max = swarm.free_segments_max;
  options.tail_bytes = swarm.tail_bytes;
  options.salt = [random = std::make_shared<SeededRandom>(seed)] { return random->Next(); };
  return options;
}

bool NeedSync(std::span<const raft::Write> writes) {
  return std::ranges::any_of(writes, &raft::Write::need_sync);
}

}  // namespace

WalLog::WalLog(SimDisk* disk, const DiskSwarm* swarm, Verdict* verdict, std::string who,
               uint64_t seed)
    : disk_(*disk),
      swarm_(*swarm),
      verdict_(*verdict),
      who_(std::move(who)),
      random_(seed),
      env_(&files_, random_.Next()),
      options_(MakeOptions(*swarm, random_.Next())) {}

void WalLog::Format(const HardState& hard_state, EntryId snapshot) {
  auto wal = wal::Wal::Create(env_, options_, snapshot, hard_state);
  ARIMA_ASSERT(wal.has_value(), wal.error().message);
  wal::RecoveredLog empty;
  empty.hard_state = hard_state;
  empty.snapshot_index = empty.last = snapshot.index;
  empty.snapshot_term = snapshot.term;
  Accept(std::move(*wal), std::move(empty), {});
}

// ---------------------------------------------------------------- writing

Status WalLog::AppendBatches(std::span<const raft::Write> writes, bool sync) {
  std::vector<wal::Batch> batches;
  batches.reserve(writes.size());
  for (const raft::Write& write : writes) {
    wal::Batch& batch = batches.emplace_back();
    batch.hard_state = write.hard_state;
    if (write.reset) batch.reset = EntryId{write.reset->term, write.reset->index};
    batch.entries = write.entries;
  }
  const uint64_t appends = env_.appends();
  Status done = wal_->Append(batches, sync);
  if (done) NoteWritten(appends, sync);
  return done;
}

void WalLog::NoteWritten(uint64_t appends_before, bool synced) {
  const bool wrote = env_.appends() != appends_before;
  if (wrote) {
    if (active_ != env_.last_write().path) ++counters_.rolls;
    FollowWrite();
  }
  if (!synced) return;
  // The new frame vouches for all that was synced before it was written.
  if (wrote) vouched_ = durable_;
  durable_ = written_;
}

void WalLog::FollowWrite() {
  const CrashEnv::Written& write = env_.last_write();
  if (active_ != write.path) {
    active_ = write.path;
    written_.path = std::make_shared<const std::string>(*write.path);
  }
  written_.offset = write.end;
}

void WalLog::NoteSync() {
  disk_.SyncAll();
  lazy_.clear();
  cut_.clear();
  snapshot_floor_ = disk_.snapshot();
}

SimLog::Outcome WalLog::Append(std::span<const raft::Write> writes, const OnDurable& on_durable) {
  const bool sync = NeedSync(writes);
  const uint64_t failures = env_.failures();
  if (std::exchange(break_next_append_, false)) {
    random_.Percent(50) ? env_.FailNextWrite() : env_.FailNextSync();
  }
  const Status done = AppendBatches(writes, sync);
  env_.ClearFailures();
  if (!done) {
    if (IsFull(done.error())) {
      ++counters_.full_disks;
      return Outcome::kLater;
    }
    if (env_.failures() == failures) {
      verdict_.Fail("log write", who_ + ": " + done.error().message);
    }
    ++counters_.io_errors;
    failed_ = true;
    return Outcome::kFailed;
  }
  for (const raft::Write& write : writes) {
    disk_.Complete(write);
    on_durable(write);
  }
  if (sync) {
    NoteSync();
  } else {
    lazy_.push_back(disk_.newest());
  }
  digest_ = Mix(digest_, counters_.rolls << 32 | written_.offset);
  if (random_.Below(1000) < swarm_.clone_check_permille) CheckClone();
  return Outcome::kDone;
}

void WalLog::CompactTo(Index index) {
  const Status cut = wal_->CompactTo(index);
  ARIMA_ASSERT(cut.has_value(), cut.error().message);
  for (Index i = disk_.snapshot().index + 1; i <= index; ++i) {
    cut_.push_back(disk_.entries()[i - disk_.snapshot().index - 1]);
  }
  disk_.CompactTo(index);
  // The record rides with the next write, or gets one of its own.
  if (random_.Percent(50)) return;
  if (Status done = AppendBatches({}, /*sync=*/true); done) {
    NoteSync();
  } else if (!IsFull(done.error())) {
    verdict_.Fail("log write", who_ + ": " + done.error().message);
  }
}

Result<std::vector<Entry>> WalLog::Read(Index low, Index high, uint64_t bytes_max) {
  auto entries = wal_->Read(low, high, bytes_max);
  if (!entries) {
    const bool expected = entries.error().code == Code::kCompacted
                              ? low <= disk_.snapshot().index
                              : entries.error().code == Code::kCorruption && damaged();
    if (!expected) {
      verdict_.Fail("I19 retained is readable",
                    who_ + " reads " + std::to_string(low.value) + ": " + entries.error().message);
    }
    return entries;
  }
  // What has been written and not synced can be read, too, if its append has returned.
  for (const Entry& entry : *entries) {
    const Entry* expected = Expected(disk_, entry.index);
    if (expected == nullptr || *expected != entry) {
      verdict_.Fail("I19 retained is readable",
                    who_ + " reads another entry " + std::to_string(entry.index.value));
    }
  }
  return entries;
}

void WalLog::Prepare() {
  constexpr int kStepsMax = 4;
  for (int i = 0; i < kStepsMax; ++i) {
    const Result<bool> worked = wal_->preparer().PrepareOne();
    if (!worked && !IsFull(worked.error())) {
      verdict_.Fail("log write", who_ + ": " + worked.error().message);
    }
    if (!worked || !*worked) return;
  }
}

void WalLog::Attest() {
  const uint64_t appends = env_.appends();
  if (Status done = wal_->Attest(); !done) {
    return verdict_.Fail("log write", who_ + ": " + done.error().message);
  }
  NoteWritten(appends, /*synced=*/false);
}

// ---------------------------------------------------------------- dying

void WalLog::PowerLoss(env::MemEnv* files) {
  env::RandomCrash chooser(random_.Next());
  files->PowerLoss(chooser);
}

void WalLog::Crash(std::span<const raft::Write> under_way, std::span<const raft::Write>,
                   bool power) {
  if (wal_ != nullptr && !under_way.empty()) {
    under_way_ = disk_;
    for (const raft::Write& write : under_way) under_way_->Complete(write);
    if (!failed_) {
      const bool often = random_.Percent(70);
      env_.StopAfter(random_.Below(often ? 3 : kCrashOperationsMax));
      const bool sync = NeedSync(under_way);
      under_way_done_ = AppendBatches(under_way, sync).has_value() && sync;
    }
  } else if (wal_ != nullptr && random_.Percent(50)) {
    env_.StopAfter(random_.Below(kCrashOperationsMax));
    // Whatever comes of it, the next process starts from there.
    if (random_.Percent(70)) {
      auto ignored = wal_->preparer().PrepareOne();
      (void)ignored;
    } else {
      Status ignored = wal_->Attest();
      (void)ignored;
    }
  }
  wal_.reset();
  failed_ = false;
  break_next_append_ = false;
  env_.Resume();
  if (power) PowerLoss(&files_);
}

// ---------------------------------------------------------------- faults

void WalLog::Heal() {
  files_.SetCapacity(UINT64_MAX);
  disk_full_ = break_next_append_ = disturb_next_start_ = false;
  env_.ClearFailures();
}

void WalLog::FillDisk() {
  files_.SetCapacity(UINT64_MAX);
  const auto space = files_.Space(kLogDir);
  ARIMA_ASSERT(space.has_value());
  const uint64_t used = UINT64_MAX - space->free_bytes;
  files_.SetCapacity(used + random_.Below(2 * swarm_.segment_bytes));
  disk_full_ = true;
}

std::optional<WalLog::Place> WalLog::AnyVouched() {
  std::vector<Place> ends;
  auto names = files_.List(kLogDir);
  ARIMA_ASSERT(names.has_value());
  for (const std::string& name : *names) {
    // Names of segments sort as their numbers do.
    std::string path = env::JoinPath(kLogDir, name);
    if (!name.ends_with(".seg") || path > *vouched_.path) continue;
    const auto info = files_.Stat(path);
    ARIMA_ASSERT(info.has_value());
    const uint64_t end = path == *vouched_.path ? vouched_.offset : info->bytes;
    ends.push_back({std::make_shared<const std::string>(std::move(path)), end});
  }
  if (ends.empty()) return std::nullopt;
  Place place = ends[random_.Below(ends.size())];
  place.offset = random_.Below(place.offset);
  return place;
}

bool WalLog::Damage() {
  const std::optional<Place> place = AnyVouched();
  const std::optional<Place> other = AnyVouched();
  if (!place || !other) return false;
  const uint64_t kind = random_.Below(10);
  // Within a sector: rot. A whole one: never written. A block: written in the wrong place.
  if (kind < 6) {
    const auto bit = static_cast<int>(random_.Below(8));
    const Status rotten = files_.FlipBit(*place->path, place->offset, bit);
    ARIMA_ASSERT(rotten.has_value(), rotten.error().message);
  } else if (!Overwrite(*place, kind < 8 ? nullptr : &*other)) {
    return false;
  }
  damaged_ = true;
  ++counters_.damages;
  return true;
}

// The sector of `place` with zeros, or its block with that of `other`. False: it had these bytes.
bool WalLog::Overwrite(const Place& place, const Place* other) {
  const uint64_t size = other == nullptr ? env::kSectorBytes : wal::kFrameAlign;
  auto file = files_.Open(*place.path, env::OpenMode::kReadWrite);
  ARIMA_ASSERT(file.has_value());
  const uint64_t at = place.offset / size * size;
  const auto before = (*file)->Read(at, size);
  Result<std::string> after = std::string(size, '\0');
  if (other != nullptr) {
    auto other_file = files_.Open(*other->path, env::OpenMode::kRead);
    ARIMA_ASSERT(other_file.has_value());
    after = (*other_file)->Read(other->offset / size * size, size);
  }
  if (!before || !after || *after == *before) return false;
  Status done = (*file)->WriteAt(at, *after);
  if (done) done = (*file)->Sync();
  ARIMA_ASSERT(done.has_value(), done.error().message);
  return true;
}

// ---------------------------------------------------------------- numbers

uint64_t WalLog::Digest() const { return Mix(Mix(digest_, counters_.recoveries), random_.state()); }

}  // namespace arima::sim
