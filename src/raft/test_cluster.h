// A handful of cores in one process for unit tests: perfect disks that sync at once (unless held),
// a network that is a queue (unless filtered), a clock that only Tick moves.
//
//   TestCluster c({1, 2, 3});
//   c.Campaign(1);
//   c.Propose(1, "a");
//   EXPECT_EQ(c[2].applied.back().entry.payload.view(), "a");
//
// Single-threaded. A broken expectation of the helper itself is an ARIMA_ASSERT.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "raft/conf_payload.h"
#include "raft/core.h"

namespace arima::raft {

inline Entry TestEntry(uint64_t term, uint64_t index, std::string_view data = "",
                       EntryKind kind = EntryKind::kCommand) {
  return {Term(term), Index(index), kind, EntryChecksum(kind, data), SharedBytes::Copy(data)};
}

inline ConfState TestConf(const std::vector<uint64_t>& voters,
                          const std::vector<uint64_t>& learners = {}, uint64_t index = 1) {
  ConfState conf;
  uint64_t max = 0;
  auto add = [&](uint64_t id) {
    MemberInfo info;
    info.id = MemberId(id);
    info.name = "n" + std::to_string(id);
    conf.members.emplace(info.id, info);
    max = std::max(max, id);
  };
  for (uint64_t id : voters) {
    conf.voters.push_back(MemberId(id));
    add(id);
  }
  for (uint64_t id : learners) {
    conf.learners.push_back(MemberId(id));
    add(id);
  }
  conf.next_member_id = MemberId(max + 1);
  conf.index = Index(index);
  return conf;
}

// Messages as from nobody yet.
inline Message App(uint64_t prev, uint64_t prev_term, std::vector<Entry> entries = {},
                   uint64_t commit = 0) {
  Message m;
  m.type = MessageType::kApp;
  m.index = Index(prev);
  m.log_term = Term(prev_term);
  m.entries = std::move(entries);
  m.commit = Index(commit);
  return m;
}

inline Message Ack(uint64_t index) {
  Message m;
  m.type = MessageType::kAppResp;
  m.index = Index(index);
  return m;
}

inline Message VoteRequest(MessageType type, uint64_t last, uint64_t last_term) {
  Message m;
  m.type = type;
  m.last_index = Index(last);
  m.last_term = Term(last_term);
  return m;
}

struct TestNode {
  Config config;
  std::unique_ptr<Core> core;
  // The disk.
  HardState hard_state;
  EntryId snapshot{kFirstSnapshotTerm, kFirstSnapshotIndex};
  std::map<Index, Entry> log;
  ConfState conf;  // at `applied`
  Index durable_applied;
  bool needs_snapshot = false;  // the state machine is lost
  // What is under way.
  std::deque<Write> writes;
  bool hold_writes = false;  // CompleteWrite() one by one
  bool hold_applies = false;
  LoadStatus load_status = LoadStatus::kOk;  // of loads for peers
  LoadStatus own_load_status = LoadStatus::kOk;
  // What has been seen, oldest first.
  std::vector<ApplyItem> applied;
  std::vector<ProposalAccepted> accepted;
  std::vector<ProposalRejected> rejected;
  std::vector<ReadResult> reads;
  std::vector<Event> events;
  std::vector<SnapshotRequest> snapshot_requests;
  std::vector<LoadEntries> loads;
  std::vector<SnapshotMeta> installs;
  size_t writes_synced = 0;

  CoreStatus status() const { return core->Status(); }
  Role role() const { return core->Status().soft.role; }
  bool leads() const { return role() == Role::kLeader; }
  uint64_t term() const { return core->Status().hard_state.term.value; }
  uint64_t last() const { return core->Status().last.value; }
  uint64_t commit() const { return core->Status().hard_state.commit.value; }
  uint64_t leader() const { return core->Status().soft.leader.value; }
  uint64_t vote() const { return core->Status().hard_state.vote.value; }

  bool Saw(EventKind kind) const {
    for (const Event& event : events) {
      if (event.kind == kind) return true;
    }
    return false;
  }
  // Terms of the log after its snapshot point.
  std::vector<uint64_t> LogTerms() const {
    CoreStatus s = core->Status();
    std::vector<uint64_t> terms;
    for (Index i = s.snapshot_index + 1; i <= s.last; ++i) {
      terms.push_back(core->TermAt(i)->value);
    }
    return terms;
  }
};

class TestCluster {
 public:
  using Tweak = std::function<void(Config&)>;

  explicit TestCluster(const std::vector<uint64_t>& voters, Tweak tweak = {},
                       const std::vector<uint64_t>& learners = {}) {
    ConfState conf = TestConf(voters, learners);
    for (const auto& [id, info] : conf.members) Add(id.value, conf, tweak);
  }

