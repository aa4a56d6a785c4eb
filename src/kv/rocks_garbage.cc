#include "kv/rocks_garbage.h"

#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "base/assert.h"
#include "kv/rocks_options.h"

namespace arima::kv {
namespace {

// A compaction is worth it when this part of what it rewrites goes away.
constexpr double kGarbageShareMin = 0.25;
// If less of it went, it was not.
constexpr double kPaidShareMin = kGarbageShareMin / 2;
constexpr uint64_t kPostponedRevisionsMin = 1000;
// Notes read from tables in one sweep: nothing that grows with the data happens at once.
constexpr size_t kLearnMax = 16;
// So many young tables, and a compaction of them may not fit: half of what stops writes.
constexpr size_t kYoungMergedMin = kYoungTablesMax / 2;
// Young tables are looked at after each flush and so often; a sweep is due after so many looks that
// the pause between two is over.
constexpr uint64_t kLookPauseMs = 1000;
// Candidates whose whole job is worked out in one sweep.
constexpr size_t kCandidatesMax = 8;

// A deletion and the marks that remove it later stand for the same value.
uint64_t HidingKeys(const GarbageNote& note) {
  return std::max(note.hiding_count, note.marked_count);
}

bool Overlaps(const rocksdb::LiveFileMetaData& a, const rocksdb::LiveFileMetaData& b) {
  return a.smallestkey <= b.largestkey && b.smallestkey <= a.largestkey;
}

}  // namespace

GarbageSweeper::GarbageSweeper(rocksdb::DB* db, std::shared_ptr<HistoryState> history,
                               std::shared_ptr<CompactionSpace> space, const FlushTracker* tracker,
                               const RocksEngineOptions& options)
    : db_(*db),
      history_(std::move(history)),
      space_(std::move(space)),
      tracker_(*tracker),
      options_(options) {}

GarbageSweeper::~GarbageSweeper() { ARIMA_ASSERT(!thread_.joinable()); }

void GarbageSweeper::Start() {
  thread_ = std::thread([this] { Run(); });
}

void GarbageSweeper::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (!thread_.joinable()) return;
  db_.DisableManualCompaction();
  thread_.join();
}

bool GarbageSweeper::Stopping() {
  MutexLock lock(&mutex_);
  return stopping_;
}

void GarbageSweeper::Run() {
  const uint64_t looks = std::max<uint64_t>(1, options_.sweep_pause_ms / kLookPauseMs);
  while (true) {
    while (!Stopping() && Sweep()) MergeYoung();
    for (uint64_t i = 0; i < looks; ++i) {
      if (!Stopping()) MergeYoung();
      space_->Update();
      if (!Pause()) return;
    }
  }
}

void GarbageSweeper::NoteFlush() {
  {
    MutexLock lock(&mutex_);
    flushed_ = true;
  }
  changed_.NotifyAll();
}

bool GarbageSweeper::Pause() {
  MutexLock lock(&mutex_);
  if (!stopping_ && !flushed_) {
    changed_.WaitFor(&mutex_,
                     std::chrono::milliseconds(std::min(options_.sweep_pause_ms, kLookPauseMs)));
  }
  flushed_ = false;
  return !stopping_;
}

bool GarbageSweeper::Sweep() {
  history_->sweeps.fetch_add(1, std::memory_order_relaxed);
  const uint64_t floor = history_->floor.At(tracker_.durable_position());
  if (floor <= 1) return false;
  Tables tables;
  db_.GetLiveFilesMetaData(&tables);
  Learn(tables);
  std::optional<Job> job = Choose(tables, floor);
  if (!job) return false;
  rocksdb::CompactionOptions compaction;
  compaction.compression = rocksdb::kDisableCompressionOption;  // as for other compactions
  compaction.output_file_size_limit = 2 * options_.table_file_bytes;
  rocksdb::CompactionJobInfo done;
  rocksdb::Status status;
  {
    // It fits, by what is known of its tables.
    const CompactionSpace::Permit permit(space_.get(), static_cast<uint64_t>(job->total_bytes));
    status = db_.CompactFiles(compaction, job->names, job->level, -1, nullptr, &done);
  }
  if (!status.ok()) {
    // Refused where RocksDB has chosen the same tables meanwhile: then they are compacted anyway.
    // An error of the disk is reported to the listener; a job that did not fit after all is not
    // tried again at once, in the way of those that do.
    const bool full = MakeRocksError(status, "compaction", options_.path).code == Code::kDiskFull;
    if (full) trust_ /= 2;
    return false;
  }
  trust_ = std::min(1.0, 2 * trust_);
  history_->sweep_compactions.fetch_add(1, std::memory_order_relaxed);
  const auto input_bytes = static_cast<double>(done.stats.total_input_bytes);
  const auto output_bytes = static_cast<double>(done.stats.total_output_bytes);
  if (input_bytes - output_bytes >= kPaidShareMin * input_bytes) return true;
  Postpone(tables, floor);
  return false;
}

