// Leadership transfer (Raft thesis 3.10; docs/design/raft.md 1.12).
//
// While it runs the leader takes no proposals, or the target would never be level with it, but it
// goes on heartbeating: if the transfer fails, nobody has timed out meanwhile. A transfer that is
// given up after TimeoutNow was sent is followed by a Noop, so that a late TimeoutNow finds another
// end of the log at the target, or its election loses.

#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "raft/core_impl.h"

namespace arima::raft {

void CoreImpl::On(Transfer in) {
  if (role_ == Role::kLeader) {
    StartTransfer(in.target);
  } else if (leader_) {
    Message m = Make(MessageType::kTransferReq, leader_);
    m.target = in.target;
    Send(std::move(m));
  }
}

MemberId CoreImpl::MostCaughtUpVoter() const {
  const Progress* best = nullptr;
  for (const Progress& p : peers_) {
    bool votes = std::find(conf_->voters.begin(), conf_->voters.end(), p.id) != conf_->voters.end();
    if (!votes || p.damaged || p.repairing || p.state == ProgressState::kSnapshot) continue;
    bool better = best == nullptr || (IsLive(p) && !IsLive(*best)) ||
                  (IsLive(p) == IsLive(*best) && p.match > best->match);
    if (better) best = &p;
  }
  return best != nullptr ? best->id : MemberId(0);
}

void CoreImpl::StartTransfer(MemberId target) {
  if (role_ != Role::kLeader) return;
  if (!target) target = MostCaughtUpVoter();
  const Progress* p = FindPeer(target);
  if (p == nullptr || !IsVoter(target) || p->damaged || p->repairing) {
    AddEvent(EventKind::kTransferAborted, target, "the target is not another voter that can serve");
    return;
  }
  if (transferee_ == target) return;
  if (transferee_) AbortTransfer("replaced by a transfer to " + std::to_string(target.value));
  ARIMA_ASSERT(target != config_.id && !timeout_now_sent_, target);
  transferee_ = target;
  ++transfer_id_;
  election_elapsed_ = 0;  // it has one election timeout to finish
  AddEvent(EventKind::kTransferStarted, target, "");
  MaybeSendTimeoutNow();
}

void CoreImpl::MaybeSendTimeoutNow() {
  const Progress* p = FindPeer(transferee_);
  if (p == nullptr || timeout_now_sent_ || p->match != log_.last()) return;
  SendTimeoutNow(transferee_);
  timeout_now_sent_ = true;
}

void CoreImpl::SendTimeoutNow(MemberId to) {
  Message m = Make(MessageType::kTimeoutNow, to);
  m.last_index = log_.last();
  m.last_term = log_.last_term();
  m.transfer_id = transfer_id_;
  Send(std::move(m));
}

void CoreImpl::AbortTransfer(std::string_view why) {
  ARIMA_ASSERT(role_ == Role::kLeader && transferee_);
  AddEvent(EventKind::kTransferAborted, transferee_, std::string(why));
  transferee_ = MemberId(0);
  if (std::exchange(timeout_now_sent_, false)) AppendOwn(EntryKind::kNoop, SharedBytes());
}

}  // namespace arima::raft
