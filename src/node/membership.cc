// One task per joining node; Advance is a decision table over facts:
//
//   probe unknown                         -> Probe
//   probed: our cluster, voter here       -> done (or UpdateAddress)
//   probed: our cluster, learner here     -> Promote once caught up
//   probed: our cluster, removed from it  -> AddLearner under a new id, Absorb
//   probed: our cluster, lost its log     -> the same, and Promote takes the old id out (8.6)
//   probed: foreign cluster, holds data   -> refuse
//   probed: foreign, fresh, still starting -> probe again
//   probed: foreign, pristine, unknown    -> AddLearner
//   probed: foreign, pristine, learner    -> Absorb, then probe again
//   probed: fresh under a member's name   -> AddLearner, Absorb, then Promote in one joint change
//                                            that takes the lost member out (8.6)
//
// Rejected: remembering how far a join came. After a crash of the leader or of the target that
// memory is wrong; the committed configuration and the target's own identity never are.
#include "node/membership.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "codec/conf_codec.h"
#include "node/address.h"
#include "node/conf_lookup.h"

namespace arima::node {
namespace {

using transport::ControlKind;
using transport::ProbeAnswer;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kProbeTimeoutMs = 3000;
constexpr uint64_t kRetryPauseNs = 50 * kMs;
// A fresh node that is electing itself, or one that is about to learn of its removal, gets so long.
constexpr uint64_t kSettleWaitNs = 3000 * kMs;
constexpr uint64_t kUnreachablePauseNs = 1000 * kMs;
// A learner that nobody asks for any more and that cannot be helped is looked at this often.
constexpr uint64_t kHopelessPauseNs = 10'000 * kMs;
// A new leader hears of its peers within this time; only then it can judge who is live.
constexpr uint64_t kLiveQuorumWaitNs = 1000 * kMs;
// Who was silent for so long may be taken for gone by a fresh node of its name.
constexpr uint64_t kGoneAfterNs = 2000 * kMs;
constexpr uint64_t kLookAgainPauseNs = 500 * kMs;
constexpr uint64_t kTimeoutMsMax = 3600'000;
constexpr size_t kRemovedNamesMax = 64;
constexpr size_t kTasksMax = 64;

// The refusal will go away by itself.
bool Passing(raft::RejectReason reason) {
  using raft::RejectReason;
  return reason != RejectReason::kConfInvalid;
}

Error Conflict(std::string message) { return {Code::kConflict, std::move(message)}; }

Error TwoOfOneName(const raft::MemberInfo& member, const std::string& address) {
  return Conflict("a fresh node " + member.name + " answers at " + address +
                  ", but the member of that name, whose data directory is another one, is still "
                  "heard from (it was joined at " +
                  member.raft_address + "); stop one of the two, then repeat the request");
}

uint64_t DeadlineNs(uint64_t timeout_ms, uint64_t now_ns) {
  return now_ns + std::min(timeout_ms, kTimeoutMsMax) * kMs;
}

Status CheckName(const std::string& name) {
  if (name.empty() || name.size() > codec::kMemberNameBytesMax) {
    return Fail(Code::kInvalidArgument,
                "node_id must have 1 to " + std::to_string(codec::kMemberNameBytesMax) + " bytes");
  }
  return {};
}

}  // namespace

Membership::Membership(MembershipHost* host)
    : host_(*host), damage_watch_(host), transfer_(host), forward_(host) {}
Membership::~Membership() = default;

void Membership::Join(service::JoinRequest request, service::Done<service::JoinResponse> done,
                      uint64_t now_ns) {
  Status valid = CheckName(request.node_id);
  if (valid) {
    Result<HostPort> address = ParseHostPort(request.raft_address);
    if (!address) valid = std::unexpected(address.error());
  }
  if (!valid) return done(std::unexpected(valid.error()));
  uint64_t deadline_ns = DeadlineNs(request.timeout_ms, now_ns);
  Submit({JoinCall{std::move(request), std::move(done)}, deadline_ns}, now_ns);
}

void Membership::Remove(service::RemoveRequest request, service::Done<service::RemoveResponse> done,
                        uint64_t now_ns) {
  if (Status valid = CheckName(request.node_id); !valid) {
    return done(std::unexpected(valid.error()));
  }
  uint64_t deadline_ns = DeadlineNs(request.timeout_ms, now_ns);
  Submit({RemoveCall{std::move(request), std::move(done)}, deadline_ns}, now_ns);
}

void Membership::Transfer(service::TransferRequest request,
                          service::Done<service::TransferResponse> done, uint64_t now_ns) {
  if (!request.node_id.empty()) {
    if (Status valid = CheckName(request.node_id); !valid) {
      return done(std::unexpected(valid.error()));
    }
  }
  uint64_t deadline_ns = DeadlineNs(request.timeout_ms, now_ns);
  Submit({TransferCall{std::move(request), std::move(done)}, deadline_ns}, now_ns);
}

void Membership::Submit(MembershipRequest request, uint64_t now_ns) {
  now_ns_ = now_ns;
  if (host_.identity().state == IdentityState::kRemoved) {
    return Refuse(request,
                  {Code::kRemoved, "this node was removed from the cluster; ask another one"});
  }
  raft::CoreStatus status = host_.Status();
  if (status.soft.role == raft::Role::kLeader) {
    Start(std::move(request), status, now_ns);
  } else {
    forward_.Add(std::move(request), now_ns);
  }
}

void Membership::Start(MembershipRequest request, const raft::CoreStatus& status, uint64_t now_ns) {
  if (auto* join = std::get_if<JoinCall>(&request.call)) {
    StartJoin(std::move(*join), request.deadline_ns, status, now_ns);
  } else if (auto* remove = std::get_if<RemoveCall>(&request.call)) {
    StartRemove(std::move(*remove), request.deadline_ns, status, now_ns);
  } else {
    transfer_.Start(std::move(std::get<TransferCall>(request.call)), request.deadline_ns, status,
                    now_ns);
  }
}

void Membership::StartJoin(JoinCall call, uint64_t deadline_ns, const raft::CoreStatus& status,
                           uint64_t now_ns) {
  const service::JoinRequest& request = call.request;
  if (request.node_id == host_.identity().name) {
    return call.done(std::unexpected(
        Conflict("node " + request.node_id + " leads this cluster; a node cannot join itself")));
  }
  if (IsLeaving(request.node_id)) {
    return call.done(std::unexpected(Conflict(
        "node " + request.node_id + " is being removed; repeat this request when that has ended")));
  }
  JoinPtr task;
  for (const JoinPtr& other : joins_) {
    if (other->name == request.node_id && !other->finished) task = other;
  }
  if (task != nullptr && task->address != request.raft_address && !task->waiters.empty()) {
    return call.done(
        std::unexpected(Conflict("node " + request.node_id + " is being joined at " +
                                 task->address + "; repeat this request when that has ended")));
  }
  if (task == nullptr) {
    if (joins_.size() >= kTasksMax) {
      return call.done(Fail(Code::kOverloaded, "too many joins at once; repeat this one later"));
    }
    task = std::make_shared<JoinTask>();
    task->name = request.node_id;
    joins_.push_back(task);
  }
  // Whoever asks wants to know how things are now, not how they were when the task began.
  if (!task->busy) {
    task->probe.reset();
    task->not_before_ns = 0;
  }
  task->address = request.raft_address;
  task->address_asked = true;
  task->waiters.push_back({deadline_ns, std::move(call.done)});
  Advance(task, status, now_ns);
}

void Membership::StartRemove(RemoveCall call, uint64_t deadline_ns, const raft::CoreStatus& status,
                             uint64_t now_ns) {
  const service::RemoveRequest& request = call.request;
  bool known = FindByName(*status.conf, request.node_id) != nullptr ||
               std::ranges::find(removed_names_, request.node_id) != removed_names_.end();
  if (!known) {
    return call.done(Fail(Code::kNotFound, "no member is named \"" + request.node_id +
                                               "\"; GET /raft/stats lists the members"));
  }
  if (removes_.size() >= kTasksMax) {
    return call.done(Fail(Code::kOverloaded, "too many removals at once; repeat this one later"));
  }
  // The later request counts: nobody promotes what is to go.
  for (const JoinPtr& join : joins_) {
    if (join->name != request.node_id || join->finished) continue;
    join->finished = true;
    Error stopped = Conflict("node " + request.node_id +
                             " does not join: POST /raft/remove took it out meanwhile");
    for (JoinWaiter& waiter : std::exchange(join->waiters, {})) {
      waiter.done(std::unexpected(stopped));
    }
  }
  auto task = std::make_shared<RemoveTask>();
  task->name = request.node_id;
  task->force = request.force;
  task->deadline_ns = deadline_ns;
  task->done = std::move(call.done);
  removes_.push_back(task);
  Advance(task, status, now_ns);
}

void Membership::Redirect(uint64_t now_ns) {
  for (const JoinPtr& task : std::exchange(joins_, {})) {
    task->finished = true;
    for (JoinWaiter& waiter : std::exchange(task->waiters, {})) {
      service::JoinRequest request{task->name, task->address,
                                   RemainingMs(waiter.deadline_ns, now_ns)};
      forward_.Add({JoinCall{std::move(request), std::move(waiter.done)}, waiter.deadline_ns,
                    task->proposed},
                   now_ns);
    }
  }
  for (const RemovePtr& task : std::exchange(removes_, {})) {
    if (std::exchange(task->finished, true)) continue;  // answered, not swept away yet
    service::RemoveRequest request{task->name, task->force, RemainingMs(task->deadline_ns, now_ns)};
    forward_.Add({RemoveCall{std::move(request), std::move(task->done)}, task->deadline_ns,
                  task->open_proposals > 0},
                 now_ns);
  }
}

void Membership::Poll(uint64_t now_ns) {
  now_ns_ = now_ns;
  raft::CoreStatus status = host_.Status();
  bool leads = status.soft.role == raft::Role::kLeader;
  if (!leads && !(joins_.empty() && removes_.empty())) Redirect(now_ns);
  for (MembershipRequest& request : transfer_.Poll(status, now_ns)) {
    forward_.Add(std::move(request), now_ns);
  }
  for (MembershipRequest& request : forward_.Poll(status, now_ns)) {
    Start(std::move(request), status, now_ns);
  }
  if (!leads) {
    leading_since_ns_ = 0;
    damage_watch_.Forget();
    return;
  }
  if (leading_since_ns_ == 0) leading_since_ns_ = now_ns;
  AdoptLearners(status);
  AdoptDamaged(status);
  for (const JoinPtr& task : std::list(joins_)) Advance(task, status, now_ns);
  for (const RemovePtr& task : std::list(removes_)) Advance(task, status, now_ns);
  joins_.remove_if([](const JoinPtr& task) { return task->finished; });
  removes_.remove_if([](const RemovePtr& task) { return task->finished; });
}

void Membership::OnConfChanged(const raft::ConfState& conf) {
  for (const auto& [id, name] : names_) {
    if (conf.members.contains(id)) continue;
    removed_names_.push_back(name);
    if (removed_names_.size() > kRemovedNamesMax) removed_names_.pop_front();
  }
  names_.clear();
  for (const auto& [id, member] : conf.members) {
    names_[id] = member.name;
    std::erase(removed_names_, member.name);
  }
}

// A learner with the promise of promotion and no task: its leader died, or this is a restart.
void Membership::AdoptLearners(const raft::CoreStatus& status) {
  for (raft::MemberId id : status.conf->learners) {
    const raft::MemberInfo& member = status.conf->members.at(id);
    if (member.attributes.contains(kAutoPromote)) Adopt(member, false);
  }
}

// Nothing manual is needed: whoever leads replaces a member that says that its log is lost.
void Membership::AdoptDamaged(const raft::CoreStatus& status) {
  bool judged = now_ns_ - leading_since_ns_ >= kGoneAfterNs;
  for (raft::MemberId id : damage_watch_.Poll(status, judged, now_ns_)) {
    Adopt(status.conf->members.at(id), true);
  }
}

void Membership::Adopt(const raft::MemberInfo& member, bool healing) {
  for (const JoinPtr& task : joins_) {
    if (task->name != member.name) continue;
    // What it said before it was damaged counts no more.
    if (healing && !task->busy) task->probe.reset();
    return;
  }
  if (IsLeaving(member.name) || joins_.size() >= kTasksMax) return;
  auto task = std::make_shared<JoinTask>();
  task->name = member.name;
  task->address = member.raft_address;
  task->healing = healing;
  joins_.push_back(task);
}

bool Membership::IsLeaving(const std::string& name) const {
  return std::ranges::any_of(
      removes_, [&](const RemovePtr& task) { return task->name == name && !task->finished; });
}

void Membership::Advance(const JoinPtr& task, const raft::CoreStatus& status, uint64_t now_ns) {
  if (task->finished) return;
  ExpireWaiters(*task, *status.conf, now_ns);
  if (task->finished) return;
  if (!task->address_asked && !FollowConf(*task, *status.conf)) return;
  if (task->busy || now_ns < task->not_before_ns) return;
  if (!task->probe) {
    Probe(task, FindByName(*status.conf, task->name) != nullptr);
    return;
  }
  const ProbeAnswer& probe = *task->probe;
  if (probe.name != task->name) {
    Finish(*task, std::unexpected(Conflict("address " + task->address + " belongs to node " +
                                           probe.name + ", not to " + task->name)));
  } else if (probe.format != kFormatVersion) {
    Finish(*task, std::unexpected(Conflict("node " + task->name + " writes data format " +
                                           std::to_string(probe.format) + ", this cluster writes " +
                                           std::to_string(kFormatVersion) +
                                           "; run the same release on both")));
  } else if (probe.cluster_id == host_.identity().cluster_id) {
    AdvanceOurs(task, status);
  } else if (task->healing && task->waiters.empty()) {
    task->finished = true;  // somebody wiped it meanwhile: that node joins when it is asked to
  } else {
    AdvanceForeign(task, status);
  }
}

void Membership::Probe(const JoinPtr& task, bool known_member) {
  task->busy = true;
  host_.Call(task->address, ControlKind::kProbe, {}, kProbeTimeoutMs,
             [this, known_member, address = task->address,
              weak = std::weak_ptr(task)](Result<std::string> answer) {
               JoinPtr alive = weak.lock();
               if (!alive || alive->finished) return;
               alive->busy = false;
               if (alive->address != address)
                 return;  // says nothing about the address asked for now
               Result<ProbeAnswer> probe =
                   answer ? transport::DecodeProbeAnswer(*answer) : std::unexpected(answer.error());
               if (probe) {
                 alive->probe = std::move(*probe);
                 alive->no_answer.reset();
                 return;
               }
               alive->no_answer =
                   Error{Code::kPeerUnreachable,
                         "no node answered at " + alive->address + " (" + probe.error().message +
                             "); nothing was changed: start the node, then repeat"};
               if (!known_member) return Finish(*alive, std::unexpected(*alive->no_answer));
               alive->not_before_ns = now_ns_ + kUnreachablePauseNs;
             });
}

// The target carries our cluster id.
void Membership::AdvanceOurs(const JoinPtr& task, const raft::CoreStatus& status) {
  const ProbeAnswer& probe = *task->probe;
  if (probe.state == transport::NodeState::kDamaged) return ReplaceDamaged(task, status);
  auto found = status.conf->members.find(probe.member);
  if (found == status.conf->members.end() || found->second.incarnation != probe.incarnation) {
    RejoinRemoved(task, status);
    return;
  }
  const raft::MemberInfo& member = found->second;
  task->absorbed = true;
  if (status.conf->joint()) return;  // it leaves that by itself
  if (member.raft_address != task->address) {
    UpdateAddress(task, member);
  } else if (IsVoter(*status.conf, member.id)) {
    // Whom it replaced must not be waited for by anybody any more.
    if (!status.removals_confirmed) return;
    Finish(*task, service::JoinResponse{true, host_.CurrentStats()});
  } else {
    auto peer = std::ranges::find(status.peers, member.id, &raft::PeerStatus::id);
    if (peer != status.peers.end() && peer->caught_up && peer->recent_active) {
      Promote(task, member, *status.conf);
    }
  }
}

// What a removed member holds is a replica of ours, so nothing is lost when it starts over under a
// new id (docs/design/raft.md 8.5).
void Membership::RejoinRemoved(const JoinPtr& task, const raft::CoreStatus& status) {
  const ProbeAnswer& probe = *task->probe;
  const auto* member = FindByDirectory(*status.conf, task->name, probe.incarnation);
  // A voter that this directory once became is gone with what it held then: an old copy came back.
  if (member != nullptr && !IsVoter(*status.conf, member->id)) {
    Absorb(task, *member);
  } else if (probe.state == transport::NodeState::kRemoved) {
    Admit(task, status);
  } else if (!AwaitSettled(*task)) {
    Finish(*task, std::unexpected(Conflict(
                      "node " + task->name +
                      " was removed from this cluster and has not learned "
                      "of it yet; repeat the request when its /raft/stats shows Shutdown")));
  }
}

// It may have forgotten a vote, so it never acts under its id again, and as it says so itself,
// nobody has to be waited for. What it holds is a replica of ours.
void Membership::ReplaceDamaged(const JoinPtr& task, const raft::CoreStatus& status) {
  if (status.conf->joint()) return;
  const ProbeAnswer& probe = *task->probe;
  const auto* newest = FindByDirectory(*status.conf, task->name, probe.incarnation);
  if (newest == nullptr || newest->id < probe.member) return Admit(task, status);
  if (newest->id != probe.member) {
    // Its successor, if it still learns; a voter that this directory once became must be silent.
    return IsVoter(*status.conf, newest->id) ? Admit(task, status) : Absorb(task, *newest);
  }
  if (!HasLiveQuorumWithout(status, newest->id, now_ns_, kGoneAfterNs)) {
    task->probe.reset();
    task->not_before_ns = now_ns_ + kUnreachablePauseNs;
    return;
  }
  // A successor that is damaged in its turn makes way for the next, which takes over its task.
  bool learner = !IsVoter(*status.conf, newest->id);
  const raft::MemberInfo* lost = learner ? FindReplaced(*status.conf, *newest) : newest;
  AddLearner(task, *status.conf, lost, learner ? newest : nullptr);
}

// The target may become a member. If its name is taken by a member with another data directory,
// that one is lost, or two processes claim one name; silence tells which.
void Membership::Admit(const JoinPtr& task, const raft::CoreStatus& status) {
  if (status.conf->joint()) return;
  const raft::MemberInfo* lost = nullptr;
  for (const raft::MemberInfo* member : FindAllByName(*status.conf, task->name)) {
    bool judged = leading_since_ns_ != 0 && now_ns_ - leading_since_ns_ >= kGoneAfterNs;
    if (!judged || HeardOf(status, member->id, now_ns_, kGoneAfterNs)) {
      if (!AwaitSettled(*task)) {
        return Finish(*task, std::unexpected(TwoOfOneName(*member, task->address)));
      }
      task->not_before_ns = now_ns_ + kLookAgainPauseNs;
      return;
    }
    if (!IsVoter(*status.conf, member->id)) return TakeOutLearner(task, *member);
    lost = member;
  }
  if (lost != nullptr && !HasLiveQuorumWithout(status, lost->id, now_ns_, kGoneAfterNs)) {
    // Nothing can be committed without the vote that was lost; soon this node leads no longer, and
    // ForwardQueue says why the request cannot be carried out.
    task->not_before_ns = now_ns_ + kRetryPauseNs;
    return;
  }
  AddLearner(task, *status.conf, lost);
}

bool Membership::AwaitSettled(JoinTask& task) {
  if (task.unsettled_since_ns == 0) task.unsettled_since_ns = now_ns_;
  if (now_ns_ - task.unsettled_since_ns > kSettleWaitNs) return false;
  task.probe.reset();
  task.not_before_ns = now_ns_ + kRetryPauseNs;
  return true;
}

// The target belongs to another cluster: its own, if it is fresh.
void Membership::AdvanceForeign(const JoinPtr& task, const raft::CoreStatus& status) {
  const ProbeAnswer& probe = *task->probe;
  const raft::MemberInfo* member = FindByDirectory(*status.conf, task->name, probe.incarnation);
  if (!probe.pristine) {
    // Nothing is in it, but its first entries are still being applied, or it is busy with a join.
    bool empty = probe.user_operations == 0 && probe.members <= 1 &&
                 probe.state == transport::NodeState::kStandalone;
    if (empty && AwaitSettled(*task)) return;
    Error refusal =
        empty ? Conflict("node " + task->name +
                         " is joining other nodes or being written to right now; repeat the "
                         "request when that has ended")
              : Conflict("node " + task->name + " belongs to cluster " + ToHex(probe.cluster_id) +
                         " and holds data (" + std::to_string(probe.user_operations) +
                         " operations, " + std::to_string(probe.members) +
                         " members); start it with an empty volume directory to join");
    if (member != nullptr && !task->absorbed && !IsVoter(*status.conf, member->id)) {
      // It stopped being pristine between the probe and the absorb: take the learner out again.
      TakeOutLearner(task, *member);
      task->finished = true;
      for (JoinWaiter& waiter : std::exchange(task->waiters, {})) {
        waiter.done(std::unexpected(refusal));
      }
      return;
    }
    Finish(*task, std::unexpected(std::move(refusal)));
  } else if (member != nullptr) {
    Absorb(task, *member);
  } else {
    Admit(task, status);
  }
}

void Membership::TakeOutLearner(const JoinPtr& task, const raft::MemberInfo& member) {
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kRemove, member});
  Propose(task, std::move(change));
}

