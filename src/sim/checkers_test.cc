// Each checker on a good history and on every kind of bad one it claims to notice.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "raft/conf_payload.h"
#include "sim/durability_checker.h"
#include "sim/election_checker.h"
#include "sim/log_checker.h"
#include "sim/membership_checker.h"
#include "sim/read_checker.h"
#include "sim/state_checker.h"

namespace arima::sim {
namespace {

using raft::ConfState;
using raft::Entry;
using raft::EntryId;
using raft::Index;
using raft::MemberId;
using raft::Message;
using raft::MessageType;
using raft::Term;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Entry MakeEntry(uint64_t term, uint64_t index, std::string payload = "") {
  Entry entry{Term(term), Index(index), raft::EntryKind::kCommand, 0,
              SharedBytes::Take(std::move(payload))};
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  return entry;
}

ConfState MakeConf(std::vector<uint64_t> voters, uint64_t index) {
  ConfState conf;
  conf.index = Index(index);
  for (uint64_t id : voters) {
    conf.voters.emplace_back(id);
    conf.members[MemberId(id)].id = MemberId(id);
    conf.next_member_id = MemberId(id + 1);
  }
  return conf;
}

// ------------------------------------------------------------ logs

class LogCheckerTest : public ::testing::Test {
 protected:
  LogCheckerTest() : logs_(&verdict_) {
    logs_.Bootstrap({Term(1), Index(1)});
    for (size_t node = 0; node < 3; ++node) logs_.OnStart(node, {Term(1), Index(1)}, {});
  }
  void Append(size_t node, std::vector<Entry> entries, bool leading = false) {
    logs_.OnAppend(node, entries, leading);
  }

