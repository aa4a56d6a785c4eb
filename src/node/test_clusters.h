// Test-only: several nodes, each with its own Membership, in several clusters, in simulated time.
//
// What is real is Membership, ForwardQueue and LeaderTransfer of each node and the rules of
// configurations. Around them is a model of the rest: a configuration commits while a majority is
// up, a leader that is gone is replaced, a node that is absorbed gives up its own cluster. Nothing
// happens but in Clusters::Step; a call takes one step to arrive and its answer one step to return,
// so a test can break things between any two of them.
//
// Checked at each step: no member id means two data directories, no data is given up that a client
// was promised, and no configuration breaks its invariants.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/conf_codec.h"
#include "node/answer_codec.h"
#include "node/conf_lookup.h"
#include "node/membership.h"
#include "raft/quorum.h"

namespace arima::node {

class Clusters;

struct SimCluster {
  Uuid id;
  raft::ConfState conf;
  std::shared_ptr<const raft::ConfState> shown;  // a copy of it
  raft::MemberId leader;                         // 0: none
  uint64_t leaderless_since_ns = 0;
  std::map<raft::MemberId, uint64_t> last_contact_ns;  // of the leader in office
  // Whom each id was given to, for ever.
  std::map<raft::MemberId, std::pair<std::string, Uuid>> owners;
};

class SimNode final : public MembershipHost {
 public:
  SimNode(Clusters* world, std::string name, std::string address);

  // --- MembershipHost
  raft::CoreStatus Status() override;
  const Identity& identity() override { return identity_; }
  service::Stats CurrentStats() override { return {{"node_id", identity_.name}}; }
  void ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) override;
  void TransferLeadership(raft::MemberId target) override;
  void Call(const std::string& to, transport::ControlKind kind, std::string body,
            uint64_t timeout_ms, CallDone done) override;
  void LogEvent(std::string_view event, std::string_view message) override {
    log.push_back(std::string(event) + ": " + std::string(message));
  }

  bool leads() const;
  bool standalone() const { return identity_.state == IdentityState::kStandalone; }
  bool pristine() const;
  // A client's write to a node that is its own cluster: promised if taken.
  bool WriteOwn();
  // A process life ends: nobody who waits for it is answered. The disk stays.
  void Crash();
  void Start();
  // Down, the disk emptied, up again.
  void Wipe();

  // What the configuration says of it, or others tell it: docs/design/raft.md 8.5.
  void FollowConf() {
    if (!up) return;
    if (!cluster->conf.members.contains(identity_.member_id)) {
      identity_.state = IdentityState::kRemoved;
    } else if (cluster->conf.members.size() > 1) {
      identity_.state = IdentityState::kMember;
    }
  }
  Result<std::string> Absorb(const std::string& body);
  std::string AnswerProbe();

  Clusters& world;
  std::string address;
  SimCluster* cluster = nullptr;
  bool up = false;
  uint64_t own_writes = 0;  // promised while it was a cluster of its own
  std::vector<std::string> log;
  std::unique_ptr<Membership> membership;

 private:
  void Found();

  Identity identity_;
};

template <class Response>
struct SimAnswer {
  int calls = 0;
  Result<Response> result = Fail(Code::kInternal, "not answered");
  bool ok() const { return calls == 1 && result.has_value(); }
  bool failed(Code code) const {
    return calls == 1 && !result.has_value() && result.error().code == code;
  }
  std::string text() const {
    return calls == 0 ? "pending" : result ? "ok" : result.error().ToString();
  }
};

class Clusters {
 public:
  static constexpr uint64_t kMs = 1'000'000;
  static constexpr uint64_t kStepNs = 10 * kMs;
  static constexpr uint64_t kElectionNs = 300 * kMs;

  // A call on its way.
  struct Call {
    uint64_t id = 0;
    SimNode* from = nullptr;
    std::string to;
    transport::ControlKind kind = transport::ControlKind::kProbe;
    std::string body;
    MembershipHost::CallDone done;
    bool delivered = false;
    std::optional<Result<std::string>> answer;
  };
  struct Proposed {
    SimNode* by = nullptr;
    SimCluster* cluster = nullptr;
    raft::ConfChange change;
    bool force = false;
    ConfRejected rejected;
  };

