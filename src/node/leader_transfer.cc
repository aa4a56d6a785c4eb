#include "node/leader_transfer.h"

#include <algorithm>
#include <utility>

#include "node/conf_lookup.h"

namespace arima::node {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kAttemptPauseNs = 200 * kMs;
// A new leader hears of its peers within this time; who is silent for longer does not take over.
constexpr uint64_t kHeardWithinNs = 1000 * kMs;

Error Conflict(std::string message) { return {Code::kConflict, std::move(message)}; }

const raft::PeerStatus* FindPeer(const raft::CoreStatus& status, raft::MemberId id) {
  auto peer = std::ranges::find(status.peers, id, &raft::PeerStatus::id);
  return peer == status.peers.end() ? nullptr : &*peer;
}

uint64_t Lag(const raft::CoreStatus& status, const raft::PeerStatus& peer) {
  uint64_t unsent = status.last - std::min(status.last, peer.match);
  return std::max(unsent, peer.apply_lag);
}

// Why that voter could not take over at once; empty: it could.
std::string WhyUnfit(const raft::CoreStatus& status, raft::MemberId id, uint64_t now_ns) {
  const raft::PeerStatus* peer = FindPeer(status, id);
  if (peer == nullptr || !HeardOf(status, id, now_ns, kHeardWithinNs)) {
    return "is not heard of";
  }
  if (peer->damaged) return "lost entries that it had acknowledged and must be replaced";
  if (peer->repairing) return "lost its database and waits for a snapshot";
  if (peer->state == raft::ProgressState::kSnapshot) return "is receiving a snapshot";
  uint64_t lag = Lag(status, *peer);
  if (lag > LeaderTransfer::kLagMax) {
    return "is " + std::to_string(lag) + " entries behind, at most " +
           std::to_string(LeaderTransfer::kLagMax) + " can be made up for at once";
  }
  return {};
}

std::string NameOf(const raft::ConfState& conf, raft::MemberId id) {
  auto member = conf.members.find(id);
  return member == conf.members.end() ? "member " + std::to_string(id.value) : member->second.name;
}

Result<const raft::MemberInfo*> ChooseNamed(const std::string& name, const raft::CoreStatus& status,
                                            uint64_t now_ns) {
  std::vector<const raft::MemberInfo*> members = FindAllByName(*status.conf, name);
  if (members.empty()) {
    return Fail(Code::kNotFound,
                "no member is named \"" + name + "\"; GET /raft/members lists them");
  }
  for (const raft::MemberInfo* member : members) {
    if (!IsVoter(*status.conf, member->id)) continue;
    std::string unfit = WhyUnfit(status, member->id, now_ns);
    if (unfit.empty()) return member;
    return std::unexpected(Conflict("node " + name + " cannot take over: it " + unfit));
  }
  return std::unexpected(
      Conflict("node " + name + " cannot take over: it is a learner and has no vote yet"));
}

Result<const raft::MemberInfo*> ChooseAny(const raft::CoreStatus& status, uint64_t now_ns) {
  const raft::MemberInfo* best = nullptr;
  uint64_t best_lag = 0;
  std::string unfit;
  for (raft::MemberId id : status.conf->voters) {
    if (id == status.id) continue;
    std::string why = WhyUnfit(status, id, now_ns);
    if (!why.empty()) {
      unfit += (unfit.empty() ? "" : "; ") + NameOf(*status.conf, id) + " " + why;
      continue;
    }
    uint64_t lag = Lag(status, *FindPeer(status, id));
    if (best == nullptr || lag < best_lag) {
      best = &status.conf->members.at(id);
      best_lag = lag;
    }
  }
  if (best != nullptr) return best;
  return std::unexpected(Conflict(unfit.empty()
                                      ? "nobody can take over: the leader is the only voter"
                                      : "nobody can take over: " + unfit));
}

}  // namespace

void LeaderTransfer::Start(TransferCall call, uint64_t deadline_ns, const raft::CoreStatus& status,
                           uint64_t now_ns) {
  if (tasks_.size() >= kTasksMax) {
    return call.done(Fail(Code::kOverloaded, "too many transfers at once; repeat this one later"));
  }
  Task& task = tasks_.emplace_back();
  task.call = std::move(call);
  task.deadline_ns = deadline_ns;
  bool transferring = status.soft.transferring;
  AdvanceLeading(task, status, now_ns, &transferring);
}