// What it replaces stands in the configuration, so that whoever leads then finishes the work.
void Membership::AddLearner(const JoinPtr& task, const raft::ConfState& conf,
                            const raft::MemberInfo* lost, const raft::MemberInfo* dropped) {
  if (const raft::MemberInfo* taken = FindOtherAtAddress(conf, task->address, task->name)) {
    Finish(*task, std::unexpected(Conflict("address " + task->address + " is in use by member " +
                                           taken->name)));
    return;
  }
  raft::MemberInfo member;
  member.name = task->name;
  member.raft_address = task->address;
  member.http_address = task->probe->http_address;
  member.incarnation = task->probe->incarnation;
  member.attributes[kAutoPromote] = "1";
  if (lost != nullptr) member.attributes[kReplaces] = std::to_string(lost->id.value);
  if (Status fits = codec::CheckMemberLimits(member); !fits) {
    Finish(*task, std::unexpected(fits.error()));
    return;
  }
  host_.LogEvent("join_started", "adding " + task->name + " at " + task->address + " as learner" +
                                     (lost == nullptr ? ""
                                                      : "; it is to replace member " +
                                                            std::to_string(lost->id.value) +
                                                            ", whose data is lost"));
  raft::ConfChange change;
  if (dropped != nullptr) change.changes.push_back({raft::ConfOp::kRemove, *dropped});
  change.changes.push_back({raft::ConfOp::kAddLearner, std::move(member)});
  Propose(task, std::move(change));
}

