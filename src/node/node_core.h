// NodeCore: everything of a node that lives on the core thread. Drives the replica's raft loop,
// talks to peers, decides joins and removals, keeps the identity file, publishes what front ends
// show. Thread rule: the core thread, except Post.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/notification.h"
#include "node/bootstrap.h"
#include "node/data_dir.h"
#include "node/database_opening.h"
#include "node/disk_watch.h"
#include "node/hand_over_pacer.h"
#include "node/history_keeper.h"
#include "node/identity.h"
#include "node/logger.h"
#include "node/membership.h"
#include "node/node.h"
#include "node/shared_state.h"
#include "node/snapshot_fetcher.h"
#include "node/snapshot_source.h"
#include "node/trash_remover.h"
#include "transport/network.h"
#include "transport/tcp_transport.h"
#include "transport/transport.h"

namespace arima::node {

class NodeCore final : public RaftLoopHost,
                       public MembershipHost,
                       public MessageSink,
                       public SnapshotSink,
                       public transport::PeerPolicy,
                       public transport::TransportHandler {
 public:
  NodeCore(const NodeOptions& options, Clock* clock, Logger* logger, SharedState* shared);
  ~NodeCore() override;

  // Before the core thread runs: identity, data, listener.
  arima::Status Open(env::Env* env);
  // The body of the core thread; returns after RequestStop.
  void Run();
  // After Run returned.
  void Close();

  // Any thread: runs `task` on the core thread.
  void Post(std::move_only_function<void()> task) { io_->Post(std::move(task)); }
  void RequestStop() { stopping_ = true; }
  // Any thread, before RequestStop: ends what the core's own thread may be waiting for.
  void EndWaits() { ending_.Notify(); }

  Membership& membership() { return membership_; }
  uint16_t raft_port() const { return transport_->port(); }
  uint64_t NowNs() { return clock_.NowNs(); }
  // Starts handing leadership to another voter; `done` when this node does not lead (any more).
  void HandOver(std::move_only_function<void()> done);
  std::vector<service::Check> Readiness();
  std::vector<service::ClusterService::Metric> Metrics();

  // --- MembershipHost
  raft::CoreStatus Status() override;
  const Identity& identity() override { return identity_; }
  service::Stats CurrentStats() override;
  service::Members CurrentMembers();
  void ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) override;
  void TransferLeadership(raft::MemberId target) override;
  void Call(const std::string& address, transport::ControlKind kind, std::string body,
            uint64_t timeout_ms, CallDone done) override;
  void LogEvent(std::string_view event, std::string_view message) override;
  void Alarm(std::string_view event, std::string_view message) override;

  // --- RaftLoopHost
  void OnSoftState(const raft::SoftState& soft) override;
  void OnConfChanged(std::shared_ptr<const raft::ConfState> conf) override;
  void OnEvent(const raft::Event& event) override;
  void OnDamaged(const std::string& what) override;

  // --- MessageSink
  void Send(std::vector<raft::Message> messages) override;

  // --- SnapshotSink
  void Request(const raft::SnapshotRequest& request) override;
  void Install(const raft::InstallSnapshot& install) override;

  // --- transport::PeerPolicy
  transport::HelloDecision Check(const transport::Hello& hello) override;
  transport::Hello MakeHello(raft::MemberId to) override;

  // --- transport::TransportHandler
  void OnMessage(raft::Message&& message) override;
  void OnUnreachable(raft::MemberId peer) override;
  void OnPeerClosed(raft::MemberId peer) override;
  void OnRefused(raft::MemberId peer, const transport::Refuse& refuse) override;
  void OnAddress(const transport::Hello& hello) override;
  void OnControl(transport::ControlRequest&& request, transport::Responder responder) override;
  void OnStream(const transport::Hello& hello, std::unique_ptr<ByteStream> stream) override;
  void OnEvent(const transport::TransportEvent& event) override;

 private:
  arima::Status OpenReplica();
  // Waits where the disk is full. Without a replica on return: the node stops.
  void ReopenReplica();
  // The node's data; of a damaged node a stand-in (node/log_damage.h).
  Result<std::unique_ptr<Replica>> OpenData();
  // Durable when it returns ok.
  arima::Status BecomeDamaged(const std::string& what, std::string_view conf);
  // Returns when nobody on any thread holds the replica any more: its files may then be opened
  // again or discarded.
  void CloseReplica(const Error& why);
  // Identity, then data, then a new replica; a failure here ends the process with its reason.
  void ReplaceData(const transport::AbsorbRequest& request);
  void RestartReplica(const Error& why);

  void StartSnapshots();
  // Before the replica closes: nobody reads its database or the receive directory any more.
  void StopSnapshots();
  // A leader says that it has a snapshot for this node.
  void OnSnapshotOffered(const raft::SnapshotMeta& meta, raft::MemberId from, raft::Term term);
  void PollSnapshots(uint64_t now_ns);
  void OnFetched(SnapshotFetched fetched, uint64_t now_ns);
  void TellProgress(raft::MemberId to, uint64_t snapshot_id, uint64_t bytes, bool failed);
  void DiscardReceivedIfUseless();
  // Closes the replica, makes what was received its database, and opens it again.
  void InstallReceived();
  std::string SnapshotState();
  // What snapshots under way will need stays.
  void CutLog(uint64_t now_ns);