  // A node with an empty log above (1, 1) and that configuration.
  TestNode& Add(uint64_t id, const ConfState& conf, const Tweak& tweak = {}) {
    TestNode& node = nodes_[MemberId(id)];
    node.config.id = MemberId(id);
    node.config.seed = id;
    node.config.life = 100 + id;
    node.config.election_ticks = 10;
    node.config.heartbeat_ticks = 1;
    node.config.tick_ns = kTickNs;
    node.config.require_caught_up_learner = false;
    if (tweak) tweak(node.config);
    node.conf = conf;
    node.hard_state = {kFirstSnapshotTerm, MemberId(0), kFirstSnapshotIndex};
    node.durable_applied = kFirstSnapshotIndex;
    Start(id);
    return node;
  }

  // A new process life from what is on the disk; what was not synced is gone.
  void Start(uint64_t id) {
    TestNode& node = nodes_.at(MemberId(id));
    node.config.life += 1000;
    InitialState s;
    s.hard_state = node.hard_state;
    s.snapshot_index = node.snapshot.index;
    s.snapshot_term = node.snapshot.term;
    s.last = node.log.empty() ? node.snapshot.index : node.log.rbegin()->first;
    s.conf = node.conf;
    s.applied = node.durable_applied;
    s.needs_snapshot = node.needs_snapshot;
    for (const auto& [index, entry] : node.log) {
      if (s.term_runs.empty() || s.term_runs.back().term != entry.term) {
        s.term_runs.push_back(entry.id());
      }
      if (entry.kind == EntryKind::kConf && index > s.applied) s.conf_entries.push_back(entry);
    }
    node.writes.clear();
    node.core = std::make_unique<Core>(node.config, s, now_ns_);
  }

  // A log of entries (index 2, 3, ...) with these terms, known as committed up to `commit`.
  void SetLog(uint64_t id, const std::vector<uint64_t>& terms, uint64_t term, uint64_t commit = 1) {
    TestNode& node = nodes_.at(MemberId(id));
    node.log.clear();
    uint64_t index = 1;
    for (uint64_t t : terms) {
      ++index;
      node.log.emplace(Index(index), TestEntry(t, index, "x"));
    }
    node.hard_state = {Term(term), MemberId(0), Index(commit)};
    Start(id);
  }

  TestNode& operator[](uint64_t id) { return nodes_.at(MemberId(id)); }
  std::map<MemberId, TestNode>& nodes() { return nodes_; }
  uint64_t now_ns() const { return now_ns_; }
  void AdvanceTime(uint64_t ns) { now_ns_ += ns; }

  void Step(uint64_t id, Input input) {
    (*this)[id].core->Step(std::move(input), now_ns_);
    Process(id);
  }
  // As if it came from the network; fills in what every message has.
  void Receive(uint64_t to, uint64_t from, uint64_t term, Message m) {
    m.to = MemberId(to);
    m.from = MemberId(from);
    m.term = Term(term);
    Step(to, PeerMessage{std::move(m)});
  }

  // One tick of one node; time moves with the ticks of the first node.
  void Tick(uint64_t id, int count = 1) {
    for (int i = 0; i < count; ++i) {
      now_ns_ += kTickNs;
      Step(id, raft::Tick{});
    }
  }
  // One tick of every node, then everything is delivered.
  void TickAll(int count = 1) {
    for (int i = 0; i < count; ++i) {
      now_ns_ += kTickNs;
      for (auto& [id, node] : nodes_) Step(id.value, raft::Tick{});
      Deliver();
    }
  }

  void Campaign(uint64_t id) {
    Step(id, raft::Campaign{});
    Deliver();
  }
  // Proposes without delivering; returns the tag.
  uint64_t ProposeOnly(uint64_t id, std::string_view data) {
    raft::Propose propose;
    propose.proposals.push_back({++tag_, EntryKind::kCommand,
                                 EntryChecksum(EntryKind::kCommand, data),
                                 SharedBytes::Copy(data)});
    Step(id, std::move(propose));
    return tag_;
  }
  uint64_t Propose(uint64_t id, std::string_view data) {
    uint64_t tag = ProposeOnly(id, data);
    Deliver();
    return tag;
  }
  uint64_t ProposeConf(uint64_t id, ConfChange change, bool force = false) {
    Step(id, raft::ProposeConf{++tag_, std::move(change), force});
    Deliver();
    return tag_;
  }
  uint64_t Read(uint64_t id) {
    Step(id, raft::Read{++tag_});
    return tag_;
  }