void Membership::Absorb(const JoinPtr& task, const raft::MemberInfo& member) {
  transport::AbsorbRequest request;
  request.cluster_id = host_.identity().cluster_id;
  request.member = member.id;
  request.expected_incarnation = task->probe->incarnation;
  request.expected_cluster_id = task->probe->cluster_id;
  request.conf = *host_.Status().conf;
  task->busy = true;
  host_.Call(task->address, ControlKind::kAbsorb, transport::EncodeAbsorbRequest(request),
             kProbeTimeoutMs * 3, [this, weak = std::weak_ptr(task)](Result<std::string> answer) {
               JoinPtr alive = weak.lock();
               if (!alive || alive->finished) return;
               alive->busy = false;
               // Whatever came back, the next step follows from what the target says it is now.
               alive->probe.reset();
               if (!answer) {
                 alive->not_before_ns =
                     now_ns_ + (alive->waiters.empty() ? kUnreachablePauseNs : kRetryPauseNs);
                 host_.LogEvent("absorb_failed", "node " + alive->name +
                                                     " did not take over our "
                                                     "cluster: " +
                                                     answer.error().message);
               }
             });
}

// With a member to replace this is a joint change: at no moment do fewer count, and the vote that
// is lost never counts beside the one that takes its place.
void Membership::Promote(const JoinPtr& task, const raft::MemberInfo& member,
                         const raft::ConfState& conf) {
  raft::ConfChange change;
  if (const raft::MemberInfo* lost = FindReplaced(conf, member)) {
    change.changes.push_back({raft::ConfOp::kRemove, *lost});
  }
  change.changes.push_back({raft::ConfOp::kAddVoter, member});
  Propose(task, std::move(change));
}

