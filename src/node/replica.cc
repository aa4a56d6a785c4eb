#include "node/replica.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "base/random.h"
#include "codec/conf_codec.h"
#include "kv/engine.h"
#include "node/database_opening.h"
#include "node/log_damage.h"
#include "node/storage.h"

namespace arima::node {
namespace {

// The term of log position `index`, from the runs of the recovered log.
raft::Term TermAt(const wal::RecoveredLog& log, raft::Index index) {
  if (index == log.snapshot_index) return log.snapshot_term;
  auto after = std::ranges::upper_bound(log.term_runs, index, {}, &raft::EntryId::index);
  ARIMA_ASSERT(after != log.term_runs.begin(), index);
  return std::prev(after)->term;
}

// The database never runs ahead of the log (raft.md 1.5, apply gate), unless a snapshot was just
// installed. If it seems so otherwise, acknowledged entries are missing from the log, and going on
// would vote with a false memory.
Status Reconcile(const wal::RecoveredLog& log, const kv::AppliedState& applied) {
  raft::Index index(applied.index);
  const std::string advice = "; acknowledged entries are missing";
  if (index < log.snapshot_index) {
    return Fail(Code::kCorruption, "the database ends at index " + std::to_string(applied.index) +
                                       ", the raft log begins after index " +
                                       std::to_string(log.snapshot_index.value) + advice);
  }
  if (index > log.last) {
    return Fail(Code::kCorruption, "the raft log ends at index " + std::to_string(log.last.value) +
                                       ", the database has applied index " +
                                       std::to_string(applied.index) + advice);
  }
  if (raft::Term term = TermAt(log, index); term.value != applied.term) {
    return Fail(Code::kCorruption, "index " + std::to_string(applied.index) + " has term " +
                                       std::to_string(term.value) + " in the raft log and term " +
                                       std::to_string(applied.term) + " in the database" + advice);
  }
  return {};
}

// True if the database is one that the log knows nothing of: ahead of it, or on another branch.
bool LogLacks(const wal::RecoveredLog& log, const kv::AppliedState& applied) {
  raft::Index index(applied.index);
  if (index < log.snapshot_index) return false;
  return index > log.last || TermAt(log, index).value != applied.term;
}

// R7 after an install: the log starts over at what the snapshot stands for; term and vote stay.
Status ResetLog(wal::Wal& wal, const kv::AppliedState& applied, wal::RecoveredLog* log) {
  raft::EntryId point{raft::Term(applied.term), raft::Index(applied.index)};
  raft::HardState hard_state = log->hard_state;
  // The snapshot was taken in a term whose arrival here was not durable yet: no vote was given in
  // it.
  if (hard_state.term < point.term) {
    hard_state.term = point.term;
    hard_state.vote = raft::MemberId();
  }
  hard_state.commit = point.index;
  if (Status reset = wal.Append({.hard_state = hard_state, .reset = point}, true); !reset) {
    return Fail(reset.error().code, "the raft log could not be reset to the installed snapshot: " +
                                        reset.error().message);
  }
  log->hard_state = hard_state;
  log->snapshot_index = log->last = point.index;
  log->snapshot_term = point.term;
  log->term_runs.clear();
  log->conf_entries.clear();
  log->tail.clear();
  return {};
}

// An empty database says nothing of the configuration: the identity keeps the newest one that this
// node saw committed, which is at least as new as any below the begin of the log.
Result<raft::ConfState> ConfOf(const OpenedDatabase& database, const Identity& identity) {
  const std::string& bytes =
      database.needs_snapshot ? identity.seed_conf : database.machine->applied().conf;
  Result<raft::ConfState> conf = codec::DecodeConfState(bytes);
  if (conf) return conf;
  return Fail(Code::kCorruption, std::string("the configuration in the ") +
                                     (database.needs_snapshot ? "identity file" : "database") +
                                     " is damaged: " + conf.error().message);
}

Result<raft::InitialState> MakeInitialState(wal::RecoveredLog log, const OpenedDatabase& database,
                                            const Identity& identity) {
  Result<raft::ConfState> conf = ConfOf(database, identity);
  if (!conf) return std::unexpected(conf.error());
  raft::InitialState initial;
  initial.needs_snapshot = database.needs_snapshot;
  initial.hard_state = log.hard_state;
  initial.snapshot_index = log.snapshot_index;
  initial.snapshot_term = log.snapshot_term;
  initial.last = log.last;
  initial.term_runs = std::move(log.term_runs);
  initial.applied =
      database.needs_snapshot ? log.snapshot_index : raft::Index(database.machine->applied_index());
  initial.hard_state.commit =
      std::max({log.hard_state.commit, log.snapshot_index, initial.applied});
  initial.conf = std::move(*conf);
  const raft::Index known = std::max(initial.applied, initial.conf.index);
  for (raft::Entry& entry : log.conf_entries) {
    if (entry.index > known) initial.conf_entries.push_back(std::move(entry));
  }
  initial.tail = std::move(log.tail);
  if (identity.state == IdentityState::kRemoved || LeavesOut(initial.conf, identity.member_id)) {
    initial.disabled = raft::Disabled::kRemoved;
  }
  if (identity.state == IdentityState::kDamaged) initial.disabled = raft::Disabled::kDamaged;
  return initial;
}

// Confirms an install once the log agrees with it. Each step may be the last before a crash: the
// next start finds the same marker and goes on.
Status FinishInstall(DataDir& dir, wal::Wal& wal, const kv::AppliedState& applied,
                     CurrentDb* current, wal::RecoveredLog* log, Logger* logger) {
  if (current->confirmed && !ARIMA_MUTANT(53)) return {};
  if (LogLacks(*log, applied) && !ARIMA_MUTANT(69)) {
    if (Status reset = ResetLog(wal, applied, log); !reset) return reset;
  }
  current->confirmed = true;
  if (Status written = dir.WriteCurrentDb(*current); !written) return written;
  logger->Info(kSnapshotInstalledEvent,
               "the database is the one of a snapshot, the log goes on from it",
               {{"index", applied.index}, {"term", applied.term}});
  return {};
}

// What older lives left; none of it is in the way.
void CleanUp(DataDir& dir, uint64_t number, Logger* logger) {
  if (Status cleaned = dir.DiscardOtherDbs(number); !cleaned) {
    logger->Warn("old_database_not_removed", cleaned.error().ToString());
  }
  if (Status cleaned = dir.DiscardCheckpoints(); !cleaned) {
    logger->Warn("old_checkpoint_not_removed", cleaned.error().ToString());
  }
}

raft::Config MakeConfig(const Identity& identity, const ReplicaOptions& options) {
  raft::Config config;
  config.id = identity.member_id;
  config.seed = SystemRandom64();
  config.life = SystemRandom64();
  config.election_ticks = options.election_ticks;
  config.heartbeat_ticks = options.heartbeat_ticks;
  config.tick_ns = options.loop.tick_ns;
  config.confirm_removals = true;
  return config;
}

// Damage, as far as the log itself can tell; other errors are of another kind.
struct OpenedLog {
  std::unique_ptr<wal::Wal> wal;
  std::string problem;
};

Result<OpenedLog> OpenLog(DataDir& dir, const wal::WalOptions& options, wal::RecoveredLog* log,
                          Logger* logger) {
  auto wal = wal::Wal::Open(dir.env(), options, log);
  if (wal) {
    logger->Info("log_recovered", log->text,
                 {{"last_index", log->last.value}, {"term", log->hard_state.term.value}});
    return OpenedLog{std::move(*wal), {}};
  }
  const Error& error = wal.error();
  if (error.code == Code::kNotFound) return OpenedLog{nullptr, error.message};
  if (error.code != Code::kCorruption) return std::unexpected(error);
  return OpenedLog{nullptr, log->damage ? wal::DamageText(*log->damage) : error.message};
}

// With a damaged log besides, nothing that this node acknowledged is left; others have it.
Status NoDatabase(Error error, const std::string& log_problem, const Identity& identity,
                  OpenReport* report) {
  if (log_problem.empty()) return std::unexpected(std::move(error));
  error.message += "; besides, " + log_problem;
  if (error.code == Code::kCorruption && identity.state != IdentityState::kStandalone) {
    report->lost = error.message;
    report->conf = identity.seed_conf;
  }
  return std::unexpected(std::move(error));
}

}  // namespace

// A database that is damaged is replaced only in front of a whole log, a log only behind a whole
// database: what neither holds is lost here.
Status Replica::OpenStorage(DataDir& dir, const Identity& identity, const ReplicaOptions& options,
                            Logger* logger, wal::RecoveredLog* log, OpenedDatabase* database,
                            OpenReport* report) {
  auto finished = dir.FinishReplaceLog();
  if (!finished) return std::unexpected(finished.error());
  if (!finished->empty()) {
    logger->Warn("log_restarted",
                 "the replacement of a damaged raft log, begun by an earlier start, is finished; "
                 "the damaged one is kept as " +
                     *finished);
  }
  while (true) {
    auto opened = OpenLog(dir, WalOptionsFor(dir, identity, options.storage), log, logger);
    if (!opened) return std::unexpected(opened.error());
    wal_ = std::move(opened->wal);
    std::string problem = std::move(opened->problem);
    if (database->machine == nullptr) {
      const wal::RecoveredLog* whole = wal_ != nullptr ? log : nullptr;
      auto open = OpenDatabase(dir, identity, whole, options.storage, logger);
      if (!open) return NoDatabase(open.error(), problem, identity, report);
      *database = std::move(*open);
    }
    if (wal_ != nullptr && database->needs_snapshot) break;  // there is nothing in it to compare
    const kv::AppliedState applied = database->machine->applied();
    if (wal_ != nullptr) {
      Status agrees = FinishInstall(dir, *wal_, applied, &database->current, log, logger);
      if (!agrees) return agrees;
      agrees = Reconcile(*log, applied);
      if (agrees) break;
      problem = agrees.error().message;
      if (report->log_restarted) return agrees;
      // It is given up; closing is only for the sake of the files.
      if (Status closed = wal_->Close(); !closed) return closed;
      wal_.reset();
    }
    if (report->log_restarted) return Fail(Code::kCorruption, "raft log is corrupt: " + problem);
    MendedLog mended = MendLog(dir, identity, options.storage,
                               {problem, applied, options.accept_data_loss}, logger);
    if (mended.lost) {
      report->lost = std::move(problem);
      report->conf = database->needs_snapshot ? identity.seed_conf : applied.conf;
    }
    if (!mended.status) return mended.status;
    report->log_restarted = true;
  }
  CleanUp(dir, database->current.number, logger);
  return {};
}

Result<std::unique_ptr<Replica>> Replica::Open(DataDir& dir, const Identity& identity,
                                               const ReplicaOptions& options,
                                               std::shared_ptr<Waker> waker, Clock* clock,
                                               Logger* logger, uint64_t now_ns, OpenReport* report,
                                               const DiskWatch* disk) {
  ARIMA_ASSERT(identity.data_ready);
  std::unique_ptr<Replica> replica(new Replica);
  wal::RecoveredLog log;
  OpenedDatabase database;
  OpenReport unread;
  Status open = replica->OpenStorage(dir, identity, options, logger, &log, &database,
                                     report != nullptr ? report : &unread);
  if (!open) return std::unexpected(open.error());
  auto initial = MakeInitialState(std::move(log), database, identity);
  if (!initial) return std::unexpected(initial.error());
  replica->machine_ = std::move(database.machine);
  replica->needs_snapshot_ = database.needs_snapshot;
  replica->damage_found_ = database.damage_found;
  replica->set_aside_ = database.current.damage;
  replica->recovered_commit_ = initial->hard_state.commit.value;
  raft::Config config = MakeConfig(identity, options);
  if (Status valid = config.Validate(); !valid) return std::unexpected(valid.error());
  replica->loop_ = std::make_unique<RaftLoop>(raft::Core(config, *initial, now_ns), options.loop,
                                              std::move(waker), options.inbox);
  replica->loop_->ConnectDisk(disk);
  Inbox* inbox = &replica->loop_->inbox();
  replica->log_writer_ =
      std::make_unique<LogWriter>(replica->wal_.get(), inbox, clock, logger, options.disk_stall_ns);
  replica->log_cutter_ = std::make_unique<LogCutter>(
      LogCutter::Parts{replica->loop_.get(), replica->machine_.get(), replica->wal_.get(),
                       replica->log_writer_.get(), logger},
      options.retention);
  replica->log_reader_ = std::make_unique<LogReader>(replica->wal_.get(), inbox, logger);
  replica->segment_helper_ = std::make_unique<SegmentHelper>(
      replica->wal_.get(), &replica->machine_->engine(), inbox, logger);
  replica->flusher_ =
      std::make_unique<Flusher>(replica->machine_.get(), disk, clock, logger, options.flusher);
  replica->flusher_->FlushReplayed(replica->recovered_commit_);
  replica->applier_ =
      std::make_unique<Applier>(replica->machine_.get(), inbox, &replica->loop_->proposals(),
                                &replica->loop_->reads(), replica->flusher_.get(), logger);
  return replica;
}

Replica::~Replica() = default;

void Replica::Start(MessageSink* peers, RaftLoopHost* host) {
  loop_->Connect(log_writer_.get(), applier_.get(), log_reader_.get(), peers, host);
  segment_helper_->Start();
  log_writer_->Start();
  log_reader_->Start();
  flusher_->Start();
  applier_->Start();
  started_ = true;
}

void Replica::Stop(const Error& why) {
  if (!started_) return;
  started_ = false;
  loop_->inbox().Close(why);
  log_reader_->Stop();
  flusher_->Stop();
  applier_->Stop();
  segment_helper_->Stop();
  // The log closes last: what the database holds is in it.
  log_writer_->Stop();
  loop_->FailAll(why);
}

}  // namespace arima::node
