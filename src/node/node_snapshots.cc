// NodeCore: snapshots on their way out and in (docs/design/raft.md 1.13, 5.3 to 5.5).
//
// A follower that is offered one fetches it beside everything else; votes, heartbeats and even the
// log go on meanwhile. When the core then wants it installed, the replica is closed and opened
// again on the received database, through the same recovery that a crash in the middle would take:
// there is one path, and it is the one that every start tests.
#include <algorithm>
#include <utility>

#include "node/node_core.h"

namespace arima::node {
namespace {

constexpr uint64_t kSnapshotPollNs = 500'000'000;

uint64_t Percent(uint64_t done, uint64_t total) {
  return total == 0 ? 0 : std::min<uint64_t>(100, done * 100 / total);
}

}  // namespace

void NodeCore::StartSnapshots() {
  to_install_.reset();
  SnapshotOptions options = options_.replica.snapshots;
  if (options.free_bytes_min == 0) options.free_bytes_min = disk_watch_->figures().reserve_bytes;
  options.databases = options_.replica.storage.databases;
  DataDir* dir = stand_in_ != nullptr ? stand_in_.get() : dir_.get();
  snapshot_source_ = std::make_unique<SnapshotSource>(dir, &replica_->machine(), &replica_->wal(),
                                                      &replica_->loop().inbox(), &clock_, &logger_,
                                                      &snapshot_counters_, options);
  snapshot_fetcher_ = std::make_unique<SnapshotFetcher>(dir, network_, &clock_, &logger_,
                                                        &snapshot_counters_, options);
  snapshot_source_->Start();
  snapshot_fetcher_->Start();
  // What an earlier life received may be of use; an error here shows again when it is used.
  received_left_ = env::Exists(dir->env(), dir->receive_path()).value_or(true);
  received_last_ = replica_->loop().Status().last;
}

void NodeCore::StopSnapshots() {
  snapshot_fetcher_->Stop();
  snapshot_source_->Stop();
}

void NodeCore::Request(const raft::SnapshotRequest& request) {
  if (replica_->needs_snapshot()) {
    return replica_->loop().inbox().AddInput(raft::SnapshotReady{request.to, {}, false});
  }
  snapshot_source_->Request(request, NameForLog(request.to));
}

void NodeCore::Install(const raft::InstallSnapshot& install) { to_install_ = install.meta; }

void NodeCore::OnSnapshotOffered(const raft::SnapshotMeta& meta, raft::MemberId from,
                                 raft::Term term) {
  raft::CoreStatus status = replica_->loop().Status();
  bool from_leader = status.soft.role == raft::Role::kFollower && status.soft.leader == from &&
                     status.hard_state.term == term;
  bool useful = status.needs_snapshot || meta.index > status.hard_state.commit;
  useful = useful && meta.snapshot_id != 0;
  if (!from_leader || !useful || to_install_ || status.soft.disabled != raft::Disabled::kNone) {
    return;
  }
  // The newest that is known of where the leader is; it may have moved while this node was away.
  const raft::ConfState& conf = meta.conf.index > KnownConf().index ? meta.conf : KnownConf();
  auto leader = conf.members.find(from);
  if (leader == conf.members.end()) return;
  received_left_ = true;
  received_last_ = status.last;
  transport::Hello hello = MakeHello(from);
  snapshot_fetcher_->Fetch({meta, from, term, leader->second.name, leader->second.raft_address,
                            leader->second.incarnation, std::move(hello)});
}

void NodeCore::PollSnapshots(uint64_t now_ns) {
  if (auto fetched = snapshot_fetcher_->Take()) OnFetched(std::move(*fetched), now_ns);
  if (now_ns < next_snapshot_poll_ns_) return;
  next_snapshot_poll_ns_ = now_ns + kSnapshotPollNs;
  if (auto running = snapshot_fetcher_->running()) {
    TellProgress(running->from, running->snapshot_id, running->progress.bytes_done, false);
  } else if (!to_install_) {
    DiscardReceivedIfUseless();
    AskForSnapshot();
  }
}

void NodeCore::OnFetched(SnapshotFetched fetched, uint64_t now_ns) {
  const SnapshotFetch& fetch = fetched.fetch;
  if (!fetched.status) {
    if (fetched.status.error().code == Code::kDiskFull) MakeRoomForSnapshot();
    return TellProgress(fetch.from, fetch.meta.snapshot_id, 0, true);
  }
  replica_->loop().Step(raft::SnapshotReceived{fetch.meta, fetch.from, fetch.term}, now_ns);
  replica_->loop().Process(now_ns);
  if (to_install_) return;
  logger_.Info("snapshot_not_needed", "the log has gone on beyond the received snapshot",
               {{"index", fetch.meta.index.value}});
  snapshot_fetcher_->Discard();
}

// The damaged database is kept for people, but not at the price of never having the data again:
// whoever offered this snapshot has it all.
void NodeCore::MakeRoomForSnapshot() {
  if (!replica_->needs_snapshot()) return;
  auto discarded = dir_->DiscardBadDbs();
  if (!discarded) return logger_.Warn("bad_database_kept", discarded.error().ToString());
  if (!*discarded) return;
  logger_.Warn("bad_database_discarded",
               "the damaged database that was set aside is deleted: without its space the snapshot "
               "that replaces it cannot be received");
}

void NodeCore::TellProgress(raft::MemberId to, uint64_t snapshot_id, uint64_t bytes, bool failed) {
  raft::Message message;
  message.type = raft::MessageType::kSnapProgress;
  message.from = identity_.member_id;
  message.to = to;
  message.term = replica_->loop().Status().hard_state.term;
  message.snapshot.snapshot_id = snapshot_id;
  message.received_bytes = bytes;
  message.reject = failed;
  std::vector<raft::Message> messages;
  messages.push_back(std::move(message));
  transport_->Send(std::move(messages));
}

// A node that leads, or whose log grows, gets what it lacks by the log.
void NodeCore::DiscardReceivedIfUseless() {
  if (!received_left_) return;
  raft::CoreStatus status = replica_->loop().Status();
  if (status.needs_snapshot) return;
  if (status.soft.role != raft::Role::kLeader && status.last <= received_last_) return;
  received_left_ = false;
  snapshot_fetcher_->Discard();
}

void NodeCore::InstallReceived() {
  raft::SnapshotMeta meta = *std::exchange(to_install_, std::nullopt);
  uint64_t begin_ns = clock_.NowNs();
  CloseReplica({Code::kUnavailable,
                "node takes over a snapshot of the leader's data; repeat the request later, or on "
                "another node"});
  uint64_t closed_ns = clock_.NowNs();
  if (auto installed = dir_->InstallReceived(meta.snapshot_id); installed) {
    ++snapshot_counters_.installs;
  } else {
    logger_.Error("snapshot_not_installed", installed.error().ToString(),
                  {{"index", meta.index.value}});
  }
  ReopenReplica();
  if (replica_ == nullptr) return;
  logger_.Info("replica_reopened", "the node was away for the install of a snapshot",
               {{"close_us", (closed_ns - begin_ns) / 1000},
                {"open_us", (clock_.NowNs() - closed_ns) / 1000}});
}

void NodeCore::CutLog(uint64_t now_ns) {
  if (identity_unwritten_) return;  // the log still has the configuration that is missing there
  std::vector<SnapshotTransfer> transfers;
  for (const OutgoingSnapshot& outgoing : snapshot_source_->Outgoing()) {
    transfers.push_back({outgoing.peer, outgoing.index});
  }
  for (raft::MemberId peer : replica_->log_cutter().Poll(now_ns, transfers)) {
    snapshot_source_->Abandon(peer);
  }
}

std::string NodeCore::SnapshotState() {
  std::string text;
  auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const OutgoingSnapshot& transfer : snapshot_source_->Outgoing()) {
    if (transfer.over) continue;
    add("sending " + NameForLog(transfer.peer) + " " +
        std::to_string(Percent(transfer.bytes_done, transfer.bytes_total)) + " %");
  }
  if (auto running = snapshot_fetcher_->running()) {
    const snapshot::Progress& progress = running->progress;
    add("receiving " + std::to_string(Percent(progress.bytes_done, progress.bytes_total)) + " %");
  }
  return text.empty() ? "idle" : text;
}

}  // namespace arima::node