  // A fresh node, up, the only member of its own cluster.
  SimNode& Add(const std::string& name) {
    uint64_t port = 1111 + nodes_.size();
    nodes_.push_back(std::make_unique<SimNode>(this, name, "127.0.0.1:" + std::to_string(port)));
    return *nodes_.back();
  }
  Uuid NewUuid() {
    Uuid uuid;
    uuid.bytes.fill(0);
    ++uuids_;
    uuid.bytes[0] = static_cast<uint8_t>(uuids_);
    uuid.bytes[1] = static_cast<uint8_t>(uuids_ >> 8);
    return uuid;
  }
  SimCluster& NewCluster() {
    SimCluster& cluster = clusters_.emplace_back();
    cluster.id = NewUuid();
    return cluster;
  }
  SimCluster* FindCluster(const Uuid& id) {
    auto found = std::ranges::find(clusters_, id, &SimCluster::id);
    return found == clusters_.end() ? nullptr : &*found;
  }
  SimNode* NodeAt(const std::string& address) {
    for (const auto& node : nodes_) {
      if (node->up && node->address == address) return node.get();
    }
    return nullptr;
  }
  // Up, and holding the data that belongs to that member id.
  SimNode* Speaker(const SimCluster& cluster, raft::MemberId id) {
    for (const auto& node : nodes_) {
      if (!node->up || node->cluster != &cluster || node->identity().member_id != id) continue;
      return node.get();
    }
    return nullptr;
  }
  SimNode* LeaderOf(const SimCluster& cluster) {
    return cluster.leader ? Speaker(cluster, cluster.leader) : nullptr;
  }
  bool QuorumLive(const SimCluster& cluster, const raft::ConfState& conf) {
    return raft::HasQuorum(conf.voters, conf.voters_outgoing,
                           [&](raft::MemberId id) { return Speaker(cluster, id) != nullptr; });
  }

  void Step() {
    now_ns += kStepNs;
    Elect();
    MoveCalls();
    Commit();
    for (const auto& node : nodes_) {
      if (node->up) node->membership->Poll(now_ns);
    }
    Check();
  }
  void Run(uint64_t ms) {
    for (uint64_t passed = 0; passed < ms; passed += kStepNs / kMs) Step();
  }
  // False: not within ten seconds.
  bool RunUntil(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      Step();
    }
    return false;
  }

  // Requests, as HTTP brings them to that node. Answers live as long as the world.
  SimAnswer<service::JoinResponse>& Join(SimNode& asked, const std::string& name,
                                         const std::string& at, uint64_t timeout_ms = 30'000) {
    auto& answer = joins_.emplace_back();
    asked.membership->Join(
        {name, at, timeout_ms},
        [&answer](Result<service::JoinResponse> result) {
          ++answer.calls;
          answer.result = std::move(result);
        },
        now_ns);
    return answer;
  }
  SimAnswer<service::JoinResponse>& Join(SimNode& asked, SimNode& target,
                                         uint64_t timeout_ms = 30'000) {
    return Join(asked, target.identity().name, target.address, timeout_ms);
  }
  SimAnswer<service::RemoveResponse>& Remove(SimNode& asked, const std::string& name) {
    auto& answer = removes_.emplace_back();
    asked.membership->Remove(
        {name, false, 30'000},
        [&answer](Result<service::RemoveResponse> result) {
          ++answer.calls;
          answer.result = std::move(result);
        },
        now_ns);
    return answer;
  }

  bool Pending(transport::ControlKind kind, const std::string& to, bool delivered) const {
    return std::ranges::any_of(calls_, [&](const Call& call) {
      return call.kind == kind && call.to == to && call.delivered == delivered;
    });
  }
  bool Proposes(raft::ConfOp op) const {
    return std::ranges::any_of(proposed_, [&](const Proposed& proposed) {
      return std::ranges::any_of(proposed.change.changes,
                                 [&](const auto& item) { return item.op == op; });
    });
  }
  // Every call under way is carried out, and its answer is lost.
  void LoseReplies();
  // What the leader that is about to go has proposed.
  void DropProposals() { proposed_.clear(); }
  // Another voter takes over; false: there is none.
  bool MoveLeadership(SimCluster& cluster) {
    for (raft::MemberId id : cluster.conf.voters) {
      if (id == cluster.leader || Speaker(cluster, id) == nullptr) continue;
      SetLeader(cluster, id);
      return true;
    }
    return false;
  }
  void SetLeader(SimCluster& cluster, raft::MemberId id) {
    cluster.leader = id;
    cluster.last_contact_ns.clear();
    cluster.leaderless_since_ns = id ? 0 : now_ns;
  }
  void Forget(SimNode* node);

  uint64_t NextCallId() { return ++call_ids_; }
  std::list<Call>& calls() { return calls_; }
  std::vector<Proposed>& proposed() { return proposed_; }
  const std::vector<std::unique_ptr<SimNode>>& nodes() const { return nodes_; }

  uint64_t now_ns = 1'000'000'000;
  bool learners_catch_up = true;

 private:
  void Elect();
  void MoveCalls();
  void Deliver(Call& call);
  void Commit();
  void Check();

  void Answer(uint64_t call_id, std::string answer) {
    auto open = std::ranges::find(calls_, call_id, &Call::id);
    if (open != calls_.end() && !open->answer) open->answer = std::move(answer);
  }

  int uuids_ = 0;
  uint64_t call_ids_ = 0;
  std::list<SimCluster> clusters_;
  std::list<SimAnswer<service::JoinResponse>> joins_;
  std::list<SimAnswer<service::RemoveResponse>> removes_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::list<Call> calls_;
  std::vector<Proposed> proposed_;
};