  Verdict verdict_;
  LogChecker logs_;
};

TEST_F(LogCheckerTest, AcceptsReplicationConflictAndSnapshot) {
  Append(0, {MakeEntry(2, 2, "a"), MakeEntry(2, 3, "b")}, true);
  Append(1, {MakeEntry(2, 2, "a")});
  Append(2, {MakeEntry(3, 2, "c")});  // another leader, not committed
  logs_.OnCommit(0, Index(2), Term(2), false);
  logs_.OnCommit(1, Index(2), Term(2), false);
  Append(2, {MakeEntry(2, 2, "a"), MakeEntry(2, 3, "b")});
  logs_.OnCommit(0, Index(3), Term(2), false);
  logs_.OnApply(0, MakeEntry(2, 2, "a"));
  logs_.OnReset(1, {Term(2), Index(3)});
  Append(1, {MakeEntry(4, 4)});
  logs_.OnCompact(0, Index(3));
  logs_.OnLeader(1, Term(4));
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  EXPECT_EQ(logs_.committed(), Index(3));
  EXPECT_EQ(logs_.CommittedBefore(Term(2)), Index(1));
  EXPECT_EQ(logs_.CommittedBefore(Term(3)), Index(3));
}

TEST_F(LogCheckerTest, NoticesEqualPositionsWithDifferentPrefixes) {
  Append(0, {MakeEntry(2, 2, "a"), MakeEntry(3, 3, "x")});
  Append(1, {MakeEntry(2, 2, "a"), MakeEntry(3, 3, "y")});
  EXPECT_THAT(verdict_.text(), StartsWith("I4"));
}

TEST_F(LogCheckerTest, NoticesEqualEntriesOnDifferentPrefixes) {
  Append(0, {MakeEntry(2, 2, "a"), MakeEntry(4, 3, "x")});
  Append(1, {MakeEntry(3, 2, "b"), MakeEntry(4, 3, "x")});
  EXPECT_THAT(verdict_.text(), StartsWith("I4"));
}

TEST_F(LogCheckerTest, NoticesGapsAndFallingTerms) {
  Append(0, {MakeEntry(2, 3)});
  EXPECT_THAT(verdict_.text(), HasSubstr("gap"));
  Verdict verdict;
  LogChecker logs(&verdict);
  logs.Bootstrap({Term(1), Index(1)});
  logs.OnStart(0, {Term(1), Index(1)}, {});
  logs.OnAppend(0, std::vector<Entry>{MakeEntry(3, 2), MakeEntry(2, 3)}, false);
  EXPECT_THAT(verdict.text(), HasSubstr("goes back in term"));
}

TEST_F(LogCheckerTest, NoticesALeaderThatRewritesItsLog) {
  Append(0, {MakeEntry(2, 2, "a")}, true);
  Append(0, {MakeEntry(3, 2, "b")}, true);
  EXPECT_THAT(verdict_.text(), StartsWith("I3"));
}

TEST_F(LogCheckerTest, NoticesTwoCommitsAtOneIndex) {
  Append(0, {MakeEntry(2, 2, "a")});
  Append(1, {MakeEntry(3, 2, "b")});
  logs_.OnCommit(0, Index(2), Term(2), false);
  logs_.OnCommit(1, Index(2), Term(3), false);
  EXPECT_THAT(verdict_.text(), StartsWith("I6"));
}

TEST_F(LogCheckerTest, NoticesACommitBeyondTheLog) {
  logs_.OnCommit(0, Index(2), Term(2), false);
  EXPECT_THAT(verdict_.text(), StartsWith("I6"));
}

TEST_F(LogCheckerTest, NoticesACommitOfAnOlderTermByCounting) {
  Append(0, {MakeEntry(2, 2, "a"), MakeEntry(4, 3, "b")});
  logs_.OnCommit(0, Index(3), Term(4), true);
  EXPECT_TRUE(verdict_.ok());
  Append(1, {MakeEntry(2, 2, "a")});
  logs_.OnCommit(1, Index(2), Term(4), true);
  EXPECT_THAT(verdict_.text(), StartsWith("commit rule"));
}

TEST_F(LogCheckerTest, NoticesALeaderThatLacksWhatIsCommitted) {
  Append(0, {MakeEntry(2, 2, "a")});
  logs_.OnCommit(0, Index(2), Term(2), false);
  logs_.OnLeader(1, Term(2));  // of the same term: nothing was committed before
  EXPECT_TRUE(verdict_.ok());
  logs_.OnLeader(1, Term(3));
  EXPECT_THAT(verdict_.text(), StartsWith("I5"));
}

TEST_F(LogCheckerTest, NoticesAnAppliedEntryThatIsNotTheCommittedOne) {
  Append(0, {MakeEntry(2, 2, "a")});
  logs_.OnCommit(0, Index(2), Term(2), false);
  logs_.OnApply(1, MakeEntry(2, 2, "b"));
  EXPECT_THAT(verdict_.text(), StartsWith("I6"));
}

TEST_F(LogCheckerTest, NoticesASnapshotOfWhatIsNotCommitted) {
  Append(0, {MakeEntry(2, 2, "a")});
  logs_.OnReset(1, {Term(2), Index(2)});
  EXPECT_THAT(verdict_.text(), StartsWith("I6"));
}

TEST_F(LogCheckerTest, NoticesARestartWithALogThatNeverWas) {
  Append(0, {MakeEntry(2, 2, "a")});
  logs_.OnStart(0, {Term(1), Index(1)}, std::vector<Entry>{MakeEntry(2, 2, "z")});
  EXPECT_THAT(verdict_.text(), StartsWith("I4"));
}

// ------------------------------------------------------------ elections

TEST(ElectionCheckerTest, AcceptsOneLeaderAndOneVotePerTerm) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnStart(MemberId(1), Term(1));
  elections.OnHardState(MemberId(3), {Term(2), MemberId(3), Index(1)}, {});
  elections.OnHardState(MemberId(1), {Term(2), MemberId(3), Index(1)}, {});
  elections.OnVote(MemberId(1), Term(2), MemberId(3));
  elections.OnVote(MemberId(1), Term(2), MemberId(3));  // sent again
  elections.OnHardState(MemberId(2), {Term(3), MemberId(2), Index(1)}, {});
  elections.OnVote(MemberId(1), Term(3), MemberId(2));
  elections.OnLeader(MemberId(3), 1, Term(2));
  elections.OnLeader(MemberId(2), 1, Term(3));
  elections.OnTerm(MemberId(1), Term(3));
  elections.OnStart(MemberId(1), Term(3));
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  EXPECT_EQ(elections.leaders(), 2u);
}

TEST(ElectionCheckerTest, NoticesTwoLeadersOfATerm) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnLeader(MemberId(1), 1, Term(2));
  elections.OnLeader(MemberId(2), 1, Term(2));
  EXPECT_THAT(verdict.text(), StartsWith("I1"));
}

