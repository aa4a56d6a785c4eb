// NodeCore: what operators and front ends are told: log lines, stats, readiness, metrics.
#include <algorithm>
#include <utility>

#include "kv/engine.h"
#include "node/conf_lookup.h"
#include "node/log_damage.h"
#include "node/node_core.h"
#include "node/stats.h"

namespace arima::node {
namespace {

// Entries behind the commit index from which on a node says that it is not ready.
constexpr uint64_t kReadyLagMax = 10'000;

std::string_view EventName(raft::EventKind kind) {
  switch (kind) {
    case raft::EventKind::kCampaign:
      return "campaign";
    case raft::EventKind::kBecameLeader:
      return "became_leader";
    case raft::EventKind::kSteppedDown:
      return "stepped_down";
    case raft::EventKind::kNewLeader:
      return "new_leader";
    case raft::EventKind::kConfActive:
      return "configuration_active";
    case raft::EventKind::kConfRefused:
      return "configuration_refused";
    case raft::EventKind::kLogRegression:
      return kLogRegressionEvent;
    case raft::EventKind::kSafetyViolation:
      return kSafetyViolationEvent;
    case raft::EventKind::kRemovedSelf:
      return "removed_self";
    case raft::EventKind::kTransferStarted:
      return "transfer_started";
    case raft::EventKind::kTransferAborted:
      return "transfer_aborted";
    case raft::EventKind::kSnapshotNeeded:
      return "snapshot_needed";
  }
  return "raft_event";
}

LogLevel EventLevel(raft::EventKind kind) {
  switch (kind) {
    case raft::EventKind::kLogRegression:
    case raft::EventKind::kSafetyViolation:
      return LogLevel::kError;
    case raft::EventKind::kConfRefused:
    case raft::EventKind::kRemovedSelf:
    case raft::EventKind::kTransferAborted:
      return LogLevel::kWarn;
    default:
      return LogLevel::kInfo;
  }
}

std::string_view EventName(transport::TransportEvent::Kind kind) {
  using Kind = transport::TransportEvent::Kind;
  switch (kind) {
    case Kind::kConnected:
      return "peer_connected";
    case Kind::kDisconnected:
      return "peer_disconnected";
    case Kind::kRefused:
      return "peer_refused_us";
    case Kind::kRefusedOther:
      return "refused_peer";
    case Kind::kBadInput:
      return "bad_input";
    case Kind::kListenNarrowed:
      return "listen_narrowed";
  }
  return "transport_event";
}

// How old can what this node has applied be? docs/design/http-api.md 2.5.
Staleness ProveStaleness(const raft::CoreStatus& status, uint64_t now_ns) {
  Staleness staleness;
  if (status.soft.role == raft::Role::kLeader) {
    bool alone = status.conf->voters.size() == 1 && !status.conf->joint();
    if (!alone && status.confirmed_ns == 0) return staleness;
    staleness = {true, 0, alone ? now_ns : status.confirmed_ns, status.confirmed_commit.value};
  } else if (status.echo_peer_ns != 0 && status.echo_received_ns >= status.confirmed_ns &&
             status.confirmed_ns != 0) {
    staleness = {true, status.echo_received_ns - status.confirmed_ns, status.echo_peer_ns,
                 status.confirmed_commit.value};
  }
  return staleness;
}

double Number(uint64_t n) { return static_cast<double>(n); }

}  // namespace

// Collects figures under their names.
struct NodeCore::MetricList {
  void Gauge(std::string name, std::string help, double value) {
    metrics.push_back({std::move(name), std::move(help), false, value, {}});
  }
  void Counter(std::string name, std::string help, double value) {
    metrics.push_back({std::move(name), std::move(help), true, value, {}});
  }
  std::vector<service::ClusterService::Metric> metrics;
};

void NodeCore::LogEvent(std::string_view event, std::string_view message) {
  logger_.Info(event, message);
}

void NodeCore::Alarm(std::string_view event, std::string_view message) {
  ++alarms_;
  logger_.Error(event, message);
}

void NodeCore::OnEvent(const raft::Event& event) {
  std::string member = NameForLog(event.member);
  std::string text = event.text;
  if (event.kind == raft::EventKind::kNewLeader) text = "follows " + member;
  if (event.kind == raft::EventKind::kTransferStarted) {
    text = "hands leadership to " + member + (text.empty() ? "" : ": " + text);
  }
  logger_.Log(EventLevel(event.kind), EventName(event.kind), text,
              {{"term", event.term.value}, {"member", member}});
}

// Empty for nobody; a member that this node does not know by name yet shows its id.
std::string NodeCore::NameForLog(raft::MemberId id) const {
  if (!id) return {};
  const raft::MemberInfo* info = Find(KnownConf(), id);
  return info != nullptr && !info->name.empty() ? info->name : "member " + std::to_string(id.value);
}

void NodeCore::OnEvent(const transport::TransportEvent& event) {
  using Kind = transport::TransportEvent::Kind;
  bool odd = event.kind == Kind::kBadInput || event.kind == Kind::kRefused ||
             event.kind == Kind::kRefusedOther || event.kind == Kind::kListenNarrowed;
  std::string text = event.kind == Kind::kConnected ? "greeted" : event.text;
  logger_.Log(odd ? LogLevel::kWarn : LogLevel::kInfo, EventName(event.kind), text,
              {{"member", NameForLog(event.peer)},
               {"address", event.address},
               {"suppressed", event.suppressed > 0 ? std::to_string(event.suppressed) : ""}});
}

service::Stats NodeCore::CurrentStats() {
  raft::CoreStatus status = Status();
  status.applied = raft::Index(replica_->machine().applied_index());
  return BuildStats({status, identity_, clock_.NowNs(), replica_->machine().store_revision(),
                     replica_->machine().durable_applied_index(),
                     replica_->machine().compact_revision(), replica_->wal().Stats().segment_bytes,
                     SnapshotState(), DatabaseState(), disk_watch_->figures().free_bytes});
}

service::Members NodeCore::CurrentMembers() {
  raft::CoreStatus status = Status();
  bool told_newer = seed_conf_.index > status.conf->index;
  return BuildMembers(status, told_newer ? seed_conf_ : *status.conf, clock_.NowNs());
}

void NodeCore::Publish() {
  raft::CoreStatus status = Status();
  Published published;
  published.view.node_name = identity_.name;
  const raft::ConfState& conf = seed_conf_.index > status.conf->index ? seed_conf_ : *status.conf;
  if (const raft::MemberInfo* leader = Find(conf, status.soft.leader)) {
    published.view.leader_name = leader->name;
    published.view.leader_http_address = leader->http_address;
  }
  published.view.store_revision = replica_->machine().store_revision();
  published.view.removed = identity_.state == IdentityState::kRemoved;
  bool damaged = identity_.state == IdentityState::kDamaged;
  if (damaged) published.view.damage = DamageAdvice(identity_);
  published.staleness = ProveStaleness(status, clock_.NowNs());
  shared_.Publish(std::move(published));
  AnnounceOwnAddress();
  AdoptAddresses();
}

std::vector<service::Check> NodeCore::Readiness() {
  raft::CoreStatus status = replica_->loop().Status();
  std::vector<service::Check> checks;
  auto add = [&](std::string name, bool ok, std::string detail) {
    checks.push_back({std::move(name), ok, ok ? "" : std::move(detail)});
  };
  add("leader_known", static_cast<bool>(status.soft.leader),
      "no leader; a majority of the voters must be up and reach each other");
  uint64_t lag = status.hard_state.commit.value -
                 std::min(status.hard_state.commit.value, replica_->machine().applied_index());
  add("caught_up", lag <= kReadyLagMax,
      "the state machine is " + std::to_string(lag) + " entries behind the commit index");
  add("member",
      identity_.state != IdentityState::kRemoved && identity_.state != IdentityState::kJoining,
      identity_.state == IdentityState::kRemoved
          ? "node was removed from the cluster"
          : "node is joining; it becomes a member when it has caught up");
  add("log", identity_.state != IdentityState::kDamaged, DamageAdvice(identity_));
  kv::EngineHealth health = replica_->machine().engine().health();
  const std::string database = DatabaseState();
  if (database != "ok") {
    add("storage", false, "the database is " + database);
  } else {
    add("storage", health.state == kv::EngineState::kOk, health.error.message);
  }
  const raft::DiskLevel level = status.disk;
  add("disk_space", level == raft::DiskLevel::kOk,
      "disk " + std::string(raft::DiskLevelName(level)) + ": " + disk_watch_->Describe());
  add("disk_speed", !status.sync_stalled,
      "the raft log has waited for its disk for --disk-stall-timeout");
  return checks;
}

std::vector<service::ClusterService::Metric> NodeCore::Metrics() {
  MetricList list;
  AddRaftMetrics(&list);
  AddStorageMetrics(&list);
  AddDiskMetrics(&list);
  AddSnapshotMetrics(&list);
  AddPeerMetrics(&list);
  return std::move(list.metrics);
}

void NodeCore::AddRaftMetrics(MetricList* out) {
  raft::CoreStatus status = replica_->loop().Status();
  out->Gauge("arima_server_has_leader", "1 if a leader is known", status.soft.leader ? 1 : 0);
  out->Gauge("arima_server_is_leader", "1 if this node leads",
             status.soft.role == raft::Role::kLeader ? 1 : 0);
  out->Counter("arima_server_leader_changes_total", "leaders seen by this process",
               Number(leader_changes_));
  out->Gauge("arima_raft_damaged",
             "1 if this node lost acknowledged log and waits to be replaced under a new id",
             identity_.state == IdentityState::kDamaged ? 1 : 0);
  out->Gauge("arima_raft_damaged_members", "leader: members known to have lost acknowledged log",
             Number(membership_.CountDamaged(status)));
  out->Counter("arima_raft_damage_alarms_total",
               "damaged logs found by this node, its own and those of members it leads",
               Number(alarms_));
  out->Gauge("arima_raft_term", "current term", Number(status.hard_state.term.value));
  out->Gauge("arima_raft_last_log_index", "last entry in the log", Number(status.last.value));
  out->Gauge("arima_raft_commit_index", "last committed entry",
             Number(status.hard_state.commit.value));
  out->Gauge("arima_raft_applied_index", "last applied entry",
             Number(replica_->machine().applied_index()));
  out->Gauge("arima_raft_durable_applied_index", "last entry whose effect the database has on disk",
             Number(replica_->machine().durable_applied_index()));
  out->Gauge("arima_raft_uncommitted_bytes", "payload bytes not yet committed",
             Number(status.uncommitted_bytes));
  out->Gauge("arima_raft_proposals_pending", "client writes waiting for an outcome",
             Number(replica_->loop().pending_writes()));
  out->Counter("arima_admission_rejected_total", "requests refused because the inbox was full",
               Number(replica_->loop().inbox().refused()));
}

void NodeCore::AddStorageMetrics(MetricList* out) {
  LogWriterStats log = replica_->log_writer().Stats();
  out->Counter("arima_disk_wal_syncs_total", "appends of the raft log that were synced",
               Number(log.syncs));
  out->Counter("arima_disk_wal_sync_seconds_total", "time spent in synced appends",
               Number(log.sync_ns_total) / 1e9);
  out->Gauge("arima_disk_wal_sync_seconds_max", "longest synced append",
             Number(log.sync_ns_max) / 1e9);
  wal::WalStats wal = replica_->wal().Stats();
  out->Counter("arima_disk_wal_written_bytes_total", "bytes written to the raft log",
               Number(wal.written_bytes));
  out->Gauge("arima_disk_wal_segments", "live log segments", Number(wal.segments));
  out->Gauge("arima_log_bytes", "bytes of the live log segments", Number(wal.segment_bytes));
  out->Gauge("arima_log_cut_index", "entries up to here are cut off the log",
             Number(wal.first.value - 1));
  const LogCutterStats& cutter = replica_->log_cutter().stats();
  out->Counter("arima_log_cuts_total", "times that log segments were let go", Number(cutter.cuts));
  out->Counter("arima_log_peers_given_up_total",
               "members that need a snapshot because what they lack passed --log-retain-bytes",
               Number(cutter.peers_given_up));
  out->Counter("arima_log_restarts_total",
               "times that a damaged log was begun anew behind what the database holds",
               Number(restarted_logs_));
  out->Counter("arima_log_read_damages_total",
               "log entries that were read back and were not those written",
               Number(replica_->log_reader().damage_count()));
  out->Counter("arima_disk_wal_inline_segments_total",
               "segments the writer had to make itself because none was ready",
               Number(wal.inline_segments));

  out->Counter("arima_database_corruptions_total",
               "times that the database was found damaged, by this process",
               Number(database_corruptions_));
  out->Gauge("arima_database_awaits_snapshot",
             "1 while the database is empty because the one before was damaged",
             replica_->needs_snapshot() ? 1 : 0);
  out->Gauge("arima_mvcc_current_revision", "store revision",
             Number(replica_->machine().store_revision()));
  out->Gauge("arima_mvcc_compact_revision", "oldest revision that can be read",
             Number(replica_->machine().compact_revision()));
  out->Counter("arima_mvcc_cleaned_entries_total",
               "database entries of deleted keys removed after history had passed them",
               Number(replica_->machine().cleaned_count()));
  out->Counter("arima_mvcc_dropped_versions_total",
               "replaced versions that compactions dropped after history had passed them",
               Number(replica_->machine().engine().stats().dropped_count));
}

void NodeCore::AddDiskMetrics(MetricList* out) {
  const DiskFigures disk = disk_watch_->figures();
  out->Gauge("arima_disk_free_bytes", "free space of the volume directory's file system",
             Number(disk.free_bytes));
  out->Gauge("arima_disk_total_bytes", "size of that file system", Number(disk.total_bytes));
  out->Gauge("arima_disk_reserve_bytes", "what is kept free of it", Number(disk.reserve_bytes));
  out->Gauge("arima_disk_ballast_bytes", "space held to be given up when the disk is full",
             Number(disk.ballast_bytes));
  out->Gauge("arima_disk_level",
             "0 ok, 1 low: no growth, 2 stuck: no proposals, 3 full: no entries",
             Number(static_cast<uint64_t>(replica_->loop().disk_level())));
  const SyncReading sync = replica_->log_writer().sync_meter().Read(clock_.NowNs());
  out->Gauge("arima_disk_wal_sync_seconds_typical", "median of the last syncs of the raft log",
             Number(sync.typical_ns) / 1e9);
  out->Gauge("arima_disk_wal_sync_seconds_running", "age of the write or sync under way",
             Number(sync.running_ns) / 1e9);
  out->Gauge("arima_disk_stalled", "1 while the raft log waits too long for its disk",
             sync.stalled ? 1 : 0);
  out->Counter("arima_disk_stalls_total", "times that this became so", Number(disk_stalls_));
  out->Counter("arima_disk_hand_overs_total",
               "times that this node handed over leadership because of its disk",
               Number(disk_hand_overs_));
}

void NodeCore::AddSnapshotMetrics(MetricList* out) {
  out->Counter("arima_snapshot_sends_total", "snapshots that a peer has received whole",
               Number(snapshot_counters_.sends));
  out->Counter("arima_snapshot_send_failures_total", "snapshots for a peer that were given up",
               Number(snapshot_counters_.send_failures));
  out->Counter("arima_snapshot_sent_bytes_total", "bytes of snapshots sent",
               Number(snapshot_counters_.sent_bytes));
  out->Counter("arima_snapshot_installs_total", "snapshots that became this node's database",
               Number(snapshot_counters_.installs));
  out->Counter("arima_snapshot_receive_failures_total", "snapshots that could not be received",
               Number(snapshot_counters_.receive_failures));
  out->Gauge("arima_volume_trash",
             "databases and checkpoints that are not needed any more and not deleted yet",
             Number(trash_remover_ == nullptr ? 0 : trash_remover_->waiting()));
}

void NodeCore::AddPeerMetrics(MetricList* out) {
  transport::TransportStats net = transport_->Stats();
  out->Counter("arima_peer_bad_inputs_total", "connections closed for what they sent",
               Number(net.bad_inputs));
  out->Counter("arima_peer_refused_hellos_total", "greetings this node refused",
               Number(net.refused_hellos));
  for (const auto& [id, peer] : net.peers) {
    const raft::MemberInfo* info = Find(*conf_, id);
    // While a lost member is replaced two of them have one name: the id tells them apart.
    std::vector<std::pair<std::string, std::string>> labels = {
        {"peer", info != nullptr ? info->name : std::to_string(id.value)},
        {"peer_id", std::to_string(id.value)}};
    out->metrics.push_back(
        {"arima_peer_sent_bytes_total", "raft bytes sent", true, Number(peer.sent_bytes), labels});
    out->metrics.push_back({"arima_peer_received_bytes_total", "raft bytes received", true,
                            Number(peer.received_bytes), labels});
    out->metrics.push_back({"arima_peer_dropped_messages_total",
                            "messages not sent: queue full or no "
                            "connection",
                            true, Number(peer.dropped_messages), labels});
    out->metrics.push_back({"arima_peer_connected", "1 if the connection to the peer is up", false,
                            peer.connected ? 1.0 : 0.0, labels});
  }
}

}  // namespace arima::node
