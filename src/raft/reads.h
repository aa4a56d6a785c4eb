// Linearizable reads without log entries: ReadIndex by rounds (Raft thesis 6.4).
//
// ReadRounds (leader): a read that arrives is worth the commit index of that moment as soon as a
// quorum has echoed a round that was started after it arrived. Rounds are numbered within a term,
// and a node leads a term at most once, so (term, round) is never ambiguous: an echo can only
// confirm what it was sent for. Any number of reads share one round, and rounds overlap.
//
// ForwardedReads (follower): reads that wait for the leader's answer. All reads of one batch share
// one request; a request's id is never used again.
//
// Owner: Core, core thread.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "raft/message.h"
#include "raft/types.h"

namespace arima::raft {

// Who waits: an own request (origin 0, `tag`) or another node's (`id`).
struct WaitingRead {
  MemberId origin;
  ReadId id;
  uint64_t tag = 0;
  Index index;  // answer, once confirmed
  uint64_t need_round = 0;
};

class ReadRounds {
 public:
  struct Round {
    uint64_t round = 0;
    uint64_t start_ns = 0;
    Index commit;
    bool valid = false;  // the commit index was known to be current: an entry of the term was in it
  };

  // A new term as leader.
  void Clear();

  uint64_t round() const { return round_; }
  size_t size() const { return early_.size() + waiting_.size(); }
  // A read waits for a round that has not been started.
  bool wanted() const { return !waiting_.empty() && waiting_.back().need_round > round_; }

  // Before an entry of the term is committed there is no read index (etcd-io/etcd#7331).
  void AddEarly(WaitingRead read) { early_.push_back(read); }
  void Add(WaitingRead read, Index commit);
  // The first entry of the term is committed.
  void ReleaseEarly(Index commit);

  // The next round is about to be sent; returns its number.
  uint64_t Start(uint64_t now_ns, Index commit, bool valid);
  // A quorum has echoed `round`: reads that are answered now, in the order of their arrival.
  std::vector<WaitingRead> Confirm(uint64_t round);
  // All reads, unanswered.
  std::vector<WaitingRead> TakeAll();

  // Start of the newest confirmed round and what was committed then; 0 = none yet.
  uint64_t confirmed_ns() const { return confirmed_ns_; }
  Index confirmed_commit() const { return confirmed_commit_; }

  const std::deque<WaitingRead>& early() const { return early_; }
  const std::deque<WaitingRead>& waiting() const { return waiting_; }
  const std::deque<Round>& rounds() const { return rounds_; }

 private:
  uint64_t round_ = 0;
  std::deque<WaitingRead> early_;
  std::deque<WaitingRead> waiting_;  // need_round never decreases
  std::deque<Round> rounds_;         // started, not confirmed
  uint64_t confirmed_ns_ = 0;
  Index confirmed_commit_;
};

class ForwardedReads {
 public:
  struct Batch {
    uint64_t counter = 0;
    MemberId leader;
    uint64_t sent_tick = 0;
    std::vector<uint64_t> tags;  // empty = answered
  };

  void Add(uint64_t tag) { unsent_.push_back(tag); }
  size_t size() const { return unsent_.size() + sent_count_; }
  bool has_unsent() const { return !unsent_.empty(); }

  std::vector<uint64_t> TakeUnsent();
  // What is unsent goes to `leader` now; returns the counter that names the request.
  uint64_t Send(MemberId leader, uint64_t tick);
  // The tags of that request, or nothing if it is not waited for (any more).
  std::vector<uint64_t> Answer(uint64_t counter, MemberId leader);
  // Requests sent before `tick`: lost, or the leader cannot answer.
  std::vector<uint64_t> Expire(uint64_t tick);
  // Everything that was sent.
  std::vector<uint64_t> TakeSent();

  uint64_t next_counter() const { return next_counter_; }
  const std::vector<uint64_t>& unsent() const { return unsent_; }
  const std::deque<Batch>& sent() const { return sent_; }

 private:
  uint64_t next_counter_ = 1;
  std::vector<uint64_t> unsent_;
  std::deque<Batch> sent_;  // ascending counters
  size_t sent_count_ = 0;   // tags in sent_
};

}  // namespace arima::raft