TEST(ElectionCheckerTest, NoticesTwoLivesLeadingOneTerm) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnLeader(MemberId(1), 1, Term(2));
  elections.OnLeader(MemberId(1), 2, Term(2));
  EXPECT_THAT(verdict.text(), StartsWith("I1"));
}

TEST(ElectionCheckerTest, NoticesASecondVote) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnVote(MemberId(1), Term(2), MemberId(2));
  elections.OnVote(MemberId(1), Term(2), MemberId(3));
  EXPECT_THAT(verdict.text(), StartsWith("I2"));
}

TEST(ElectionCheckerTest, NoticesALostTerm) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnVote(MemberId(1), Term(5), MemberId(2));
  elections.OnStart(MemberId(1), Term(4));
  EXPECT_THAT(verdict.text(), StartsWith("I2"));
}

TEST(ElectionCheckerTest, NoticesATermThatNobodyBegan) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnHardState(MemberId(2), {Term(5), MemberId(2), Index(1)}, {});
  elections.OnTerm(MemberId(1), Term(5));
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  elections.OnTerm(MemberId(1), Term(6));
  EXPECT_THAT(verdict.text(), StartsWith("I2"));
}

TEST(ElectionCheckerTest, NoticesAVoteForWhoDoesNotStand) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnHardState(MemberId(2), {Term(5), MemberId(2), Index(1)}, {});
  elections.OnHardState(MemberId(1), {Term(5), MemberId(2), Index(1)}, {});
  elections.OnHardState(MemberId(1), {Term(6), MemberId(0), Index(1)}, {});
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  elections.OnHardState(MemberId(1), {Term(6), MemberId(2), Index(1)}, {});
  EXPECT_THAT(verdict.text(), StartsWith("I2"));
}

TEST(ElectionCheckerTest, NoticesAVoteOfWhoKnowsItselfRemoved) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  raft::ConfState conf;
  conf.next_member_id = MemberId(4);
  conf.members[MemberId(2)] = conf.members[MemberId(3)] = {};
  elections.OnHardState(MemberId(2), {Term(5), MemberId(2), Index(1)}, conf);
  elections.OnHardState(MemberId(1), {Term(5), MemberId(2), Index(1)}, {});
  elections.OnHardState(MemberId(1), {Term(5), MemberId(2), Index(2)}, conf);  // the same vote
  elections.OnHardState(MemberId(4), {Term(5), MemberId(2), Index(1)}, conf);  // still to be added
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  elections.OnVoteRequest(MemberId(3), Term(6));
  elections.OnHardState(MemberId(1), {Term(6), MemberId(3), Index(2)}, conf);
  EXPECT_THAT(verdict.text(), StartsWith("I17"));
}

TEST(ElectionCheckerTest, NoticesATermThatGoesBack) {
  Verdict verdict;
  ElectionChecker elections(&verdict);
  elections.OnHardState(MemberId(1), {Term(5), MemberId(1), Index(1)}, {});
  elections.OnTerm(MemberId(1), Term(5));
  elections.OnTerm(MemberId(1), Term(4));
  EXPECT_THAT(verdict.text(), StartsWith("I2"));
}

// ------------------------------------------------------------ state machines

TEST(StateCheckerTest, AcceptsEqualStatesAndRestarts) {
  Verdict verdict;
  StateChecker states(&verdict);
  states.OnStart(MemberId(1), Index(1), 1);
  states.OnApply(MemberId(1), Index(2), 22);
  states.OnApply(MemberId(1), Index(3), 33);
  states.OnStart(MemberId(1), Index(2), 22);
  states.OnApply(MemberId(1), Index(3), 33);
  states.OnInstall(MemberId(2), Index(3), 33);
  EXPECT_TRUE(verdict.ok()) << verdict.text();
}

