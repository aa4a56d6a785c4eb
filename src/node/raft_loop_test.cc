// Several RaftLoops with real cores; log, state machine and network are in memory and move only
// when told to, on one manual clock.
#include "node/raft_loop.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "kv/command.h"
#include "kv/engine.h"
#include "kv/mem_engine.h"
#include "testing/memory_log.h"

namespace arima::node {
namespace {

using raft::Index;
using raft::MemberId;
using raft::Message;
using raft::MessageType;
using raft::Term;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kTickNs = 10 * kMs;

class SilentWaker final : public Waker {
 public:
  void Wake() override {}
};

struct WriteAnswer {
  int calls = 0;
  Result<kv::ApplyResult> result = Fail(Code::kInternal, "not answered");

  bool pending() const { return calls == 0; }
  bool ok() const { return calls == 1 && result.has_value(); }
  bool failed(Code code) const {
    return calls == 1 && !result.has_value() && result.error().code == code;
  }
};
struct ReadAnswer {
  int calls = 0;
  Status status = Fail(Code::kInternal, "not answered");

  bool pending() const { return calls == 0; }
  bool ok() const { return calls == 1 && status.has_value(); }
  bool failed(Code code) const {
    return calls == 1 && !status.has_value() && status.error().code == code;
  }
};

raft::ConfState ConfOf(uint64_t voters) {
  raft::ConfState conf;
  for (uint64_t id = 1; id <= voters; ++id) {
    conf.voters.push_back(MemberId(id));
    conf.members[MemberId(id)].id = MemberId(id);
    conf.members[MemberId(id)].name = "n" + std::to_string(id);
  }
  conf.next_member_id = MemberId(voters + 1);
  conf.index = raft::kFirstSnapshotIndex;
  return conf;
}

class TestNode final : public LogSink,
                       public ApplySink,
                       public LoadSink,
                       public MessageSink,
                       public RaftLoopHost {
 public:
  TestNode(uint64_t id, uint64_t voters, const RaftLoopOptions& options, uint32_t election_ticks,
           uint64_t now_ns)
      : log_({raft::kFirstSnapshotTerm, MemberId(), raft::kFirstSnapshotIndex},
             {raft::kFirstSnapshotTerm, raft::kFirstSnapshotIndex}) {
    kv::AppliedState initial;
    initial.index = 1;
    initial.term = 1;
    machine_ = *kv::StateMachine::Open(std::make_unique<kv::MemEngine>(), initial, {});
    raft::Config config;
    config.id = MemberId(id);
    config.seed = id;
    config.life = id;
    config.election_ticks = election_ticks;
    config.heartbeat_ticks = 2;
    config.tick_ns = kTickNs;
    loop_ = std::make_unique<RaftLoop>(
        raft::Core(config, log_.Recover(Index(1), ConfOf(voters)), now_ns), options,
        std::make_shared<SilentWaker>(), InboxLimits{});
    loop_->Connect(this, this, this, this, this);
  }

  RaftLoop& loop() { return *loop_; }
  MemberId id() const { return loop_->Status().id; }
  bool leads() const { return loop_->soft().role == raft::Role::kLeader; }
  kv::StateMachine& machine() { return *machine_; }

  // One write reaches the disk; false: none waits.
  bool RunLog() {
    if (writes_.empty()) return false;
    raft::Write write = std::move(writes_.front());
    writes_.pop_front();
    log_.Append(write);
    std::vector<LogCompletion> completions(1);
    completions[0] = {write.seq, std::move(write.after_durable)};
    loop_->inbox().AddLogCompletions(std::move(completions));
    return true;
  }
  // One hand-over is applied, as node/applier.cc does it.
  bool RunApply() {
    if (applies_.empty()) return false;
    std::vector<raft::ApplyItem> items = std::move(applies_.front());
    applies_.pop_front();
    std::vector<kv::Record> records;
    for (const raft::ApplyItem& item : items) {
      kv::Record record;
      record.index = item.entry.index.value;
      record.term = item.entry.term.value;
      record.kind = item.entry.kind == raft::EntryKind::kCommand ? kv::RecordKind::kCommand
                                                                 : kv::RecordKind::kNothing;
      record.bytes = item.entry.payload.view();
      records.push_back(record);
    }
    std::vector<kv::ApplyResult> results;
    Status applied = machine_->Apply(records, &results);
    EXPECT_TRUE(applied) << applied.error().ToString();
    std::vector<AppliedEntry> resolved;
    for (size_t i = 0; i < items.size(); ++i) {
      resolved.push_back({items[i].entry.index, items[i].entry.term, results[i]});
    }
    Index last = items.back().entry.index;
    loop_->proposals().Resolve(resolved);
    loop_->reads().Advance(last);
    loop_->inbox().AddInput(raft::Applied{last, 0});
    return true;
  }

  void Submit(raft::Write write) override { writes_.push_back(std::move(write)); }
  void Submit(std::vector<raft::ApplyItem> items) override { applies_.push_back(std::move(items)); }
  void Submit(raft::LoadEntries load) override {
    raft::EntriesLoaded loaded;
    loaded.to = load.to;
    loaded.low = load.low;
    loaded.entries = log_.Read(load.low, load.high, load.bytes_max);
    loop_->inbox().AddInput(std::move(loaded));
  }
  void Send(std::vector<Message> messages) override {
    for (Message& message : messages) outbox.push_back(std::move(message));
  }
  void OnSoftState(const raft::SoftState&) override {}
  void OnConfChanged(std::shared_ptr<const raft::ConfState> conf) override {
    last_conf = std::move(conf);
  }
  void OnEvent(const raft::Event&) override {}

  bool hold_log = false;
  bool hold_apply = false;
  std::deque<Message> outbox;
  std::shared_ptr<const raft::ConfState> last_conf;

 private:
  testing::MemoryLog log_;
  std::deque<raft::Write> writes_;
  std::deque<std::vector<raft::ApplyItem>> applies_;
  std::unique_ptr<kv::StateMachine> machine_;
  std::unique_ptr<RaftLoop> loop_;
};

class Cluster {
 public:
  explicit Cluster(uint64_t size, RaftLoopOptions options = {}, uint32_t election_ticks = 10) {
    for (uint64_t id = 1; id <= size; ++id) {
      nodes_.push_back(
          std::make_unique<TestNode>(id, size, options, election_ticks, clock_.NowNs()));
    }
  }
  ~Cluster() {
    // Every answer is owed, but the test's locals that it would go to are gone.
    *listening_ = false;
    for (auto& node : nodes_) node->loop().FailAll({Code::kUnavailable, "the test is over"});
  }

