// Test-only: Membership against a scripted world: a configuration that changes as a leader's would,
// and nodes that answer probes and absorb orders. Nothing happens but in World::Step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "node/answer_codec.h"
#include "node/membership.h"

namespace arima::node {

using raft::ConfOp;
using raft::Index;
using raft::MemberId;
using transport::ControlKind;
using transport::NodeState;

inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint64_t kStepMs = 10;

inline Uuid Id(uint8_t n) {
  Uuid uuid;
  uuid.bytes.fill(n);
  return uuid;
}

inline std::string AddressOf(uint64_t id) { return "127.0.0.1:" + std::to_string(1110 + id); }

// A node that control calls can reach.
struct Target {
  transport::ProbeAnswer probe;
  bool up = true;
  bool loses_absorb_answer = false;
  std::optional<Error> refuses_absorb;
  int probes = 0;
  std::vector<transport::AbsorbRequest> absorbed;
};

struct PendingCall {
  std::string address;
  ControlKind kind;
  std::string body;
  uint64_t timeout_ms;
  MembershipHost::CallDone done;
};

class World final : public MembershipHost {
 public:
  World() {
    identity_.cluster_id = Id(1);
    identity_.member_id = MemberId(1);
    identity_.name = "n1";
    identity_.incarnation = Id(11);
    conf_.next_member_id = MemberId(1);
    conf_.index = Index(2);
    AddMember("n1", 11, true);
    Lead();
    membership = std::make_unique<Membership>(this);
    membership->OnConfChanged(conf_);
  }
  ~World() override { membership->FailAll({Code::kUnavailable, "the test is over"}); }

  // A fresh node "n<id>" at AddressOf(id).
  Target& AddTarget(uint64_t id) {
    Target& target = targets[AddressOf(id)];
    target.probe.format = kFormatVersion;
    target.probe.name = "n" + std::to_string(id);
    target.probe.cluster_id = Id(static_cast<uint8_t>(200 + id));
    target.probe.incarnation = Id(static_cast<uint8_t>(10 + id));
    target.probe.member = MemberId(1);
    target.probe.state = NodeState::kStandalone;
    target.probe.pristine = true;
    target.probe.members = 1;
    target.probe.raft_address = AddressOf(id);
    return target;
  }
  MemberId AddMember(const std::string& name, uint8_t incarnation, bool voter,
                     std::string address = {}) {
    MemberId id = conf_.next_member_id;
    ++conf_.next_member_id;
    (voter ? conf_.voters : conf_.learners).push_back(id);
    raft::MemberInfo& info = conf_.members[id];
    info.id = id;
    info.name = name;
    info.incarnation = Id(incarnation);
    info.raft_address = address.empty() ? AddressOf(id.value) : std::move(address);
    return id;
  }
  // A target that is a member of this cluster already.
  Target& AddMemberTarget(uint64_t id, bool voter) {
    Target& target = AddTarget(id);
    MemberId member = AddMember("n" + std::to_string(id), static_cast<uint8_t>(10 + id), voter);
    target.probe.cluster_id = identity_.cluster_id;
    target.probe.member = member;
    target.probe.state = NodeState::kMember;
    target.probe.pristine = false;
    return target;
  }

  void Lead() {
    role_ = raft::Role::kLeader;
    leader_ = MemberId(1);
  }
  void Follow(uint64_t leader) {  // 0: none known
    role_ = raft::Role::kFollower;
    leader_ = MemberId(leader);
  }

