// Proposals: taken by the leader, forwarded by a follower, refused with a reason by everybody else
// (docs/design/raft.md 1.14).
//
// A refusal means "was not appended anywhere". A proposal that was sent to another node and not
// answered is neither refused nor accepted: its fate is unknown, and the driver's deadline says so.

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

// Ranges of ids kept per origin; neighbours merge, so only gaps cost anything.
constexpr size_t kSeenRangesMax = 64;

}  // namespace

void CoreImpl::Reject(uint64_t tag, RejectReason reason, std::string text) {
  out_.rejected.push_back({tag, reason, std::move(text), leader_});
}

// The leader's own disk, and those of a majority, or what it appends could not be committed. A
// voter that is not there takes nothing, whatever it said last: the others would have to take all.
bool CoreImpl::DisksTake(bool from_reserve) const {
  if (disk_ > (from_reserve ? DiskLevel::kLow : DiskLevel::kOk) && !ARIMA_MUTANT(67)) return false;
  const DiskLevel peers_max = from_reserve ? DiskLevel::kStuck : DiskLevel::kOk;
  auto takes = [&](const Progress& p) { return p.disk <= peers_max; };
  if (std::ranges::all_of(peers_, takes)) return true;
  // It has had no time yet to answer this leader.
  auto is_new = [&](const Progress& p) {
    return !p.contacted && now_ns_ - p.catch_up_start_ns <= election_ns_;
  };
  return IsQuorum([&](MemberId id) {
    const Progress* p = FindPeer(id);
    return p == nullptr || (takes(*p) && (IsLive(*p) || is_new(*p)));
  });
}

RejectReason CoreImpl::WhyNotPropose(uint64_t bytes, bool from_reserve) const {
  if (disabled_ != Disabled::kNone) return RejectReason::kDisabled;
  if (role_ != Role::kLeader) return RejectReason::kNoLeader;
  if (transferee_) return RejectReason::kTransferring;
  if (!IsVoter(config_.id)) return RejectReason::kNotMember;
  if (!DisksTake(from_reserve)) return RejectReason::kDiskLow;
  if (log_.unapplied_bytes() > kApplyLagBytesMax) return RejectReason::kApplyLag;
  // One proposal of any size is let into an empty tail, or it could never be.
  uint64_t uncommitted = log_.uncommitted_bytes();
  if (bytes > 0 && uncommitted > 0 && uncommitted + bytes > config_.max_uncommitted_bytes) {
    return RejectReason::kUncommittedFull;
  }
  return RejectReason::kNone;
}

RejectReason CoreImpl::TryAppend(EntryKind kind, uint32_t checksum, SharedBytes&& payload,
                                 bool from_reserve) {
  if (kind != EntryKind::kCommand && kind != EntryKind::kClockTick) {
    return RejectReason::kConfInvalid;
  }
  RejectReason reason = WhyNotPropose(payload.size(), from_reserve);
  if (reason == RejectReason::kNone) {
    AppendToLog(MakeEntry(kind, checksum, std::move(payload)));
  }
  return reason;
}

void CoreImpl::ProposeLocal(Proposal&& proposal) {
  RejectReason reason = TryAppend(proposal.kind, proposal.checksum, std::move(proposal.payload),
                                  proposal.from_reserve);
  if (reason == RejectReason::kNone) {
    out_.accepted.push_back({proposal.tag, log_.last(), term_});
  } else {
    Reject(proposal.tag, reason);
  }
}

void CoreImpl::On(Propose&& in) {
  bool forward = disabled_ == Disabled::kNone && role_ != Role::kLeader && leader_ &&
                 config_.forward_proposals;
  for (Proposal& proposal : in.proposals) {
    if (!forward) {
      ProposeLocal(std::move(proposal));
    } else if (proposal.kind != EntryKind::kCommand && proposal.kind != EntryKind::kClockTick) {
      Reject(proposal.tag, RejectReason::kConfInvalid);
    } else if (forwarded_.size() + unsent_proposals_.size() >= kForwardedMax) {
      Reject(proposal.tag, RejectReason::kQueueFull);
    } else {
      unsent_proposals_.push_back(std::move(proposal));
    }
  }
}