// RocksDB would go on trying to compact them into the next level, until there are so many that it
// stops writes, and with them the deletes that could make space. Merged among themselves they take
// no more than they do.
void GarbageSweeper::MergeYoung() {
  const Job job = YoungToMerge();
  if (job.names.size() < 2) return;
  rocksdb::CompactionOptions compaction;
  compaction.compression = rocksdb::kDisableCompressionOption;
  const CompactionSpace::Permit permit(space_.get(), static_cast<uint64_t>(job.total_bytes));
  // Refused where RocksDB has chosen them meanwhile.
  db_.CompactFiles(compaction, job.names, job.level).PermitUncheckedError();
}

// The newest: what was merged earlier is the oldest, and large.
GarbageSweeper::Job GarbageSweeper::YoungToMerge() const {
  std::string count;
  if (!db_.GetProperty(rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &count) ||
      std::stoull(count) < kYoungMergedMin) {
    return {};
  }
  Tables tables;
  db_.GetLiveFilesMetaData(&tables);
  const int next = LevelBelow(tables, 0);
  uint64_t down_bytes = 0;
  for (const auto& table : tables) {
    if (table.level == 0 || table.level == next) down_bytes += table.size;
  }
  if (space_->Allows(down_bytes)) return {};
  std::erase_if(tables, [](const auto& table) { return table.level != 0; });
  std::ranges::sort(tables, std::ranges::greater(), &rocksdb::LiveFileMetaData::largest_seqno);

  uint64_t unflushed_bytes = 0;
  db_.GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &unflushed_bytes);
  const uint64_t free_bytes = space_->FreeBytes();
  const uint64_t most_bytes = (free_bytes - std::min(free_bytes, unflushed_bytes)) / 2;
  Job job;
  for (const auto& table : tables) {
    const double bytes = job.total_bytes + static_cast<double>(table.size);
    if (bytes > static_cast<double>(most_bytes)) break;
    job.total_bytes = bytes;
    job.names.push_back(table.name);
  }
  return job;
}

// The estimate was wrong: most of what is hidden lies above the floor. What came out would look
// just as worthwhile at once, and be rewritten again and again; it waits until the floor has moved
// as far again.
void GarbageSweeper::Postpone(const Tables& before, uint64_t floor) {
  std::set<uint64_t> known;
  for (const auto& table : before) known.insert(table.file_number);
  Tables tables;
  db_.GetLiveFilesMetaData(&tables);
  std::erase_if(tables, [&](const auto& table) { return known.contains(table.file_number); });
  for (const auto& table : tables) {
    GarbageNote note = ReadNote(table);
    const uint64_t way = floor - std::min(floor, note.mean_revision);
    note.mean_revision = floor + std::max(kPostponedRevisionsMin, way);
    notes_[table.file_number] = note;
  }
}

void GarbageSweeper::Learn(const Tables& tables) {
  std::set<uint64_t> live;
  for (const auto& table : tables) live.insert(table.file_number);
  std::erase_if(notes_, [&](const auto& note) { return !live.contains(note.first); });
  size_t learnt = 0;
  for (const auto& table : tables) {
    if (notes_.contains(table.file_number)) continue;
    if (++learnt > kLearnMax || Stopping()) return;
    notes_.emplace(table.file_number, ReadNote(table));
  }
}

// Of one table only: RocksDB's own call for properties opens all tables of a range.
GarbageNote GarbageSweeper::ReadNote(const rocksdb::LiveFileMetaData& table) const {
  rocksdb::SstFileReader reader(db_.GetOptions());
  if (!reader.Open(table.db_path + table.name).ok()) return {};
  return ReadGarbageNote(reader.GetTableProperties()->user_collected_properties)
      .value_or(GarbageNote());
}

// Null: nothing is known, or the floor is still below about half of what the table made obsolete.
const GarbageNote* GarbageSweeper::NoteOf(const rocksdb::LiveFileMetaData& table,
                                          uint64_t floor) const {
  auto at = notes_.find(table.file_number);
  if (at == notes_.end() || at->second.mean_revision > floor) return nullptr;
  return &at->second;
}