TEST(StateCheckerTest, NoticesDifferentStates) {
  Verdict verdict;
  StateChecker states(&verdict);
  states.OnStart(MemberId(1), Index(1), 1);
  states.OnStart(MemberId(2), Index(1), 1);
  states.OnApply(MemberId(1), Index(2), 22);
  states.OnApply(MemberId(2), Index(2), 23);
  EXPECT_THAT(verdict.text(), StartsWith("I14"));
}

TEST(StateCheckerTest, NoticesASkippedAndARepeatedEntry) {
  for (uint64_t index : {1u, 3u}) {
    Verdict verdict;
    StateChecker states(&verdict);
    states.OnStart(MemberId(1), Index(1), 1);
    states.OnApply(MemberId(1), Index(index), 22);
    EXPECT_THAT(verdict.text(), StartsWith("I8"));
  }
}

TEST(StateCheckerTest, NoticesAnOldSnapshotOverANewState) {
  Verdict verdict;
  StateChecker states(&verdict);
  states.OnStart(MemberId(1), Index(5), 55);
  states.OnInstall(MemberId(1), Index(4), 44);
  EXPECT_THAT(verdict.text(), StartsWith("I8"));
}

// ------------------------------------------------------------ configurations

TEST(MembershipCheckerTest, AcceptsDerivedConfigurations) {
  Verdict verdict;
  MembershipChecker membership(&verdict);
  const ConfState before = MakeConf({1}, 1);
  membership.Bootstrap(before);
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kAddLearner, {}});
  Result<ConfState> after = ApplyConfChange(before, change, Index(5));
  ASSERT_TRUE(after);
  Entry entry = MakeEntry(2, 5, raft::EncodeConfPayload(change));
  membership.OnActive(MemberId(1), *after);
  membership.OnApply(MemberId(1), entry, before, *after);
  membership.OnLeader(MemberId(1), before, Index(5));
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  EXPECT_EQ(membership.newest(), *after);
}

TEST(MembershipCheckerTest, NoticesTwoConfigurationsOfOneEntry) {
  Verdict verdict;
  MembershipChecker membership(&verdict);
  membership.Bootstrap(MakeConf({1, 2}, 1));
  membership.OnActive(MemberId(1), MakeConf({1, 3}, 1));
  EXPECT_THAT(verdict.text(), StartsWith("I12"));
}

TEST(MembershipCheckerTest, NoticesAConfigurationThatDoesNotFollow) {
  Verdict verdict;
  MembershipChecker membership(&verdict);
  membership.Bootstrap(MakeConf({1}, 1));
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kAddLearner, {}});
  Entry entry = MakeEntry(2, 5, raft::EncodeConfPayload(change));
  membership.OnApply(MemberId(1), entry, MakeConf({1}, 1), MakeConf({1, 2}, 5));
  EXPECT_THAT(verdict.text(), StartsWith("I12"));
}

TEST(MembershipCheckerTest, NoticesConfigurationsThatDecideWithoutEachOther) {
  Verdict verdict;
  MembershipChecker membership(&verdict);
  membership.Bootstrap(MakeConf({1, 2, 3}, 1));
  ConfState joint = MakeConf({1, 4, 5}, 5);
  joint.voters_outgoing = {MemberId(1), MemberId(2), MemberId(3)};
  for (uint64_t id : {2u, 3u}) joint.members[MemberId(id)].id = MemberId(id);
  membership.OnActive(MemberId(1), joint);
  membership.OnActive(MemberId(1), MakeConf({1, 4, 5}, 6));
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  membership.OnActive(MemberId(1), MakeConf({1, 6, 7}, 7));
  EXPECT_THAT(verdict.text(), StartsWith("I12"));
  EXPECT_THAT(verdict.text(), HasSubstr("without each other"));
}

