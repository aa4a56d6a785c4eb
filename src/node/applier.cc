#include "node/applier.h"

#include <chrono>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "codec/conf_codec.h"
#include "kv/engine.h"

namespace arima::node {
namespace {

constexpr auto kDiskFullPause = std::chrono::milliseconds(200);
constexpr auto kBehindPause = std::chrono::milliseconds(10);  // after the engine's own patience
constexpr uint64_t kBatchBytesMax = 1 << 20;

bool WaitsFor(Code code) { return code == Code::kDiskFull || code == Code::kOverloaded; }

uint64_t Bytes(const std::vector<raft::ApplyItem>& items) {
  uint64_t bytes = 0;
  for (const raft::ApplyItem& item : items) bytes += item.entry.payload.size();
  return bytes;
}

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
                 ReadQueue* reads, Flusher* flusher, Logger* logger)
    : machine_(*machine),
      inbox_(*inbox),
      proposals_(*proposals),
      reads_(*reads),
      flusher_(*flusher),
      logger_(*logger) {}

Applier::~Applier() { ARIMA_ASSERT(!thread_.joinable()); }

void Applier::Start() {
  thread_ = Thread([this] { Run(); });
}

void Applier::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.Join();
}

void Applier::Submit(std::vector<raft::ApplyItem> items) {
  bool queued = queue_.Push(std::move(items), 0);
  ARIMA_ASSERT(queued);
}

void Applier::Run() {
  bool cleaning = true;  // an earlier life may have left something
  while (true) {
    const bool wait = !cleaning || queue_.closed();
    std::vector<std::vector<raft::ApplyItem>> batches = wait ? queue_.PopAll() : queue_.TryPopAll();
    if (batches.empty() && wait) break;
    if (!batches.empty() && !ApplyAll(std::move(batches))) break;
    cleaning = Clean();
  }
  if (Status flushed = machine_.Flush(true); !flushed) {
    // Nothing is lost: the log still holds what the database does not.
    logger_.Warn("flush_at_stop_failed", flushed.error().ToString());
  }
}

// Whatever is wrong here loses nothing: what is not removed takes space, and what the engine
// suffers from meets the next batch too.
bool Applier::Clean() {
  if (clean_failed_) return false;
  Result<bool> more = machine_.CleanStep();
  if (more) return *more;
  if (WaitsFor(more.error().code)) {
    // What is cleaned away may be what makes space, so it does not wait for the next entry.
    queue_.WaitClosed(kDiskFullPause);
    return true;
  }
  // What a checksum found is in the engine's health already. What is only illogical may be so on
  // every node: no reason to give a database up that answers right.
  clean_failed_ = true;
  logger_.Error("history_not_cleaned",
                "deleted keys keep their space until the next start: " + more.error().ToString());
  return false;
}

// Hand-overs that came while the last batch was written become one batch.
bool Applier::ApplyAll(std::vector<std::vector<raft::ApplyItem>> batches) {
  std::vector<raft::ApplyItem> items;
  uint64_t bytes = 0;
  for (std::vector<raft::ApplyItem>& batch : batches) {
    uint64_t more = Bytes(batch);
    if (!items.empty() && bytes + more > kBatchBytesMax) {
      if (!Apply(items)) return false;
      items.clear();
      bytes = 0;
    }
    bytes += more;
    items.insert(items.end(), std::make_move_iterator(batch.begin()),
                 std::make_move_iterator(batch.end()));
  }
  return Apply(items);
}

bool Applier::Apply(std::span<const raft::ApplyItem> items) {
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
    if (applied.error().code == Code::kUnavailable) return false;  // stopping
    if (applied.error().code == Code::kCorruption) {
      machine_.engine().ReportCorruption(applied.error());
      logger_.Error(
          "apply_stopped",
          "the database is damaged, nothing more is applied to it: " + applied.error().message,
          {{"index", records.front().index}});
      return false;
    }
    logger_.Fatal("apply_failed",
                  "the database refused a committed batch: " + applied.error().ToString(),
                  {{"index", records.front().index}});
  }
  ARIMA_ASSERT(results.size() == items.size(), results.size(), items.size());
  flusher_.NoteApplied(bytes);
  raft::Index last = items.back().entry.index;
  std::vector<AppliedEntry> resolved;
  resolved.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    resolved.push_back({items[i].entry.index, items[i].entry.term, std::move(results[i])});
  }
  proposals_.Resolve(resolved);
  reads_.Advance(last);
  inbox_.AddInput(raft::Applied{last, bytes});
  return true;
}

// A full disk pauses applying, and so does a database that has to bring its tables into order
// first; the core sees the lag grow and refuses proposals. Other engine errors are returned.
Status Applier::ApplyPatiently(const std::vector<kv::Record>& records,
                               std::vector<kv::ApplyResult>* results) {
  const auto stopping = [] { return Fail(Code::kUnavailable, "the node is stopping"); };
  bool full = false;
  bool behind = false;
  Status applied = machine_.Apply(records, results);
  while (!applied && WaitsFor(applied.error().code)) {
    if (applied.error().code == Code::kDiskFull) {
      if (!full) TellFull(applied.error());
      full = true;
      if (queue_.WaitClosed(kDiskFullPause)) return stopping();
      if (!machine_.engine().Resume()) continue;
    } else {
      if (!behind) logger_.Warn("database_behind", "applying waits: " + applied.error().message);
      behind = true;
      if (queue_.WaitClosed(kBehindPause)) return stopping();
    }
    results->clear();
    applied = machine_.Apply(records, results);
  }
  if (applied && full) {
    logger_.Info("database_has_space", "applying goes on");
    inbox_.SetDiskLow(DiskUser::kDatabase, false);
  }
  return applied;
}

void Applier::TellFull(const Error& error) {
  logger_.Error("database_disk_full", "applying waits for space: " + error.message);
  inbox_.SetDiskLow(DiskUser::kDatabase, true);
}

}  // namespace arima::node
