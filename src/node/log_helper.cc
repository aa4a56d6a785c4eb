#include "node/log_helper.h"

#include <chrono>
#include <utility>

#include "base/assert.h"
#include "node/disk_watch.h"

namespace arima::node {
namespace {

// How often the preparer looks whether a segment was used.
constexpr auto kPreparePause = std::chrono::milliseconds(100);
// Segments that stand ready besides the one being written.
constexpr uint32_t kReadyMin = 2;

}  // namespace

LogReader::LogReader(const wal::Wal* wal, Inbox* inbox, Logger* logger)
    : wal_(*wal), inbox_(*inbox), logger_(*logger) {}

LogReader::~LogReader() { ARIMA_ASSERT(!thread_.joinable()); }

void LogReader::Start() {
  thread_ = Thread([this] {
    while (true) {
      std::vector<raft::LoadEntries> loads = queue_.PopAll();
      if (loads.empty()) return;
      for (const raft::LoadEntries& load : loads) Load(load);
    }
  });
}

void LogReader::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.Join();
}

void LogReader::Submit(raft::LoadEntries load) {
  bool queued = queue_.Push(std::move(load), 0);
  ARIMA_ASSERT(queued);
}

void LogReader::Load(const raft::LoadEntries& load) {
  raft::EntriesLoaded loaded;
  loaded.to = load.to;
  loaded.low = load.low;
  Result<std::vector<raft::Entry>> entries = wal_.Read(load.low, load.high, load.bytes_max);
  if (entries) {
    loaded.entries = std::move(*entries);
  } else if (entries.error().code == Code::kCompacted) {
    loaded.status = raft::LoadStatus::kCompacted;
  } else {
    ReportFailure(load, entries.error());
    bool damaged = entries.error().code == Code::kCorruption;
    loaded.status = damaged ? raft::LoadStatus::kDamaged : raft::LoadStatus::kUnavailable;
  }
  inbox_.AddInput(std::move(loaded));
}

// The core asks again and again; the same finding is said once.
void LogReader::ReportFailure(const raft::LoadEntries& load, const Error& error) {
  if (error.code == Code::kCorruption) damage_count_.fetch_add(1, std::memory_order_relaxed);
  std::string text = error.ToString();
  if (text == last_failure_) return;
  logger_.Error("log_read_failed", text,
                {{"first_index", load.low.value}, {"end_index", load.high.value}});
  last_failure_ = std::move(text);
}

SegmentHelper::SegmentHelper(wal::Wal* wal, const kv::Engine* engine, Inbox* inbox, Logger* logger)
    : wal_(*wal), engine_(*engine), inbox_(*inbox), logger_(*logger) {}

SegmentHelper::~SegmentHelper() { ARIMA_ASSERT(!thread_.joinable()); }

void SegmentHelper::Start() {
  thread_ = Thread([this] { Run(); });
}

void SegmentHelper::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  stopping_changed_.NotifyAll();
  if (thread_.joinable()) thread_.Join();
}

void SegmentHelper::TellSpace(const Result<bool>& worked) {
  const bool no_space = !worked && worked.error().code == Code::kDiskFull;
  const bool low = no_space && wal_.preparer().ready() < kReadyMin;
  if (low == space_low_) return;
  space_low_ = low;
  inbox_.SetDiskLow(DiskUser::kLogAhead, low);
  if (low) {
    logger_.Error("log_reserve_touched",
                  "no space for another log segment; this node takes no further entries, it votes "
                  "and serves reads: " +
                      worked.error().message);
  } else {
    logger_.Info("log_reserve_filled", "log segments stand ready again");
  }
}

void SegmentHelper::Run() {
  bool failed = false;
  while (true) {
    Result<bool> worked = wal_.preparer().PrepareOne(FlushBytes(engine_.stats().unflushed_bytes));
    if (!worked && !failed) {
      logger_.Warn("segment_not_prepared", worked.error().ToString());
    }
    failed = !worked;
    TellSpace(worked);
    MutexLock lock(&mutex_);
    if (!stopping_ && !(worked && *worked)) stopping_changed_.WaitFor(&mutex_, kPreparePause);
    if (stopping_) return;
  }
}

}  // namespace arima::node
