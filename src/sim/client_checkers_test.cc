// The checkers of what clients see and of how long leaders hold on, on good and on bad histories.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "sim/contact_checker.h"
#include "sim/write_checker.h"

namespace arima::sim {
namespace {

using raft::ConfState;
using raft::Entry;
using raft::Index;
using raft::MemberId;
using raft::Term;
using ::testing::StartsWith;

Entry Write(uint64_t index, uint64_t tag) {
  std::string payload(8, 'x');
  for (size_t i = 0; i < 8; ++i) payload[i] = static_cast<char>(tag >> (8 * i));
  return {Term(2), Index(index), raft::EntryKind::kCommand, 0, SharedBytes::Take(payload)};
}

TEST(WriteCheckerTest, AcceptsWritesThatSeveralNodesApply) {
  Verdict verdict;
  WriteChecker writes(&verdict);
  EXPECT_EQ(WriteChecker::TagOf(Write(2, 0xFFEE010203)), 0xFFEE010203u);
  writes.OnApply(Write(2, 100));
  writes.OnApply(Write(3, 101));
  writes.OnApply(Write(2, 100));  // another node
  writes.OnRefused(102);
  Entry noop = Write(4, 0);
  noop.kind = raft::EntryKind::kNoop;
  noop.payload = {};
  writes.OnApply(noop);
  EXPECT_TRUE(verdict.ok()) << verdict.text();
}

TEST(WriteCheckerTest, NoticesAWriteThatIsDoneTwice) {
  Verdict verdict;
  WriteChecker writes(&verdict);
  writes.OnApply(Write(2, 100));
  writes.OnApply(Write(3, 100));
  EXPECT_THAT(verdict.text(), StartsWith("writes once"));
}

TEST(WriteCheckerTest, NoticesARefusedWriteBeforeAndAfterItIsApplied) {
  Verdict before;
  WriteChecker early(&before);
  early.OnRefused(100);
  early.OnApply(Write(2, 100));
  EXPECT_THAT(before.text(), StartsWith("refused"));
  Verdict after;
  WriteChecker late(&after);
  late.OnApply(Write(2, 100));
  late.OnRefused(100);
  EXPECT_THAT(after.text(), StartsWith("refused"));
}

class ContactCheckerTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kElectionTicks = 10;
  ContactCheckerTest() : contacts_(&verdict_) {
    conf_.voters = {MemberId(1), MemberId(2), MemberId(3)};
    contacts_.Restart(MemberId(1));
  }
  void Tick(int count) {
    for (int i = 0; i < count; ++i) contacts_.OnTick(MemberId(1), conf_, kElectionTicks);
  }
  ConfState conf_;
  Verdict verdict_;
  ContactChecker contacts_;
};

TEST_F(ContactCheckerTest, AcceptsALeaderThatHearsAQuorumOrHasJustBegun) {
  Tick(20);
  for (int i = 0; i < 10; ++i) {
    contacts_.OnHeard(MemberId(1), MemberId(i % 2 == 0 ? 2 : 3));
    Tick(20);
  }
  contacts_.Restart(MemberId(1));
  Tick(20);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
}

TEST_F(ContactCheckerTest, NoticesALeaderThatNobodyAnswers) {
  Tick(5);
  contacts_.OnHeard(MemberId(1), MemberId(2));
  Tick(22);
  EXPECT_TRUE(verdict_.ok()) << verdict_.text();
  Tick(1);
  EXPECT_THAT(verdict_.text(), StartsWith("check-quorum"));
}

TEST_F(ContactCheckerTest, NoticesThatAMinorityIsNotEnough) {
  conf_.voters_outgoing = {MemberId(1), MemberId(4), MemberId(5)};
  for (int i = 0; i < 3; ++i) {
    Tick(10);
    contacts_.OnHeard(MemberId(1), MemberId(2));  // enough for the incoming voters only
  }
  EXPECT_THAT(verdict_.text(), StartsWith("check-quorum"));
}

}  // namespace
}  // namespace arima::sim
