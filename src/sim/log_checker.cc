#include "sim/log_checker.h"

#include <algorithm>
#include <string>

#include "base/assert.h"
#include "sim/mix.h"

namespace arima::sim {

using raft::Entry;
using raft::EntryId;
using raft::Index;
using raft::Term;

namespace {

std::string Place(size_t node, Term term, Index index) {
  return "node " + std::to_string(node + 1) + " at " + std::to_string(term.value) + "/" +
         std::to_string(index.value);
}

uint64_t Next(uint64_t hash, const Entry& entry) {
  hash = Mix(hash, entry.term.value);
  return Mix(hash, (static_cast<uint64_t>(entry.kind) << 32) | entry.checksum);
}

}  // namespace

LogChecker::LogChecker(Verdict* verdict) : verdict_(verdict) {}

void LogChecker::Bootstrap(EntryId start) {
  committed_base_ = start.index;
  committed_ = {Link{start.term, Mix(start.index.value, start.term.value)}};
  Note(0, start.index, committed_.front());
}

LogChecker::NodeLog& LogChecker::Node(size_t node) {
  if (node >= nodes_.size()) nodes_.resize(node + 1);
  return nodes_[node];
}

const LogChecker::Link* LogChecker::Find(Index index, Term term) const {
  if (index.value >= known_.size()) return nullptr;
  const Known* known = &known_[index.value];
  if (known->link.hash == 0) return nullptr;
  while (known->link.term != term) {
    if (known->next < 0) return nullptr;
    known = &more_[static_cast<size_t>(known->next)];
  }
  return &known->link;
}

void LogChecker::Note(size_t node, Index index, Link link) {
  if (const Link* known = Find(index, link.term)) {
    if (known->hash != link.hash) {
      verdict_->Fail("I4 log matching", Place(node, link.term, index) +
                                            " has another prefix than an earlier log with the same "
                                            "position");
    }
    return;
  }
  if (index.value >= known_.size()) known_.resize(index.value + 64);
  Known& head = known_[index.value];
  if (head.link.hash == 0) {
    head.link = link;
    return;
  }
  more_.push_back(Known{link, head.next});
  head.next = static_cast<int32_t>(more_.size() - 1);
}

const LogChecker::Link* LogChecker::Committed(Index index) const {
  if (index < committed_base_ || index > committed()) return nullptr;
  return &committed_[index - committed_base_];
}

void LogChecker::OnStart(size_t node, EntryId snapshot, std::span<const Entry> entries) {
  NodeLog& log = Node(node);
  log.base = snapshot.index;
  log.links.clear();
  if (snapshot.index == Index(0)) {
    log.links.push_back(Link{});  // a node that has nothing at all
  } else if (const Link* known = Find(snapshot.index, snapshot.term)) {
    log.links.push_back(*known);
  } else {
    verdict_->Fail("I4 log matching", Place(node, snapshot.term, snapshot.index) +
                                          " starts from a position that no log ever had");
    log.links.push_back(Link{snapshot.term, 1});
  }
  for (const Entry& entry : entries) {
    Link link{entry.term, Next(log.links.back().hash, entry)};
    Note(node, entry.index, link);
    log.links.push_back(link);
  }
}

void LogChecker::OnReset(size_t node, EntryId snapshot) {
  const Link* committed = Committed(snapshot.index);
  if (committed == nullptr || committed->term != snapshot.term) {
    verdict_->Fail("I6 state machine safety",
                   Place(node, snapshot.term, snapshot.index) + " installed what is not committed");
    return;
  }
  NodeLog& log = Node(node);
  log.base = snapshot.index;
  log.links = {*committed};
}

void LogChecker::OnCompact(size_t node, Index index) {
  NodeLog& log = Node(node);
  if (!log.Has(index)) return;
  log.links.erase(log.links.begin(),
                  log.links.begin() + static_cast<std::ptrdiff_t>(index - log.base));
  log.base = index;
}

void LogChecker::OnAppend(size_t node, std::span<const Entry> entries, bool leading) {
  NodeLog& log = Node(node);
  for (const Entry& entry : entries) {
    if (entry.index <= log.base || entry.index > log.last() + 1) {
      verdict_->Fail("I4 log matching", Place(node, entry.term, entry.index) + " leaves a gap");
      return;
    }
    if (entry.index <= log.last()) {
      if (leading) {
        verdict_->Fail("I3 leader append-only",
                       Place(node, entry.term, entry.index) + " rewritten by its leader");
      }
      log.links.resize(entry.index - log.base);
    }
    if (entry.term < log.links.back().term) {
      verdict_->Fail("I4 log matching",
                     Place(node, entry.term, entry.index) + " goes back in term");
    }
    Link link{entry.term, Next(log.links.back().hash, entry)};
    Note(node, entry.index, link);
    log.links.push_back(link);
  }
}

void LogChecker::OnCommit(size_t node, Index commit, Term term, bool leading) {
  const NodeLog& log = Node(node);
  if (!log.Has(commit)) {
    verdict_->Fail("I6 state machine safety",
                   Place(node, term, commit) + " commits what is not in its log");
    return;
  }
  if (leading && log.At(commit).term != term) {
    verdict_->Fail("commit rule", Place(node, log.At(commit).term, commit) +
                                      " commits an entry of an older term by counting in term " +
                                      std::to_string(term.value));
  }
  const Index shared = std::min(commit, committed());
  const Link* known = Committed(shared);
  if (known != nullptr && log.Has(shared) && known->hash != log.At(shared).hash) {
    verdict_->Fail("I6 state machine safety",
                   Place(node, term, shared) + " differs from what was committed there");
    return;
  }
  if (commit > committed()) Extend(log, commit, term);
}

void LogChecker::Extend(const NodeLog& log, Index commit, Term term) {
  ARIMA_ASSERT(log.Has(committed()), committed(), log.base);
  for (Index i = committed() + 1; i <= commit; ++i) committed_.push_back(log.At(i));
  if (commits_by_term_.empty() || commits_by_term_.back().term < term) {
    commits_by_term_.push_back({term, commit});
    return;
  }
  // An older leader that is late may still find out about its own commits.
  for (TermCommit& c : commits_by_term_) {
    if (c.term >= term) c.index = std::max(c.index, commit);
  }
}

Index LogChecker::CommittedBefore(Term term) const {
  auto after = std::lower_bound(commits_by_term_.begin(), commits_by_term_.end(), term,
                                [](const TermCommit& c, Term t) { return c.term < t; });
  return after == commits_by_term_.begin() ? committed_base_ : std::prev(after)->index;
}

void LogChecker::OnLeader(size_t node, Term term) {
  const Index must = CommittedBefore(term);
  const NodeLog& log = Node(node);
  const Link* committed = Committed(must);
  ARIMA_ASSERT(committed != nullptr, must);
  if (log.base >= must) return;  // a snapshot point is committed, and covers it
  if (!log.Has(must) || log.At(must).hash != committed->hash) {
    verdict_->Fail("I5 leader completeness",
                   Place(node, term, must) + " leads without an entry committed before its term");
  }
}

void LogChecker::OnApply(size_t node, const Entry& entry) {
  const Link* committed = Committed(entry.index);
  const Link* before = Committed(entry.index - 1);
  if (committed == nullptr || before == nullptr || Next(before->hash, entry) != committed->hash) {
    verdict_->Fail("I6 state machine safety",
                   Place(node, entry.term, entry.index) + " applies what is not committed there");
  }
}

std::optional<Term> LogChecker::TermAt(size_t node, Index index) const {
  if (node >= nodes_.size() || !nodes_[node].Has(index)) return std::nullopt;
  return nodes_[node].At(index).term;
}

}  // namespace arima::sim