  TestNode& node(uint64_t id) { return *nodes_[id - 1]; }
  uint64_t now_ns() { return clock_.NowNs(); }

  // Everything that can happen without time passing.
  void Settle() {
    for (int round = 0; round < 1000; ++round) {
      bool moved = false;
      for (auto& node : nodes_) node->loop().Process(clock_.NowNs());
      for (auto& node : nodes_) {
        if (!node->hold_log) moved |= node->RunLog();
        if (!node->hold_apply) moved |= node->RunApply();
        moved |= Deliver(*node);
      }
      if (!moved) return;
    }
    FAIL() << "the cluster does not come to rest";
  }
  void Tick() {
    clock_.Advance(kTickNs);
    Settle();
  }
  void Run(uint64_t ms) {
    for (uint64_t passed = 0; passed < ms * kMs; passed += kTickNs) Tick();
  }
  // The leader that a quorum follows, once there is one.
  uint64_t Elect() {
    for (int i = 0; i < 1000; ++i) {
      for (auto& node : nodes_) {
        if (node->leads() && !isolated.contains(node->id()) && Idle(*node)) return Id(*node);
      }
      Tick();
    }
    ADD_FAILURE() << "no leader";
    return 1;
  }
  uint64_t FollowerOf(uint64_t leader) { return leader == 1 ? 2 : 1; }

  void Write(uint64_t id, const std::string& key, WriteAnswer* answer, uint64_t timeout_ms = 5000,
             const std::string& value = "v") {
    ClientWrite write;
    std::string command = kv::EncodeCommand(kv::PutCommand{key, value, 0});
    write.checksum = raft::EntryChecksum(raft::EntryKind::kCommand, command);
    write.command = SharedBytes::Take(std::move(command));
    write.deadline_ns = now_ns() + timeout_ms * kMs;
    write.done = [answer, listening = listening_](Result<kv::ApplyResult> result) {
      if (!*listening) return;
      ++answer->calls;
      answer->result = std::move(result);
    };
    ASSERT_TRUE(node(id).loop().inbox().AddWrite(write));
  }
  void Read(uint64_t id, ReadAnswer* answer, uint64_t timeout_ms = 5000) {
    ReadWaiter read;
    read.deadline_ns = now_ns() + timeout_ms * kMs;
    read.done = [answer, listening = listening_](Status status) {
      if (!*listening) return;
      ++answer->calls;
      answer->status = std::move(status);
    };
    ASSERT_TRUE(node(id).loop().inbox().AddRead(read));
  }
  bool Has(uint64_t id, const std::string& key) {
    auto read = node(id).machine().Get(key);
    return read && read->found;
  }

  // Messages from or to these are lost.
  std::set<MemberId> isolated;
  // Sees each message before it is delivered, may change it; false: it is lost.
  std::function<bool(Message&)> filter;

