#include "simserver/cluster_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace arima::simserver {
namespace {

using raft::Index;
using raft::MemberId;
using raft::Term;
using ::testing::StartsWith;

constexpr Index kStart = raft::kFirstSnapshotIndex;
constexpr Term kFirst = raft::kFirstSnapshotTerm;

raft::Entry MakeEntry(uint64_t term, Index index, const std::string& text) {
  raft::Entry entry;
  entry.term = Term(term);
  entry.index = index;
  entry.payload = SharedBytes::Copy(text);
  entry.checksum = raft::EntryChecksum(entry.kind, text);
  return entry;
}

// Three members that have begun together; member 1 leads term 2 and has written an entry.
class ClusterCheckerTest : public ::testing::Test {
 protected:
  ClusterCheckerTest() {
    auto conf = std::make_shared<raft::ConfState>();
    conf->index = kStart;
    for (uint64_t id = 1; id <= 3; ++id) {
      conf->voters.emplace_back(id);
      raft::MemberInfo info;
      info.id = MemberId(id);
      info.name = "n" + std::to_string(id);
      info.raft_address = info.name + ":1";
      conf->members[MemberId(id)] = info;
    }
    conf->next_member_id = MemberId(4);
    status_.conf = conf;
    status_.hard_state = {kFirst, MemberId(0), kStart};
    status_.snapshot_index = status_.last = status_.applied = kStart;
    status_.snapshot_term = status_.last_term = kFirst;
    for (uint64_t id = 1; id <= 3; ++id) checker_.OnOpened(MemberId(id), status_, {});
    Stand(1, 2);
    Vote(2, 2, 1);
    Lead(1, 2);
    Append(1, {MakeEntry(2, kStart + 1, "a")});
  }

  raft::Output Out() {
    raft::Output out;
    out.commit = kStart;
    return out;
  }
  void Put(uint64_t member, raft::Output out) {
    if (out.write) out.write->seq = ++seq_;
    checker_.OnOutput(MemberId(member), out);
  }
  void Written(uint64_t member) { checker_.OnWritten(MemberId(member), seq_, kStart); }
  void WriteState(uint64_t member, const raft::HardState& state) {
    raft::Output out = Out();
    out.write = raft::Write{};
    out.write->hard_state = state;
    out.write->need_sync = true;
    out.soft = raft::SoftState{};
    out.soft->term = state.term;
    Put(member, std::move(out));
    Written(member);
  }
  void Stand(uint64_t member, uint64_t term) {
    WriteState(member, {Term(term), MemberId(member), kStart});
  }
  void Vote(uint64_t member, uint64_t term, uint64_t candidate) {
    WriteState(member, {Term(term), MemberId(candidate), kStart});
  }
  void Lead(uint64_t member, uint64_t term) {
    raft::Output out = Out();
    out.soft = raft::SoftState{};
    out.soft->term = Term(term);
    out.soft->role = raft::Role::kLeader;
    Put(member, std::move(out));
  }
  void Append(uint64_t member, std::vector<raft::Entry> entries) {
    raft::Output out = Out();
    out.write = raft::Write{};
    out.write->entries = std::move(entries);
    out.write->need_sync = true;
    Put(member, std::move(out));
  }
  void Commit(uint64_t member, Index index) {
    raft::Output out = Out();
    out.commit = index;
    Put(member, std::move(out));
  }
  // What a start finds: `last` of term 2, and the hard state of `member` in this test.
  void Reopen(uint64_t member, uint64_t vote, Index last, const std::string& payload = "a") {
    LogContent log;
    for (Index index = kStart + 1; index <= last; ++index) {
      log[index] = {Term(2), MakeEntry(2, index, payload).checksum};
    }
    raft::CoreStatus status = status_;
    status.hard_state = {Term(2), MemberId(vote), kStart};
    status.last = last;
    status.last_term = last == kStart ? kFirst : Term(2);
    checker_.OnOpened(MemberId(member), status, log);
  }

