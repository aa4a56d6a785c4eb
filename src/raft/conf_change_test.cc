// Tables in testdata/confchange/*.txt, then properties over random chains of changes.
//
//   new voters=(1,2) learners=(3)     a fresh configuration
//   simple v3 l2 r1 u2                transition auto; refused by this verb if it went joint
//   auto v3 r1                        transition auto
//   implicit .. / explicit ..         joint, with and without auto leave
//   leave                             the empty change
//   v = add voter, l = add learner, r = remove, u = update; id 0 = a new member
//
// A refused change prints why and leaves the configuration as it was.

#include "raft/conf_change.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/quorum.h"
#include "testing/script_runner.h"

namespace arima::raft {
namespace {

using testing::ParseNumber;
using testing::ScriptCommand;

MemberInfo Info(MemberId id) {
  MemberInfo info;
  info.id = id;
  info.name = "n" + std::to_string(id.value);
  info.raft_address = info.name + ":1";
  return info;
}

ConfState Conf(std::vector<uint64_t> voters, std::vector<uint64_t> learners = {}) {
  ConfState conf;
  for (uint64_t id : voters) conf.voters.emplace_back(id);
  for (uint64_t id : learners) conf.learners.emplace_back(id);
  for (const auto* ids : {&conf.voters, &conf.learners}) {
    for (MemberId id : *ids) {
      conf.members[id] = Info(id);
      conf.next_member_id = std::max(conf.next_member_id, id + 1);
    }
  }
  return conf;
}

std::string Text(const std::vector<MemberId>& ids) {
  std::string text = "(";
  for (MemberId id : ids) text += (text.size() > 1 ? " " : "") + std::to_string(id.value);
  return text + ")";
}

std::string Text(const ConfState& conf) {
  std::string text = "voters=" + Text(conf.voters);
  if (conf.joint()) text += "&&" + Text(conf.voters_outgoing);
  if (!conf.learners.empty()) text += " learners=" + Text(conf.learners);
  if (!conf.learners_next.empty()) text += " learners_next=" + Text(conf.learners_next);
  if (conf.auto_leave) text += " autoleave";
  return text + " next_id=" + std::to_string(conf.next_member_id.value);
}

class Table {
 public:
  std::string Handle(const ScriptCommand& command) {
    if (command.name == "new") return New(command);
    ConfChange change;
    if (command.name == "implicit") change.transition = ConfTransition::kJointImplicit;
    if (command.name == "explicit") change.transition = ConfTransition::kJointExplicit;
    for (const std::string& word : command.Positional()) {
      Result<ConfChangeItem> item = ParseItem(word);
      if (!item) return "error: " + item.error().message;
      change.changes.push_back(*item);
    }
    Result<ConfState> next = ApplyConfChange(conf_, change, ++index_);
    if (!next) return "refused: " + next.error().message + "\n" + Text(conf_);
    if (command.name == "simple" && next->joint()) return "error: became joint";
    conf_ = *next;
    return Text(conf_) + Names();
  }

 private:
  std::string New(const ScriptCommand& command) {
    auto ids = [&](std::string_view key) {
      std::vector<uint64_t> found;
      if (const auto* values = command.Find(key)) {
        for (const std::string& value : *values) found.push_back(ParseNumber(value).value_or(0));
      }
      return found;
    };
    conf_ = Conf(ids("voters"), ids("learners"));
    return Text(conf_);
  }

  static Result<ConfChangeItem> ParseItem(const std::string& word) {
    static const std::map<char, ConfOp> kOps = {{'v', ConfOp::kAddVoter},
                                                {'l', ConfOp::kAddLearner},
                                                {'r', ConfOp::kRemove},
                                                {'u', ConfOp::kUpdate}};
    auto op = kOps.find(word.front());
    std::optional<uint64_t> id = ParseNumber(word.substr(1));
    if (op == kOps.end() || !id) return Fail(Code::kInvalidArgument, "item " + word);
    ConfChangeItem item;
    item.op = op->second;
    item.info = Info(MemberId(*id));
    if (item.op == ConfOp::kUpdate) item.info.name += "-updated";
    return item;
  }