 private:
  const std::shared_ptr<bool> listening_ = std::make_shared<bool>(true);
  static uint64_t Id(TestNode& node) { return node.id().value; }
  // The entry of its term is applied: the leader serves.
  static bool Idle(TestNode& node) {
    raft::CoreStatus status = node.loop().Status();
    return status.applied == status.last && status.last_term == status.soft.term;
  }
  bool Deliver(TestNode& from) {
    std::deque<Message> messages = std::exchange(from.outbox, {});
    for (Message& message : messages) {
      if (isolated.contains(message.from) || isolated.contains(message.to)) continue;
      if (filter && !filter(message)) continue;
      uint64_t to = message.to.value;
      node(to).loop().Step(raft::PeerMessage{std::move(message)}, now_ns());
    }
    return !messages.empty();
  }

  ManualClock clock_;
  std::vector<std::unique_ptr<TestNode>> nodes_;
};

// ---------------------------------------------------------------- writes

TEST(RaftLoop, ASingleNodeLeadsAtOnceAndServes) {
  Cluster cluster(1);
  cluster.Settle();
  EXPECT_TRUE(cluster.node(1).leads());
  WriteAnswer write;
  cluster.Write(1, "k", &write);
  cluster.Settle();
  ASSERT_TRUE(write.ok());
  EXPECT_EQ(write.result->revision, 2u);
  ReadAnswer read;
  cluster.Read(1, &read);
  cluster.Settle();
  EXPECT_TRUE(read.ok());
  EXPECT_TRUE(cluster.Has(1, "k"));
}

TEST(RaftLoop, AWriteIsAnsweredOnlyWhenAMajorityHasItOnDiskAndItIsApplied) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  for (uint64_t id = 1; id <= 3; ++id) cluster.node(id).hold_log = true;
  cluster.node(leader).hold_apply = true;
  WriteAnswer write;
  cluster.Write(leader, "k", &write);
  cluster.Settle();
  EXPECT_TRUE(write.pending());
  cluster.node(leader).hold_log = false;
  cluster.Settle();
  EXPECT_TRUE(write.pending()) << "one disk of three is no majority";
  cluster.node(cluster.FollowerOf(leader)).hold_log = false;
  cluster.Settle();
  EXPECT_TRUE(write.pending()) << "it is committed, not applied";
  cluster.node(leader).hold_apply = false;
  cluster.Settle();
  EXPECT_TRUE(write.ok());
}

TEST(RaftLoop, WithoutALeaderAWriteWaitsAndIsThenNotApplied) {
  Cluster cluster(3, {.leader_wait_ns = 300 * kMs});
  cluster.isolated = {MemberId(1), MemberId(2), MemberId(3)};
  WriteAnswer write;
  cluster.Write(1, "k", &write);
  cluster.Run(250);
  EXPECT_TRUE(write.pending());
  cluster.Run(100);
  EXPECT_TRUE(write.failed(Code::kUnavailable));
  cluster.isolated.clear();
  uint64_t leader = cluster.Elect();
  cluster.Run(1000);
  EXPECT_FALSE(cluster.Has(leader, "k"));
}

TEST(RaftLoop, AWriteThatWaitsGoesThroughWhenALeaderAppears) {
  Cluster cluster(3);
  WriteAnswer write;
  cluster.Write(2, "k", &write);
  cluster.Settle();
  EXPECT_TRUE(write.pending());
  cluster.Elect();
  cluster.Run(100);
  EXPECT_TRUE(write.ok());
  EXPECT_TRUE(cluster.Has(2, "k"));
}

TEST(RaftLoop, AWriteWithoutMajorityIsUnknownAtItsDeadline) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  cluster.isolated = {MemberId(leader)};
  WriteAnswer write;
  cluster.Write(leader, "k", &write, 1000);
  cluster.Run(950);
  EXPECT_TRUE(write.pending());
  cluster.Run(100);
  EXPECT_TRUE(write.failed(Code::kOutcomeUnknown));
}