void Membership::UpdateAddress(const JoinPtr& task, raft::MemberInfo member) {
  member.raft_address = task->address;
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kUpdate, std::move(member)});
  Propose(task, std::move(change));
}

// The task looks at the configuration again after a pause: committed or not, that is where it
// will see what became of the proposal.
void Membership::Propose(const JoinPtr& task, raft::ConfChange change) {
  task->proposed = true;
  task->not_before_ns = now_ns_ + kRetryPauseNs;
  host_.ProposeConf(std::move(change), false,
                    [this, weak = std::weak_ptr(task)](const raft::ProposalRejected& rejected) {
                      JoinPtr alive = weak.lock();
                      if (!alive || alive->finished || Passing(rejected.reason)) return;
                      Finish(*alive, std::unexpected(Conflict("node " + alive->name +
                                                              " cannot join: " + rejected.text)));
                    });
}

void Membership::Finish(JoinTask& task, Result<service::JoinResponse> result) {
  if (!result && task.waiters.empty()) {
    // Nobody asked, and it stays a learner: look again now and then, and say so once.
    if (task.last_error != result.error().message) {
      host_.LogEvent("learner_not_promoted", result.error().message);
      task.last_error = result.error().message;
    }
    task.probe.reset();
    task.not_before_ns = now_ns_ + kHopelessPauseNs;
    return;
  }
  task.finished = true;
  if (result) {
    host_.LogEvent("join_finished", "node " + task.name + " is a voter");
  } else {
    host_.LogEvent("join_refused", result.error().message);
  }
  for (JoinWaiter& waiter : std::exchange(task.waiters, {})) waiter.done(result);
}