  // Names that differ from what the id alone would say.
  std::string Names() const {
    std::string text;
    for (const auto& [id, info] : conf_.members) {
      if (info.name != Info(id).name) text += " " + std::to_string(id.value) + "=" + info.name;
    }
    return text;
  }

  ConfState conf_;
  Index index_{1};
};

void RunTable(const std::string& name) {
  Table table;
  Status status =
      testing::RunScriptFile(ARIMA_SOURCE_DIR "/testdata/confchange/" + name + ".txt",
                             [&](const ScriptCommand& command) { return table.Handle(command); });
  EXPECT_TRUE(status) << status.error().message;
}

TEST(ConfChangeTable, JointAutoleave) { RunTable("joint_autoleave"); }
TEST(ConfChangeTable, JointIdempotency) { RunTable("joint_idempotency"); }
TEST(ConfChangeTable, JointLearnersNext) { RunTable("joint_learners_next"); }
TEST(ConfChangeTable, JointSafety) { RunTable("joint_safety"); }
TEST(ConfChangeTable, SimpleIdempotency) { RunTable("simple_idempotency"); }
TEST(ConfChangeTable, SimplePromoteDemote) { RunTable("simple_promote_demote"); }
TEST(ConfChangeTable, SimpleSafety) { RunTable("simple_safety"); }
TEST(ConfChangeTable, Update) { RunTable("update"); }
TEST(ConfChangeTable, Zero) { RunTable("zero"); }

// ------------------------------------------------------------ what a table cannot say

ConfChange One(ConfOp op, MemberInfo info) {
  ConfChange change;
  change.changes.push_back({op, std::move(info)});
  return change;
}

TEST(ConfChange, NewMemberKeepsItsInfoUnderTheNewId) {
  MemberInfo info = Info(MemberId(0));
  info.name = "fresh";
  info.attributes["zone"] = "a";
  Result<ConfState> next = ApplyConfChange(Conf({1}), One(ConfOp::kAddLearner, info), Index(9));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->index, Index(9));
  EXPECT_EQ(next->members.at(MemberId(2)).id, MemberId(2));
  EXPECT_EQ(next->members.at(MemberId(2)).name, "fresh");
  EXPECT_EQ(next->members.at(MemberId(2)).attributes.at("zone"), "a");
}

TEST(ConfChange, PromotionDoesNotTouchTheInfo) {
  MemberInfo info = Info(MemberId(2));
  info.raft_address = "elsewhere:9";
  Result<ConfState> next = ApplyConfChange(Conf({1}, {2}), One(ConfOp::kAddVoter, info), Index(5));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->members.at(MemberId(2)), Info(MemberId(2)));
}

TEST(ConfChange, UpdateReplacesEverythingButIdAndIncarnation) {
  ConfState conf = Conf({1});
  conf.members[MemberId(1)].incarnation.bytes[0] = 7;
  MemberInfo info = Info(MemberId(1));
  info.raft_address = "moved:2";
  info.http_address = "moved:3";
  Result<ConfState> next = ApplyConfChange(conf, One(ConfOp::kUpdate, info), Index(5));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->members.at(MemberId(1)).raft_address, "moved:2");
  EXPECT_EQ(next->members.at(MemberId(1)).http_address, "moved:3");
  EXPECT_EQ(next->members.at(MemberId(1)).incarnation.bytes[0], 7);

  info.incarnation.bytes[0] = 8;  // another data directory may not take over the id
  Result<ConfState> refused = ApplyConfChange(conf, One(ConfOp::kUpdate, info), Index(5));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);
}

TEST(ConfChange, AttributesOverOneKibibyteAreRefused) {
  MemberInfo info = Info(MemberId(0));
  info.attributes["k"] = std::string(1023, 'x');
  EXPECT_TRUE(ApplyConfChange(Conf({1}), One(ConfOp::kAddLearner, info), Index(5)));
  info.attributes["k"] += 'x';
  Result<ConfState> refused = ApplyConfChange(Conf({1}), One(ConfOp::kAddLearner, info), Index(5));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
}

