// Random runs of several cores: messages lost, doubled, reordered and delayed, writes that finish
// late, crashes that lose what was not synced, compaction and snapshots, membership changes,
// transfers. After each event the safety properties of the Raft paper (figure 3) are checked; at
// the end everything heals and the cluster must agree. A failure prints its seed; run one seed
// again with ARIMA_RAFT_SEED=n.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "base/random.h"
#include "raft/core.h"
#include "raft/quorum.h"
#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

struct Node {
  Config config;
  std::unique_ptr<Core> core;  // null while down
  // Disk.
  HardState hard_state;
  EntryId snapshot;
  std::map<Index, Entry> log;
  Index applied;  // durable, with the configuration at that index
  ConfState conf;
  // In flight.
  std::deque<Write> writes;
  std::deque<std::vector<ApplyItem>> applies;
  std::deque<LoadEntries> loads;
  std::deque<SnapshotRequest> snapshot_requests;
  std::deque<std::pair<SnapshotMeta, Term>> incoming;
  std::optional<SnapshotMeta> install;
  Index applied_live;
  ConfState conf_live;
  std::map<uint64_t, Index> reads;  // tag -> what was acknowledged when it was asked
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
    uint64_t voters = random_.Between(1, 5);
    loss_ = random_.Below(3) == 0 ? 0 : random_.Below(30);
    doubled_ = random_.Below(20);
    conf_changes_ = random_.Percent(50);
    pre_vote_ = random_.Percent(80);
    check_quorum_ = random_.Percent(80);
    confirm_removals_ = random_.Percent(50);
    inflight_msgs_ = static_cast<uint32_t>(random_.Between(1, 8));
    msg_bytes_ = random_.Percent(50) ? 1 : 1000;
    cache_bytes_ = random_.Percent(50) ? 200 : 1 << 20;
    apply_bytes_ = random_.Percent(50) ? 1 : 1 << 20;
    std::vector<uint64_t> ids;
    for (uint64_t id = 1; id <= voters; ++id) ids.push_back(id);
    ConfState conf = TestConf(ids);
    for (uint64_t id : ids) AddNode(id, conf, kFirstSnapshotIndex);
  }

  void Run(int events) {
    for (int i = 0; i < events; ++i) RandomEvent();
  }

  // Everything works again: one leader, everybody agrees, a new proposal commits.
  void HealAndCheck() {
    healed_ = true;
    for (auto& [id, node] : nodes_) {
      if (!node.core) Restart(id);
    }
    for (int round = 0; round < 400; ++round) {
      now_ns_ += kTickNs;
      for (auto& [id, node] : nodes_) Step(id, Tick{});
      for (int i = 0; i < 60; ++i) DrainOnce();
    }
    MemberId leader;
    for (auto& [id, node] : nodes_) {
      if (node.core->Status().soft.role == Role::kLeader) leader = id;
    }
    ASSERT_TRUE(leader) << Describe();
    uint64_t tag = ++tag_;
    Propose propose;
    propose.proposals.push_back({tag, EntryKind::kCommand,
                                 EntryChecksum(EntryKind::kCommand, "end"),
                                 SharedBytes::Copy("end")});
    Step(leader, std::move(propose));
    for (int round = 0; round < 50; ++round) {
      now_ns_ += kTickNs;
      for (auto& [id, node] : nodes_) Step(id, Tick{});
      for (int i = 0; i < 60; ++i) DrainOnce();
    }
    CoreStatus lead = nodes_[leader].core->Status();
    EXPECT_EQ(lead.hard_state.commit, lead.last) << Describe();
    for (const auto& [id, info] : lead.conf->members) {
      CoreStatus s = nodes_[id].core->Status();
      EXPECT_EQ(s.hard_state.commit, lead.hard_state.commit) << "node " << id << "\n" << Describe();
      EXPECT_EQ(s.applied, lead.applied) << "node " << id << "\n" << Describe();
    }
  }

  std::map<std::string, int>& counts() { return counts_; }

  std::string Describe() const {
    std::ostringstream out;
    for (const auto& [id, node] : nodes_) {
      out << "  node " << id << ": ";
      if (!node.core) {
        out << "down\n";
        continue;
      }
      CoreStatus s = node.core->Status();
      out << RoleName(s.soft.role) << " term " << s.hard_state.term << " leader " << s.soft.leader
          << " disabled " << int(s.soft.disabled) << " snap " << s.snapshot_index << " applied "
          << s.applied << "/" << s.applying << " commit " << s.hard_state.commit << " stable "
          << s.stable << " last " << s.last << " voters";
      for (MemberId v : s.conf->voters) out << ' ' << v;
      if (s.conf->joint()) out << " |";
      for (MemberId v : s.conf->voters_outgoing) out << ' ' << v;
      for (MemberId v : s.conf->learners) out << " L" << v;
      for (const PeerStatus& p : s.peers) {
        out << "; " << p.id << ":" << int(p.state) << " " << p.match << "/" << p.next
            << (p.paused ? "p" : "") << " sn" << p.pending_snapshot;
      }
      out << "\n";
    }
    return out.str();
  }

 private:
  static constexpr uint64_t kTickNs = 10'000'000;

  void AddNode(uint64_t id, const ConfState& conf, Index snapshot) {
    Node& node = nodes_[MemberId(id)];
    node.config.id = MemberId(id);
    node.config.election_ticks = 10;
    node.config.heartbeat_ticks = 2;
    node.config.tick_ns = kTickNs;
    node.config.pre_vote = pre_vote_;
    node.config.check_quorum = check_quorum_;
    node.config.confirm_removals = confirm_removals_;
    node.config.max_inflight_msgs = inflight_msgs_;
    node.config.max_msg_bytes = msg_bytes_;
    node.config.max_inflight_bytes = 4 * msg_bytes_;
    node.config.entry_cache_bytes = cache_bytes_;
    node.config.max_apply_bytes = apply_bytes_;
    node.config.require_caught_up_learner = false;
    node.conf = conf;
    node.applied = snapshot;
    node.snapshot = {snapshot ? kFirstSnapshotTerm : Term(0), snapshot};
    node.hard_state = {node.snapshot.term, MemberId(0), snapshot};
    Restart(MemberId(id));
  }

  void Restart(MemberId id) {
    Node& node = nodes_[id];
    node.config.seed = random_.Next();
    node.config.life = random_.Next() | 1;
    InitialState s;
    s.hard_state = node.hard_state;
    s.snapshot_index = node.snapshot.index;
    s.snapshot_term = node.snapshot.term;
    s.last = node.log.empty() ? node.snapshot.index : node.log.rbegin()->first;
    s.conf = node.conf;
    s.applied = node.applied;
    for (const auto& [index, entry] : node.log) {
      if (s.term_runs.empty() || s.term_runs.back().term != entry.term) {
        s.term_runs.push_back(entry.id());
      }
      if (entry.kind == EntryKind::kConf && index > s.applied) s.conf_entries.push_back(entry);
      if (random_.Percent(50)) s.tail.clear();
      s.tail.push_back(entry);
    }
    if (!s.tail.empty() && random_.Percent(30)) s.tail.clear();
    node.applied_live = node.applied;
    node.conf_live = node.conf;
    node.core = std::make_unique<Core>(node.config, s, now_ns_);
    ++counts_["restart"];
  }

  void Crash(MemberId id) {
    Node& node = nodes_[id];
    // A prefix of what was under way may have reached the disk.
    size_t survive = random_.Below(node.writes.size() + 1);
    for (size_t i = 0; i < survive; ++i) WriteToDisk(&node, node.writes[i]);
    node.core.reset();
    node.writes.clear();
    node.applies.clear();
    node.loads.clear();
    node.snapshot_requests.clear();
    node.incoming.clear();
    node.install.reset();
    node.reads.clear();
    ++counts_["crash"];
  }

  static void WriteToDisk(Node* node, const Write& write) {
    if (write.reset) {
      node->log.clear();
      node->snapshot = {write.reset->term, write.reset->index};
    }
    if (!write.entries.empty()) {
      node->log.erase(node->log.lower_bound(write.entries.front().index), node->log.end());
      for (const Entry& entry : write.entries) node->log.emplace(entry.index, entry);
    }
    if (write.hard_state) node->hard_state = *write.hard_state;
  }

  void Step(MemberId id, Input input) {
    Node& node = nodes_[id];
    if (!node.core) return;
    node.core->Step(std::move(input), now_ns_);
    if (healed_ || random_.Percent(70)) Drain(id);
    Check(id);
  }

  void Drain(MemberId id) {
    Node& node = nodes_[id];
    while (node.core->HasOutput()) {
      Output out = node.core->TakeOutput();
      for (Message& m : out.send_now) Send(std::move(m));
      if (out.write) node.writes.push_back(std::move(*out.write));
      if (!out.apply.empty()) node.applies.push_back(std::move(out.apply));
      for (const LoadEntries& load : out.load) node.loads.push_back(load);
      for (const SnapshotRequest& r : out.snapshot_requests) node.snapshot_requests.push_back(r);
      if (out.install) node.install = out.install->meta;
      for (const ReadResult& read : out.reads) {
        auto asked = node.reads.find(read.tag);
        ASSERT_TRUE(asked != node.reads.end()) << "a read is answered once";
        if (read.reason == RejectReason::kNone) {
          ++counts_["read"];
          ASSERT_GE(read.index, asked->second) << "stale read at node " << id << "\n" << Describe();
        }
        node.reads.erase(asked);
      }
      for (const Event& e : out.events) {
        if (e.kind == EventKind::kBecameLeader) {
          auto [at, fresh] = leaders_.emplace(e.term, id);
          ASSERT_TRUE(fresh) << "term " << e.term << " has two leaders or is led twice";
          CheckComplete(id);
          ++counts_["leader"];
        }
        if (e.kind == EventKind::kConfActive) ++counts_["conf"];
        if (e.kind == EventKind::kLogRegression) FAIL() << e.text << "\n" << Describe();
      }
    }
  }

  void Send(Message&& m) {
    if (!nodes_.contains(m.to)) return;
    if (!healed_ && random_.Percent(loss_)) return;
    if (!healed_ && random_.Percent(doubled_)) wire_.push_back(m);
    wire_.push_back(std::move(m));
  }

  // ---- events

  MemberId AnyNode() {
    auto it = nodes_.begin();
    std::advance(it, static_cast<ptrdiff_t>(random_.Below(nodes_.size())));
    return it->first;
  }

  void RandomEvent() {
    now_ns_ += random_.Below(kTickNs / 4);
    MemberId id = AnyNode();
    Node& node = nodes_[id];
    uint64_t dice = random_.Below(1000);
    if (!node.core) {
      if (dice < 100) Restart(id);
      return;
    }
    if (dice < 350) return DeliverOne();
    if (dice < 500) return FinishWrite(id);
    if (dice < 600) return FinishApply(id);
    if (dice < 650) return FinishLoad(id);
    if (dice < 700) return SnapshotStep(id);
    if (dice < 820) return Step(id, Tick{});
    if (dice < 880) return ProposeSome(id);
    if (dice < 920) return AskRead(id);
    if (dice < 930) return Step(id, Unreachable{AnyNode()});
    if (dice < 935) return Step(id, LeaderLost{node.core->Status().soft.leader});
    if (dice < 940) return Step(id, Transfer{random_.Percent(50) ? AnyNode() : MemberId(0)});
    if (dice < 943) return Step(id, ForgetLeader{});
    if (dice < 950) return Step(id, Campaign{});
    if (dice < 960) return Compact(id);
    if (dice < 970) return Persist(&node);
    if (dice < 975) return Crash(id);
    if (dice < 985 && conf_changes_) return ChangeConf(id);
    if (dice < 990) partition_ = random_.Percent(50) ? MemberId(0) : AnyNode();
  }

  void DrainOnce() {
    while (!wire_.empty()) DeliverOne();
    for (auto& [id, node] : nodes_) {
      while (!node.writes.empty()) FinishWrite(id);
      while (!node.applies.empty()) FinishApply(id);
      while (!node.loads.empty()) FinishLoad(id);
      for (int i = 0; i < 3; ++i) SnapshotStep(id);
    }
  }

  void DeliverOne() {
    if (wire_.empty()) return;
    size_t at =
        healed_ || random_.Percent(60) ? 0 : random_.Below(std::min<size_t>(wire_.size(), 20));
    Message m = std::move(wire_[at]);
    wire_.erase(wire_.begin() + static_cast<ptrdiff_t>(at));
    if (!healed_ && partition_ && (m.from == partition_) != (m.to == partition_)) return;
    MemberId to = m.to;
    Step(to, PeerMessage{std::move(m)});
  }

  void FinishWrite(MemberId id) {
    Node& node = nodes_[id];
    if (node.writes.empty()) return;
    Write write = std::move(node.writes.front());
    node.writes.pop_front();
    WriteToDisk(&node, write);
    Step(id, WriteDone{write.seq});
    for (Message& m : write.after_durable) {
      if (m.to == id) {
        Step(id, PeerMessage{std::move(m)});
      } else {
        Send(std::move(m));
      }
    }
  }

  void FinishApply(MemberId id) {
    Node& node = nodes_[id];
    if (node.applies.empty() || node.install) return;
    std::vector<ApplyItem> items = std::move(node.applies.front());
    node.applies.pop_front();
    for (const ApplyItem& item : items) {
      ASSERT_EQ(item.entry.index, node.applied_live + 1) << "applied in order, once";
      node.applied_live = item.entry.index;
      Choose(item.entry, id);
      ASSERT_EQ(item.conf != nullptr, item.entry.kind == EntryKind::kConf);
      if (item.conf) node.conf_live = *item.conf;
    }
    Step(id, Applied{node.applied_live, 0});
  }

  // Applied state becomes durable now and then.
  void Persist(Node* node) {
    node->applied = node->applied_live;
    node->conf = node->conf_live;
  }

  void FinishLoad(MemberId id) {
    Node& node = nodes_[id];
    if (node.loads.empty()) return;
    LoadEntries load = node.loads.front();
    node.loads.pop_front();
    EntriesLoaded answer{load.to, load.low, {}, LoadStatus::kOk};
    if (!healed_ && random_.Percent(10)) answer.status = LoadStatus::kUnavailable;
    if (load.low <= node.snapshot.index) answer.status = LoadStatus::kCompacted;
    uint64_t most = random_.Between(1, 5);
    for (Index i = load.low; i < load.high && answer.entries.size() < most; ++i) {
      if (answer.status != LoadStatus::kOk || !node.log.contains(i)) break;
      answer.entries.push_back(node.log.at(i));
    }
    if (answer.entries.empty() && answer.status == LoadStatus::kOk) {
      answer.status = LoadStatus::kUnavailable;
    }
    ++counts_["load"];
    Step(id, std::move(answer));
  }

  void SnapshotStep(MemberId id) {
    Node& node = nodes_[id];
    if (!node.core) return;
    if (!node.snapshot_requests.empty()) {
      SnapshotRequest request = node.snapshot_requests.front();
      node.snapshot_requests.pop_front();
      SnapshotReady ready{request.to, {}, false};
      Index at = node.applied_live;
      auto term = node.core->TermAt(at);
      if (at >= request.at_least && term && (healed_ || random_.Percent(80))) {
        ready.meta = {at, *term, node.conf_live, ++snapshot_id_, 0};
        ready.ok = true;
        Node* to = nodes_.contains(request.to) ? &nodes_[request.to] : nullptr;
        if (to != nullptr && to->core && (healed_ || random_.Percent(80))) {
          to->incoming.emplace_back(ready.meta, node.core->Status().hard_state.term);
        }
      }
      uint64_t sid = ready.meta.snapshot_id;
      bool ok = ready.ok;
      MemberId to = request.to;
      Step(id, std::move(ready));
      if (ok) Step(id, SnapshotSent{to, sid, healed_ || random_.Percent(70)});
      return;
    }
    if (node.install) {
      SnapshotMeta meta = std::move(*node.install);
      node.install.reset();
      // Database first, then the log.
      node.applied = node.applied_live = meta.index;
      node.conf = node.conf_live = meta.conf;
      node.applies.clear();
      node.snapshot = {meta.term, meta.index};
      Step(id, SnapshotInstalled{meta});
      // The crash between the two is recovery's business: here the reset is atomic with it.
      Drain(id);
      while (!node.writes.empty()) FinishWrite(id);
      ++counts_["install"];
      return;
    }
    if (!node.incoming.empty()) {
      auto [meta, term] = node.incoming.front();
      node.incoming.pop_front();
      Step(id, SnapshotReceived{meta, MemberId(0), term});
    }
  }

  void ProposeSome(MemberId id) {
    Propose propose;
    uint64_t count = random_.Between(1, 3);
    for (uint64_t i = 0; i < count; ++i) {
      std::string data = std::to_string(++tag_);
      propose.proposals.push_back({tag_, EntryKind::kCommand,
                                   EntryChecksum(EntryKind::kCommand, data),
                                   SharedBytes::Take(data)});
    }
    Step(id, std::move(propose));
  }

  void AskRead(MemberId id) {
    uint64_t tag = ++tag_;
    nodes_[id].reads.emplace(tag, highest_applied_);
    Step(id, Read{tag});
  }

  void Compact(MemberId id) {
    Node& node = nodes_[id];
    Index to = node.applied;
    if (to <= node.core->Status().snapshot_index) return;
    Step(id, CompactTo{to});
    node.snapshot = {*node.core->TermAt(to), to};
    node.log.erase(node.log.begin(), node.log.upper_bound(to));
    ++counts_["compact"];
  }

  void ChangeConf(MemberId id) {
    CoreStatus s = nodes_[id].core->Status();
    if (s.conf->members.empty()) return;
    ConfChange change;
    uint64_t items = random_.Between(1, 2);
    if (s.conf->joint()) {
      items = 0;
    } else if (random_.Percent(30)) {
      change.transition =
          random_.Percent(50) ? ConfTransition::kJointImplicit : ConfTransition::kJointExplicit;
    }
    for (uint64_t i = 0; i < items; ++i) {
      ConfChangeItem item;
      uint64_t kind = random_.Below(10);
      if (kind < 4 && s.conf->members.size() < 7) {
        item.op = random_.Percent(50) ? ConfOp::kAddLearner : ConfOp::kAddVoter;
        if (random_.Percent(60)) item.info.id = Member(*s.conf);
      } else if (kind < 7) {
        item.op = ConfOp::kRemove;
        item.info.id = Member(*s.conf);
      } else {
        item.op = random_.Percent(50) ? ConfOp::kAddVoter : ConfOp::kAddLearner;
        item.info.id = Member(*s.conf);
      }
      change.changes.push_back(item);
    }
    Step(id, ProposeConf{++tag_, change, random_.Percent(20)});
    // A new member's process starts empty as soon as its id may exist.
    for (uint64_t next = 1; next < s.conf->next_member_id.value + 2; ++next) {
      if (!nodes_.contains(MemberId(next))) AddNode(next, ConfState(), Index(0));
    }
  }

  MemberId Member(const ConfState& conf) {
    auto it = conf.members.begin();
    std::advance(it, static_cast<ptrdiff_t>(random_.Below(conf.members.size())));
    return it->first;
  }

  // ---- checks

  // State machine safety: what is applied at an index is the same everywhere, for ever.
  void Choose(const Entry& entry, MemberId id) {
    auto [at, fresh] = chosen_.emplace(entry.index, entry);
    ASSERT_TRUE(at->second == entry)
        << "node " << id << " applies another entry at " << entry.index << "\n"
        << Describe();
    highest_applied_ = std::max(highest_applied_, entry.index);
    if (fresh) CheckDurable(entry.id());
  }

  // An entry that somebody applies is on the disks of a majority of some configuration that a node
  // has active; after a crash of everybody it would still be there.
  void CheckDurable(EntryId id) {
    auto holds = [&](MemberId member) {
      auto node = nodes_.find(member);
      if (node == nodes_.end()) return false;
      auto entry = node->second.log.find(id.index);
      bool on_disk = entry != node->second.log.end() && entry->second.term == id.term;
      return on_disk || node->second.snapshot.index >= id.index;
    };
    bool durable = false;
    auto check = [&](const ConfState& conf) {
      durable = durable || HasQuorum(conf.voters, conf.voters_outgoing, holds);
    };
    for (const auto& [member, node] : nodes_) {
      if (node.core && !node.core->Status().conf->voters.empty()) check(*node.core->Status().conf);
      if (!node.conf.voters.empty()) check(node.conf);
    }
    ASSERT_TRUE(durable) << "applied entry " << id.index << " is on no quorum of disks\n"
                         << Describe();
  }

  // Leader completeness.
  void CheckComplete(MemberId id) {
    const Core& core = *nodes_[id].core;
    CoreStatus s = core.Status();
    for (auto it = chosen_.upper_bound(s.snapshot_index); it != chosen_.end(); ++it) {
      auto term = core.TermAt(it->first);
      ASSERT_TRUE(term && *term == it->second.term)
          << "leader " << id << " lacks committed entry " << it->first << "\n"
          << Describe();
    }
  }

  void Check(MemberId id) {
    Node& node = nodes_[id];
    if (!node.core) return;
    CoreStatus s = node.core->Status();
    ASSERT_GE(s.hard_state.term, node.hard_state.term);
    ASSERT_NE(s.soft.disabled, Disabled::kDamaged) << Describe();
    // Log matching: (term, index) names one entry.
    auto newest = node.core->EntryAt(s.last);
    if (newest) {
      auto [at, fresh] = written_.emplace(newest->id(), *newest);
      ASSERT_TRUE(at->second == *newest) << "two entries under one id";
    }
  }

  SeededRandom random_;
  uint64_t now_ns_ = 1'000'000'000;
  std::map<MemberId, Node> nodes_;
  std::deque<Message> wire_;
  MemberId partition_;
  bool healed_ = false;
  uint64_t loss_, doubled_, msg_bytes_, cache_bytes_, apply_bytes_;
  uint32_t inflight_msgs_;
  bool conf_changes_, pre_vote_, check_quorum_, confirm_removals_;
  uint64_t tag_ = 0;
  uint64_t snapshot_id_ = 0;
  std::map<Term, MemberId> leaders_;
  std::map<Index, Entry> chosen_;
  std::map<EntryId, Entry> written_;
  Index highest_applied_;
  std::map<std::string, int> counts_;
};