  // Takes and carries out everything that the core wants.
  void Process(uint64_t id) {
    TestNode& node = (*this)[id];
    while (node.core->HasOutput()) {
      Output out = node.core->TakeOutput();
      for (Message& m : out.send_now) Enqueue(std::move(m));
      if (out.write) node.writes.push_back(std::move(*out.write));
      Keep(&node, &out);
      if (!node.hold_writes) {
        while (!node.writes.empty()) FinishWrite(id);
      }
      if (!node.hold_applies && !out.apply.empty()) {
        node.core->Step(Applied{out.apply.back().entry.index, 0}, now_ns_);
      }
      for (const LoadEntries& load : out.load) AnswerLoad(&node, load);
    }
  }
  // The oldest write becomes durable and what waited for it is released.
  void CompleteWrite(uint64_t id) {
    FinishWrite(id);
    Process(id);
  }

  // Messages in flight, oldest first.
  std::deque<Message>& wire() { return wire_; }
  std::vector<Message> TakeWire() {
    std::vector<Message> all(wire_.begin(), wire_.end());
    wire_.clear();
    return all;
  }
  // A message for which this is false is lost.
  void SetFilter(std::function<bool(const Message&)> filter) { filter_ = std::move(filter); }
  void Isolate(uint64_t id) {
    SetFilter([id](const Message& m) { return m.from.value != id && m.to.value != id; });
  }
  void Heal() { filter_ = {}; }

  // Delivers until nothing moves.
  void Deliver() {
    for (int i = 0; !wire_.empty(); ++i) {
      ARIMA_ASSERT(i < 100000, "messages go round in circles");
      Message m = std::move(wire_.front());
      wire_.pop_front();
      auto node = nodes_.find(m.to);
      if (node == nodes_.end()) continue;
      Step(m.to.value, PeerMessage{std::move(m)});
    }
  }

 private:
  static constexpr uint64_t kTickNs = 10'000'000;

  void Enqueue(Message&& m) {
    if (filter_ && !filter_(m)) return;
    wire_.push_back(std::move(m));
  }

  void FinishWrite(uint64_t id) {
    TestNode& node = (*this)[id];
    ARIMA_ASSERT(!node.writes.empty(), id);
    Write write = std::move(node.writes.front());
    node.writes.pop_front();
    if (write.hard_state) node.hard_state = *write.hard_state;
    if (write.reset) {
      node.log.clear();
      node.snapshot = {write.reset->term, write.reset->index};
    }
    if (!write.entries.empty()) {
      node.log.erase(node.log.lower_bound(write.entries.front().index), node.log.end());
    }
    for (const Entry& entry : write.entries) node.log.emplace(entry.index, entry);
    node.writes_synced += write.need_sync;
    node.core->Step(WriteDone{write.seq}, now_ns_);
    for (Message& m : write.after_durable) {
      if (m.to == m.from) {
        node.core->Step(PeerMessage{std::move(m)}, now_ns_);
      } else {
        Enqueue(std::move(m));
      }
    }
  }

  template <class T>
  static void Append(std::vector<T>* to, const std::vector<T>& from) {
    to->insert(to->end(), from.begin(), from.end());
  }

  static void Keep(TestNode* node, Output* out) {
    Append(&node->applied, out->apply);
    Append(&node->accepted, out->accepted);
    Append(&node->rejected, out->rejected);
    Append(&node->reads, out->reads);
    Append(&node->events, out->events);
    Append(&node->snapshot_requests, out->snapshot_requests);
    Append(&node->loads, out->load);
    if (out->install) node->installs.push_back(out->install->meta);
  }

  void AnswerLoad(TestNode* node, const LoadEntries& load) {
    bool own = load.to == node->config.id;
    EntriesLoaded answer{load.to, load.low, {}, own ? node->own_load_status : node->load_status};
    bool ok = answer.status == LoadStatus::kOk;
    for (Index i = load.low; ok && i < load.high; ++i) answer.entries.push_back(node->log.at(i));
    node->core->Step(std::move(answer), now_ns_);
  }

  std::map<MemberId, TestNode> nodes_;
  std::deque<Message> wire_;
  std::function<bool(const Message&)> filter_;
  uint64_t now_ns_ = 1'000'000'000;
  uint64_t tag_ = 0;
};

// What `leader` knows of `id`, its peer.
inline PeerStatus Peer(TestCluster& c, uint64_t leader, uint64_t id) {
  for (const PeerStatus& p : c[leader].status().peers) {
    if (p.id.value == id) return p;
  }
  ARIMA_ASSERT(false, "no such peer", id);
  return {};
}

}  // namespace arima::raft