void Membership::ExpireWaiters(JoinTask& task, const raft::ConfState& conf, uint64_t now_ns) {
  if (task.waiters.empty()) return;
  // A voter does not catch up: it is somewhere else than was asked for.
  const raft::MemberInfo* member = FindByName(conf, task.name);
  const bool voter = member != nullptr && IsVoter(conf, member->id);
  const bool nobody = voter && task.no_answer && !task.proposed;
  for (JoinWaiter& waiter : std::exchange(task.waiters, {})) {
    if (waiter.deadline_ns > now_ns) {
      task.waiters.push_back(std::move(waiter));
    } else if (nobody) {
      waiter.done(std::unexpected(*task.no_answer));
    } else {
      waiter.done(service::JoinResponse{false, host_.CurrentStats()});
    }
  }
  if (!task.waiters.empty()) return;
  task.address_asked = false;
  task.finished = nobody;
}

// A task that nobody waits for lives as long as the learner does, wherever that one is now.
bool Membership::FollowConf(JoinTask& task, const raft::ConfState& conf) {
  const raft::MemberInfo* member = FindByName(conf, task.name);
  if (member == nullptr) {
    task.finished = true;
    return false;
  }
  task.address = member->raft_address;
  return true;
}

void Membership::Finish(RemoveTask& task, Result<service::RemoveResponse> result) {
  task.finished = true;
  task.done(std::move(result));
}