// ---------------------------------------------------------------- a node

inline SimNode::SimNode(Clusters* w, std::string name, std::string at)
    : world(*w), address(std::move(at)) {
  identity_.name = std::move(name);
  Found();
  Start();
}

// A fresh data directory: docs/design/raft.md 8.3.
inline void SimNode::Found() {
  cluster = &world.NewCluster();
  own_writes = 0;
  identity_.cluster_id = cluster->id;
  identity_.member_id = raft::MemberId(1);
  identity_.incarnation = world.NewUuid();
  identity_.state = IdentityState::kStandalone;
  raft::MemberInfo& self = cluster->conf.members[raft::MemberId(1)];
  self.id = raft::MemberId(1);
  self.name = identity_.name;
  self.raft_address = address;
  self.incarnation = identity_.incarnation;
  cluster->conf.voters = {raft::MemberId(1)};
  cluster->conf.next_member_id = raft::MemberId(2);
  cluster->conf.index = raft::Index(2);
  cluster->leader = raft::MemberId(1);
}

inline void SimNode::Start() {
  up = true;
  membership = std::make_unique<Membership>(this);
  membership->OnConfChanged(cluster->conf);
}

inline void SimNode::Crash() {
  up = false;
  world.Forget(this);
  membership.reset();
  if (cluster->leader == identity_.member_id) world.SetLeader(*cluster, raft::MemberId());
}

inline void SimNode::Wipe() {
  Crash();
  Found();
  Start();
}

inline bool SimNode::leads() const { return up && cluster->leader == identity_.member_id; }

inline bool SimNode::pristine() const {
  return standalone() && cluster->conf.next_member_id == raft::MemberId(2) && own_writes == 0 &&
         !membership->HasOutboundJoin();
}

inline bool SimNode::WriteOwn() {
  if (!up || !standalone() || !leads()) return false;
  ++own_writes;
  return true;
}

inline raft::CoreStatus SimNode::Status() {
  raft::CoreStatus status;
  status.id = identity_.member_id;
  status.soft.role = leads() ? raft::Role::kLeader : raft::Role::kFollower;
  status.soft.leader = cluster->leader;
  if (cluster->shown == nullptr || cluster->shown->index != cluster->conf.index) {
    cluster->shown = std::make_shared<raft::ConfState>(cluster->conf);
  }
  status.conf = cluster->shown;
  status.removals_confirmed = world.QuorumLive(*cluster, cluster->conf);
  status.last = raft::Index(100);
  if (!leads()) return status;
  for (const auto& [id, member] : cluster->conf.members) {
    if (id == status.id) continue;
    raft::PeerStatus peer;
    peer.id = id;
    peer.state = raft::ProgressState::kReplicate;
    peer.match = status.last;
    peer.learner = !IsVoter(cluster->conf, id);
    peer.recent_active = world.Speaker(*cluster, id) != nullptr;
    peer.caught_up = peer.recent_active && world.learners_catch_up;
    auto contact = cluster->last_contact_ns.find(id);
    peer.last_contact_ns = contact == cluster->last_contact_ns.end() ? 0 : contact->second;
    status.peers.push_back(peer);
  }
  return status;
}

inline void SimNode::ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) {
  world.proposed().push_back({this, cluster, std::move(change), force, std::move(rejected)});
}

