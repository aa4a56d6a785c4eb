// Linearizable reads (Raft thesis 6.4; docs/design/raft.md 1.11 and A5). reads.h keeps the books.

#include <string>
#include <utility>

#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {

void CoreImpl::On(Read in) {
  if (disabled_ != Disabled::kNone) {
    AnswerTags({in.tag}, RejectReason::kDisabled, Index(0));
  } else if (role_ == Role::kLeader) {
    AddRead({MemberId(0), {}, in.tag, Index(0), 0});
  } else if (!leader_) {
    AnswerTags({in.tag}, RejectReason::kNoLeader, Index(0));
  } else if (forwarded_reads_.size() >= config_.max_pending_reads) {
    AnswerTags({in.tag}, RejectReason::kQueueFull, Index(0));
  } else {
    forwarded_reads_.Add(in.tag);
  }
}

void CoreImpl::AddRead(WaitingRead read) {
  if (!IsVoter(config_.id)) return AnswerRead(read, RejectReason::kNotMember);
  if (rounds_.size() >= config_.max_pending_reads) {
    return AnswerRead(read, RejectReason::kQueueFull);
  }
  if (OwnTermCommitted() || ARIMA_MUTANT(14)) {
    rounds_.Add(read, log_.commit());
  } else {
    rounds_.AddEarly(read);
  }
}

void CoreImpl::AnswerRead(const WaitingRead& read, RejectReason reason) {
  Index index = reason == RejectReason::kNone ? read.index : Index(0);
  if (!read.origin) {
    out_.reads.push_back({read.tag, reason, index});
    return;
  }
  Message m = Make(MessageType::kReadIndexResp, read.origin);
  m.term = Term(0);
  m.read_id = read.id;
  m.index = index;
  m.reject = reason != RejectReason::kNone;
  m.reason = reason;
  Send(std::move(m));
}

void CoreImpl::AnswerTags(const std::vector<uint64_t>& tags, RejectReason reason, Index index) {
  for (uint64_t tag : tags) out_.reads.push_back({tag, reason, index});
}

// One request for all reads of the batch; the leader may have changed since they came in.
void CoreImpl::FlushReads() {
  if (!forwarded_reads_.has_unsent()) return;
  if (disabled_ != Disabled::kNone) {
    AnswerTags(forwarded_reads_.TakeUnsent(), RejectReason::kDisabled, Index(0));
  } else if (role_ == Role::kLeader) {
    for (uint64_t tag : forwarded_reads_.TakeUnsent()) {
      AddRead({MemberId(0), {}, tag, Index(0), 0});
    }
    ConfirmRounds();
  } else if (!leader_) {
    AnswerTags(forwarded_reads_.TakeUnsent(), RejectReason::kNoLeader, Index(0));
  } else {
    uint64_t counter = forwarded_reads_.Send(leader_, ticks_);
    Message m = Make(MessageType::kReadIndex, leader_);
    m.term = Term(0);
    m.read_id = {config_.id, config_.life, counter};
    Send(std::move(m));
  }
}

void CoreImpl::ConfirmRounds() {
  if (rounds_.waiting().empty() && rounds_.rounds().empty()) return;
  uint64_t round = QuorumValue([this](MemberId id) {
    if (id == config_.id) return UINT64_MAX;
    const Progress* p = FindPeer(id);
    return p != nullptr ? p->acked_round : uint64_t{0};
  });
  for (const WaitingRead& read : rounds_.Confirm(round)) AnswerRead(read, RejectReason::kNone);
}

void CoreImpl::OnReadIndex(const Message& m) {
  if (m.read_id.origin != m.from || !conf_->members.contains(m.from)) return;
  WaitingRead read{m.from, m.read_id, 0, Index(0), 0};
  if (disabled_ != Disabled::kNone) return AnswerRead(read, RejectReason::kDisabled);
  if (role_ != Role::kLeader) return AnswerRead(read, RejectReason::kTermChanged);
  AddRead(read);
}

void CoreImpl::OnReadIndexResp(const Message& m) {
  const bool own_life = m.read_id.life == config_.life || ARIMA_MUTANT(62);
  if (m.read_id.origin != config_.id || !own_life) return;
  bool refused = m.reject || m.reason != RejectReason::kNone;
  if (refused && m.reason == RejectReason::kNone) return;
  AnswerTags(forwarded_reads_.Answer(m.read_id.counter, m.from), m.reason,
             refused ? Index(0) : m.index);
}

}  // namespace arima::raft
