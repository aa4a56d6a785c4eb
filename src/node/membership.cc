// One task per joining node; Advance is a decision table over facts:
//
//   probe unknown                         -> Probe
//   probed: our cluster, voter here       -> done (or UpdateAddress)
//   probed: our cluster, learner here     -> Promote once caught up
//   probed: our cluster, removed from it  -> AddLearner under a new id, Absorb
//   probed: foreign cluster, holds data   -> refuse
//   probed: foreign, fresh, still starting -> probe again
//   probed: foreign, pristine, unknown    -> AddLearner
//   probed: foreign, pristine, learner    -> Absorb, then probe again
//
// Rejected: remembering how far a join came. After a crash of the leader or of the target that
// memory is wrong; the committed configuration and the target's own identity never are.
#include "node/membership.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "codec/conf_codec.h"
#include "node/address.h"
#include "node/answer_codec.h"

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
constexpr uint64_t kLeaderWaitNs = 2000 * kMs;
constexpr size_t kRemovedNamesMax = 64;
constexpr size_t kTasksMax = 64;
constexpr char kAutoPromote[] = "auto_promote";

const raft::MemberInfo* FindByName(const raft::ConfState& conf, const std::string& name) {
  for (const auto& [id, member] : conf.members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

const raft::MemberInfo* FindByAddress(const raft::ConfState& conf, const std::string& address) {
  for (const auto& [id, member] : conf.members) {
    if (member.raft_address == address) return &member;
  }
  return nullptr;
}

bool IsVoter(const raft::ConfState& conf, raft::MemberId id) {
  return std::ranges::binary_search(conf.voters, id);
}

// The refusal will go away by itself.
bool Passing(raft::RejectReason reason) {
  using raft::RejectReason;
  return reason != RejectReason::kConfInvalid;
}

Error Conflict(std::string message) { return {Code::kConflict, std::move(message)}; }

Error NameTaken(const std::string& name) {
  return Conflict("a member named " + name +
                  " with another data directory is in this cluster; remove it first: POST "
                  "/raft/remove {\"node_id\":\"" +
                  name + "\"}");
}

uint64_t RemainingMs(uint64_t deadline_ns, uint64_t now_ns) {
  return deadline_ns <= now_ns ? 1 : (deadline_ns - now_ns) / kMs + 1;
}

Status CheckName(const std::string& name) {
  if (name.empty() || name.size() > codec::kMemberNameBytesMax) {
    return Fail(Code::kInvalidArgument,
                "node_id must have 1 to " + std::to_string(codec::kMemberNameBytesMax) + " bytes");
  }
  return {};
}

}  // namespace

Membership::Membership(MembershipHost* host) : host_(*host) {}
Membership::~Membership() = default;

void Membership::Join(service::JoinRequest request, service::Done<service::JoinResponse> done,
                      uint64_t now_ns) {
  now_ns_ = now_ns;
  if (Status name = CheckName(request.node_id); !name) {
    done(std::unexpected(name.error()));
    return;
  }
  if (Result<HostPort> address = ParseHostPort(request.raft_address); !address) {
    done(std::unexpected(address.error()));
    return;
  }
  raft::CoreStatus status = host_.Status();
  if (status.soft.role != raft::Role::kLeader) {
    Forward(status, std::move(request), std::move(done), now_ns);
    return;
  }
  auto own = status.conf->members.find(status.id);
  if (own != status.conf->members.end() && own->second.name == request.node_id) {
    done(std::unexpected(
        Conflict("node " + request.node_id + " leads this cluster; a node cannot join itself")));
    return;
  }
  JoinWaiter waiter{now_ns + request.timeout_ms * kMs, std::move(done)};
  for (const JoinPtr& task : joins_) {
    if (task->name == request.node_id && task->address == request.raft_address) {
      task->waiters.push_back(std::move(waiter));
      return;
    }
  }
  if (joins_.size() >= kTasksMax) {
    waiter.done(Fail(Code::kOverloaded, "too many joins at once; repeat this one later"));
    return;
  }
  auto task = std::make_shared<JoinTask>();
  task->name = request.node_id;
  task->address = request.raft_address;
  task->waiters.push_back(std::move(waiter));
  joins_.push_back(task);
  Advance(task, status, now_ns);
}

void Membership::Remove(service::RemoveRequest request, service::Done<service::RemoveResponse> done,
                        uint64_t now_ns) {
  now_ns_ = now_ns;
  if (Status name = CheckName(request.node_id); !name) {
    done(std::unexpected(name.error()));
    return;
  }
  raft::CoreStatus status = host_.Status();
  if (status.soft.role != raft::Role::kLeader) {
    Forward(status, std::move(request), std::move(done), now_ns);
    return;
  }
  const raft::MemberInfo* member = FindByName(*status.conf, request.node_id);
  if (member == nullptr) {
    if (std::ranges::find(removed_names_, request.node_id) != removed_names_.end()) {
      done(service::RemoveResponse{host_.CurrentStats()});
    } else {
      done(Fail(Code::kNotFound, "no member is named \"" + request.node_id +
                                     "\"; GET /raft/stats lists the members"));
    }
    return;
  }
  if (removes_.size() >= kTasksMax) {
    done(Fail(Code::kOverloaded, "too many removals at once; repeat this one later"));
    return;
  }
  auto task = std::make_shared<RemoveTask>();
  task->name = request.node_id;
  task->id = member->id;
  task->force = request.force;
  task->deadline_ns = now_ns + request.timeout_ms * kMs;
  task->done = std::move(done);
  removes_.push_back(task);
  Advance(task, status, now_ns);
}

void Membership::Forward(const raft::CoreStatus& status, service::JoinRequest request,
                         service::Done<service::JoinResponse> done, uint64_t now_ns) {
  auto leader = status.conf->members.find(status.soft.leader);
  if (leader == status.conf->members.end()) {
    Waiting waiting;
    waiting.give_up_ns = now_ns + std::min(kLeaderWaitNs, request.timeout_ms * kMs);
    waiting.join = std::move(request);
    waiting.join_done = std::move(done);
    waiting_.push_back(std::move(waiting));
    return;
  }
  std::string body = transport::EncodeJoinForward({request.node_id, request.raft_address});
  host_.Call(leader->second.raft_address, ControlKind::kJoin, std::move(body),
             request.timeout_ms + kProbeTimeoutMs,
             [done = std::move(done)](Result<std::string> answer) mutable {
               if (!answer) return done(std::unexpected(answer.error()));
               done(DecodeJoinAnswer(*answer));
             });
}

void Membership::Forward(const raft::CoreStatus& status, service::RemoveRequest request,
                         service::Done<service::RemoveResponse> done, uint64_t now_ns) {
  auto leader = status.conf->members.find(status.soft.leader);
  if (leader == status.conf->members.end()) {
    Waiting waiting;
    waiting.give_up_ns = now_ns + std::min(kLeaderWaitNs, request.timeout_ms * kMs);
    waiting.remove = std::move(request);
    waiting.remove_done = std::move(done);
    waiting_.push_back(std::move(waiting));
    return;
  }
  std::string body = transport::EncodeRemoveForward({request.node_id, request.force});
  host_.Call(leader->second.raft_address, ControlKind::kRemove, std::move(body),
             request.timeout_ms + kProbeTimeoutMs,
             [done = std::move(done)](Result<std::string> answer) mutable {
               if (!answer) return done(std::unexpected(answer.error()));
               done(DecodeRemoveAnswer(*answer));
             });
}

void Membership::RetryWaiting(const raft::CoreStatus& status, uint64_t now_ns) {
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    if (status.soft.leader) {
      if (waiting.join) Join(std::move(*waiting.join), std::move(waiting.join_done), now_ns);
      if (waiting.remove) {
        Remove(std::move(*waiting.remove), std::move(waiting.remove_done), now_ns);
      }
    } else if (waiting.give_up_ns > now_ns) {
      waiting_.push_back(std::move(waiting));
    } else {
      Error error{Code::kUnavailable,
                  "no leader is known, nothing was changed; repeat the request "
                  "when the cluster has a leader"};
      if (waiting.join) waiting.join_done(std::unexpected(error));
      if (waiting.remove) waiting.remove_done(std::unexpected(error));
    }
  }
}