inline void SimNode::TransferLeadership(raft::MemberId target) {
  if (!leads()) return;
  if (!target) {
    world.MoveLeadership(*cluster);
  } else if (world.Speaker(*cluster, target) != nullptr) {
    world.SetLeader(*cluster, target);
  }
}

inline void SimNode::Call(const std::string& to, transport::ControlKind kind, std::string body,
                          uint64_t, CallDone done) {
  world.calls().push_back(
      {world.NextCallId(), this, to, kind, std::move(body), std::move(done), false, {}});
}

inline std::string SimNode::AnswerProbe() {
  transport::ProbeAnswer answer;
  answer.format = kFormatVersion;
  answer.name = identity_.name;
  answer.cluster_id = identity_.cluster_id;
  answer.incarnation = identity_.incarnation;
  answer.member = identity_.member_id;
  answer.state = identity_.state;
  answer.pristine = pristine();
  answer.user_operations = own_writes;
  answer.members = static_cast<uint32_t>(cluster->conf.members.size());
  answer.next_member_id = cluster->conf.next_member_id;
  answer.raft_address = address;
  return transport::EncodeProbeAnswer(answer);
}

// As NodeCore::Absorb.
inline Result<std::string> SimNode::Absorb(const std::string& body) {
  transport::AbsorbRequest request = *transport::DecodeAbsorbRequest(body);
  if (request.cluster_id == identity_.cluster_id && request.member == identity_.member_id) {
    return std::string();
  }
  if (request.expected_incarnation != identity_.incarnation ||
      request.expected_cluster_id != identity_.cluster_id) {
    return Fail(Code::kConflict, "not the one that was probed");
  }
  auto self = request.conf.members.find(request.member);
  if (self == request.conf.members.end() || self->second.incarnation != identity_.incarnation ||
      !std::ranges::binary_search(request.conf.learners, request.member)) {
    return Fail(Code::kInvalidArgument, "no learner of that cluster");
  }
  bool rejoins = identity_.state == IdentityState::kRemoved &&
                 request.cluster_id == identity_.cluster_id && request.member > identity_.member_id;
  if (!rejoins && !pristine()) return Fail(Code::kConflict, "holds data or is joining others");
  EXPECT_EQ(own_writes, 0u) << "data that a client was promised is given up";
  SimCluster* next = world.FindCluster(request.cluster_id);
  if (next == nullptr) return Fail(Code::kInternal, "no such cluster");
  cluster = next;
  identity_.cluster_id = request.cluster_id;
  identity_.member_id = request.member;
  identity_.state = IdentityState::kJoining;
  membership->OnConfChanged(cluster->conf);
  return std::string();
}

// ---------------------------------------------------------------- the world

inline void Clusters::Forget(SimNode* node) {
  for (Call& call : calls_) {
    if (call.from == node || !call.delivered || call.answer || call.to != node->address) continue;
    call.answer = Fail(Code::kOutcomeUnknown, "connection lost");
  }
  std::erase_if(calls_, [&](const Call& call) { return call.from == node; });
  // What it proposed may be committed all the same, but it hears nothing of it.
  for (Proposed& proposed : proposed_) {
    if (proposed.by == node) proposed.rejected = [](const raft::ProposalRejected&) {};
  }
}

inline void Clusters::LoseReplies() {
  for (Call& call : calls_) {
    if (!call.delivered) Deliver(call);
    bool probe = call.kind == transport::ControlKind::kProbe;
    call.answer = Fail(probe ? Code::kPeerUnreachable : Code::kOutcomeUnknown, "connection lost");
  }
}

inline void Clusters::Elect() {
  for (SimCluster& cluster : clusters_) {
    bool gone = LeaderOf(cluster) == nullptr || !IsVoter(cluster.conf, cluster.leader);
    bool headless = !QuorumLive(cluster, cluster.conf);
    if (cluster.leader && (gone || headless)) SetLeader(cluster, raft::MemberId());
    if (!cluster.leader && !headless) {
      bool alone = cluster.conf.voters.size() == 1;
      if (alone || now_ns - cluster.leaderless_since_ns >= kElectionNs) {
        for (raft::MemberId id : cluster.conf.voters) {
          if (cluster.leader || Speaker(cluster, id) == nullptr) continue;
          SetLeader(cluster, id);
        }
      }
    }
    for (const auto& [id, member] : cluster.conf.members) {
      if (Speaker(cluster, id) != nullptr) cluster.last_contact_ns[id] = now_ns;
    }
  }
}

