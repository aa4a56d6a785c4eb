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

LogWriter::LogWriter(wal::Wal* wal, Inbox* inbox, Clock* clock, Logger* logger)
    : wal_(*wal), inbox_(*inbox), clock_(*clock), logger_(*logger) {}

LogWriter::~LogWriter() { ARIMA_ASSERT(!thread_.joinable()); }

void LogWriter::Start() {
  thread_ = std::thread([this] { Run(); });
}

void LogWriter::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.join();
}

void LogWriter::Submit(raft::Write write) {
  bool queued = queue_.Push(std::move(write), 0);
  ARIMA_ASSERT(queued);  // Stop comes after the last Submit
}

LogWriterStats LogWriter::Stats() const {
  return {syncs_.load(), sync_ns_total_.load(), sync_ns_max_.load(), writes_.load()};
}

void LogWriter::Run() {
  while (true) {
    std::vector<raft::Write> writes =
        wal_.NeedsAttest() ? queue_.PopAllFor(std::chrono::nanoseconds(wal::Wal::kAttestDelayNs))
                           : queue_.PopAll();
    if (!writes.empty()) {
      if (!WriteAll(std::move(writes))) break;
    } else if (queue_.closed()) {
      break;
    } else if (Status attested = wal_.Attest(); !attested) {
      logger_.Fatal("log_write_failed", attested.error().ToString());
    }
  }
  if (Status closed = wal_.Close(); !closed) {
    logger_.Fatal("log_close_failed", closed.error().ToString());
  }
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

Status LogWriter::AppendPatiently(std::span<const wal::Batch> batches, bool sync) {
  Status done = wal_.Append(batches, sync);
  if (done || done.error().code != Code::kDiskFull) return done;
  logger_.Error("log_disk_full",
                "no space for a new log segment; proposals are refused until "
                "there is: " +
                    done.error().message);
  inbox_.SetDiskLow(DiskUser::kLog, true);
  // The pause is of no consequence for correctness: the append is simply tried again.
  while (!done && done.error().code == Code::kDiskFull && !queue_.closed()) {
    std::this_thread::sleep_for(kDiskFullPause);
    done = wal_.Append(batches, sync);
  }
  if (done) {
    logger_.Info("log_disk_has_space", "the raft log can be written again");
    inbox_.SetDiskLow(DiskUser::kLog, false);
  }
  return done;
}

}  // namespace arima::node
