// What the core says no to, and how: settings, lost logs, a dead disk, limits; and that everything
// has a name for people.

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "raft/describe.h"
#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

TestCluster Led() {
  TestCluster c({1, 2, 3});
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

Propose Proposals(size_t count, EntryKind kind = EntryKind::kCommand) {
  Propose propose;
  for (uint64_t tag = 1; tag <= count; ++tag) {
    propose.proposals.push_back({tag, kind, 0, SharedBytes::Copy("12345678")});
  }
  return propose;
}

TEST(Settings, EachOneOutOfRangeIsRefusedByItsName) {
  struct Case {
    std::function<void(Config*)> spoil;
    std::string name;
  };
  const Case cases[] = {
      {[](Config* c) { c->heartbeat_ticks = 0; }, "heartbeat_ticks"},
      {[](Config* c) { c->election_ticks = c->heartbeat_ticks; }, "election_ticks"},
      {[](Config* c) { c->election_ticks = UINT32_MAX; }, "election_ticks"},
      {[](Config* c) { c->tick_ns = 0; }, "tick_ns"},
      {[](Config* c) { c->tick_ns = UINT64_MAX / 2; }, "tick_ns"},
      {[](Config* c) { c->max_inflight_msgs = 0; }, "max_inflight_msgs"},
      {[](Config* c) { c->max_msg_bytes = 0; }, "max_msg_bytes"},
      {[](Config* c) { c->max_inflight_bytes = c->max_msg_bytes - 1; }, "max_inflight_bytes"},
      {[](Config* c) { c->max_apply_bytes = 0; }, "max_apply_bytes"},
      {[](Config* c) { c->max_pending_reads = 0; }, "max_pending_reads"},
  };
  EXPECT_TRUE(Config().Validate().has_value());
  for (const Case& t : cases) {
    Config config;
    t.spoil(&config);
    Status checked = config.Validate();
    ASSERT_FALSE(checked.has_value()) << t.name;
    EXPECT_EQ(checked.error().code, Code::kInvalidArgument);
    EXPECT_EQ(checked.error().message.find(t.name), 0u) << checked.error().message;
  }
}

// The hard state is in the log too: entries it speaks of were there.
TEST(Refusals, ACommitBeyondTheEndOfTheLogIsALostLog) {
  TestCluster c({1, 2, 3});
  c.SetLog(1, {2, 2}, 2);
  c[1].hard_state.commit = Index(9);
  c.Start(1);
  EXPECT_EQ(c[1].status().soft.disabled, Disabled::kDamaged);
  EXPECT_EQ(c[1].commit(), 3u);
  c.Process(1);
  EXPECT_TRUE(c[1].Saw(EventKind::kLogRegression));
  c.Tick(1, 100);
  EXPECT_EQ(c[1].term(), 2u) << "it does not campaign";
  EXPECT_TRUE(c.wire().empty());
}

TEST(Refusals, AFailedWriteRefusesWhatWaitsAndWhatComes) {
  TestCluster c = Led();
  c[2].hold_writes = true;
  c.ProposeOnly(1, "a");
  c.Deliver();
  ASSERT_FALSE(c[2].writes.empty());
  // Taken in, not yet sent on to the leader.
  c[2].core->Step(Proposals(1), c.now_ns());
  c[2].core->Step(Read{77}, c.now_ns());
  c[2].core->Step(WriteFailed{c[2].writes.front().seq}, c.now_ns());
  c.Process(2);
  ASSERT_EQ(c[2].rejected.size(), 1u);
  EXPECT_EQ(c[2].rejected[0].reason, RejectReason::kDisabled);
  ASSERT_EQ(c[2].reads.size(), 1u);
  EXPECT_EQ(c[2].reads[0].tag, 77u);
  EXPECT_EQ(c[2].reads[0].reason, RejectReason::kDisabled);
  c.ProposeConf(2, ConfChange{});
  c.Read(2);
  EXPECT_EQ(c[2].rejected.back().reason, RejectReason::kDisabled);
  EXPECT_EQ(c[2].reads.back().reason, RejectReason::kDisabled);
  EXPECT_TRUE(c.wire().empty());
}

TEST(Refusals, ForwardedProposalsAreBoundedInNumber) {
  TestCluster c = Led();
  c.SetFilter([](const Message&) { return false; });  // nobody answers
  c.Step(2, Proposals(70'000));
  ASSERT_EQ(c[2].rejected.size(), 70'000u - 65'536u);
  EXPECT_EQ(c[2].rejected[0].tag, 65'537u) << "the first ones are on their way";
  EXPECT_EQ(c[2].rejected[0].reason, RejectReason::kQueueFull);
}

TEST(Refusals, OnlyWhatAClientMayWriteIsForwarded) {
  TestCluster c = Led();
  c.Step(2, Proposals(1, EntryKind::kConf));
  ASSERT_EQ(c[2].rejected.size(), 1u);
  EXPECT_EQ(c[2].rejected[0].reason, RejectReason::kConfInvalid);
  EXPECT_TRUE(c.wire().empty());
}

TEST(Refusals, AMembershipChangeThatIsTooLarge) {
  TestCluster c = Led();
  ConfChange change;
  change.changes.push_back({ConfOp::kAddLearner, {}});
  change.context = std::string((64 << 10) + 1, 'x');
  c.ProposeConf(1, change);
  change.context.clear();
  change.changes.resize(257, change.changes[0]);
  c.ProposeConf(1, change);
  ASSERT_EQ(c[1].rejected.size(), 2u);
  for (const ProposalRejected& rejected : c[1].rejected) {
    EXPECT_EQ(rejected.reason, RejectReason::kConfInvalid);
    EXPECT_NE(rejected.text.find("too large"), std::string::npos);
  }
}

// It came beside the messages, from a leader that this node has not heard of otherwise.
TEST(Refusals, ASnapshotOfAHigherTermEndsTheTermOfItsReceiver) {
  TestCluster c = Led();
  SnapshotMeta meta;
  meta.index = Index(9);
  meta.term = Term(7);
  meta.conf = TestConf({1, 2, 3});
  meta.snapshot_id = 1;
  c.Step(1, SnapshotReceived{meta, MemberId(2), Term(7)});
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].term(), 7u);
  ASSERT_EQ(c[1].installs.size(), 1u);
}

TEST(Refusals, AReadWhoseLeaderIsGoneBeforeItWasSent) {
  TestCluster c = Led();
  c[2].core->Step(Read{5}, c.now_ns());
  c[2].core->Step(ForgetLeader{}, c.now_ns());
  c.Process(2);
  ASSERT_EQ(c[2].reads.size(), 1u);
  EXPECT_EQ(c[2].reads[0].tag, 5u);
  EXPECT_EQ(c[2].reads[0].reason, RejectReason::kNoLeader);
  EXPECT_TRUE(c.wire().empty());
}

// ---------------------------------------------------------------- names

// Names of the values from `first` to `last`.
template <class Enum>
std::set<std::string> Names(std::string_view (*name)(Enum), uint8_t first, uint8_t last) {
  std::set<std::string> names;
  for (uint8_t i = first; i <= last; ++i) names.emplace(name(static_cast<Enum>(i)));
  return names;
}

template <class Enum>
void ExpectNamed(std::string_view (*name)(Enum), uint8_t first, Enum last) {
  const auto end = static_cast<uint8_t>(last);
  std::set<std::string> names = Names(name, first, end);
  EXPECT_EQ(names.size(), size_t{end} - first + 1) << "one name for two";
  std::string beyond(name(static_cast<Enum>(end + 1)));
  EXPECT_FALSE(names.contains(beyond)) << beyond << " is what a foreign value is called";
}

TEST(Names, EveryValueHasOneOfItsOwn) {
  ExpectNamed(&RejectReasonName, 0, RejectReason::kQueueFull);
  ExpectNamed(&MessageTypeName, 1, MessageType::kReadIndexResp);
  ExpectNamed(&EventKindName, 0, EventKind::kSnapshotNeeded);
  ExpectNamed(&ProgressStateName, 0, ProgressState::kSnapshot);
  ExpectNamed(&DiskLevelName, 0, DiskLevel::kFull);
  ExpectNamed(&RoleName, 0, Role::kLeader);
}

TEST(Describe, SaysWhatAMessageIsAbout) {
  Message m;
  m.from = MemberId(1);
  m.to = MemberId(2);
  m.type = MessageType::kPropose;
  m.proposals.push_back({1, EntryKind::kCommand, 0, SharedBytes::Copy("a")});
  m.proposals.push_back({2, EntryKind::kCommand, 0, SharedBytes::Copy(std::string(1, '\0'))});
  EXPECT_EQ(Describe(m), "1->2 Propose term=0 \"a\" <1 bytes>");
  m.type = MessageType::kProposeResp;
  m.results.push_back({1, RejectReason::kNone, Index(7), Term(2)});
  m.results.push_back({2, RejectReason::kDiskLow, Index(0), Term(0)});
  EXPECT_EQ(Describe(m), "1->2 ProposeResp term=0 at 2/7 disk low");
  m.type = MessageType::kSnapProgress;
  m.received_bytes = 500;
  m.reject = true;
  EXPECT_EQ(Describe(m), "1->2 SnapProgress term=0 received=500 failed");
  m.type = MessageType::kReadIndexResp;
  m.reason = RejectReason::kTermChanged;
  EXPECT_NE(Describe(m).find("leadership changed"), std::string::npos) << Describe(m);
  m.type = MessageType::kTransferReq;
  m.target = MemberId(3);
  EXPECT_EQ(Describe(m), "1->2 TransferReq term=0 target=3");
  m.type = MessageType::kHeartbeatResp;
  m.disk = DiskLevel::kStuck;
  m.sync_us = 9;
  EXPECT_NE(Describe(m).find("disk=stuck sync_us=9"), std::string::npos) << Describe(m);
}

TEST(Describe, SaysWhatAnEntryIs) {
  EXPECT_EQ(Describe(TestEntry(2, 7, "", EntryKind::kClockTick)), "2/7 clock");
  EXPECT_EQ(Describe(TestEntry(2, 7, "x", EntryKind::kConf)), "2/7 conf unreadable");
  EXPECT_EQ(Describe(TestEntry(2, 7, "", static_cast<EntryKind>(99))), "2/7 unknown kind");
}

// ---------------------------------------------------------------- digest

// Two runs that differ anywhere must not look equal.
TEST(Determinism, WhatALeaderHasUnderWayShowsInItsDigest) {
  std::set<uint64_t> seen;
  TestCluster c({1, 2, 3}, [](Config& config) { config.entry_cache_bytes = 1; });
  auto note = [&](const char* what) {
    EXPECT_TRUE(seen.insert(c[1].core->Digest()).second) << what << " does not show";
  };
  c.Campaign(1);
  note("leadership");
  c[1].hold_writes = true;
  c.ProposeOnly(1, "a");
  note("a message in flight");
  c.Read(1);
  note("a read that waits for its round");
  c.Step(1, Transfer{MemberId(2)});
  note("a transfer");
  c.Step(1, Unreachable{MemberId(3)});
  note("a peer that is probed");
  c.Step(1, DiskLow{DiskLevel::kLow});
  note("a low disk");
  c.CompleteWrite(1);
  note("a write that is done");
}

}  // namespace
}  // namespace arima::raft
