// ElectionChecker: terms, votes and leaders (docs/design/raft.md 7.3).
//
//   I1 at most one leader per term, and one process life of it (appendix A9)
//   I2 a node's term never goes back, over restarts not below what it has published; one vote per
//      term, over restarts; a term begins with a candidate that votes for itself in it, and who
//      votes for another votes for a candidate of that term
//   I17 who knows that it was removed gives no vote any more (members of a wiped disk: their ids
//   are
//      not seen again, ClusterChecker)
//
// One thread; call in the order in which things happen.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>

#include "raft/types.h"
#include "sim/verdict.h"

namespace arima::sim {

class ElectionChecker {
 public:
  explicit ElectionChecker(Verdict* verdict) : verdict_(verdict) {}

  void OnStart(raft::MemberId node, raft::Term recovered);
  void OnTerm(raft::MemberId node, raft::Term term);
  // The node has decided on it; its write is still to come. `conf` was active before.
  void OnHardState(raft::MemberId node, const raft::HardState& state, const raft::ConfState& conf);
  // It asks for votes; of this term no disk may ever hear, if it learns of a later one meanwhile.
  void OnVoteRequest(raft::MemberId node, raft::Term term) { candidates_[term].insert(node); }
  // `life` counts the node's process lives.
  void OnLeader(raft::MemberId node, uint32_t life, raft::Term term);
  // A granted vote has left the node (or reached itself).
  void OnVote(raft::MemberId voter, raft::Term term, raft::MemberId candidate);

  uint64_t leaders() const { return leaders_.size(); }

 private:
  struct Leader {
    raft::MemberId node;
    uint32_t life = 0;
  };
  struct Node {
    raft::Term term;       // of the running life
    raft::Term published;  // highest term in which it voted; must survive
    std::set<raft::Term> voted;
  };
  struct Vote {
    raft::MemberId voter;
    raft::Term term;
    bool operator==(const Vote&) const = default;
  };
  struct VoteHash {
    size_t operator()(const Vote& v) const {
      return static_cast<size_t>(v.voter.value * 0x9E3779B97F4A7C15u + v.term.value);
    }
  };

  Verdict* const verdict_;
  std::map<raft::Term, std::set<raft::MemberId>> candidates_;
  std::map<raft::Term, Leader> leaders_;
  std::map<raft::MemberId, Node> nodes_;
  std::unordered_map<Vote, raft::MemberId, VoteHash> votes_;
};

}  // namespace arima::sim