TEST(RaftLoop, AWriteThatANewLeaderReplacedIsNotApplied) {
  Cluster cluster(3);
  uint64_t old_leader = cluster.Elect();
  cluster.isolated = {MemberId(old_leader)};
  WriteAnswer lost;
  cluster.Write(old_leader, "lost", &lost, 60'000);
  cluster.Settle();
  uint64_t new_leader = cluster.Elect();
  ASSERT_NE(new_leader, old_leader);
  WriteAnswer kept;
  cluster.Write(new_leader, "kept", &kept);
  cluster.Settle();
  ASSERT_TRUE(kept.ok());
  EXPECT_TRUE(lost.pending());
  cluster.isolated.clear();
  cluster.Run(1000);
  EXPECT_TRUE(lost.failed(Code::kUnavailable));
  EXPECT_FALSE(cluster.Has(old_leader, "lost"));
  EXPECT_TRUE(cluster.Has(old_leader, "kept"));
}

TEST(RaftLoop, AWriteWhoseTimeIsOverBeforeItIsProposedIsNotApplied) {
  Cluster cluster(1);
  cluster.Settle();
  WriteAnswer write;
  cluster.Write(1, "k", &write, 0);
  cluster.Settle();
  EXPECT_TRUE(write.failed(Code::kUnavailable));
  EXPECT_FALSE(cluster.Has(1, "k"));
}

TEST(RaftLoop, WritesWaitWhileLeadershipMoves) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.node(leader).loop().Step(raft::Transfer{MemberId(follower)}, cluster.now_ns());
  WriteAnswer at_leader;
  WriteAnswer at_follower;
  cluster.Write(leader, "a", &at_leader);
  cluster.Write(follower, "b", &at_follower);
  cluster.Settle();
  cluster.Run(200);
  EXPECT_TRUE(cluster.node(follower).leads());
  EXPECT_TRUE(at_leader.ok());
  EXPECT_TRUE(at_follower.ok());
}

// ---------------------------------------------------------------- forwarded writes

TEST(RaftLoop, AForwardedWriteIsAnsweredByTheOwnStateMachine) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.node(follower).hold_apply = true;
  WriteAnswer write;
  cluster.Write(follower, "k", &write);
  cluster.Run(100);
  EXPECT_TRUE(cluster.Has(leader, "k"));
  EXPECT_TRUE(write.pending()) << "a client that reads here next would not see its write";
  cluster.node(follower).hold_apply = false;
  cluster.Settle();
  ASSERT_TRUE(write.ok());
  EXPECT_TRUE(cluster.Has(follower, "k"));
}

TEST(RaftLoop, AForwardedWriteWhoseAnswerIsLostIsUnknownAtItsDeadline) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.filter = [](Message& message) { return message.type != MessageType::kProposeResp; };
  WriteAnswer write;
  cluster.Write(follower, "k", &write, 1000);
  cluster.Run(900);
  EXPECT_TRUE(write.pending());
  EXPECT_TRUE(cluster.Has(follower, "k"));
  cluster.Run(200);
  EXPECT_TRUE(write.failed(Code::kOutcomeUnknown));
}

TEST(RaftLoop, AnAnswerThatComesAfterTheEntryWasAppliedMeansUnknown) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  std::vector<Message> late;
  cluster.filter = [&](Message& message) {
    if (message.type != MessageType::kProposeResp) return true;
    late.push_back(message);
    return false;
  };
  WriteAnswer write;
  cluster.Write(follower, "k", &write);
  cluster.Run(100);
  ASSERT_EQ(late.size(), 1u);
  ASSERT_TRUE(cluster.Has(follower, "k"));
  cluster.node(follower).loop().Step(raft::PeerMessage{late[0]}, cluster.now_ns());
  cluster.Settle();
  EXPECT_TRUE(write.failed(Code::kOutcomeUnknown));
}

TEST(RaftLoop, AForwardedWriteThatWasRefusedIsTriedAgain) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  int refused = 0;
  cluster.filter = [&](Message& message) {
    if (message.type == MessageType::kPropose && refused == 0) {
      ++refused;
      Message answer;
      answer.type = MessageType::kProposeResp;
      answer.from = message.to;
      answer.to = message.from;
      answer.results.push_back(
          {message.proposals[0].id, raft::RejectReason::kTransferring, Index(), Term()});
      message = answer;
      cluster.node(answer.to.value).loop().Step(raft::PeerMessage{answer}, cluster.now_ns());
      return false;
    }
    return true;
  };
  WriteAnswer write;
  cluster.Write(cluster.FollowerOf(leader), "k", &write);
  cluster.Settle();
  EXPECT_EQ(refused, 1);
  EXPECT_TRUE(write.pending());
  cluster.Run(100);
  EXPECT_TRUE(write.ok());
}

// The node that was asked to lead is out of service, not the one that asks.
TEST(RaftLoop, AnotherNodesRemovalIsNoReasonToAnswerRemoved) {
  Cluster cluster(3, {.leader_wait_ns = 200 * kMs});
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.filter = [&](Message& message) {
    if (message.type == MessageType::kProposeResp) {
      for (raft::ForwardedResult& result : message.results) {
        result = {result.id, raft::RejectReason::kDisabled, Index(), Term()};
      }
    } else if (message.type == MessageType::kReadIndexResp) {
      message.reject = true;
      message.reason = raft::RejectReason::kDisabled;
    }
    return true;
  };
  WriteAnswer write;
  ReadAnswer read;
  cluster.Write(follower, "k", &write);
  cluster.Read(follower, &read);
  cluster.Settle();
  EXPECT_TRUE(write.pending());
  EXPECT_TRUE(read.pending());
  cluster.Run(300);
  EXPECT_TRUE(write.failed(Code::kUnavailable));
  EXPECT_TRUE(read.failed(Code::kUnavailable));
}

