#include "node/forward_queue.h"

#include <algorithm>
#include <utility>

#include "node/answer_codec.h"
#include "node/conf_lookup.h"

namespace arima::node {
namespace {

using transport::ControlKind;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kRetryPauseNs = 50 * kMs;

Error NoLeader() {
  return {Code::kUnavailable,
          "no leader could be asked, nothing was changed; repeat the request when the cluster has "
          "a leader"};
}

// A cluster that needs the very vote that was lost (docs/design/raft.md 8.6).
Error LostVote(const raft::MemberInfo& member) {
  return {Code::kUnavailable,
          "no leader could be asked, nothing was changed. Node " + member.name +
              " counts as a voter under an older data directory; if the other voters are up and "
              "there is no leader, they are no majority without it: start it with that directory, "
              "or bring back the others, then repeat the request"};
}

Error LeaderLost() {
  return {Code::kOutcomeUnknown,
          "the leader was lost while it worked on the request; GET /raft/stats tells what became "
          "of it, and the request may be repeated"};
}

}  // namespace

uint64_t RemainingMs(uint64_t deadline_ns, uint64_t now_ns) {
  return deadline_ns <= now_ns ? 1 : (deadline_ns - now_ns + kMs - 1) / kMs;
}

void Refuse(MembershipRequest& request, const Error& error) {
  std::visit([&](auto& call) { call.done(std::unexpected(error)); }, request.call);
}

ForwardQueue::ForwardQueue(MembershipHost* host) : host_(*host) {}

void ForwardQueue::Add(MembershipRequest request, uint64_t now_ns) {
  now_ns_ = now_ns;
  if (items_.size() >= kForwardedRequestsMax) {
    Refuse(request, {Code::kOverloaded,
                     "too many membership requests wait for the leader; repeat this one later"});
    return;
  }
  uint64_t id = next_id_++;
  Item& item = items_[id];
  item.leader_deadline_ns = now_ns + kLeaderWaitNs;
  item.request = std::move(request);
  Send(id, host_.Status());
}

std::vector<MembershipRequest> ForwardQueue::Poll(const raft::CoreStatus& status, uint64_t now_ns) {
  now_ns_ = now_ns;
  std::vector<MembershipRequest> own;
  for (auto it = items_.begin(); it != items_.end();) {
    Item& item = it->second;
    if (item.under_way) {
      ++it;
    } else if (status.soft.role == raft::Role::kLeader) {
      own.push_back(std::move(item.request));
      it = items_.erase(it);
    } else if (now_ns >= std::min(item.request.deadline_ns, item.leader_deadline_ns)) {
      Item expired = std::move(item);
      it = items_.erase(it);
      Expire(expired);
    } else {
      if (now_ns >= item.not_before_ns) Send(it->first, status);
      ++it;
    }
  }
  return own;
}

void ForwardQueue::Send(uint64_t id, const raft::CoreStatus& status) {
  auto leader = status.conf->members.find(status.soft.leader);
  if (leader == status.conf->members.end() || leader->second.raft_address.empty()) return;
  Item& item = items_.at(id);
  item.under_way = true;
  item.sent_ns = now_ns_;
  ControlKind kind = ControlKind::kJoin;
  std::string body;
  if (const auto* join = std::get_if<JoinCall>(&item.request.call)) {
    body = transport::EncodeJoinForward({join->request.node_id, join->request.raft_address});
  } else if (const auto* remove = std::get_if<RemoveCall>(&item.request.call)) {
    kind = ControlKind::kRemove;
    body = transport::EncodeRemoveForward({remove->request.node_id, remove->request.force});
  } else {
    kind = ControlKind::kTransfer;
    body = transport::EncodeTransferForward(
        {std::get<TransferCall>(item.request.call).request.node_id});
  }
  uint64_t timeout_ms = RemainingMs(item.request.deadline_ns, now_ns_) + kForwardMarginMs;
  host_.Call(leader->second.raft_address, kind, std::move(body), timeout_ms,
             [this, id](Result<std::string> answer) { OnAnswer(id, std::move(answer)); });
}

void ForwardQueue::OnAnswer(uint64_t id, Result<std::string> answer) {
  auto it = items_.find(id);
  if (it == items_.end()) return;  // failed meanwhile
  it->second.under_way = false;
  if (!answer) {
    // Of the connection, not of the leader: its refusals are answers.
    OnFailure(id, answer.error());
    return;
  }
  auto deliver = [&](auto& call, auto decoded) {
    auto done = std::move(call.done);
    items_.erase(it);
    done(std::move(decoded));
  };
  auto deliver_or_retry = [&](auto& call, auto decoded) {
    if (!decoded && decoded.error().code == Code::kUnavailable) return Retry(it->second, false);
    deliver(call, std::move(decoded));
  };
  MembershipRequest& request = it->second.request;
  if (auto* join = std::get_if<JoinCall>(&request.call)) {
    deliver_or_retry(*join, DecodeJoinAnswer(*answer));
  } else if (auto* remove = std::get_if<RemoveCall>(&request.call)) {
    deliver_or_retry(*remove, DecodeRemoveAnswer(*answer));
  } else {
    // Who does not lead says so by a failed call, so this is a leader that stays one.
    deliver(std::get<TransferCall>(request.call), DecodeTransferAnswer(*answer));
  }
}

void ForwardQueue::OnFailure(uint64_t id, const Error& error) {
  auto it = items_.find(id);
  bool maybe_done = error.code == Code::kOutcomeUnknown;
  const auto* transfer = std::get_if<TransferCall>(&it->second.request.call);
  // Asked again, the next leader would hand over once more.
  bool once_only = transfer != nullptr && transfer->request.node_id.empty() && maybe_done;
  if (!once_only && error.code != Code::kNotSupported) return Retry(it->second, maybe_done);
  Item ended = std::move(it->second);
  items_.erase(it);
  Refuse(ended.request, once_only ? LeaderLost() : error);
}

void ForwardQueue::Retry(Item& item, bool maybe_done) {
  item.not_before_ns = now_ns_ + kRetryPauseNs;
  item.request.maybe_done = item.request.maybe_done || maybe_done;
  // A leader that held the request for long was one: its successor gets time to be elected.
  bool was_leader = maybe_done || now_ns_ - item.sent_ns > kLeaderWaitNs;
  if (was_leader) item.leader_deadline_ns = now_ns_ + kLeaderWaitNs;
}

void ForwardQueue::Expire(Item& item) {
  if (item.request.maybe_done) return Refuse(item.request, LeaderLost());
  Error error = NoLeader();
  if (const auto* join = std::get_if<JoinCall>(&item.request.call)) {
    const std::shared_ptr<const raft::ConfState> conf = host_.Status().conf;
    const raft::MemberInfo* member = FindByName(*conf, join->request.node_id);
    if (member != nullptr && IsVoter(*conf, member->id)) error = LostVote(*member);
  }
  Refuse(item.request, error);
}

void ForwardQueue::FailAll(const Error& error) {
  Error unknown{
      Code::kOutcomeUnknown,
      "the request was sent to the leader and may have been carried out: " + error.message};
  for (auto& [id, item] : std::exchange(items_, {})) {
    Refuse(item.request, item.under_way || item.request.maybe_done ? unknown : error);
  }
}

}  // namespace arima::node