void Membership::Redirect(uint64_t now_ns) {
  for (const JoinPtr& task : std::exchange(joins_, {})) {
    task->finished = true;
    for (JoinWaiter& waiter : task->waiters) {
      Join({task->name, task->address, RemainingMs(waiter.deadline_ns, now_ns)},
           std::move(waiter.done), now_ns);
    }
  }
  for (const RemovePtr& task : std::exchange(removes_, {})) {
    task->finished = true;
    Remove({task->name, task->force, RemainingMs(task->deadline_ns, now_ns)}, std::move(task->done),
           now_ns);
  }
}

void Membership::Poll(uint64_t now_ns) {
  now_ns_ = now_ns;
  raft::CoreStatus status = host_.Status();
  if (status.soft.role != raft::Role::kLeader) {
    if (!joins_.empty() || !removes_.empty()) Redirect(now_ns);
    if (!waiting_.empty()) RetryWaiting(status, now_ns);
    return;
  }
  if (!waiting_.empty()) RetryWaiting(status, now_ns);
  AdoptLearners(status);
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
    if (!member.attributes.contains(kAutoPromote)) continue;
    bool known =
        std::ranges::any_of(joins_, [&](const JoinPtr& task) { return task->name == member.name; });
    bool leaving =
        std::ranges::any_of(removes_, [&](const RemovePtr& task) { return task->id == id; });
    if (known || leaving || joins_.size() >= kTasksMax) continue;
    auto task = std::make_shared<JoinTask>();
    task->name = member.name;
    task->address = member.raft_address;
    joins_.push_back(task);
  }
}