  // Acts when the database is found damaged; may close the replica and open it again.
  void PollDatabase(uint64_t now_ns);
  bool WriteDamage();
  void MakeRoomForSnapshot();
  void OnDatabaseDamaged(Error damage);
  // Lets front ends use the new replica, unless its database is empty.
  void ServeReplica();
  void AskForSnapshot();
  bool LeadsOthers() const;
  void HandOn(uint64_t now_ns);
  std::string DatabaseState();

  struct MetricList;
  void AddRaftMetrics(MetricList* out);
  void AddStorageMetrics(MetricList* out);
  void AddSnapshotMetrics(MetricList* out);
  void AddPeerMetrics(MetricList* out);

  void OnTick(uint64_t now_ns);
  void WatchDisk(uint64_t now_ns);
  void TellSyncLatency(uint64_t now_ns);
  void HandOverIfUnfit(uint64_t now_ns);
  void WriteIdentityOrLater(uint64_t now_ns);
  void AddDiskMetrics(MetricList* out);
  // Notes what is applied; the leader moves the end of history.
  void KeepHistory(uint64_t now_ns);
  void Publish();
  std::string NameForLog(raft::MemberId id) const;
  void AnnounceOwnAddress();
  // The leader brings what other members have announced into the configuration.
  void AdoptAddresses();
  void SetState(IdentityState state);
  bool HasOtherVoters(const raft::ConfState& conf) const;
  // A cluster that shrank to this node is one of a single node again.
  void NoteSolitude();
  // What `conf_` says about this node's own membership.
  void FollowConf();
  // The identity keeps a copy of `conf_`: should the database be lost, nobody else here knows who
  // the others are. It is durable before the log can be cut above that configuration's entry.
  void KeepConf();

  // The newest configuration this node knows of: its own, or the one the absorbing leader named.
  const raft::ConfState& KnownConf() const;
  void UpdatePeers();
  bool Pristine();
  transport::ControlAnswer AnswerProbe();
  transport::ControlAnswer Absorb(std::string_view body);
  arima::Status CheckAbsorb(const transport::AbsorbRequest& request) const;
  void ForwardedJoin(const transport::ControlRequest& request, transport::Responder responder);
  void ForwardedRemove(const transport::ControlRequest& request, transport::Responder responder);
  void ForwardedTransfer(const transport::ControlRequest& request, transport::Responder responder);

  NodeOptions options_;  // as given, until Open has fitted them to the disk
  Clock& clock_;
  Logger& logger_;
  SharedState& shared_;
  transport::Network* const network_;
  const std::unique_ptr<transport::Loop> io_;
  std::shared_ptr<Waker> waker_;
  std::unique_ptr<DataDir> dir_;
  std::unique_ptr<TrashRemover> trash_remover_;
  std::unique_ptr<DataDir> stand_in_;  // within dir_; while damaged
  std::unique_ptr<DiskWatch> disk_watch_;
  bool told_disk_low_ = false;   // to replica_
  raft::SyncLatency told_sync_;  // to replica_
  HandOverPacer hand_over_pacer_;
  uint64_t disk_hand_overs_ = 0;
  uint64_t disk_stalls_ = 0;
  Identity identity_;
  bool identity_unwritten_ = false;  // the disk was full
  uint64_t next_identity_ns_ = 0;
  raft::ConfState seed_conf_;  // decoded Identity::seed_conf: the newest one ever known
  std::shared_ptr<const raft::ConfState> conf_;
  std::unique_ptr<transport::TcpTransport> transport_;
  std::shared_ptr<Replica> replica_;
  std::shared_ptr<Notification> replica_gone_;  // of the last reference to it
  SnapshotCounters snapshot_counters_;
  std::unique_ptr<SnapshotSource> snapshot_source_;    // of replica_
  std::unique_ptr<SnapshotFetcher> snapshot_fetcher_;  // of replica_
  std::optional<raft::SnapshotMeta> to_install_;
  // Something may lie in the receive directory; the log ended here when that became so.
  bool received_left_ = false;
  raft::Index received_last_;
  uint64_t next_snapshot_poll_ns_ = 0;
  std::optional<Error> database_damage_;  // of replica_, found while it runs
  bool damage_unwritten_ = false;         // CURRENT_DB does not say it yet
  Refill refill_ = Refill::kNone;         // with it
  uint64_t next_hand_over_ns_ = 0;
  uint64_t database_corruptions_ = 0;
  Membership membership_;
  HistoryKeeper history_;
  bool stopping_ = false;
  Notification ending_;
  // The replica is to be opened anew, as what the identity says now; what is said meanwhile. Once
  // nobody up the stack uses it.
  std::optional<Error> restart_;
  uint64_t restarted_logs_ = 0;
  uint64_t alarms_ = 0;
  bool announcing_ = false;  // a change of the own address is proposed
  struct Announced {
    std::string address;
    bool said = false;  // in the log
  };
  // Where other members are, if the configuration does not say so. They tell it once per connection
  // and whoever happens to be there, so that a later leader must remember it.
  std::map<raft::MemberId, Announced> announced_;
  bool adopting_ = false;  // one of them is proposed
  uint64_t next_tick_ns_ = 0;
  std::vector<std::move_only_function<void()>> hand_over_waiters_;
  uint64_t leader_changes_ = 0;
  raft::MemberId last_leader_;
};

}  // namespace arima::node
