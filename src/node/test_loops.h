// Several RaftLoops with real cores; log, state machine and network are in memory and move only
// when told to, on one manual clock. Test-only.
#pragma once

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
#include "node/raft_loop.h"
#include "testing/memory_log.h"

namespace arima::node::loops {

using raft::Index;
using raft::MemberId;
using raft::Message;
using raft::MessageType;
using raft::Term;

inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint64_t kTickNs = 10 * kMs;

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

inline raft::ConfState ConfOf(uint64_t voters) {
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

}  // namespace arima::node::loops