TEST(ConfChange, LongNamesAndAddressesAreRefused) {
  MemberInfo name = Info(MemberId(0));
  name.name.assign(256, 'x');
  EXPECT_FALSE(ApplyConfChange(Conf({1}), One(ConfOp::kAddLearner, name), Index(5)));
  MemberInfo address = Info(MemberId(1));
  address.raft_address.assign(513, 'x');
  EXPECT_FALSE(ApplyConfChange(Conf({1}), One(ConfOp::kUpdate, address), Index(5)));
}

// Needed while a wiped node comes back under its old name (docs/design/raft.md 8.6).
TEST(ConfChange, TwoMembersMayShareAName) {
  EXPECT_TRUE(ApplyConfChange(Conf({1, 2}),
                              One(ConfOp::kAddLearner,
                                  [] {
                                    MemberInfo info = Info(MemberId(0));
                                    info.name = "n2";
                                    return info;
                                  }()),
                              Index(5)));
}

TEST(ConfChange, ForeignEnumeratorsAreRefused) {
  ConfChange change = One(static_cast<ConfOp>(77), Info(MemberId(1)));
  EXPECT_FALSE(ApplyConfChange(Conf({1}), change, Index(5)));
  change = One(ConfOp::kAddLearner, Info(MemberId(0)));
  change.transition = static_cast<ConfTransition>(77);
  EXPECT_FALSE(ApplyConfChange(Conf({1}), change, Index(5)));
}

TEST(ConfChange, AtMostFifteenVoters) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= kVotersMax; ++id) ids.push_back(id);
  EXPECT_FALSE(ApplyConfChange(Conf(ids), One(ConfOp::kAddVoter, Info(MemberId(0))), Index(5)));
  EXPECT_TRUE(ApplyConfChange(Conf(ids), One(ConfOp::kAddLearner, Info(MemberId(0))), Index(5)));
}

TEST(ConfState, EachBrokenInvariantIsNamed) {
  auto broken = [](void (*breaker)(ConfState*)) {
    ConfState conf = Conf({1, 2}, {3});
    EXPECT_TRUE(CheckConfState(conf));
    breaker(&conf);
    Status status = CheckConfState(conf);
    return status ? std::string("ok") : status.error().message;
  };
  EXPECT_EQ(broken([](ConfState* c) { std::swap(c->voters[0], c->voters[1]); }),
            "voters not ascending");
  EXPECT_EQ(broken([](ConfState* c) { c->voters[0] = MemberId(0); }), "voters not ascending");
  EXPECT_EQ(broken([](ConfState* c) { c->next_member_id = MemberId(3); }),
            "learners: id 3 was never handed out");
  EXPECT_EQ(broken([](ConfState* c) { c->learners[0] = MemberId(2); }), "2 is voter and learner");
  EXPECT_EQ(broken([](ConfState* c) { c->voters_outgoing = {MemberId(3)}; }),
            "3 is voter and learner");
  EXPECT_EQ(broken([](ConfState* c) { c->learners_next = {MemberId(2)}; }),
            "2 is voter and learner");
  EXPECT_EQ(broken([](ConfState* c) { c->learners_next = c->learners; }),
            "a next learner is not an outgoing voter");
  EXPECT_EQ(broken([](ConfState* c) { c->auto_leave = true; }),
            "auto leave outside of a joint configuration");
  EXPECT_EQ(broken([](ConfState* c) { c->members.erase(MemberId(2)); }),
            "an id without member info");
  EXPECT_EQ(broken([](ConfState* c) { c->learners.clear(); }), "3 is in no list");
  EXPECT_EQ(broken([](ConfState* c) { c->members[MemberId(1)].id = MemberId(2); }),
            "member stored under another id");
  EXPECT_EQ(broken([](ConfState* c) { c->voters.clear(); }), "members but no voters");
}

TEST(ConfState, OfAJoiningNodeIsEmpty) { EXPECT_TRUE(CheckConfState(ConfState{})); }