  // --- MembershipHost
  raft::CoreStatus Status() override {
    raft::CoreStatus status;
    status.id = identity_.member_id;
    status.soft.role = role_;
    status.soft.leader = leader_;
    status.soft.transferring = transferring && role_ == raft::Role::kLeader;
    status.last = last;
    status.conf = std::make_shared<raft::ConfState>(conf_);
    status.removals_confirmed = removals_confirmed;
    for (const auto& [id, member] : conf_.members) {
      if (id == status.id || role_ != raft::Role::kLeader) continue;
      raft::PeerStatus peer = peers.contains(id) ? peers.at(id) : LevelPeer();
      peer.id = id;
      peer.learner = !std::ranges::binary_search(conf_.voters, id);
      peer.caught_up = learners_catch_up;
      peer.recent_active = true;
      peer.last_contact_ns = silent.contains(id) ? 0 : now_ns;
      status.peers.push_back(peer);
    }
    return status;
  }
  raft::PeerStatus LevelPeer() const {
    raft::PeerStatus peer;
    peer.state = raft::ProgressState::kReplicate;
    peer.match = last;
    peer.next = last + 1;
    return peer;
  }
  const Identity& identity() override { return identity_; }
  service::Stats CurrentStats() override { return {{"state", "Leader"}}; }
  void ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) override {
    ++proposals;
    last_forced = force;
    proposed_.push_back({std::move(change), std::move(rejected)});
  }
  void TransferLeadership(MemberId target) override {
    ++transfers;
    transfer_target = target;
    transferring = transfers_run;
  }
  void Call(const std::string& address, ControlKind kind, std::string body, uint64_t timeout_ms,
            CallDone done) override {
    calls.push_back({address, kind, std::move(body), timeout_ms, std::move(done)});
  }
  void LogEvent(std::string_view event, std::string_view message) override {
    log.push_back(std::string(event) + ": " + std::string(message));
  }

  // One round of the core thread: answers arrive, changes commit, membership looks at it.
  void Step() {
    now_ns += kStepMs * kMs;
    AnswerCalls();
    CommitChanges();
    membership->Poll(now_ns);
  }
  void Run(uint64_t ms) {
    for (uint64_t passed = 0; passed < ms; passed += kStepMs) Step();
  }

  bool HasVoter(const std::string& name) const { return Has(name, conf_.voters); }
  bool HasLearner(const std::string& name) const { return Has(name, conf_.learners); }
  const raft::MemberInfo* Find(const std::string& name) const {
    for (const auto& [id, member] : conf_.members) {
      if (member.name == name) return &member;
    }
    return nullptr;
  }
  raft::ConfState& conf() { return conf_; }
  Identity& own() { return identity_; }
  size_t CountLog(const std::string& event) const {
    return static_cast<size_t>(std::ranges::count_if(
        log, [&](const std::string& line) { return line.starts_with(event + ":"); }));
  }

  uint64_t now_ns = 1'000'000'000;
  std::map<std::string, Target> targets;
  // What the next proposals are refused with, in order; none left: they are committed.
  std::deque<raft::ProposalRejected> refusals;
  bool hold_calls = false;
  bool hold_changes = false;
  bool learners_catch_up = true;
  bool removals_confirmed = true;
  std::set<MemberId> silent;  // members that nothing is heard of
  bool seen_joint = false;    // a joint configuration was in force
  int proposals = 0;
  int transfers = 0;
  MemberId transfer_target;   // of the last one
  bool transfers_run = true;  // else the core refuses each at once
  bool transferring = false;  // an attempt is under way
  Index last{100};
  // How the leader sees members; the others are level with it.
  std::map<MemberId, raft::PeerStatus> peers;
  bool last_forced = false;
  std::deque<PendingCall> calls;
  std::vector<std::string> log;
  std::unique_ptr<Membership> membership;

 private:
  struct Proposed {
    raft::ConfChange change;
    ConfRejected rejected;
  };