  sim::Verdict verdict_;
  ClusterChecker checker_{&verdict_};
  raft::CoreStatus status_;
  uint64_t seq_ = 0;
};

TEST_F(ClusterCheckerTest, ACommitOnADurableMajorityIsSound) {
  Written(1);
  Append(2, {MakeEntry(2, kStart + 1, "a")});
  Written(2);
  Commit(1, kStart + 1);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  EXPECT_EQ(checker_.committed(), kStart + 1);
  EXPECT_EQ(checker_.leaders(), 1u);
}

TEST_F(ClusterCheckerTest, FindsACommitThatNoMajorityHasOnDisk) {
  Append(2, {MakeEntry(2, kStart + 1, "a")});
  Commit(1, kStart + 1);
  EXPECT_THAT(verdict_.text(), StartsWith("I7 committed is durable"));
}

TEST_F(ClusterCheckerTest, FindsTwoLeadersOfATerm) {
  Lead(2, 2);
  EXPECT_THAT(verdict_.text(), StartsWith("I1 one leader per term"));
}

TEST_F(ClusterCheckerTest, FindsAnAcknowledgementBeforeItsWrite) {
  Append(2, {MakeEntry(2, kStart + 1, "a")});
  raft::Message ack;
  ack.type = raft::MessageType::kAppResp;
  ack.from = MemberId(2);
  ack.to = MemberId(1);
  ack.term = Term(2);
  ack.index = kStart + 1;
  checker_.OnReleased(ack);
  EXPECT_THAT(verdict_.text(), StartsWith("I10 durable before released"));
}

TEST_F(ClusterCheckerTest, AStartFindsWhatWasDurableAndPerhapsWhatWasUnderWay) {
  Reopen(1, 1, kStart);  // the write was under way
  Stand(1, 3);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  Append(2, {MakeEntry(2, kStart + 1, "a")});
  Reopen(2, 1, kStart + 1);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
}

TEST_F(ClusterCheckerTest, FindsALogThatLostWhatWasDurable) {
  Written(1);
  Reopen(1, 1, kStart);
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(ClusterCheckerTest, FindsALogWithAnotherEntryThanTheOneThatWasDurable) {
  Written(1);
  Reopen(1, 1, kStart + 1, "b");
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(ClusterCheckerTest, FindsACommitThatWasNeverWritten) {
  Append(2, {MakeEntry(2, kStart + 1, "a")});
  Written(2);
  status_.hard_state = {Term(2), MemberId(1), kStart + 1};
  status_.last = kStart + 1;
  status_.last_term = Term(2);
  checker_.OnOpened(MemberId(2), status_,
                    {{kStart + 1, {Term(2), MakeEntry(2, kStart + 1, "a").checksum}}});
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(ClusterCheckerTest, FindsAMessageOfWhoseDiskIsLost) {
  raft::Message ask;
  ask.type = raft::MessageType::kPreVote;
  ask.from = MemberId(2);
  ask.to = MemberId(1);
  ask.term = Term(3);
  checker_.OnReleased(ask);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  checker_.OnWiped(MemberId(2));
  checker_.OnReleased(ask);
  EXPECT_THAT(verdict_.text(), StartsWith("I17"));
}

TEST_F(ClusterCheckerTest, FindsAVoteThatWasLost) {
  Reopen(2, 0, kStart);
  EXPECT_THAT(verdict_.text(), StartsWith("I9 stable is durable"));
}

TEST_F(ClusterCheckerTest, FindsALogThatBeginsBehindNoSnapshot) {
  raft::CoreStatus status = status_;
  status.hard_state.term = Term(2);
  status.snapshot_index = status.last = kStart + 9;
  status.snapshot_term = status.last_term = Term(2);
  checker_.OnOpened(MemberId(3), status, {});
  EXPECT_THAT(verdict_.text(), StartsWith("I18 snapshots"));
}

TEST_F(ClusterCheckerTest, FindsAnIdThatIsGivenTwice) {
  auto next = std::make_shared<raft::ConfState>(*status_.conf);
  next->index = kStart + 1;
  next->members.erase(MemberId(3));
  next->voters.pop_back();
  raft::Output out = Out();
  out.conf_changed = next;
  Put(1, out);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  auto again = std::make_shared<raft::ConfState>(*status_.conf);
  again->index = kStart + 2;
  out.conf_changed = again;
  Put(1, out);
  EXPECT_THAT(verdict_.text(), StartsWith("I12 configurations"));
}

}  // namespace
}  // namespace arima::simserver