TEST(ConfChange, BrokenBaseIsRefusedNotRepaired) {
  ConfState conf = Conf({1, 2});
  conf.members.erase(MemberId(2));
  EXPECT_FALSE(ApplyConfChange(conf, One(ConfOp::kAddLearner, Info(MemberId(0))), Index(5)));
}

// ------------------------------------------------------------ properties

ConfChange DrawChange(SeededRandom& random, const ConfState& conf) {
  ConfChange change;
  change.transition = static_cast<ConfTransition>(random.Below(3));
  if (conf.joint() && random.Percent(80)) return change;
  const uint64_t items = random.Between(random.Percent(10) ? 0 : 1, 4);
  for (uint64_t i = 0; i < items; ++i) {
    ConfChangeItem item;
    item.op = static_cast<ConfOp>(random.Between(1, 4));
    item.info = Info(MemberId(random.Below(conf.next_member_id.value + 1)));
    change.changes.push_back(std::move(item));
  }
  return change;
}

// Over random chains: what comes out holds all invariants, ids only grow, a simple change moves at
// most one voter, and neighbouring configurations have no two disjoint quorums.
TEST(ConfChangeProperty, RandomChainsKeepEveryInvariant) {
  for (uint64_t seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    ConfState conf = Conf({1, 2, 3});
    std::set<MemberId> gone;
    for (uint64_t step = 0; step < 30; ++step) {
      ConfChange change = DrawChange(random, conf);
      Result<ConfState> next = ApplyConfChange(conf, change, Index(step));
      if (!next) continue;
      ASSERT_TRUE(CheckConfState(*next)) << CheckConfState(*next).error().message;
      ASSERT_GE(next->next_member_id, conf.next_member_id);
      for (const auto& [id, info] : next->members) ASSERT_FALSE(gone.contains(id)) << id;
      for (const auto& [id, info] : conf.members) {
        if (!next->members.contains(id)) gone.insert(id);
      }
      if (next->joint()) {
        ASSERT_EQ(next->voters_outgoing, conf.voters);
      } else if (conf.joint()) {
        ASSERT_EQ(next->voters, conf.voters);
      }
      std::set<MemberId> before;
      std::set<MemberId> after;
      for (const auto& [id, info] : conf.members) (random.Percent(50) ? before : after).insert(id);
      for (const auto& [id, info] : next->members) {
        if (!conf.members.contains(id)) after.insert(id);
      }
      auto in_before = [&](MemberId id) { return before.contains(id); };
      auto in_after = [&](MemberId id) { return after.contains(id); };
      ASSERT_FALSE(HasQuorum(conf.voters, conf.voters_outgoing, in_before) &&
                   HasQuorum(next->voters, next->voters_outgoing, in_after));
      conf = *next;
    }
  }
}

// A chain of single changes ends where one joint change with the same items ends.
TEST(ConfChangeProperty, SimpleStepsAndOneJointStepAgree) {
  for (uint64_t seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const ConfState start = Conf({1, 2, 3}, {4, 5});
    ConfChange change = DrawChange(random, start);
    // One item per member: between single steps a removed member is gone for good.
    std::set<MemberId> seen;
    std::erase_if(change.changes, [&](const ConfChangeItem& item) {
      return item.info.id && !seen.insert(item.info.id).second;
    });
    if (change.changes.empty()) continue;
    change.transition = ConfTransition::kJointExplicit;
    Result<ConfState> joint = ApplyConfChange(start, change, Index(1));
    if (!joint) continue;
    Result<ConfState> left = ApplyConfChange(*joint, ConfChange{}, Index(2));
    ASSERT_TRUE(left) << left.error().message;

    Result<ConfState> steps = start;
    for (const ConfChangeItem& item : change.changes) {
      ConfChange one;
      one.changes.push_back(item);
      steps = ApplyConfChange(*steps, one, Index(2));
      if (!steps) break;
    }
    // Single steps may pass through "no voters left", which the joint change jumps over.
    if (!steps) {
      ASSERT_EQ(steps.error().message, "removed all voters");
      continue;
    }
    ASSERT_EQ(*steps, *left);
  }
}

}  // namespace
}  // namespace arima::raft