void Membership::Advance(const RemovePtr& task, const raft::CoreStatus& status, uint64_t now_ns) {
  if (task->finished) return;
  std::vector<const raft::MemberInfo*> members = FindAllByName(*status.conf, task->name);
  bool own = std::ranges::find(members, status.id, &raft::MemberInfo::id) != members.end();
  bool gone = members.empty();
  if (gone && status.removals_confirmed) {
    if (task->open_proposals > 0) {
      host_.LogEvent("member_removed", "node " + task->name + " was removed");
    }
    Finish(*task, service::RemoveResponse{host_.CurrentStats()});
  } else if (now_ns >= task->deadline_ns) {
    Finish(*task, std::unexpected(WhyNotRemoved(*task, own, gone)));
  } else if (gone || now_ns < task->not_before_ns || status.conf->joint()) {
    return;
  } else if (status.conf->voters.size() == 1 &&
             std::ranges::find(members, status.conf->voters[0], &raft::MemberInfo::id) !=
                 members.end()) {
    Finish(*task, std::unexpected(Conflict("node " + task->name +
                                           " is the last voter; a cluster needs at least one")));
  } else if (own) {
    // The leader hands over first; Redirect then brings this request to the new leader.
    task->not_before_ns = now_ns + kUnreachablePauseNs;
    host_.TransferLeadership(raft::MemberId());
  } else {
    task->not_before_ns = now_ns + kRetryPauseNs;
    ProposeRemoval(task, members);
  }
}