std::vector<MembershipRequest> LeaderTransfer::Poll(const raft::CoreStatus& status,
                                                    uint64_t now_ns) {
  bool leads = status.soft.role == raft::Role::kLeader;
  if (!leads) leading_since_ns_ = 0;
  if (leads && leading_since_ns_ == 0) leading_since_ns_ = now_ns;
  bool transferring = status.soft.transferring;
  std::vector<MembershipRequest> elsewhere;
  for (Task& task : tasks_) {
    if (task.finished) continue;
    if (leads) {
      AdvanceLeading(task, status, now_ns, &transferring);
    } else {
      AdvanceFollowing(task, status, now_ns);
    }
    if (!task.elsewhere) continue;
    task.finished = true;
    elsewhere.push_back({std::move(task.call), task.deadline_ns, task.attempts > 0});
  }
  tasks_.remove_if([](const Task& task) { return task.finished; });
  return elsewhere;
}

void LeaderTransfer::AdvanceLeading(Task& task, const raft::CoreStatus& status, uint64_t now_ns,
                                    bool* transferring) {
  const std::string& name = task.call.request.node_id;
  const std::string& own = host_.identity().name;
  task.leaderless_since_ns = 0;
  if (name == own) return Finish(task, service::TransferResponse{own, false, {}});
  // Whoever began it, it ends by itself; if it succeeds it may be all that was asked for.
  if (*transferring) return;
  if (std::exchange(task.target, raft::MemberId())) task.not_before_ns = now_ns + kAttemptPauseNs;
  if (now_ns >= task.deadline_ns || task.attempts >= kAttemptsMax) {
    std::string who = task.target_name.empty() ? "nobody" : "node " + task.target_name;
    return Finish(task, Fail(Code::kUnavailable, "leadership stays with " + own + ": " + who +
                                                     " did not take over in time"));
  }
  if (now_ns < task.not_before_ns) return;
  Result<const raft::MemberInfo*> target =
      name.empty() ? ChooseAny(status, now_ns) : ChooseNamed(name, status, now_ns);
  if (!target) {
    // A leader that has just been elected has heard of nobody yet.
    bool judged = leading_since_ns_ != 0 && now_ns - leading_since_ns_ >= kHeardWithinNs;
    if (target.error().code == Code::kConflict && !judged) return;
    return Finish(task, std::unexpected(target.error()));
  }
  task.target = (*target)->id;
  task.target_name = (*target)->name;
  ++task.attempts;
  *transferring = true;
  host_.TransferLeadership(task.target);
}

void LeaderTransfer::AdvanceFollowing(Task& task, const raft::CoreStatus& status, uint64_t now_ns) {
  const std::string& name = task.call.request.node_id;
  auto leader = status.conf->members.find(status.soft.leader);
  if (leader != status.conf->members.end()) {
    const std::string& leads = leader->second.name;
    if (name.empty() || leads == name) {
      return Finish(task, service::TransferResponse{leads, true, {}});
    }
    task.elsewhere = true;
    return;
  }
  if (task.leaderless_since_ns == 0) task.leaderless_since_ns = now_ns;
  if (now_ns < std::max(task.deadline_ns, task.leaderless_since_ns + kLeaderWaitNs)) return;
  Finish(task, Fail(Code::kOutcomeUnknown,
                    "node " + host_.identity().name +
                        " gave leadership up, and no new leader is known yet; GET /raft/stats "
                        "tells who leads"));
}

void LeaderTransfer::Finish(Task& task, Result<service::TransferResponse> result) {
  task.finished = true;
  if (result) result->stats = host_.CurrentStats();
  task.call.done(std::move(result));
}

void LeaderTransfer::FailAll(const Error& error) {
  Error unknown{Code::kOutcomeUnknown,
                "the transfer was begun and may still succeed; GET /raft/stats on another node "
                "tells who leads: " +
                    error.message};
  for (Task& task : tasks_) {
    if (!task.finished) Finish(task, std::unexpected(task.attempts > 0 ? unknown : error));
  }
  tasks_.clear();
}

}  // namespace arima::node