uint64_t running_seed = 0;

TEST(CoreRandom, SafeUnderFaultsAndLiveAfterThem) {
  const char* only = std::getenv("ARIMA_RAFT_SEED");
  const char* many = std::getenv("ARIMA_RAFT_SEEDS");
  uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  uint64_t count = only != nullptr ? 1 : many != nullptr ? std::strtoull(many, nullptr, 10) : 25;
  SetAssertHook([] {
    std::fprintf(stderr, "ARIMA_RAFT_SEED=%llu\n", static_cast<unsigned long long>(running_seed));
  });
  std::map<std::string, int> counts;
  for (uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    SCOPED_TRACE("ARIMA_RAFT_SEED=" + std::to_string(seed));
    running_seed = seed;
    World world(seed);
    world.Run(4000);
    if (!HasFailure()) world.HealAndCheck();
    for (const auto& [what, n] : world.counts()) counts[what] += n;
  }
  SetAssertHook(nullptr);
  // A run in which nothing happens proves nothing.
  if (count < 20) return;
  for (const char* what : {"crash", "restart", "leader", "read", "conf", "compact", "load"}) {
    EXPECT_GT(counts[what], 20) << what;
  }
  EXPECT_GT(counts["install"], 5);
}

}  // namespace
}  // namespace arima::raft
