// Leadership transfer (Raft thesis 3.10; docs/design/raft.md 1.12).
//
// While it runs the leader takes no proposals, or the target would never be level with it, but it
// goes on heartbeating: if the transfer fails, nobody has timed out meanwhile. A transfer that is
// given up after TimeoutNow was sent is followed by a Noop, so that a late TimeoutNow finds another
// end of the log at the target, or its election loses.

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

// A voter whose syncs take longer is no place to flee to from a low disk.
constexpr uint32_t kSlowSyncUs = 1'000'000;

}  // namespace

void CoreImpl::On(Transfer in) {
  if (role_ == Role::kLeader) {
    StartTransfer(in.target);
  } else if (leader_) {
    Message m = Make(MessageType::kTransferReq, leader_);
    m.target = in.target;
    Send(std::move(m));
  }
}

bool CoreImpl::MayLead(const Progress& p) const {
  bool votes = std::find(conf_->voters.begin(), conf_->voters.end(), p.id) != conf_->voters.end();
  return votes && !p.damaged && !p.repairing && p.state != ProgressState::kSnapshot;
}

// Whether it is there and has space counts more than how much of the log it has.
MemberId CoreImpl::MostCaughtUpVoter() const {
  auto rank = [this](const Progress& p) {
    return std::tuple(IsLive(p), p.disk == DiskLevel::kOk, p.match);
  };
  const Progress* best = nullptr;
  for (const Progress& p : peers_) {
    if (MayLead(p) && (best == nullptr || rank(p) > rank(*best))) best = &p;
  }
  return best != nullptr ? best->id : MemberId(0);
}

// A voter for which leadership is worth moving: more space if the own disk is low, syncs in less
// than half the time if it is stalled, and no worse in the other respect. Of several, the one with
// most of the log.
MemberId CoreImpl::BetterVoter() const {
  // The next leader serves no read before an entry of its own is committed; this one can.
  const bool could_commit = IsQuorum([this](MemberId id) {
    if (id == config_.id) return disk_ != DiskLevel::kFull && !sync_stalled_;
    const Progress* p = FindPeer(id);
    return p != nullptr && IsLive(*p) && p->disk != DiskLevel::kFull;
  });
  if (!could_commit) return MemberId(0);
  const Progress* best = nullptr;
  for (const Progress& p : peers_) {
    if (!MayLead(p) || !IsLive(p) || p.state != ProgressState::kReplicate) continue;
    const bool more_space = p.disk < disk_;
    const bool faster = sync_stalled_ && p.sync_us < sync_us_ / 2;
    const bool worse = p.disk > disk_ || (!sync_stalled_ && p.sync_us > kSlowSyncUs);
    if ((more_space || faster) && !worse && (best == nullptr || p.match > best->match)) best = &p;
  }
  return best != nullptr ? best->id : MemberId(0);
}

void CoreImpl::On(MoveLeadership) {
  const bool in_need = disk_ != DiskLevel::kOk || sync_stalled_;
  if (role_ != Role::kLeader || !in_need || transferee_) return;
  if (MemberId target = BetterVoter()) {
    StartTransfer(target, sync_stalled_ ? "the own disk stalls" : "the own disk is nearly full");
  }
}

void CoreImpl::StartTransfer(MemberId target, std::string_view why) {
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
  AddEvent(EventKind::kTransferStarted, target, std::string(why));
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
