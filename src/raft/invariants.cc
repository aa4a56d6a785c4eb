// Whole-state checks: docs/design/raft.md 1.2 and what the parts owe each other. Run after each
// Step where ARIMA_CHECK_INVARIANTS is on; each names the belief that broke and its values.

#include <algorithm>
#include <sstream>
#include <string>

#include "raft/core_impl.h"

namespace arima::raft {
namespace {

// Collects the first belief that does not hold.
class Checker {
 public:
  template <class... Values>
  void Hold(bool condition, std::string_view what, const Values&... values) {
    if (condition || !failure_.empty()) return;
    std::ostringstream out;
    out << what;
    ((out << ' ' << values), ...);
    failure_ = out.str();
  }
  Status Result() const {
    if (failure_.empty()) return {};
    return Fail(Code::kInternal, "invariant: " + failure_);
  }

 private:
  std::string failure_;
};

void CheckLog(Checker& c, const LogView& log) {
  Index bound = std::min(log.commit(), log.stable());
  c.Hold(log.snapshot().index <= log.applied(), "snapshot <= applied", log.snapshot().index,
         log.applied());
  c.Hold(log.applied() <= log.applying(), "applied <= applying", log.applied(), log.applying());
  c.Hold(log.applying() <= bound, "applying <= min(commit, stable)", log.applying(), log.commit(),
         log.stable());
  c.Hold(log.commit() <= log.last(), "commit <= last", log.commit(), log.last());
  c.Hold(log.stable() <= log.last(), "stable <= last", log.stable(), log.last());
  c.Hold(log.cache().next() == log.last() + 1, "cache ends at last", log.cache().next(),
         log.last());
  c.Hold(log.cache().first() <= log.stable() + 1, "cache holds what is not durable",
         log.cache().first(), log.stable());
  c.Hold(log.cache().first() >= log.first(), "cache above snapshot", log.cache().first(),
         log.first());
  c.Hold(log.next_write() > log.stable(), "unwritten above stable", log.next_write(), log.stable());
  uint64_t seq = 0;
  for (const InflightWrite& write : log.writes()) {
    c.Hold(write.seq > seq && write.seq <= log.last_seq(), "writes in order", write.seq);
    c.Hold(write.clipped_last < log.next_write(), "writes clipped", write.seq, write.clipped_last,
           log.next_write());
    seq = write.seq;
  }
}

void CheckPeer(Checker& c, const Progress& p, const LogView& log) {
  c.Hold(p.match < p.next, "match < next of", p.id, p.match, p.next);
  c.Hold(p.match <= log.last(), "match <= last of", p.id, p.match, log.last());
  c.Hold(p.next <= log.last() + 1, "next <= last + 1 of", p.id, p.next, log.last());
  c.Hold(p.state == ProgressState::kReplicate || p.inflights.count() == 0,
         "only replication has a window:", p.id);
  c.Hold(p.state == ProgressState::kSnapshot || !p.pending_snapshot,
         "pending snapshot only in that state:", p.id);
  c.Hold(!p.damaged || !p.match, "a damaged log counts for nothing:", p.id);
  for (uint32_t i = 0; i < p.inflights.count(); ++i) {
    c.Hold(p.inflights.At(i).last < p.next && p.inflights.At(i).last > p.match,
           "window within (match, next) of", p.id, p.inflights.At(i).last, p.match, p.next);
  }
}

}  // namespace

arima::Status CoreImpl::CheckInvariants() const {
  Checker c;
  CheckLog(c, log_);
  c.Hold(term_ >= log_.last_term(), "term >= last term", term_, log_.last_term());
  c.Hold(written_.term <= term_, "written term", written_.term, term_);
  c.Hold(term_ > written_.term || !written_.vote || written_.vote == vote_, "one vote a term",
         term_, written_.vote, vote_);
  c.Hold(CheckConfState(*conf_).has_value(), "configuration is well formed");
  c.Hold(pending_confs_.empty() || pending_confs_.begin()->first > log_.commit(),
         "committed configurations are active");
  c.Hold(pending_confs_.empty() || pending_confs_.rbegin()->first <= log_.last(),
         "pending configurations are in the log");
  c.Hold(unapplied_confs_.empty() || unapplied_confs_.begin()->first > log_.applying(),
         "kept configurations are not applied");
  c.Hold(!installing_ || needs_snapshot_ || installing_->index > log_.commit(),
         "snapshot above commit");
  c.Hold(votes_.empty() || role_ == Role::kCandidate || role_ == Role::kPreCandidate,
         "votes are for candidates");
  c.Hold(disabled_ == Disabled::kNone || role_ == Role::kFollower, "disabled nodes follow");
  if (role_ == Role::kCandidate || role_ == Role::kPreCandidate) {
    c.Hold(!leader_, "a candidate has no leader", leader_);
  }
  if (role_ != Role::kLeader) {
    c.Hold(peers_.empty(), "only a leader has peers");
    c.Hold(!transferee_, "only a leader hands over");
    c.Hold(rounds_.size() == 0, "only a leader confirms reads");
    return c.Result();
  }
  c.Hold(leader_ == config_.id && vote_ == config_.id, "a leader leads itself", leader_, vote_);
  MemberId previous;
  for (const Progress& p : peers_) {
    c.Hold(p.id > previous && p.id != config_.id, "peers ascend, without this node", p.id);
    c.Hold(p.leaving_at || conf_->members.contains(p.id), "peers are members", p.id);
    c.Hold(p.leaving_at || p.learner == !IsVoter(p.id), "learners do not vote", p.id);
    CheckPeer(c, p, log_);
    previous = p.id;
  }
  for (const auto& [id, info] : conf_->members) {
    c.Hold(id == config_.id || FindPeer(id) != nullptr, "every member has progress", id);
  }
  c.Hold(!transferee_ || IsVoter(transferee_), "the transfer target votes", transferee_);
  return c.Result();
}

}  // namespace arima::raft
