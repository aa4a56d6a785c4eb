#include "node/log_writer.h"

#include <chrono>
#include <span>
#include <utility>

#include "base/assert.h"

namespace arima::node {
namespace {

constexpr uint64_t kFrameBytesMax = 4 << 20;
constexpr auto kDiskFullPause = std::chrono::milliseconds(100);

uint64_t Bytes(const raft::Write& write) {
  uint64_t bytes = 0;
  for (const raft::Entry& entry : write.entries) bytes += entry.payload.size();
  return bytes;
}

}  // namespace

LogWriter::LogWriter(wal::Wal* wal, Inbox* inbox, Clock* clock, Logger* logger, uint64_t stall_ns)
    : wal_(*wal), inbox_(*inbox), clock_(*clock), logger_(*logger), sync_meter_(stall_ns) {}

LogWriter::~LogWriter() { ARIMA_ASSERT(!thread_.joinable()); }

void LogWriter::Start() {
  thread_ = Thread([this] { Run(); });
}

void LogWriter::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.Join();
}

void LogWriter::Submit(raft::Write write) {
  bool queued = queue_.Push(std::move(write), 0);
  ARIMA_ASSERT(queued);  // Stop comes after the last Submit
}

void LogWriter::CompactTo(raft::Index index) {
  // The writer may take the old value meanwhile, which is fine: it was asked for.
  if (index.value > cut_to_) cut_to_ = index.value;
  bool queued = queue_.Push(Wake{}, 0);
  ARIMA_ASSERT(queued);  // as above
}

LogWriterStats LogWriter::Stats() const {
  return {syncs_.load(), sync_ns_total_.load(), sync_ns_max_.load(), writes_.load()};
}

void LogWriter::Run() {
  while (true) {
    std::vector<Task> tasks =
        wal_.NeedsAttest() ? queue_.PopAllFor(std::chrono::nanoseconds(wal::Wal::kAttestDelayNs))
                           : queue_.PopAll();
    if (!tasks.empty()) {
      if (!Perform(std::move(tasks))) break;
    } else if (queue_.closed()) {
      break;
    } else if (Status attested = Attest(); !attested) {
      logger_.Fatal("log_write_failed", attested.error().ToString());
    }
  }
  if (Status closed = wal_.Close(); !closed) {
    logger_.Fatal("log_close_failed", closed.error().ToString());
  }
}

bool LogWriter::Perform(std::vector<Task> tasks) {
  std::vector<raft::Write> writes;
  writes.reserve(tasks.size());
  for (Task& task : tasks) {
    if (auto* write = std::get_if<raft::Write>(&task)) writes.push_back(std::move(*write));
  }
  const bool cut = BeginCut();
  if (!WriteAll(std::move(writes))) return false;
  if (cut) FinishCut();
  return true;
}

// It may overtake writes that were queued before it: it is about applied entries, which none of
// them adds or replaces.
bool LogWriter::BeginCut() {
  const uint64_t index = cut_to_.exchange(0);
  if (index == 0) return false;
  if (Status done = wal_.CompactTo(raft::Index(index)); !done) {
    logger_.Fatal("log_cut_failed", done.error().ToString());
  }
  return true;
}

// Costs nothing if a synced batch has done it.
void LogWriter::FinishCut() {
  Status done = Append({}, /*sync=*/true);
  // The place for the record was used already: it rides with the next batch that finds space.
  if (done || done.error().code == Code::kDiskFull) return;
  logger_.Fatal("log_write_failed", done.error().ToString());
}

bool LogWriter::WriteAll(std::vector<raft::Write> writes) {
  std::span<raft::Write> rest(writes);
  while (!rest.empty()) {
    size_t count = 1;
    for (uint64_t bytes = Bytes(rest[0]); count < rest.size(); ++count) {
      bytes += Bytes(rest[count]);
      if (bytes > kFrameBytesMax) break;
    }
    if (!AppendOnce(rest.first(count))) return false;
    rest = rest.subspan(count);
  }
  return true;
}

bool LogWriter::AppendOnce(std::span<raft::Write> writes) {
  bool sync = false;
  std::vector<wal::Batch> batches;
  batches.reserve(writes.size());
  for (const raft::Write& write : writes) {
    wal::Batch batch;
    batch.hard_state = write.hard_state;
    if (write.reset) batch.reset = raft::EntryId{write.reset->term, write.reset->index};
    batch.entries = write.entries;
    batches.push_back(batch);
    sync |= write.need_sync;
  }
  uint64_t begin_ns = clock_.NowNs();
  if (Status done = AppendPatiently(batches, sync); !done) {
    if (done.error().code == Code::kDiskFull) return false;  // stopping
    logger_.Fatal("log_write_failed",
                  "the raft log could not be written; the process ends, because what was "
                  "acknowledged may depend on it: " +
                      done.error().ToString());
  }
  uint64_t spent_ns = clock_.NowNs() - begin_ns;
  writes_ += writes.size();
  if (sync) {
    ++syncs_;
    sync_ns_total_ += spent_ns;
    if (spent_ns > sync_ns_max_) sync_ns_max_ = spent_ns;
  }
  std::vector<LogCompletion> completions;
  completions.reserve(writes.size());
  for (raft::Write& write : writes) {
    completions.push_back({write.seq, std::move(write.after_durable)});
  }
  inbox_.AddLogCompletions(std::move(completions));
  return true;
}

Status LogWriter::Append(std::span<const wal::Batch> batches, bool sync) {
  sync_meter_.Begin(clock_.NowNs());
  Status done = wal_.Append(batches, sync);
  if (done) {
    sync_meter_.End(clock_.NowNs(), sync);
  } else {
    sync_meter_.Cancel();
  }
  return done;
}

Status LogWriter::Attest() {
  sync_meter_.Begin(clock_.NowNs());
  Status done = wal_.Attest();
  sync_meter_.End(clock_.NowNs(), false);
  return done;
}

Status LogWriter::AppendPatiently(std::span<const wal::Batch> batches, bool sync) {
  Status done = Append(batches, sync);
  if (done || done.error().code != Code::kDiskFull) return done;
  logger_.Error("log_disk_full",
                "no space for a new log segment; proposals are refused until "
                "there is: " +
                    done.error().message);
  inbox_.SetDiskLow(DiskUser::kLogWriter, true);
  // The pause is of no consequence for correctness: the append is simply tried again.
  while (!done && done.error().code == Code::kDiskFull && !queue_.WaitClosed(kDiskFullPause)) {
    if (BeginCut()) FinishCut();
    done = Append(batches, sync);
  }
  if (done) {
    logger_.Info("log_disk_has_space", "the raft log can be written again");
    inbox_.SetDiskLow(DiskUser::kLogWriter, false);
  }
  return done;
}

}  // namespace arima::node
