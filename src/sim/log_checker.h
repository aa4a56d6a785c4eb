// LogChecker: what must hold between the logs of all nodes (docs/design/raft.md 7.3).
//
//   I3 a leader never rewrites its own log
//   I4 log matching: equal (index, term) on two nodes means equal prefixes
//   I5 leader completeness: a new leader has every entry committed in earlier terms
//   I6 state machine safety: what is committed at an index is one entry, for ever, everywhere
//   commit rule: a leader counts replicas only for entries of its own term (Raft paper 5.4.2)
//
// Each log is shadowed as a chain of hashes, hash(i) = mix(hash(i-1), term, kind, checksum), so
// that one number stands for a prefix and each check costs O(1) per entry. Nodes are numbered from
// 0. One thread; call in the order in which things happen.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "raft/types.h"
#include "sim/verdict.h"

namespace arima::sim {

class LogChecker {
 public:
  explicit LogChecker(Verdict* verdict);

  // The cluster starts with everything up to `start` committed.
  void Bootstrap(raft::EntryId start);
  // A node's log after (re)start, as recovered: positions only, contents are known from before.
  void OnStart(size_t node, raft::EntryId snapshot, std::span<const raft::Entry> entries);
  // The log is now empty behind `snapshot`, or entries up to it are dropped if it is inside.
  void OnReset(size_t node, raft::EntryId snapshot);
  void OnCompact(size_t node, raft::Index index);
  // New entries in memory; the first may overwrite a suffix. `leading`: the node has been leader of
  // one term since before they came.
  void OnAppend(size_t node, std::span<const raft::Entry> entries, bool leading);
  // The node knows that everything up to `commit` is committed; `term` is its current one, which
  // it leads if `leading`.
  void OnCommit(size_t node, raft::Index commit, raft::Term term, bool leading);
  void OnLeader(size_t node, raft::Term term);
  // An entry is handed to a state machine.
  void OnApply(size_t node, const raft::Entry& entry);

  raft::Index committed() const {
    return raft::Index(committed_base_.value + committed_.size() - 1);
  }
  // Hash of the committed prefix; changes iff what is committed changes.
  uint64_t committed_hash() const { return committed_.back().hash; }
  // The last index that leaders of terms before `term` have committed.
  raft::Index CommittedBefore(raft::Term term) const;
  raft::Index Last(size_t node) const { return nodes_[node].last(); }
  // Term of a retained position of a node's log in memory.
  std::optional<raft::Term> TermAt(size_t node, raft::Index index) const;

 private:
  struct Link {
    raft::Term term;
    uint64_t hash = 0;
  };
  struct NodeLog {
    raft::Index base;         // position of links.front(): the snapshot point
    std::vector<Link> links;  // base and everything behind it
    raft::Index last() const { return base + (links.size() - 1); }
    bool Has(raft::Index i) const { return !links.empty() && i >= base && i <= last(); }
    const Link& At(raft::Index i) const { return links[i - base]; }
  };
  // All (term, hash) that ever stood at one index; nearly always one.
  struct Known {
    Link link;
    int32_t next = -1;
  };
  struct TermCommit {
    raft::Term term;
    raft::Index index;
  };

  NodeLog& Node(size_t node);
  // Remembers or compares; returns what is known for (term, index).
  const Link* Find(raft::Index index, raft::Term term) const;
  void Note(size_t node, raft::Index index, Link link);
  const Link* Committed(raft::Index index) const;
  void Extend(const NodeLog& log, raft::Index commit, raft::Term term);

  Verdict* const verdict_;
  std::vector<NodeLog> nodes_;
  std::vector<Known> known_;  // by index, then chained through more_
  std::vector<Known> more_;
  raft::Index committed_base_;
  std::vector<Link> committed_;              // from committed_base_ on
  std::vector<TermCommit> commits_by_term_;  // ascending in both
};

}  // namespace arima::sim
