// Life of the core thread and of the replica under it. What peers ask is in node_peers.cc, what
// they send and get in bulk in node_snapshots.cc, what operators are shown in node_report.cc, the
// disk in node_disk.cc.
#include "node/node_core.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/random.h"
#include "codec/conf_codec.h"
#include "kv/command.h"
#include "node/conf_lookup.h"
#include "node/log_damage.h"

namespace arima::node {
namespace {

constexpr uint64_t kTickNs = 10'000'000;
// Where a log waits for space to be opened.
constexpr std::chrono::milliseconds kReopenPause{200};

class IoWaker final : public Waker {
 public:
  explicit IoWaker(transport::Loop* io) : io_(*io) {}
  void Wake() override { io_.Wake(); }

 private:
  transport::Loop& io_;
};

}  // namespace

NodeCore::NodeCore(const NodeOptions& options, Clock* clock, Logger* logger, SharedState* shared)
    : options_(options),
      clock_(*clock),
      logger_(*logger),
      shared_(*shared),
      network_(options_.network),
      io_(network_->MakeLoop()),
      waker_(std::make_shared<IoWaker>(io_.get())),
      membership_(this),
      history_(options_.history) {}

NodeCore::~NodeCore() = default;

arima::Status NodeCore::Open(env::Env* env) {
  auto dir = DataDir::Open(env, options_.volume_dir);
  if (!dir) return std::unexpected(dir.error());
  dir_ = std::move(*dir);
  auto identity = LoadOrFound(*dir_, options_.name, &logger_);
  if (!identity) return std::unexpected(identity.error());
  identity_ = std::move(*identity);
  disk_watch_ =
      std::make_unique<DiskWatch>(env, options_.volume_dir, options_.disk_reserve_bytes, &logger_);
  // A start needs a little space: on a full disk, that of the ballast.
  disk_watch_->Look();
  StorageOptions& storage = options_.replica.storage;
  for (uint64_t* bytes : {&storage.write_buffer_bytes, &storage.wal_segment_bytes}) {
    *bytes = FitToReserve(*bytes, disk_watch_->figures().reserve_bytes);
  }
  if (!identity_.data_ready) {
    if (auto made = CreateData(*dir_, &identity_, options_.replica.storage, &logger_); !made)
      return made;
  }
  // Before the replica: a port that is taken must not cost a recovery.
  transport::TcpOptions tcp;
  tcp.listen_host = options_.raft_listen_host;
  tcp.listen_port = options_.raft_port;
  tcp.seed = SystemRandom64();
  auto transport = transport::TcpTransport::Open(io_.get(), tcp, this, this);
  if (!transport) return std::unexpected(transport.error());
  transport_ = std::move(*transport);
  if (auto opened = OpenReplica(); !opened) return opened;
  trash_remover_ = std::make_unique<TrashRemover>(dir_.get(), &logger_);
  trash_remover_->Start();
  disk_watch_->Start();
  logger_.Info("node_started", "node is up",
               {{"cluster_id", ToHex(identity_.cluster_id)},
                {"member_id", identity_.member_id.value},
                {"state", IdentityStateName(identity_.state)},
                {"raft_address", options_.raft_address}});
  return {};
}

Result<std::unique_ptr<Replica>> NodeCore::OpenData() {
  if (identity_.state != IdentityState::kDamaged) {
    OpenReport report;
    auto replica = Replica::Open(*dir_, identity_, options_.replica, waker_, &clock_, &logger_,
                                 clock_.NowNs(), &report, disk_watch_.get());
    if (report.log_restarted) ++restarted_logs_;
    if (replica || report.lost.empty()) return replica;
    if (auto said = BecomeDamaged(report.lost, report.conf); !said) {
      return std::unexpected(said.error());
    }
  }
  stand_in_.reset();  // its lock
  Identity stand_in = identity_;
  ReplicaOptions options = options_.replica;
  options.storage = StandInStorage(options_.replica.storage);
  auto dir = OpenStandIn(*dir_, &stand_in, options_.replica.storage, &logger_);
  if (!dir) return std::unexpected(dir.error());
  stand_in_ = std::move(*dir);
  return Replica::Open(*stand_in_, stand_in, options, waker_, &clock_, &logger_, clock_.NowNs(),
                       nullptr, disk_watch_.get());
}

arima::Status NodeCore::OpenReplica() {
  auto replica = OpenData();
  if (!replica) return std::unexpected(replica.error());
  seed_conf_ = {};
  if (!identity_.seed_conf.empty()) {
    auto seed = codec::DecodeConfState(identity_.seed_conf);
    if (!seed) return std::unexpected(seed.error());
    seed_conf_ = std::move(*seed);
  }
  replica_gone_ = std::make_shared<Notification>();
  replica_ = std::shared_ptr<Replica>(replica->release(), [gone = replica_gone_](Replica* last) {
    delete last;
    gone->Notify();
  });
  announcing_ = adopting_ = false;
  announced_.clear();
  told_disk_low_ = false;
  told_sync_ = {};
  history_.Forget();
  conf_ = replica_->loop().Status().conf;
  if (Observer* observer = options_.replica.loop.observer) {
    observer->OnOpened(identity_, replica_->loop().Status());
  }
  membership_.OnConfChanged(*conf_);
  KeepConf();
  FollowConf();
  replica_->loop().ConnectSnapshots(this);
  replica_->Start(this, this);
  StartSnapshots();
  UpdatePeers();
  Publish();
  ServeReplica();
  return {};
}

void NodeCore::CloseReplica(const Error& why) {
  StopSnapshots();
  shared_.TakeReplica(why);
  replica_->Stop(why);
  shared_.SetReadFloor(std::max(shared_.read_floor(), replica_->machine().applied_index()));
  // A reader on another thread may hold it for the length of one read.
  replica_.reset();
  replica_gone_->Wait();
}

void NodeCore::RestartReplica(const Error& why) {
  CloseReplica(why);
  ReopenReplica();
}

// A log begins a segment when it is opened, and a half-written file is mended. While there is no
// space for that nothing is lost, and who asks hears why the node is away.
void NodeCore::ReopenReplica() {
  bool told = false;
  while (true) {
    auto opened = OpenReplica();
    if (opened) return;
    if (opened.error().code != Code::kDiskFull) {
      logger_.Fatal("replica_not_reopened", opened.error().ToString());
    }
    if (!std::exchange(told, true)) {
      logger_.Error("replica_waits_for_space", opened.error().message);
    }
    if (ending_.WaitFor(kReopenPause)) break;
  }
  stopping_ = true;
}

void NodeCore::ReplaceData(const transport::AbsorbRequest& request) {
  CloseReplica({Code::kUnavailable, "node is joining cluster " + ToHex(request.cluster_id) +
                                        "; repeat the request later"});
  shared_.SetReadFloor(0);
  arima::Status done;
  if (identity_.state == IdentityState::kDamaged) {
    stand_in_.reset();
    // A crash before the identity is written finds a damaged node without its log: no worse.
    if (auto aside = dir_->SetAsideLog(); !aside) done = std::unexpected(aside.error());
  }
  identity_.cluster_id = request.cluster_id;
  identity_.member_id = request.member;
  identity_.state = IdentityState::kJoining;
  identity_.data_ready = false;
  identity_.seed_conf = codec::EncodeConfState(request.conf);
  identity_.damage.clear();
  if (done) done = dir_->WriteIdentity(&identity_);
  if (done) done = CreateData(*dir_, &identity_, options_.replica.storage, &logger_);
  if (done) done = OpenReplica();
  if (!done) {
    logger_.Fatal("join_failed",
                  "this node could not take over the cluster's identity; it starts "
                  "over at the next start: " +
                      done.error().ToString());
  }
  logger_.Info(
      "joined_cluster", "this node is now a learner of another cluster",
      {{"cluster_id", ToHex(identity_.cluster_id)}, {"member_id", identity_.member_id.value}});
}

void NodeCore::Run() {
  while (!stopping_) {
    uint64_t now_ns = clock_.NowNs();
    uint64_t deadline_ns = std::min(next_tick_ns_, replica_->loop().NextDeadlineNs());
    io_->RunOnce(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
    now_ns = clock_.NowNs();
    replica_->loop().Process(now_ns);
    if (now_ns >= next_tick_ns_) {
      next_tick_ns_ = now_ns + kTickNs;
      OnTick(now_ns);
    }
    if (auto why = std::exchange(restart_, std::nullopt)) {
      RestartReplica(*why);
    } else if (to_install_) {
      InstallReceived();
    }
  }
}

void NodeCore::OnTick(uint64_t now_ns) {
  membership_.Poll(now_ns);
  WatchDisk(now_ns);
  KeepHistory(now_ns);
  CutLog(now_ns);
  PollSnapshots(now_ns);
  if (!to_install_) PollDatabase(now_ns);
  NoteSolitude();
  Publish();
  bool leads = replica_->loop().soft().role == raft::Role::kLeader;
  if (!leads) {
    for (auto& done : std::exchange(hand_over_waiters_, {})) done();
  }
}

void NodeCore::KeepHistory(uint64_t now_ns) {
  const kv::StateMachine& machine = replica_->machine();
  if (replica_->needs_snapshot()) return;
  history_.Note(now_ns, machine.store_revision(), machine.written_bytes());
  if (replica_->loop().soft().role != raft::Role::kLeader) return;
  // Deleted data is gone for good only behind the end of history.
  history_.SetShort(disk_watch_->low() || !replica_->loop().Status().takes_growth);
  if (auto revision = history_.Propose(now_ns, machine.compact_revision())) {
    replica_->loop().ProposeOwn(kv::EncodeCommand(kv::CompactCommand{*revision}), now_ns);
  }
}

void NodeCore::Close() {
  Error why{Code::kUnavailable, "the node is stopping; repeat the request on another one"};
  membership_.FailAll(why);
  transport_.reset();
  if (replica_ != nullptr) CloseReplica(why);
  if (trash_remover_ != nullptr) trash_remover_->Stop();
  trash_remover_.reset();
  if (disk_watch_ != nullptr) disk_watch_->Stop();
  for (auto& done : std::exchange(hand_over_waiters_, {})) done();
}

void NodeCore::HandOver(std::move_only_function<void()> done) {
  if (!LeadsOthers()) return done();
  hand_over_waiters_.push_back(std::move(done));
  TransferLeadership(raft::MemberId());
}

void NodeCore::SetState(IdentityState state) {
  if (identity_.state == state) return;
  identity_.state = state;
  next_identity_ns_ = 0;
  WriteIdentityOrLater(clock_.NowNs());
}

// In its first milliseconds a founder's own entry is still on its way through the log; who it is,
// it knows all the same.
raft::CoreStatus NodeCore::Status() {
  raft::CoreStatus status = replica_->loop().Status();
  if (identity_.state == IdentityState::kDamaged && seed_conf_.index > status.conf->index) {
    // What it runs on knows of no cluster.
    status.conf = std::make_shared<raft::ConfState>(seed_conf_);
  }
  auto own = status.conf->members.find(identity_.member_id);
  if (own == status.conf->members.end() || !own->second.name.empty()) return status;
  auto conf = std::make_shared<raft::ConfState>(*status.conf);
  raft::MemberInfo& self = conf->members[identity_.member_id];
  self.name = identity_.name;
  self.raft_address = options_.raft_address;
  self.http_address = options_.http_address;
  status.conf = std::move(conf);
  return status;
}

void NodeCore::ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) {
  replica_->loop().ProposeConf(std::move(change), force, std::move(rejected), clock_.NowNs());
}

void NodeCore::TransferLeadership(raft::MemberId target) {
  replica_->loop().Step(raft::Transfer{target}, clock_.NowNs());
}

void NodeCore::OnSoftState(const raft::SoftState& soft) {
  if (soft.leader && soft.leader != last_leader_) {
    last_leader_ = soft.leader;
    ++leader_changes_;
  }
  if (soft.role != raft::Role::kLeader) snapshot_source_->Abandon();
  announcing_ = false;
  FollowConf();
  Publish();
}

void NodeCore::OnConfChanged(std::shared_ptr<const raft::ConfState> conf) {
  // What the configuration says newly of a member is newer than what was heard before.
  std::erase_if(announced_, [&](const auto& heard) {
    const raft::MemberInfo* before = Find(*conf_, heard.first);
    const raft::MemberInfo* now = Find(*conf, heard.first);
    return before == nullptr || now == nullptr || before->raft_address != now->raft_address;
  });
  conf_ = std::move(conf);
  membership_.OnConfChanged(*conf_);
  snapshot_source_->KeepMembersOf(*conf_);
  announcing_ = adopting_ = false;
  KeepConf();
  FollowConf();
  UpdatePeers();
  Publish();
}

void NodeCore::KeepConf() {
  if (identity_.state == IdentityState::kDamaged) return;  // what it runs on knows of no cluster
  if (conf_->index <= seed_conf_.index) return;
  seed_conf_ = *conf_;
  identity_.seed_conf = codec::EncodeConfState(seed_conf_);
  WriteIdentityOrLater(clock_.NowNs());
}

void NodeCore::FollowConf() {
  bool out = identity_.state == IdentityState::kRemoved;
  if (out || identity_.state == IdentityState::kDamaged) return;
  if (LeavesOut(*conf_, identity_.member_id)) {
    // The core says so when its log has it durably: before that, who is removed still counts where
    // others do not know of the removal yet.
    if (replica_->loop().soft().disabled != raft::Disabled::kRemoved) return;
    SetState(IdentityState::kRemoved);
    logger_.Warn("removed",
                 "this node was removed from the cluster; its data stays on disk. POST /raft/join "
                 "makes it a new member");
  } else if (conf_->members.contains(identity_.member_id) && HasOtherVoters(*conf_)) {
    SetState(IdentityState::kMember);
  }
}

// What a damaged log means hangs on whether others could have gone on without this node, so that
// must not be read from the log itself: the identity says Standalone only while nobody else votes.
// Hence it is said late, when no change can be on its way, and taken back at once (FollowConf).
void NodeCore::NoteSolitude() {
  if (identity_.state != IdentityState::kMember || HasOtherVoters(*conf_)) return;
  const raft::CoreStatus status = replica_->loop().Status();
  bool settled = status.soft.role == raft::Role::kLeader && status.removals_confirmed &&
                 status.hard_state.commit == status.last;
  if (settled) SetState(IdentityState::kStandalone);
}

bool NodeCore::HasOtherVoters(const raft::ConfState& conf) const {
  return OtherVotersIn(conf, identity_.member_id);
}

arima::Status NodeCore::BecomeDamaged(const std::string& what, std::string_view conf) {
  if (auto said = MarkDamaged(*dir_, &identity_, what, conf); !said) return said;
  ++alarms_;
  logger_.Error("log_damaged", DamageAdvice(identity_), {{"member_id", identity_.member_id.value}});
  return {};
}

void NodeCore::OnDamaged(const std::string& what) {
  // Alone, it has nobody that could replace it; the next start judges the log.
  if (identity_.state == IdentityState::kStandalone) return;
  if (auto said = BecomeDamaged(what, codec::EncodeConfState(*conf_)); !said) {
    logger_.Fatal("identity_write_failed", said.error().ToString());
  }
  restart_ = Error{Code::kUnavailable, DamageAdvice(identity_)};
}

// A leader's own entry in the configuration says where it is now. The founder's first one does
// this, also if it comes behind the entry of a member that joined at once; later ones follow a
// restart with another address.
void NodeCore::AnnounceOwnAddress() {
  const raft::CoreStatus status = replica_->loop().Status();
  // What another leader did not commit is proposed again.
  if (status.soft.role != raft::Role::kLeader) announcing_ = false;
  if (announcing_ || status.soft.role != raft::Role::kLeader) return;
  auto own = status.conf->members.find(identity_.member_id);
  if (own == status.conf->members.end()) return;
  raft::MemberInfo info = own->second;
  bool alone = status.conf->members.size() == 1;
  info.name = identity_.name;
  info.incarnation = identity_.incarnation;
  info.http_address = options_.http_address;
  const bool unknown = info.raft_address.empty();
  if (alone || unknown || options_.raft_address_given) info.raft_address = options_.raft_address;
  if (info == own->second) return;
  announcing_ = true;
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kUpdate, std::move(info)});
  ProposeConf(std::move(change), false,
              [this](const raft::ProposalRejected&) { announcing_ = false; });
}

}  // namespace arima::node