inline void Clusters::Deliver(Call& call) {
  call.delivered = true;
  SimNode* to = NodeAt(call.to);
  if (to == nullptr) {
    call.answer = Fail(Code::kPeerUnreachable, "connection refused");
  } else if (call.kind == transport::ControlKind::kProbe) {
    call.answer = to->AnswerProbe();
  } else if (call.kind == transport::ControlKind::kAbsorb) {
    call.answer = to->Absorb(call.body);
  } else if (!to->leads()) {
    Error no{Code::kUnavailable, "the leader just changed"};
    call.answer = call.kind == transport::ControlKind::kJoin
                      ? EncodeJoinAnswer(std::unexpected(no))
                      : EncodeRemoveAnswer(std::unexpected(no));
  } else if (call.kind == transport::ControlKind::kJoin) {
    auto request = *transport::DecodeJoinForward(call.body);
    to->membership->Join(
        {request.name, request.raft_address, 30'000},
        [this, id = call.id](const Result<service::JoinResponse>& result) {
          Answer(id, EncodeJoinAnswer(result));
        },
        now_ns);
  } else {
    auto request = *transport::DecodeRemoveForward(call.body);
    to->membership->Remove(
        {request.name, request.force, 30'000},
        [this, id = call.id](const Result<service::RemoveResponse>& result) {
          Answer(id, EncodeRemoveAnswer(result));
        },
        now_ns);
  }
}

inline void Clusters::MoveCalls() {
  // In two rounds: an answer made now returns in the next step.
  std::list<Call> answered;
  std::list<Call*> fresh;
  for (auto it = calls_.begin(); it != calls_.end();) {
    auto next = std::next(it);
    if (it->answer) {
      answered.splice(answered.end(), calls_, it);
    } else if (!it->delivered) {
      fresh.push_back(&*it);
    }
    it = next;
  }
  for (Call* call : fresh) Deliver(*call);
  for (Call& call : answered) call.done(std::move(*call.answer));
}

inline void Clusters::Commit() {
  for (SimCluster& cluster : clusters_) {
    if (!cluster.conf.joint() || !cluster.conf.auto_leave || LeaderOf(cluster) == nullptr) continue;
    cluster.conf = *raft::ApplyConfChange(cluster.conf, {}, cluster.conf.index + 1);
    for (const auto& node : nodes_) {
      if (node->up && node->cluster == &cluster) node->membership->OnConfChanged(cluster.conf);
    }
  }
  std::vector<SimCluster*> changed;
  std::vector<Proposed> waiting;
  for (Proposed& proposed : std::exchange(proposed_, {})) {
    SimCluster& cluster = *proposed.cluster;
    auto reject = [&](raft::RejectReason reason, const std::string& text) {
      proposed.rejected({0, reason, text, raft::MemberId()});
    };
    if (LeaderOf(cluster) == nullptr) {  // of the next leader's log, then
      waiting.push_back(std::move(proposed));
      continue;
    }
    if (cluster.conf.joint() || std::ranges::find(changed, &cluster) != changed.end()) {
      reject(raft::RejectReason::kConfPending, "another change is under way");
      continue;
    }
    auto next = raft::ApplyConfChange(cluster.conf, proposed.change, cluster.conf.index + 1);
    if (!next) {
      reject(raft::RejectReason::kConfInvalid, next.error().message);
      continue;
    }
    if (!proposed.force && !QuorumLive(cluster, *next)) {
      reject(raft::RejectReason::kNotReady, "too few would be live");
      continue;
    }
    cluster.conf = std::move(*next);
    changed.push_back(&cluster);
    for (const auto& node : nodes_) {
      if (node->up && node->cluster == &cluster) node->membership->OnConfChanged(cluster.conf);
    }
  }
  for (Proposed& proposed : waiting) proposed_.push_back(std::move(proposed));
}

inline void Clusters::Check() {
  for (SimCluster& cluster : clusters_) {
    EXPECT_TRUE(raft::CheckConfState(cluster.conf));
    for (const auto& [id, member] : cluster.conf.members) {
      auto [owner, first] = cluster.owners.try_emplace(id, member.name, member.incarnation);
      EXPECT_EQ(owner->second, std::pair(member.name, member.incarnation))
          << "member id " << id.value << " means two data directories";
      EXPECT_LT(id, cluster.conf.next_member_id);
    }
  }
  for (const auto& node : nodes_) node->FollowConf();
}

}  // namespace arima::node