Error Membership::WhyNotRemoved(const RemoveTask& task, bool own, bool gone) const {
  if (gone) {
    return {Code::kOutcomeUnknown, "node " + task.name +
                                       " is out of the configuration, but no majority of the rest "
                                       "has confirmed it in time; leave it running and repeat the "
                                       "request"};
  }
  if (task.open_proposals > 0) {
    return {Code::kOutcomeUnknown, "the removal of " + task.name +
                                       " was not committed in time; GET /raft/stats tells whether "
                                       "it happened, the request may be repeated"};
  }
  return {Code::kUnavailable,
          own ? "node " + task.name +
                    " leads and no other voter could take over in time; nothing was changed"
              : "the removal of " + task.name +
                    " could not be started in time, another change is under way; nothing was "
                    "changed, repeat the request"};
}

void Membership::ProposeRemoval(const RemovePtr& task,
                                const std::vector<const raft::MemberInfo*>& members) {
  ++task->open_proposals;
  raft::ConfChange change;
  for (const raft::MemberInfo* member : members) {
    change.changes.push_back({raft::ConfOp::kRemove, *member});
  }
  host_.ProposeConf(std::move(change), task->force,
                    [this, weak = std::weak_ptr(task)](const raft::ProposalRejected& rejected) {
                      RemovePtr alive = weak.lock();
                      if (!alive || alive->finished) return;
                      --alive->open_proposals;
                      bool final = rejected.reason == raft::RejectReason::kConfInvalid;
                      if (rejected.reason == raft::RejectReason::kNotReady) {
                        if (alive->not_ready_since_ns == 0) alive->not_ready_since_ns = now_ns_;
                        final = now_ns_ - alive->not_ready_since_ns >= kLiveQuorumWaitNs;
                      }
                      if (!final) return;
                      Finish(*alive,
                             std::unexpected(Conflict("node " + alive->name +
                                                      " cannot be removed: " + rejected.text)));
                    });
}

void Membership::FailAll(const Error& error) {
  Error unknown{Code::kOutcomeUnknown,
                "the change was begun and may still be carried out; GET /raft/stats on another "
                "node tells, and the request may be repeated: " +
                    error.message};
  for (const JoinPtr& task : std::exchange(joins_, {})) {
    task->finished = true;
    for (JoinWaiter& waiter : std::exchange(task->waiters, {})) {
      waiter.done(std::unexpected(task->proposed ? unknown : error));
    }
  }
  for (const RemovePtr& task : std::exchange(removes_, {})) {
    if (task->finished) continue;
    Finish(*task, std::unexpected(task->open_proposals > 0 ? unknown : error));
  }
  transfer_.FailAll(error);
  forward_.FailAll(error);
}

}  // namespace arima::node