TEST(RaftLoop, ARefusedWriteIsNotSentAgainAtEachTick) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  int sent = 0;
  cluster.filter = [&](Message& message) {
    if (message.type == MessageType::kPropose) ++sent;
    if (message.type == MessageType::kProposeResp) {
      for (raft::ForwardedResult& result : message.results) {
        result = {result.id, raft::RejectReason::kTransferring, Index(), Term()};
      }
    }
    return true;
  };
  WriteAnswer write;
  cluster.Write(follower, "k", &write);
  cluster.Run(1000);
  EXPECT_GE(sent, 10);
  EXPECT_LE(sent, 25);
}

// ---------------------------------------------------------------- bounds

TEST(RaftLoop, WritesThatWaitForALeaderAreBoundedInBytes) {
  Cluster cluster(3, {.leader_wait_ns = 300 * kMs, .held_write_bytes_max = 10'000});
  cluster.isolated = {MemberId(1), MemberId(2), MemberId(3)};
  std::deque<WriteAnswer> answers;
  for (int i = 0; i < 10; ++i) {
    cluster.Write(1, "k", &answers.emplace_back(), 5000, std::string(3000, 'v'));
    cluster.Tick();
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(answers[i].pending()) << i;
  for (size_t i = 3; i < 10; ++i) EXPECT_TRUE(answers[i].failed(Code::kOverloaded)) << i;
  // The space comes back with the answers.
  cluster.Run(400);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(answers[i].failed(Code::kUnavailable)) << i;
  WriteAnswer next;
  cluster.Write(1, "k", &next);
  cluster.Tick();
  EXPECT_TRUE(next.pending());
}

TEST(RaftLoop, ForwardedWritesWithoutAnswerAreBoundedInBytes) {
  Cluster cluster(3, {.held_write_bytes_max = 10'000});
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.filter = [](Message& message) { return message.type != MessageType::kPropose; };
  std::deque<WriteAnswer> answers;
  for (int i = 0; i < 10; ++i) {
    cluster.Write(follower, "k", &answers.emplace_back(), 1000, std::string(3000, 'v'));
    cluster.Settle();
  }
  EXPECT_TRUE(answers[2].pending());
  EXPECT_TRUE(answers[3].failed(Code::kOverloaded));
  cluster.Run(1100);
  EXPECT_TRUE(answers[2].failed(Code::kOutcomeUnknown));
  WriteAnswer next;
  cluster.Write(follower, "k", &next);
  cluster.Settle();
  EXPECT_TRUE(next.pending());
}

TEST(RaftLoop, OneWriteOfAnySizeMayWait) {
  Cluster cluster(1, {.held_write_bytes_max = 10});
  cluster.Settle();
  WriteAnswer write;
  cluster.Write(1, "k", &write, 5000, std::string(100'000, 'v'));
  cluster.Settle();
  EXPECT_TRUE(write.ok());
}

TEST(RaftLoop, WaitingReadsAreBounded) {
  Cluster cluster(3, {.leader_wait_ns = 300 * kMs, .held_reads_max = 4});
  cluster.isolated = {MemberId(1), MemberId(2), MemberId(3)};
  std::deque<ReadAnswer> answers;
  for (int i = 0; i < 6; ++i) {
    cluster.Read(1, &answers.emplace_back());
    cluster.Tick();
  }
  EXPECT_TRUE(answers[3].pending());
  EXPECT_TRUE(answers[4].failed(Code::kOverloaded));
  EXPECT_TRUE(answers[5].failed(Code::kOverloaded));
  cluster.Run(400);
  EXPECT_TRUE(answers[3].failed(Code::kUnavailable));
  ReadAnswer next;
  cluster.Read(1, &next);
  cluster.Tick();
  EXPECT_TRUE(next.pending());
}

TEST(RaftLoop, ReadsThatWaitForTheApplierCountToo) {
  Cluster cluster(1, {.held_reads_max = 1});
  cluster.Settle();
  cluster.node(1).hold_apply = true;
  WriteAnswer write;
  cluster.Write(1, "k", &write);
  cluster.Settle();
  ReadAnswer first;
  ReadAnswer second;
  cluster.Read(1, &first);
  cluster.Settle();
  cluster.Read(1, &second);
  cluster.Settle();
  EXPECT_TRUE(first.pending());
  EXPECT_TRUE(second.failed(Code::kOverloaded));
  cluster.node(1).hold_apply = false;
  cluster.Settle();
  EXPECT_TRUE(first.ok());
  ReadAnswer third;
  cluster.Read(1, &third);
  cluster.Settle();
  EXPECT_TRUE(third.ok());
}

// ---------------------------------------------------------------- reads

TEST(RaftLoop, AReadOnAnyNodeSeesWritesAcknowledgedBeforeIt) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.node(follower).hold_apply = true;
  WriteAnswer write;
  cluster.Write(leader, "k", &write);
  cluster.Run(100);
  ASSERT_TRUE(write.ok());
  ReadAnswer read;
  cluster.Read(follower, &read);
  cluster.Run(100);
  EXPECT_TRUE(read.pending()) << "this node has not applied the write";
  cluster.node(follower).hold_apply = false;
  cluster.Settle();
  EXPECT_TRUE(read.ok());
  EXPECT_TRUE(cluster.Has(follower, "k"));
}

TEST(RaftLoop, ALeaderThatWasDeposedUnknowinglyServesNoRead) {
  Cluster cluster(3);
  uint64_t old_leader = cluster.Elect();
  cluster.isolated = {MemberId(old_leader)};
  // Before it steps down by itself.
  ReadAnswer read;
  cluster.Read(old_leader, &read);
  cluster.Settle();
  ASSERT_TRUE(cluster.node(old_leader).leads());
  EXPECT_TRUE(read.pending());
  cluster.Run(3000);
  EXPECT_TRUE(read.failed(Code::kUnavailable));
}

TEST(RaftLoop, AReadThatWaitsIsServedByTheNextLeader) {
  Cluster cluster(3);
  uint64_t old_leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(old_leader);
  cluster.isolated = {MemberId(old_leader)};
  ReadAnswer read;
  cluster.Read(follower, &read);
  cluster.Elect();
  cluster.Run(500);
  EXPECT_TRUE(read.ok());
}

TEST(RaftLoop, AReadIsUnavailableAtItsDeadline) {
  Cluster cluster(3);
  cluster.isolated = {MemberId(1), MemberId(2), MemberId(3)};
  ReadAnswer read;
  cluster.Read(1, &read, 100);
  cluster.Run(90);
  EXPECT_TRUE(read.pending());
  cluster.Run(50);
  EXPECT_TRUE(read.failed(Code::kUnavailable));
}

// Asking anew would make the answer to the first attempt worthless, again and again.
TEST(RaftLoop, AReadIsServedHoweverSlowTheQuorumIs) {
  Cluster cluster(3, {}, /*election_ticks=*/200);
  uint64_t leader = cluster.Elect();
  std::deque<std::pair<uint64_t, Message>> on_the_way;
  cluster.filter = [&](Message& message) {
    if (message.type != MessageType::kHeartbeatResp && message.type != MessageType::kAppResp) {
      return true;
    }
    on_the_way.emplace_back(cluster.now_ns() + 700 * kMs, message);
    return false;
  };
  ReadAnswer read;
  cluster.Read(leader, &read);
  for (int i = 0; i < 150 && read.pending(); ++i) {
    cluster.Tick();
    while (!on_the_way.empty() && on_the_way.front().first <= cluster.now_ns()) {
      cluster.node(leader).loop().Step(raft::PeerMessage{on_the_way.front().second},
                                       cluster.now_ns());
      on_the_way.pop_front();
    }
  }
  EXPECT_TRUE(read.ok());
}

TEST(RaftLoop, ALostQuestionToTheLeaderIsAskedAgain) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  int lost = 0;
  cluster.filter = [&](Message& message) {
    return message.type != MessageType::kReadIndex || lost++ > 0;
  };
  ReadAnswer read;
  cluster.Read(cluster.FollowerOf(leader), &read);
  cluster.Run(1000);
  EXPECT_EQ(lost, 2);
  EXPECT_TRUE(read.ok());
}

// ---------------------------------------------------------------- life of the loop

TEST(RaftLoop, FailAllTellsEachWaiterWhatIsKnown) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  uint64_t follower = cluster.FollowerOf(leader);
  cluster.filter = [](Message& message) {
    return message.type != MessageType::kPropose && message.type != MessageType::kReadIndex;
  };
  WriteAnswer sent;
  WriteAnswer in_inbox;
  ReadAnswer asked;
  ReadAnswer read_in_inbox;
  cluster.Write(follower, "sent", &sent);
  cluster.Read(follower, &asked);
  cluster.Settle();
  cluster.Write(follower, "inbox", &in_inbox);
  cluster.Read(follower, &read_in_inbox);
  cluster.node(follower).loop().FailAll({Code::kUnavailable, "stopping"});
  EXPECT_TRUE(sent.failed(Code::kOutcomeUnknown));
  EXPECT_TRUE(in_inbox.failed(Code::kUnavailable));
  EXPECT_TRUE(asked.failed(Code::kUnavailable));
  EXPECT_TRUE(read_in_inbox.failed(Code::kUnavailable));
  cluster.filter = nullptr;
  cluster.Run(200);
  EXPECT_EQ(sent.calls + in_inbox.calls + asked.calls + read_in_inbox.calls, 4);
}

TEST(RaftLoop, FailAllTellsAppendedWritesThatTheyAreUnknownAndWaitingOnesThatTheyAreNotApplied) {
  Cluster cluster(3);
  uint64_t leader = cluster.Elect();
  cluster.isolated = {MemberId(1), MemberId(2), MemberId(3)};
  WriteAnswer appended;
  cluster.Write(leader, "appended", &appended);
  cluster.Settle();
  cluster.Run(300);  // it steps down
  ASSERT_FALSE(cluster.node(leader).leads());
  WriteAnswer waiting;
  cluster.Write(leader, "waiting", &waiting);
  cluster.Settle();
  cluster.node(leader).loop().FailAll({Code::kUnavailable, "stopping"});
  EXPECT_TRUE(appended.failed(Code::kOutcomeUnknown));
  EXPECT_TRUE(waiting.failed(Code::kUnavailable));
}

TEST(RaftLoop, KnowsWhereTheLastClientWriteMayStand) {
  Cluster cluster(1);
  EXPECT_EQ(cluster.node(1).loop().last_write(), Index(1));
  cluster.Settle();
  EXPECT_EQ(cluster.node(1).loop().last_write(), Index(1)) << "the leader's own entry is no write";
  cluster.node(1).hold_apply = true;
  WriteAnswer write;
  cluster.Write(1, "k", &write, 100);
  cluster.Run(200);
  EXPECT_TRUE(write.failed(Code::kOutcomeUnknown));
  EXPECT_EQ(cluster.node(1).loop().pending_writes(), 0u);
  EXPECT_EQ(cluster.node(1).loop().last_write(), Index(3)) << "it will be applied nevertheless";
}

TEST(RaftLoop, ACommandOfItsOwnIsAppliedAndIsNoClientWrite) {
  Cluster cluster(1);
  cluster.Settle();
  WriteAnswer write;
  cluster.Write(1, "k", &write);
  cluster.Settle();
  ASSERT_TRUE(write.ok());
  TestNode& node = cluster.node(1);
  const Index last_write = node.loop().last_write();
  node.loop().ProposeOwn(kv::EncodeCommand(kv::CompactCommand{2}), cluster.now_ns());
  cluster.Settle();
  EXPECT_EQ(node.machine().compact_revision(), 2u);
  EXPECT_EQ(node.machine().applied().user_op_count, 1u);
  EXPECT_EQ(node.loop().last_write(), last_write);
  EXPECT_EQ(node.loop().pending_writes(), 0u);
}

TEST(RaftLoop, WhatWasSteppedOutsideOfProcessIsDueAtOnce) {
  Cluster cluster(1);
  cluster.Settle();
  TestNode& node = cluster.node(1);
  EXPECT_GT(node.loop().NextDeadlineNs(), cluster.now_ns());
  raft::ConfChange change;
  raft::MemberInfo info = ConfOf(1).members[MemberId(1)];
  info.raft_address = "127.0.0.1:1";
  change.changes.push_back({raft::ConfOp::kUpdate, info});
  node.loop().ProposeConf(change, false, [](const raft::ProposalRejected&) {}, cluster.now_ns());
  EXPECT_EQ(node.loop().NextDeadlineNs(), 0u);
}

TEST(RaftLoop, AMembershipChangeIsSeenWhenItIsCommittedAndARefusalOnce) {
  Cluster cluster(1);
  cluster.Settle();
  TestNode& node = cluster.node(1);
  int refusals = 0;
  auto refused = [&](const raft::ProposalRejected& why) {
    ++refusals;
    EXPECT_EQ(why.reason, raft::RejectReason::kConfInvalid);
  };
  raft::ConfChange update;
  raft::MemberInfo info = ConfOf(1).members[MemberId(1)];
  info.raft_address = "127.0.0.1:1";
  update.changes.push_back({raft::ConfOp::kUpdate, info});
  node.loop().ProposeConf(update, false, refused, cluster.now_ns());
  cluster.Settle();
  ASSERT_NE(node.last_conf, nullptr);
  EXPECT_EQ(node.last_conf->members.at(MemberId(1)).raft_address, "127.0.0.1:1");
  EXPECT_EQ(refusals, 0);
  raft::ConfChange bad;
  bad.changes.push_back({raft::ConfOp::kRemove, info});
  node.loop().ProposeConf(bad, false, refused, cluster.now_ns());
  cluster.Settle();
  EXPECT_EQ(refusals, 1);
}

// ---------------------------------------------------------------- honesty

// Under loss, doubling, delay, isolation and slow disks: what was acknowledged is there, what was
// said not to be applied is not there, a read sees all that was acknowledged before it.
class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed), cluster_(3, {.leader_wait_ns = 200 * kMs}) {}

  void Go() {
    cluster_.filter = [this](Message& message) { return Pass(message); };
    for (int step = 0; step < 400; ++step) {
      Disturb();
      if (random_.Percent(60)) AddWrite();
      if (random_.Percent(30)) AddRead();
      cluster_.Tick();
      CheckReads();
    }
    Heal();
    cluster_.Run(8000);
    Judge();
  }

 private:
  struct OneWrite {
    std::string key;
    WriteAnswer answer;
  };
  struct OneRead {
    uint64_t node = 0;
    std::vector<std::string> must_see;
    ReadAnswer answer;
    bool checked = false;
  };

  bool Pass(Message& message) {
    if (calm_) return true;
    if (random_.Percent(5)) return false;
    if (random_.Percent(5)) late_.push_back(message);
    if (random_.Percent(10)) {
      late_.push_back(std::move(message));
      return false;
    }
    return true;
  }
  void Disturb() {
    if (random_.Percent(4)) {
      cluster_.isolated.clear();
      if (random_.Percent(60)) cluster_.isolated = {MemberId(1 + random_.Below(3))};
    }
    for (uint64_t id = 1; id <= 3; ++id) {
      if (random_.Percent(10)) cluster_.node(id).hold_log = random_.Percent(40);
      if (random_.Percent(10)) cluster_.node(id).hold_apply = random_.Percent(40);
    }
    for (Message& message : std::exchange(late_, {})) {
      if (random_.Percent(50)) {
        late_.push_back(std::move(message));
      } else if (!cluster_.isolated.contains(message.from) &&
                 !cluster_.isolated.contains(message.to)) {
        cluster_.node(message.to.value).loop().Step(raft::PeerMessage{message}, cluster_.now_ns());
      }
    }
  }
  void Heal() {
    calm_ = true;
    late_.clear();
    cluster_.isolated.clear();
    for (uint64_t id = 1; id <= 3; ++id) {
      cluster_.node(id).hold_log = false;
      cluster_.node(id).hold_apply = false;
    }
  }
  void AddWrite() {
    OneWrite& write = writes_.emplace_back();
    write.key = "w" + std::to_string(writes_.size());
    cluster_.Write(1 + random_.Below(3), write.key, &write.answer, 100 + random_.Below(2000));
  }
  void AddRead() {
    OneRead& read = reads_.emplace_back();
    read.node = 1 + random_.Below(3);
    for (const OneWrite& write : writes_) {
      if (write.answer.ok()) read.must_see.push_back(write.key);
    }
    cluster_.Read(read.node, &read.answer, 500);
  }
  void CheckReads() {
    for (OneRead& read : reads_) {
      if (read.checked || read.answer.pending()) continue;
      read.checked = true;
      if (!read.answer.ok()) continue;
      ++served_;
      for (const std::string& key : read.must_see) {
        ASSERT_TRUE(cluster_.Has(read.node, key)) << key << " at n" << read.node;
      }
    }
  }
  void Judge() {
    int acknowledged = 0;
    for (const OneWrite& write : writes_) {
      ASSERT_EQ(write.answer.calls, 1) << write.key;
      bool unknown = write.answer.failed(Code::kOutcomeUnknown);
      acknowledged += write.answer.ok() ? 1 : 0;
      for (uint64_t id = 1; id <= 3; ++id) {
        auto found = cluster_.node(id).machine().Get(write.key);
        ASSERT_TRUE(found);
        EXPECT_LE(found->version, 1u) << write.key << " was written twice";
        if (unknown) continue;
        EXPECT_EQ(cluster_.Has(id, write.key), write.answer.ok())
            << write.key << " at n" << id << ": "
            << (write.answer.ok() ? "ok" : write.answer.result.error().ToString());
      }
    }
    for (const OneRead& read : reads_) ASSERT_EQ(read.answer.calls, 1);
    // A run in which nothing happens would prove nothing.
    EXPECT_GT(acknowledged, 5);
    EXPECT_GT(served_, 2);
    for (uint64_t id = 1; id <= 3; ++id) {
      EXPECT_EQ(cluster_.node(id).loop().pending_writes(), 0u);
    }
  }

  SeededRandom random_;
  // Before the cluster: its destructor answers what is left.
  std::deque<OneWrite> writes_;
  std::deque<OneRead> reads_;
  std::vector<Message> late_;
  bool calm_ = false;
  int served_ = 0;
  Cluster cluster_;
};

TEST(RaftLoop, NeverSaysWhatIsNotSo) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomRun(seed).Go();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace arima::node