void Membership::Advance(const JoinPtr& task, const raft::CoreStatus& status, uint64_t now_ns) {
  if (task->finished) return;
  ExpireWaiters(*task, now_ns);
  if (task->finished || task->busy || now_ns < task->not_before_ns) return;
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
  } else {
    AdvanceForeign(task, status);
  }
}

void Membership::Probe(const JoinPtr& task, bool known_member) {
  task->busy = true;
  host_.Call(task->address, ControlKind::kProbe, {}, kProbeTimeoutMs,
             [this, known_member, weak = std::weak_ptr(task)](Result<std::string> answer) {
               JoinPtr alive = weak.lock();
               if (!alive || alive->finished) return;
               alive->busy = false;
               Result<ProbeAnswer> probe =
                   answer ? transport::DecodeProbeAnswer(*answer) : std::unexpected(answer.error());
               if (probe) {
                 alive->probe = std::move(*probe);
               } else if (known_member) {
                 alive->not_before_ns = now_ns_ + kUnreachablePauseNs;
               } else {
                 Finish(*alive, Fail(Code::kPeerUnreachable,
                                     "no node answered at " + alive->address + " (" +
                                         probe.error().message +
                                         "); nothing was changed: start the node, then repeat"));
               }
             });
}

// The target carries our cluster id.
void Membership::AdvanceOurs(const JoinPtr& task, const raft::CoreStatus& status) {
  const ProbeAnswer& probe = *task->probe;
  auto found = status.conf->members.find(probe.member);
  if (found == status.conf->members.end() || found->second.incarnation != probe.incarnation) {
    RejoinRemoved(task, status);
    return;
  }
  const raft::MemberInfo& member = found->second;
  task->absorbed = true;
  if (member.raft_address != task->address) {
    UpdateAddress(task, member);
  } else if (IsVoter(*status.conf, member.id)) {
    Finish(*task, service::JoinResponse{true, host_.CurrentStats()});
  } else {
    auto peer = std::ranges::find(status.peers, member.id, &raft::PeerStatus::id);
    if (peer != status.peers.end() && peer->caught_up && peer->recent_active) {
      Promote(task, member);
    }
  }
}

// What a removed member holds is a replica of ours, so nothing is lost when it starts over under a
// new id (docs/design/raft.md 8.5).
void Membership::RejoinRemoved(const JoinPtr& task, const raft::CoreStatus& status) {
  const ProbeAnswer& probe = *task->probe;
  const raft::MemberInfo* member = FindByName(*status.conf, task->name);
  if (member != nullptr && member->incarnation == probe.incarnation) {
    Absorb(task, *member);
  } else if (member != nullptr) {
    Finish(*task, std::unexpected(NameTaken(task->name)));
  } else if (probe.state == transport::NodeState::kRemoved) {
    AddLearner(task, *status.conf);
  } else if (!AwaitSettled(*task)) {
    Finish(*task, std::unexpected(Conflict(
                      "node " + task->name +
                      " was removed from this cluster and has not learned "
                      "of it yet; repeat the request when its /raft/stats shows Shutdown")));
  }
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
  const raft::MemberInfo* member = FindByName(*status.conf, task->name);
  bool ours = member != nullptr && member->incarnation == probe.incarnation;
  if (!probe.pristine) {
    // Nothing is in it, but its first entries are still being applied, or it is busy with a join.
    bool empty = probe.user_operations == 0 && probe.members <= 1 &&
                 probe.state == transport::NodeState::kStandalone;
    if (empty && AwaitSettled(*task)) return;
    Error refusal =
        Conflict("node " + task->name + " belongs to cluster " + ToHex(probe.cluster_id) +
                 " and holds data (" + std::to_string(probe.user_operations) + " operations, " +
                 std::to_string(probe.members) +
                 " members); start it with an empty volume directory to join");
    if (ours && !task->absorbed && !IsVoter(*status.conf, member->id)) {
      // It stopped being pristine between the probe and the absorb: take the learner out again.
      raft::ConfChange change;
      change.changes.push_back({raft::ConfOp::kRemove, *member});
      Propose(task, std::move(change));
      task->finished = true;
      for (JoinWaiter& waiter : std::exchange(task->waiters, {})) {
        waiter.done(std::unexpected(refusal));
      }
      return;
    }
    Finish(*task, std::unexpected(std::move(refusal)));
  } else if (ours) {
    Absorb(task, *member);
  } else if (member != nullptr) {
    Finish(*task, std::unexpected(NameTaken(task->name)));
  } else {
    AddLearner(task, *status.conf);
  }
}