// The leader may have changed since the proposals came in; none of them has left this node.
void CoreImpl::FlushForwards() {
  if (unsent_proposals_.empty()) return;
  std::vector<Proposal> proposals = std::exchange(unsent_proposals_, {});
  bool forward = disabled_ == Disabled::kNone && role_ != Role::kLeader && leader_;
  Message m;
  uint64_t bytes = 0;
  auto flush = [&] {
    if (!m.proposals.empty()) Send(std::move(m));
    m = Make(MessageType::kPropose, leader_);  // to the leader of this term
    bytes = 0;
  };
  if (forward) flush();
  for (Proposal& proposal : proposals) {
    if (!forward) {
      ProposeLocal(std::move(proposal));
      continue;
    }
    uint64_t size = proposal.payload.size() + kEntryOverheadBytes;
    if (!m.proposals.empty() && bytes + size > config_.max_msg_bytes) flush();
    bytes += size;
    uint64_t id = next_forward_id_++;
    forwarded_.push_back({id, proposal.tag, leader_, ticks_});
    m.proposals.push_back({id, proposal.kind, proposal.checksum, std::move(proposal.payload)});
  }
  if (forward) Send(std::move(m));
}

// True if the message, or a part of it, has been here before.
bool CoreImpl::SeenBefore(const Message& m) {
  auto& ranges = seen_forwards_[m.from];
  for (const ForwardedProposal& p : m.proposals) {
    for (const auto& [first, end] : ranges) {
      if (p.id >= first && p.id < end) return true;
    }
  }
  for (const ForwardedProposal& p : m.proposals) {
    auto before = std::find_if(ranges.begin(), ranges.end(),
                               [&](const auto& range) { return range.second == p.id; });
    if (before != ranges.end()) {
      ++before->second;
      continue;
    }
    if (ranges.size() >= kSeenRangesMax) ranges.pop_front();
    ranges.emplace_back(p.id, p.id + 1);
  }
  return false;
}

void CoreImpl::OnProposeMessage(Message&& m) {
  if (!conf_->members.contains(m.from) || m.proposals.empty()) return;
  // It was sent to the leader of its term. If that was an earlier life of this node, a copy of it
  // may stand in the log: to take it would write twice, to refuse it would be a guess. Releases
  // that name no term: as long as a copy may be under way.
  const bool young = role_ != Role::kLeader && now_ns_ - start_ns_ < election_ns_;
  const bool to_earlier_life = m.term ? m.term <= start_term_ : young;
  if (to_earlier_life && !ARIMA_MUTANT(56)) return;
  // Taking a doubled message would write twice; refusing it would deny what was appended.
  if (SeenBefore(m) && !ARIMA_MUTANT(55)) return;
  Message answer = Make(MessageType::kProposeResp, m.from);
  answer.term = Term(0);
  ARIMA_ASSERT(m.from != config_.id);
  answer.results.reserve(m.proposals.size());
  for (ForwardedProposal& p : m.proposals) {
    RejectReason reason = TryAppend(p.kind, p.checksum, std::move(p.payload), p.from_reserve);
    bool ok = reason == RejectReason::kNone;
    answer.results.push_back({p.id, reason, ok ? log_.last() : Index(0), ok ? term_ : Term(0)});
  }
  Send(std::move(answer));
}

void CoreImpl::OnProposeResp(const Message& m) {
  for (const ForwardedResult& result : m.results) {
    auto sent = std::lower_bound(forwarded_.begin(), forwarded_.end(), result.id,
                                 [](const Forwarded& f, uint64_t id) { return f.id < id; });
    if (sent == forwarded_.end() || sent->id != result.id || sent->leader != m.from) continue;
    if (result.reason == RejectReason::kNone) {
      out_.accepted.push_back({sent->tag, result.index, result.term});
    } else {
      Reject(sent->tag, result.reason);
    }
    forwarded_.erase(sent);
  }
}

}  // namespace arima::raft