TEST(MembershipCheckerTest, NoticesAnIdThatIsUsedAgain) {
  Verdict verdict;
  MembershipChecker membership(&verdict);
  membership.Bootstrap(MakeConf({1, 2, 3}, 1));
  membership.OnActive(MemberId(1), MakeConf({1, 3}, 5));
  EXPECT_TRUE(verdict.ok()) << verdict.text();
  membership.OnActive(MemberId(1), MakeConf({1, 2, 3}, 6));
  EXPECT_THAT(verdict.text(), HasSubstr("of one that was removed"));
}

TEST(MembershipCheckerTest, NoticesALeaderTwoConfigurationsBehind) {
  Verdict verdict;
  MembershipChecker membership(&verdict);
  membership.Bootstrap(MakeConf({1}, 1));
  membership.OnActive(MemberId(1), MakeConf({1, 2}, 5));
  membership.OnActive(MemberId(1), MakeConf({1, 2, 3}, 7));
  membership.OnLeader(MemberId(2), MakeConf({1}, 1), Index(6));
  EXPECT_TRUE(verdict.ok());
  membership.OnLeader(MemberId(2), MakeConf({1}, 1), Index(7));
  EXPECT_THAT(verdict.text(), StartsWith("I12"));
}

// ------------------------------------------------------------ durability

class DurabilityCheckerTest : public ::testing::Test {
 protected:
  DurabilityCheckerTest() : membership_(&verdict_), durability_(&verdict_, &membership_) {
    membership_.Bootstrap(conf_);
    for (SimDisk& disk : disks_) {
      disk.Format({Term(1), MemberId(0), Index(1)}, {Term(1), Index(1)});
      durability_.AddDisk(&disk);
    }
  }
  void Write(uint64_t node, std::vector<Entry> entries, raft::HardState state, bool sync = true) {
    raft::Write write;
    write.entries = std::move(entries);
    write.hard_state = state;
    write.need_sync = sync;
    disks_[node - 1].Complete(write);
    durability_.OnDurable(MemberId(node), write, disks_[node - 1].hard_state().commit);
  }
  Message From1(MessageType type, uint64_t term, uint64_t index = 0) {
    Message m;
    m.type = type;
    m.from = MemberId(1);
    m.to = MemberId(2);
    m.term = Term(term);
    m.index = Index(index);
    return m;
  }

  const ConfState conf_ = MakeConf({1, 2, 3}, 1);
  Verdict verdict_;
  MembershipChecker membership_;
  DurabilityChecker durability_;
  SimDisk disks_[3];
};

TEST_F(DurabilityCheckerTest, AcceptsWhatIsOnDisk) {
  Write(1, {MakeEntry(2, 2)}, {Term(2), MemberId(2), Index(1)});
  Write(2, {MakeEntry(2, 2)}, {Term(2), MemberId(2), Index(1)});
  durability_.OnRelease(From1(MessageType::kVoteResp, 2), {});
  durability_.OnRelease(From1(MessageType::kAppResp, 2, 2), Term(2));
  durability_.OnLeader(MemberId(2), conf_, Term(2));
  durability_.OnCommit(MemberId(2), conf_, {Term(2), Index(2)});
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
}

TEST_F(DurabilityCheckerTest, NoticesACommitOnAMinority) {
  Write(1, {MakeEntry(2, 2)}, {Term(2), MemberId(1), Index(1)});
  Write(2, {MakeEntry(1, 2)}, {Term(2), MemberId(1), Index(1)});  // another entry
  durability_.OnCommit(MemberId(1), conf_, {Term(2), Index(2)});
  EXPECT_THAT(verdict_.text(), StartsWith("I7"));
}

TEST_F(DurabilityCheckerTest, NoticesAVoteThatIsNotOnDisk) {
  Write(1, {}, {Term(2), MemberId(3), Index(1)});
  durability_.OnRelease(From1(MessageType::kVoteResp, 2), {});
  EXPECT_THAT(verdict_.text(), StartsWith("I10"));
}

TEST_F(DurabilityCheckerTest, NoticesAVoteRequestBeforeTheTermIsOnDisk) {
  durability_.OnRelease(From1(MessageType::kVote, 2), {});
  EXPECT_THAT(verdict_.text(), StartsWith("I10"));
}