void Membership::AddLearner(const JoinPtr& task, const raft::ConfState& conf) {
  if (const raft::MemberInfo* taken = FindByAddress(conf, task->address)) {
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
  if (Status fits = codec::CheckMemberLimits(member); !fits) {
    Finish(*task, std::unexpected(fits.error()));
    return;
  }
  host_.LogEvent("join_started", "adding " + task->name + " at " + task->address + " as learner");
  raft::ConfChange change;
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
                 alive->not_before_ns = now_ns_ + kRetryPauseNs;
                 host_.LogEvent("absorb_failed", "node " + alive->name +
                                                     " did not take over our "
                                                     "cluster: " +
                                                     answer.error().message);
               }
             });
}

void Membership::Promote(const JoinPtr& task, const raft::MemberInfo& member) {
  raft::ConfChange change;
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
  task.finished = true;
  if (result) {
    host_.LogEvent("join_finished", "node " + task.name + " is a voter");
  } else {
    host_.LogEvent("join_refused", result.error().message);
  }
  for (JoinWaiter& waiter : std::exchange(task.waiters, {})) waiter.done(result);
}

void Membership::ExpireWaiters(JoinTask& task, uint64_t now_ns) {
  std::vector<JoinWaiter> kept;
  for (JoinWaiter& waiter : std::exchange(task.waiters, {})) {
    if (waiter.deadline_ns > now_ns) {
      kept.push_back(std::move(waiter));
    } else {
      waiter.done(service::JoinResponse{false, host_.CurrentStats()});
    }
  }
  task.waiters = std::move(kept);
}

void Membership::Advance(const RemovePtr& task, const raft::CoreStatus& status, uint64_t now_ns) {
  if (task->finished) return;
  auto finish = [&](Result<service::RemoveResponse> result) {
    task->finished = true;
    task->done(std::move(result));
  };
  if (!status.conf->members.contains(task->id)) {
    host_.LogEvent("member_removed", "node " + task->name + " was removed");
    finish(service::RemoveResponse{host_.CurrentStats()});
    return;
  }
  if (now_ns >= task->deadline_ns) {
    finish(Fail(Code::kOutcomeUnknown, "the removal of " + task->name +
                                           " was not committed in time; GET /raft/stats tells "
                                           "whether it happened, the request may be repeated"));
    return;
  }
  if (now_ns < task->not_before_ns) return;
  if (status.conf->voters.size() == 1 && IsVoter(*status.conf, task->id)) {
    finish(std::unexpected(
        Conflict("node " + task->name + " is the last voter; a cluster needs at least one")));
    return;
  }
  task->not_before_ns = now_ns + kRetryPauseNs;
  if (task->id == status.id) {
    // The leader hands over first; Redirect then brings this request to the new leader.
    task->not_before_ns = now_ns + kUnreachablePauseNs;
    host_.TransferLeadership();
    return;
  }
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kRemove, status.conf->members.at(task->id)});
  host_.ProposeConf(std::move(change), task->force,
                    [weak = std::weak_ptr(task)](const raft::ProposalRejected& rejected) {
                      RemovePtr alive = weak.lock();
                      if (!alive || alive->finished) return;
                      bool final = rejected.reason == raft::RejectReason::kConfInvalid ||
                                   rejected.reason == raft::RejectReason::kNotReady;
                      if (!final) return;
                      alive->finished = true;
                      alive->done(std::unexpected(Conflict(
                          "node " + alive->name + " cannot be removed: " + rejected.text)));
                    });
}

void Membership::FailAll(const Error& error) {
  for (const JoinPtr& task : std::exchange(joins_, {})) {
    task->finished = true;
    for (JoinWaiter& waiter : task->waiters) waiter.done(std::unexpected(error));
  }
  for (const RemovePtr& task : std::exchange(removes_, {})) {
    task->finished = true;
    task->done(std::unexpected(error));
  }
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    if (waiting.join) waiting.join_done(std::unexpected(error));
    if (waiting.remove) waiting.remove_done(std::unexpected(error));
  }
}

}  // namespace arima::node
