#include "node/applier.h"

#include <chrono>
#include <utility>

#include "base/assert.h"
#include "codec/conf_codec.h"
#include "kv/engine.h"

namespace arima::node {
namespace {

constexpr auto kDiskFullPause = std::chrono::milliseconds(200);
constexpr auto kIdleWait = std::chrono::seconds(1);

kv::RecordKind KindOf(raft::EntryKind kind) {
  switch (kind) {
    case raft::EntryKind::kCommand:
      return kv::RecordKind::kCommand;
    case raft::EntryKind::kConf:
      return kv::RecordKind::kConf;
    case raft::EntryKind::kClockTick:
      return kv::RecordKind::kClock;
    case raft::EntryKind::kNoop:
      return kv::RecordKind::kNothing;
  }
  return kv::RecordKind::kNothing;
}

}  // namespace

Applier::Applier(kv::StateMachine* machine, Inbox* inbox, ProposalTable* proposals,
                 ReadQueue* reads, Clock* clock, Logger* logger, const ApplierOptions& options)
    : machine_(*machine),
      inbox_(*inbox),
      proposals_(*proposals),
      reads_(*reads),
      clock_(*clock),
      logger_(*logger),
      options_(options) {}

Applier::~Applier() { ARIMA_ASSERT(!thread_.joinable()); }

void Applier::Start() {
  last_flush_ns_ = clock_.NowNs();
  thread_ = std::thread([this] { Run(); });
}

void Applier::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.join();
}

void Applier::Submit(std::vector<raft::ApplyItem> items) {
  bool queued = queue_.Push(std::move(items), 0);
  ARIMA_ASSERT(queued);
}

void Applier::Run() {
  while (true) {
    std::vector<std::vector<raft::ApplyItem>> batches = queue_.PopAllFor(kIdleWait);
    if (batches.empty() && queue_.closed()) break;
    for (std::vector<raft::ApplyItem>& items : batches) Apply(std::move(items));
    FlushIfDue();
  }
  if (Status flushed = machine_.Flush(true); !flushed) {
    // Nothing is lost: the log still holds what the database does not.
    logger_.Warn("flush_at_stop_failed", flushed.error().ToString());
  }
}

void Applier::Apply(std::vector<raft::ApplyItem> items) {
  std::vector<kv::Record> records;
  std::vector<std::string> confs;
  records.reserve(items.size());
  confs.reserve(items.size());
  uint64_t bytes = 0;
  for (const raft::ApplyItem& item : items) {
    const raft::Entry& entry = item.entry;
    if (raft::EntryChecksum(entry.kind, entry.payload.view()) != entry.checksum) {
      logger_.Fatal("entry_damaged_in_memory",
                    "a committed entry does not match its checksum; the process ends before it "
                    "can be applied. Test this machine's memory",
                    {{"index", entry.index.value}, {"term", entry.term.value}});
    }
    kv::Record record;
    record.index = entry.index.value;
    record.term = entry.term.value;
    record.kind = KindOf(entry.kind);
    record.bytes = entry.payload.view();
    if (item.conf != nullptr) {
      confs.push_back(codec::EncodeConfState(*item.conf));
      record.conf = confs.back();
    }
    bytes += entry.payload.size();
    records.push_back(record);
  }
  std::vector<kv::ApplyResult> results;
  if (Status applied = ApplyPatiently(records, &results); !applied) {
    if (applied.error().code == Code::kUnavailable) return;  // stopping
    logger_.Fatal("apply_failed",
                  "the database refused a committed batch: " + applied.error().ToString(),
                  {{"index", records.front().index}});
  }
  ARIMA_ASSERT(results.size() == items.size(), results.size(), items.size());
  unflushed_bytes_ += bytes;
  raft::Index last = items.back().entry.index;
  std::vector<AppliedEntry> resolved;
  resolved.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    resolved.push_back({items[i].entry.index, items[i].entry.term, std::move(results[i])});
  }
  proposals_.Resolve(resolved);
  reads_.Advance(last);
  inbox_.AddInput(raft::Applied{last, bytes});
}

// A full disk pauses applying; the core sees the lag grow and refuses proposals. Other engine
// errors are returned.
Status Applier::ApplyPatiently(const std::vector<kv::Record>& records,
                               std::vector<kv::ApplyResult>* results) {
  Status applied = machine_.Apply(records, results);
  if (applied || applied.error().code != Code::kDiskFull) return applied;
  logger_.Error("database_disk_full", "applying waits for space: " + applied.error().message);
  inbox_.SetDiskLow(DiskUser::kDatabase, true);
  while (!applied && applied.error().code == Code::kDiskFull) {
    if (queue_.closed()) return Fail(Code::kUnavailable, "the node is stopping");
    std::this_thread::sleep_for(kDiskFullPause);
    if (Status resumed = machine_.engine().Resume(); !resumed) continue;
    results->clear();
    applied = machine_.Apply(records, results);
  }
  if (applied) {
    logger_.Info("database_has_space", "applying goes on");
    inbox_.SetDiskLow(DiskUser::kDatabase, false);
  }
  return applied;
}

void Applier::FlushIfDue() {
  if (unflushed_bytes_ == 0) return;
  bool time_over = clock_.NowNs() - last_flush_ns_ >= options_.flush_interval_ns;
  if (unflushed_bytes_ < options_.flush_bytes && !time_over) return;
  unflushed_bytes_ = 0;
  last_flush_ns_ = clock_.NowNs();
  if (Status started = machine_.Flush(false); !started) {
    logger_.Warn("flush_failed", started.error().ToString());
  }
}

}  // namespace arima::node
