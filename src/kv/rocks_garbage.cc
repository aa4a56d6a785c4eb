#include "kv/rocks_garbage.h"

#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "base/assert.h"

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
// Candidates whose whole job is worked out in one sweep.
constexpr size_t kCandidatesMax = 8;

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
  while (true) {
    while (!Stopping() && Sweep()) {
    }
    if (!Stopping()) MergeYoung();
    space_->Update();
    MutexLock lock(&mutex_);
    if (!stopping_) changed_.WaitFor(&mutex_, std::chrono::milliseconds(options_.sweep_pause_ms));
    if (stopping_) return;
  }
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
  // It fits, by what is known of its tables.
  const CompactionSpace::Permit permit(space_.get());
  // Refused where RocksDB has chosen the same tables meanwhile: then they are compacted anyway. An
  // error of the disk is reported to the listener.
  rocksdb::CompactionJobInfo done;
  if (!db_.CompactFiles(compaction, job->names, job->level, -1, nullptr, &done).ok()) return false;
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
  Tables tables;
  db_.GetLiveFilesMetaData(&tables);
  const int next = LevelBelow(tables, 0);
  Tables young;
  uint64_t next_bytes = 0;
  for (const auto& table : tables) {
    if (table.level == 0) young.push_back(table);
    if (table.level == next) next_bytes += table.size;
  }
  if (young.size() < kYoungMergedMin) return;
  const uint64_t free_bytes = space_->FreeBytes();
  std::ranges::sort(young, {}, &rocksdb::LiveFileMetaData::largest_seqno);
  std::vector<std::string> names;  // the oldest
  uint64_t bytes = 0;
  for (const auto& table : young) {
    bytes += table.size;
    if (bytes <= free_bytes / 2) names.push_back(table.name);
  }
  if (names.size() < 2 || space_->Allows(bytes + next_bytes)) return;
  rocksdb::CompactionOptions compaction;
  compaction.compression = rocksdb::kDisableCompressionOption;
  const CompactionSpace::Permit permit(space_.get());
  // Refused where RocksDB has chosen them meanwhile.
  db_.CompactFiles(compaction, names, 0).PermitUncheckedError();
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
  return job.total_bytes - job.garbage_bytes <= static_cast<double>(space_->FreeBytes());
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
    } else if (note != nullptr && note->hidden_bytes + note->hiding_count > 0) {
      deep.push_back(table);
    }
  }
  auto guess = [&](const rocksdb::LiveFileMetaData& table) {
    const GarbageNote& note = notes_.at(table.file_number);
    const uint64_t entry_bytes = note.total_bytes / std::max<uint64_t>(1, table.num_entries);
    return note.hidden_bytes + note.hiding_count * entry_bytes;
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

  double below_bytes = 0;
  double below_entries = 0;
  auto add = [&](const rocksdb::LiveFileMetaData& table) {
    job.total_bytes += static_cast<double>(table.size);
    const GarbageNote* note = NoteOf(table, floor);
    if (note == nullptr || note->total_bytes == 0) return;
    job.garbage_bytes += static_cast<double>(note->hidden_bytes) /
                         static_cast<double>(note->total_bytes) * static_cast<double>(table.size);
  };
  double hiding = 0;
  for (const auto& table : inputs) {
    job.names.push_back(table.name);
    add(table);
    below_bytes += static_cast<double>(table.size);
    below_entries += static_cast<double>(table.num_entries);
    if (const GarbageNote* note = NoteOf(table, floor); note != nullptr) {
      hiding += static_cast<double>(note->hiding_count);
    }
  }
  if (job.level == from) return job;
  for (const auto& table : tables) {
    if (table.level != job.level) continue;
    if (std::ranges::none_of(inputs, [&](const auto& in) { return Overlaps(in, table); })) continue;
    add(table);
    below_bytes += static_cast<double>(table.size);
    below_entries += static_cast<double>(table.num_entries);
  }
  if (below_entries > 0) job.garbage_bytes += hiding * below_bytes / below_entries;
  job.garbage_bytes = std::min(job.garbage_bytes, job.total_bytes);
  return job;
}

}  // namespace arima::kv