  bool Has(const std::string& name, const std::vector<MemberId>& ids) const {
    const raft::MemberInfo* member = Find(name);
    return member != nullptr && std::ranges::binary_search(ids, member->id);
  }
  void AnswerCalls() {
    if (hold_calls) return;
    for (PendingCall& call : std::exchange(calls, {})) Answer(call);
  }
  void Answer(PendingCall& call) {
    auto target = targets.find(call.address);
    if (target == targets.end() || !target->second.up) {
      call.done(Fail(Code::kPeerUnreachable, "connection refused"));
    } else if (call.kind == ControlKind::kProbe) {
      ++target->second.probes;
      call.done(transport::EncodeProbeAnswer(target->second.probe));
    } else if (call.kind == ControlKind::kAbsorb) {
      call.done(Absorb(target->second, call.body));
    } else {
      ADD_FAILURE() << "nobody answers " << ControlKindName(call.kind);
    }
  }
  Result<std::string> Absorb(Target& target, const std::string& body) {
    transport::AbsorbRequest request = *transport::DecodeAbsorbRequest(body);
    if (target.refuses_absorb) return std::unexpected(*target.refuses_absorb);
    EXPECT_EQ(request.expected_incarnation, target.probe.incarnation);
    EXPECT_EQ(request.expected_cluster_id, target.probe.cluster_id);
    target.probe.cluster_id = request.cluster_id;
    target.probe.member = request.member;
    target.probe.state = NodeState::kJoining;
    target.probe.pristine = false;
    target.absorbed.push_back(std::move(request));
    if (target.loses_absorb_answer) return Fail(Code::kOutcomeUnknown, "connection lost");
    return std::string();
  }
  void CommitChanges() {
    if (hold_changes) return;
    if (conf_.joint() && conf_.auto_leave) {
      conf_ = *raft::ApplyConfChange(conf_, {}, conf_.index + 1);
      membership->OnConfChanged(conf_);
    }
    for (Proposed& proposed : std::exchange(proposed_, {})) {
      if (!refusals.empty()) {
        raft::ProposalRejected refusal = refusals.front();
        refusals.pop_front();
        proposed.rejected(refusal);
        continue;
      }
      auto next = raft::ApplyConfChange(conf_, proposed.change, conf_.index + 1);
      if (!next) {
        proposed.rejected({0, raft::RejectReason::kConfInvalid, next.error().message, MemberId()});
        continue;
      }
      conf_ = std::move(*next);
      seen_joint = seen_joint || conf_.joint();
      EXPECT_TRUE(raft::CheckConfState(conf_));
      membership->OnConfChanged(conf_);
    }
  }

  Identity identity_;
  raft::ConfState conf_;
  raft::Role role_ = raft::Role::kLeader;
  MemberId leader_;
  std::vector<Proposed> proposed_;
};

template <class Response>
struct Answer {
  int calls = 0;
  Result<Response> result = Fail(Code::kInternal, "not answered");

  bool pending() const { return calls == 0; }
  bool ok() const { return calls == 1 && result.has_value(); }
  bool failed(Code code) const {
    return calls == 1 && !result.has_value() && result.error().code == code;
  }
  std::string text() const { return result ? "ok" : result.error().ToString(); }
};

class MembershipTest : public testing::Test {
 protected:
  // Callbacks point here, so the answers outlive the world.
  std::deque<Answer<service::JoinResponse>> join_answers_;
  std::deque<Answer<service::RemoveResponse>> remove_answers_;
  std::deque<Answer<service::TransferResponse>> transfer_answers_;
  World world_;

  Answer<service::JoinResponse>& Join(const std::string& name, const std::string& address,
                                      uint64_t timeout_ms = 30'000) {
    Answer<service::JoinResponse>& answer = join_answers_.emplace_back();
    world_.membership->Join(
        {name, address, timeout_ms},
        [&answer](Result<service::JoinResponse> result) {
          ++answer.calls;
          answer.result = std::move(result);
        },
        world_.now_ns);
    return answer;
  }
  Answer<service::JoinResponse>& Join(uint64_t id, uint64_t timeout_ms = 30'000) {
    return Join("n" + std::to_string(id), AddressOf(id), timeout_ms);
  }
  Answer<service::TransferResponse>& Transfer(const std::string& name, uint64_t timeout_ms = 5000) {
    Answer<service::TransferResponse>& answer = transfer_answers_.emplace_back();
    world_.membership->Transfer(
        {name, timeout_ms},
        [&answer](Result<service::TransferResponse> result) {
          ++answer.calls;
          answer.result = std::move(result);
        },
        world_.now_ns);
    return answer;
  }
  Answer<service::RemoveResponse>& Remove(const std::string& name, bool force = false,
                                          uint64_t timeout_ms = 30'000) {
    Answer<service::RemoveResponse>& answer = remove_answers_.emplace_back();
    world_.membership->Remove(
        {name, force, timeout_ms},
        [&answer](Result<service::RemoveResponse> result) {
          ++answer.calls;
          answer.result = std::move(result);
        },
        world_.now_ns);
    return answer;
  }
};

}  // namespace arima::node