TEST_F(DurabilityCheckerTest, NoticesAnAcknowledgementThatIsNotOnDisk) {
  Write(1, {MakeEntry(2, 2)}, {Term(2), MemberId(0), Index(1)});
  durability_.OnRelease(From1(MessageType::kAppResp, 2, 3), Term(2));
  EXPECT_THAT(verdict_.text(), StartsWith("I10"));
}

TEST_F(DurabilityCheckerTest, NoticesAnAcknowledgementWhileTheDiskHasAnotherEntryThere) {
  Write(1, {MakeEntry(1, 2), MakeEntry(1, 3)}, {Term(2), MemberId(0), Index(1)});
  durability_.OnRelease(From1(MessageType::kAppResp, 2, 3), Term(1));
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  durability_.OnRelease(From1(MessageType::kAppResp, 2, 2), Term(2));
  EXPECT_THAT(verdict_.text(), StartsWith("I10"));
}

TEST_F(DurabilityCheckerTest, NoticesALeaderWithoutDurableVotes) {
  Write(1, {}, {Term(2), MemberId(1), Index(1)});
  durability_.OnLeader(MemberId(1), conf_, Term(2));
  EXPECT_THAT(verdict_.text(), StartsWith("I10"));
}

TEST_F(DurabilityCheckerTest, NoticesAConfEntryAheadOfTheCommitOfTheOneBefore) {
  Entry first = MakeEntry(2, 2);
  Entry second = MakeEntry(2, 3);
  first.kind = second.kind = raft::EntryKind::kConf;
  Write(1, {first}, {Term(2), MemberId(0), Index(1)});
  EXPECT_TRUE(verdict_.ok());
  Write(1, {second}, {Term(2), MemberId(0), Index(1)});
  EXPECT_THAT(verdict_.text(), StartsWith("I20"));
}

TEST(SimDiskTest, ALazyCommitMayBeLostAndASyncedOneNot) {
  bool lost = false;
  bool kept = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimDisk disk;
    disk.Format({Term(1), MemberId(0), Index(1)}, {Term(1), Index(1)});
    raft::Write synced;
    synced.entries = {MakeEntry(2, 2), MakeEntry(2, 3)};
    synced.hard_state = raft::HardState{Term(2), MemberId(1), Index(2)};
    synced.need_sync = true;
    disk.Complete(synced);
    raft::Write lazy;
    lazy.hard_state = raft::HardState{Term(2), MemberId(1), Index(3)};
    disk.Complete(lazy);
    EXPECT_EQ(disk.hard_state().commit, Index(2));
    SeededRandom random(seed);
    disk.Crash(&random);
    (disk.hard_state().commit == Index(2) ? lost : kept) = true;
    EXPECT_EQ(disk.hard_state().term, Term(2));
    EXPECT_EQ(disk.last(), Index(3));
  }
  EXPECT_TRUE(lost && kept);
}

// ------------------------------------------------------------ reads

TEST(ReadCheckerTest, AcceptsReadsThatSeeWhatWasAcknowledged) {
  Verdict verdict;
  ReadChecker reads(&verdict);
  const Index early = reads.OnReadBegin();
  reads.OnWriteAcknowledged(Index(5));
  reads.OnReadIndex(Index(3), early);  // began before the acknowledgement
  reads.OnReadIndex(Index(5), reads.OnReadBegin());
  EXPECT_TRUE(verdict.ok()) << verdict.text();
}

TEST(ReadCheckerTest, NoticesAStaleRead) {
  Verdict verdict;
  ReadChecker reads(&verdict);
  reads.OnWriteAcknowledged(Index(5));
  reads.OnReadIndex(Index(4), reads.OnReadBegin());
  EXPECT_THAT(verdict.text(), StartsWith("linearizable reads"));
}

TEST(ReadCheckerTest, NoticesAReadThatGoesBackBehindAnotherRead) {
  Verdict verdict;
  ReadChecker reads(&verdict);
  reads.OnReadServed(Index(7));
  reads.OnReadIndex(Index(6), reads.OnReadBegin());
  EXPECT_FALSE(verdict.ok());
}

}  // namespace
}  // namespace arima::sim