// On a full disk an attempt would fail, and close the database for writing.
bool GarbageSweeper::Fits(const Job& job) const {
  return job.total_bytes - trust_ * job.garbage_bytes <= static_cast<double>(space_->FreeBytes());
}

std::optional<GarbageSweeper::Job> GarbageSweeper::Choose(const Tables& tables,
                                                          uint64_t floor) const {
  std::vector<Job> jobs;
  Tables young;
  Tables deep;
  for (const auto& table : tables) {
    const GarbageNote* note = NoteOf(table, floor);
    if (table.level == 0) {
      young.push_back(table);
    } else if (note != nullptr && note->hidden_bytes + HidingKeys(*note) > 0) {
      deep.push_back(table);
    }
  }
  auto guess = [&](const rocksdb::LiveFileMetaData& table) {
    const GarbageNote& note = notes_.at(table.file_number);
    const uint64_t mean_bytes = note.value_bytes / std::max<uint64_t>(1, note.value_count);
    return note.hidden_bytes + HidingKeys(note) * mean_bytes;
  };
  std::ranges::sort(deep, std::ranges::greater(), guess);
  if (deep.size() > kCandidatesMax) deep.resize(kCandidatesMax);
  // If all young tables together do not fit on the disk, the oldest of them may.
  std::ranges::sort(young, {}, &rocksdb::LiveFileMetaData::largest_seqno);
  for (; !young.empty(); young.pop_back()) {
    jobs.push_back(MakeJob(tables, young, floor));
    if (Fits(jobs.back())) break;
  }
  for (const auto& table : deep) jobs.push_back(MakeJob(tables, {table}, floor));
  std::erase_if(jobs, [&](const Job& job) {
    if (!Fits(job)) return true;
    return job.garbage_bytes < static_cast<double>(options_.sweep_bytes_min) ||
           job.garbage_bytes < kGarbageShareMin * job.total_bytes;
  });
  auto best = std::ranges::max_element(jobs, {}, &Job::garbage_bytes);
  if (best == jobs.end()) return std::nullopt;
  return std::move(*best);
}

int GarbageSweeper::LevelBelow(const Tables& tables, int level) const {
  int next = db_.NumberLevels();
  for (const auto& table : tables) {
    if (table.level > level) next = std::min(next, table.level);
  }
  return next;
}

// `inputs` lie on one level. They go to the next level that holds anything, together with what they
// overlap there; the lowest tables of all are rewritten where they are.
GarbageSweeper::Job GarbageSweeper::MakeJob(const Tables& tables, const Tables& inputs,
                                            uint64_t floor) const {
  const int from = inputs.front().level;
  Job job;
  job.level = from == 0 ? db_.NumberLevels() - 1 : from;
  const int next = LevelBelow(tables, from);
  if (next < db_.NumberLevels()) job.level = next;

  // What hides something in another table hides a value; of its size the mean is known. Of all
  // entries it would be far too low where many are deletions.
  double value_bytes = 0;
  double value_count = 0;
  auto add = [&](const rocksdb::LiveFileMetaData& table) {
    const auto bytes = static_cast<double>(table.size);
    job.total_bytes += bytes;
    auto at = notes_.find(table.file_number);
    if (at == notes_.end() || at->second.total_bytes == 0) return;
    const GarbageNote& note = at->second;
    const double on_disk = bytes / static_cast<double>(note.total_bytes);
    value_bytes += static_cast<double>(note.value_bytes) * on_disk;
    value_count += static_cast<double>(note.value_count);
    if (NoteOf(table, floor) == nullptr) return;
    job.garbage_bytes += static_cast<double>(note.hidden_bytes) * on_disk;
  };
  GarbageNote all;
  for (const auto& table : inputs) {
    job.names.push_back(table.name);
    add(table);
    if (const GarbageNote* note = NoteOf(table, floor); note != nullptr) {
      all.hiding_count += note->hiding_count;
      all.marked_count += note->marked_count;
    }
  }
  if (job.level == from) return job;
  for (const auto& table : tables) {
    if (table.level != job.level) continue;
    if (std::ranges::none_of(inputs, [&](const auto& in) { return Overlaps(in, table); })) continue;
    add(table);
  }
  if (value_count > 0) {
    job.garbage_bytes += static_cast<double>(HidingKeys(all)) * value_bytes / value_count;
  }
  job.garbage_bytes = std::min(job.garbage_bytes, job.total_bytes);
  return job;
}

}  // namespace arima::kv
