// One test per rule of the Raft paper (Ongaro and Ousterhout, 2014), by section and figure 2.

#include <gtest/gtest.h>

#include <set>

#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

using Tweak = TestCluster::Tweak;

// The paper knows no pre-vote and no check-quorum.
const Tweak kPlain = [](Config& c) {
  c.pre_vote = false;
  c.check_quorum = false;
};

Message VoteRequest(uint64_t last, uint64_t last_term) {
  Message m;
  m.type = MessageType::kVote;
  m.last_index = Index(last);
  m.last_term = Term(last_term);
  return m;
}

std::vector<Message> OfType(std::vector<Message> all, MessageType type) {
  std::erase_if(all, [type](const Message& m) { return m.type != type; });
  return all;
}

// Node 1 of three is leader of term 2 and its noop (index 2) is committed everywhere.
TestCluster Led(const Tweak& tweak = kPlain) {
  TestCluster c({1, 2, 3}, tweak);
  c.Campaign(1);
  EXPECT_TRUE(c[1].leads());
  return c;
}

// ---------------------------------------------------------------- 5.1 terms

TEST(RaftPaper, FollowerAdoptsAHigherTermFromAMessage) {
  TestCluster c({1, 2, 3}, kPlain);
  c.Receive(1, 2, 5, App(1, 1));
  EXPECT_EQ(c[1].term(), 5u);
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].leader(), 2u);
}

TEST(RaftPaper, CandidateSeeingAHigherTermBecomesFollower) {
  TestCluster c({1, 2, 3}, kPlain);
  c.Step(1, Campaign{});
  ASSERT_EQ(c[1].role(), Role::kCandidate);
  c.Receive(1, 2, 5, App(1, 1));
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].term(), 5u);
}

TEST(RaftPaper, LeaderSeeingAHigherTermBecomesFollower) {
  TestCluster c = Led();
  c.Receive(1, 2, 5, App(1, 1));
  EXPECT_EQ(c[1].role(), Role::kFollower);
  EXPECT_EQ(c[1].term(), 5u);
}

TEST(RaftPaper, MessagesOfAnOlderTermChangeNothing) {
  TestCluster c = Led();
  c.Receive(1, 2, 1, Ack(2));
  c.Receive(1, 2, 1, VoteRequest(9, 1));
  EXPECT_TRUE(c[1].leads());
  EXPECT_EQ(c[1].term(), 2u);
  EXPECT_TRUE(c.wire().empty());
}

TEST(RaftPaper, OldLeaderIsToldTheNewTerm) {
  TestCluster c = Led();
  c.Receive(2, 3, 1, App(1, 1));
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_EQ(c.wire()[0].type, MessageType::kAppResp);
  EXPECT_EQ(c.wire()[0].term, Term(2));
}

TEST(RaftPaper, TermAndVoteSurviveARestart) {
  TestCluster c({1, 2, 3}, kPlain);
  c.Receive(1, 2, 5, VoteRequest(1, 1));
  c.Start(1);
  EXPECT_EQ(c[1].term(), 5u);
  EXPECT_EQ(c[1].vote(), 2u);
  EXPECT_EQ(c[1].role(), Role::kFollower);
  c.TakeWire();
  c.Receive(1, 3, 5, VoteRequest(9, 4));
  ASSERT_EQ(c.wire().size(), 1u);
  EXPECT_TRUE(c.wire()[0].reject);
}

// ---------------------------------------------------------------- 5.2 elections

TEST(RaftPaper, NodesStartAsFollowers) {
  TestCluster c({1, 2, 3}, kPlain);
  for (auto& [id, node] : c.nodes()) {
    EXPECT_EQ(node.role(), Role::kFollower);
    EXPECT_EQ(node.leader(), 0u);
  }
}

TEST(RaftPaper, LeaderSendsAHeartbeatToEveryPeerEachInterval) {
  TestCluster c = Led([](Config& config) {
    kPlain(config);
    config.heartbeat_ticks = 3;
  });
  c.Tick(1, 2);
  EXPECT_TRUE(c.wire().empty());
  c.Tick(1);
  std::vector<Message> beats = OfType(c.TakeWire(), MessageType::kHeartbeat);
  ASSERT_EQ(beats.size(), 2u);
  EXPECT_EQ(beats[0].to, MemberId(2));
  EXPECT_EQ(beats[1].to, MemberId(3));
  EXPECT_EQ(beats[0].term, Term(2));
}

void ExpectCampaignAfterTimeout(TestCluster* c, uint64_t term) {
  (*c)[1].core->SetRandomizedElectionTimeout(12);
  c->Tick(1, 11);
  EXPECT_EQ((*c)[1].term(), term);
  c->Tick(1);
  EXPECT_EQ((*c)[1].role(), Role::kCandidate);
  EXPECT_EQ((*c)[1].term(), term + 1);
  EXPECT_EQ((*c)[1].vote(), 1u);
  std::vector<Message> requests = OfType(c->TakeWire(), MessageType::kVote);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].to, MemberId(2));
  EXPECT_EQ(requests[1].to, MemberId(3));
  EXPECT_EQ(requests[0].term, Term(term + 1));
}

TEST(RaftPaper, FollowerThatHearsNothingStartsAnElection) {
  TestCluster c({1, 2, 3}, kPlain);
  ExpectCampaignAfterTimeout(&c, 1);
}

TEST(RaftPaper, CandidateThatNeitherWinsNorLosesStartsAnotherElection) {
  TestCluster c({1, 2, 3}, kPlain);
  c.Step(1, Campaign{});
  c.TakeWire();
  ExpectCampaignAfterTimeout(&c, 2);
}

TEST(RaftPaper, MajorityOfVotesInOneRoundElects) {
  struct Case {
    uint64_t size;
    std::vector<uint64_t> granted, rejected;
    Role role;
  };
  const Case cases[] = {
      {1, {}, {}, Role::kLeader},
      {3, {2, 3}, {}, Role::kLeader},
      {3, {2}, {}, Role::kLeader},
      {5, {2, 3, 4, 5}, {}, Role::kLeader},
      {5, {2, 3}, {}, Role::kLeader},
      {3, {}, {2, 3}, Role::kFollower},
      {5, {}, {2, 3, 4, 5}, Role::kFollower},
      {5, {2}, {3, 4, 5}, Role::kFollower},
      {3, {}, {}, Role::kCandidate},
      {5, {2}, {}, Role::kCandidate},
      {5, {}, {2, 3}, Role::kCandidate},
  };
  for (const Case& t : cases) {
    std::vector<uint64_t> voters;
    for (uint64_t id = 1; id <= t.size; ++id) voters.push_back(id);
    TestCluster c(voters, kPlain);
    c.Step(1, Campaign{});
    auto answer = [&](uint64_t from, bool reject) {
      Message m;
      m.type = MessageType::kVoteResp;
      m.reject = reject;
      c.Receive(1, from, 2, m);
    };
    for (uint64_t id : t.granted) answer(id, false);
    for (uint64_t id : t.rejected) answer(id, true);
    EXPECT_EQ(c[1].role(), t.role) << t.size << " voters, " << t.granted.size() << " granted, "
                                   << t.rejected.size() << " rejected";
    EXPECT_EQ(c[1].term(), 2u);
  }
}

TEST(RaftPaper, FollowerVotesForOneCandidatePerTermFirstComeFirstServed) {
  struct Case {
    uint64_t vote, candidate;
    bool reject;
  };
  for (const Case& t : {Case{0, 2, false}, Case{0, 3, false}, Case{2, 2, false}, Case{3, 3, false},
                        Case{2, 3, true}, Case{3, 2, true}}) {
    TestCluster c({1, 2, 3}, kPlain);
    c[1].hard_state = {Term(2), MemberId(t.vote), Index(1)};
    c.Start(1);
    c.Receive(1, t.candidate, 2, VoteRequest(1, 1));
    ASSERT_EQ(c.wire().size(), 1u);
    EXPECT_EQ(c.wire()[0].type, MessageType::kVoteResp);
    EXPECT_EQ(c.wire()[0].reject, t.reject) << t.vote << " asked by " << t.candidate;
  }
}

TEST(RaftPaper, CandidateFallsBackWhenAnotherLeadsWithAtLeastItsTerm) {
  for (uint64_t term : {2u, 3u}) {
    TestCluster c({1, 2, 3}, kPlain);
    c.Step(1, Campaign{});
    c.Receive(1, 2, term, App(1, 1));
    EXPECT_EQ(c[1].role(), Role::kFollower);
    EXPECT_EQ(c[1].term(), term);
    EXPECT_EQ(c[1].leader(), 2u);
  }
}

TEST(RaftPaper, ElectionTimeoutsAreSpreadOverTheWholeRange) {
  for (bool candidate : {false, true}) {
    std::set<int> timeouts;
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      TestCluster c({1, 2, 3}, [seed](Config& config) {
        kPlain(config);
        config.seed = seed;
      });
      if (candidate) c.Step(1, Campaign{});
      uint64_t term = c[1].term();
      int ticks = 0;
      while (c[1].term() == term) {
        c.Tick(1);
        ++ticks;
      }
      timeouts.insert(ticks);
    }
    EXPECT_GE(*timeouts.begin(), 10);
    EXPECT_LE(*timeouts.rbegin(), 19);
    EXPECT_EQ(timeouts.size(), 10u) << "every value of [election, 2 * election) is drawn";
  }
}

TEST(RaftPaper, ElectionTimeoutsOfSeveralNodesSeldomCollide) {
  int conflicts = 0;
  const int rounds = 300;
  for (int round = 0; round < rounds; ++round) {
    TestCluster c({1, 2, 3, 4, 5}, kPlain);
    for (auto& [id, node] : c.nodes()) {
      node.config.seed = static_cast<uint64_t>(round) * 16 + id.value;
      c.Start(id.value);
    }
    int candidates = 0;
    while (candidates == 0) {
      for (auto& [id, node] : c.nodes()) {
        c.Tick(id.value);
        candidates += node.role() == Role::kCandidate;
      }
    }
    conflicts += candidates > 1;
  }
  EXPECT_LT(conflicts, rounds / 2) << "five timers in ten places";
}

// ---------------------------------------------------------------- 5.3 log replication

TEST(RaftPaper, LeaderSendsANewEntryToAllWithThePositionBeforeIt) {
  TestCluster c = Led();
  c.ProposeOnly(1, "some data");
  std::vector<Message> apps = OfType(c.TakeWire(), MessageType::kApp);
  ASSERT_EQ(apps.size(), 2u);
  for (uint64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(apps[i].to, MemberId(2 + i));
    EXPECT_EQ(apps[i].index, Index(2));
    EXPECT_EQ(apps[i].log_term, Term(2));
    EXPECT_EQ(apps[i].commit, Index(2));
    ASSERT_EQ(apps[i].entries.size(), 1u);
    EXPECT_EQ(apps[i].entries[0].id(), (EntryId{Term(2), Index(3)}));
    EXPECT_EQ(apps[i].entries[0].payload.view(), "some data");
  }
}

TEST(RaftPaper, LeaderCommitsWhenAMajorityHasTheEntryAndTellsTheCommitOnward) {
  TestCluster c = Led();
  c.ProposeOnly(1, "some data");
  std::vector<Message> sent = c.TakeWire();
  EXPECT_EQ(c[1].commit(), 2u);
  c.Receive(1, 2, 2, Ack(3));
  EXPECT_EQ(c[1].commit(), 3u);
  EXPECT_EQ(c[1].applied.back().entry.index, Index(3));
  for (const Message& m : OfType(c.TakeWire(), MessageType::kApp)) {
    EXPECT_EQ(m.commit, Index(3));
  }
}

TEST(RaftPaper, CommitNeedsAMajorityOfAcknowledgements) {
  struct Case {
    uint64_t size;
    std::vector<uint64_t> acks;
    bool committed;
  };
  for (const Case& t : {Case{1, {}, true}, Case{3, {}, false}, Case{3, {2}, true},
                        Case{3, {2, 3}, true}, Case{5, {}, false}, Case{5, {2}, false},
                        Case{5, {2, 3}, true}, Case{5, {2, 3, 4, 5}, true}}) {
    std::vector<uint64_t> voters;
    for (uint64_t id = 1; id <= t.size; ++id) voters.push_back(id);
    TestCluster c(voters, kPlain);
    c.Campaign(1);
    c.ProposeOnly(1, "some data");
    c.TakeWire();
    for (uint64_t id : t.acks) c.Receive(1, id, 2, Ack(3));
    EXPECT_EQ(c[1].commit() >= 3, t.committed) << t.size << " voters, " << t.acks.size() << " acks";
  }
}

TEST(RaftPaper, CommittingAnEntryCommitsEverythingBeforeIt) {
  for (const std::vector<uint64_t>& terms :
       {std::vector<uint64_t>{}, {2}, {1, 2}, {1}, {1, 1, 2, 2}}) {
    TestCluster c({1, 2, 3}, kPlain);
    c.SetLog(1, terms, 2);
    c.Campaign(1);
    c.Propose(1, "some data");
    ASSERT_TRUE(c[1].leads());
    EXPECT_EQ(c[1].commit(), c[1].last());
    // The old entries, the noop and the new one; all applied in order.
    ASSERT_EQ(c[1].applied.size(), terms.size() + 2);
    for (size_t i = 0; i < c[1].applied.size(); ++i) {
      EXPECT_EQ(c[1].applied[i].entry.index, Index(2 + i));
    }
  }
}

TEST(RaftPaper, FollowerAppliesWhatTheLeaderSaysIsCommitted) {
  for (uint64_t commit : {2u, 3u}) {
    TestCluster c({1, 2, 3}, kPlain);
    c.Receive(1, 2, 2, App(1, 1, {TestEntry(2, 2, "a"), TestEntry(2, 3, "b")}, commit));
    EXPECT_EQ(c[1].commit(), commit);
    ASSERT_EQ(c[1].applied.size(), commit - 1);
    EXPECT_EQ(c[1].applied[0].entry.payload.view(), "a");
  }
}

TEST(RaftPaper, FollowerCommitsNoFurtherThanTheMessageVouchesFor) {
  TestCluster c({1, 2, 3}, kPlain);
  c.SetLog(1, {2, 2, 2}, 2);
  // The leader has committed 4, but this message only shows that the logs agree up to 3.
  c.Receive(1, 2, 3, App(3, 2, {}, 4));
  EXPECT_EQ(c[1].commit(), 3u);
}

TEST(RaftPaper, FollowerRefusesEntriesWithoutTheEntryBeforeThem) {
  struct Case {
    uint64_t prev, prev_term;
    bool reject;
  };
  for (const Case& t : {Case{1, 1, false}, Case{2, 2, false}, Case{3, 3, false}, Case{2, 1, true},
                        Case{3, 2, true}, Case{4, 3, true}, Case{9, 9, true}}) {
    TestCluster c({1, 2, 3}, kPlain);
    c.SetLog(1, {2, 3}, 3);
    c.Receive(1, 2, 9, App(t.prev, t.prev_term));
    ASSERT_EQ(c.wire().size(), 1u);
    const Message& answer = c.wire()[0];
    EXPECT_EQ(answer.type, MessageType::kAppResp);
    EXPECT_EQ(answer.reject, t.reject) << t.prev << "/" << t.prev_term;
    EXPECT_EQ(answer.index, Index(t.prev));
  }
}

TEST(RaftPaper, FollowerDropsWhatConflictsAndAppendsWhatIsNew) {
  struct Case {
    uint64_t prev, prev_term;
    std::vector<uint64_t> sent, expected;
  };
  // The follower's log holds terms 2 and 3 at 2 and 3.
  const Case cases[] = {
      {3, 3, {4}, {2, 3, 4}}, {2, 2, {4, 5}, {2, 4, 5}},
      {1, 1, {2}, {2, 3}},  // nothing new: what follows stays
      {1, 1, {4}, {4}},       {1, 1, {2, 3, 4}, {2, 3, 4}},
      {3, 3, {}, {2, 3}},
  };
  for (const Case& t : cases) {
    TestCluster c({1, 2, 3}, kPlain);
    c.SetLog(1, {2, 3}, 3);
    std::vector<Entry> entries;
    for (uint64_t term : t.sent) {
      entries.push_back(TestEntry(term, t.prev + 1 + entries.size()));
    }
    c.Receive(1, 2, 5, App(t.prev, t.prev_term, entries));
    EXPECT_EQ(c[1].LogTerms(), t.expected);
    std::vector<uint64_t> on_disk;
    for (const auto& [index, entry] : c[1].log) on_disk.push_back(entry.term.value);
    EXPECT_EQ(on_disk, t.expected);
  }
}

// Figure 7: every way in which a follower's log can differ from a new leader's.
TEST(RaftPaper, LeaderBringsEveryFollowerLogOfFigureSevenIntoLine) {
  const std::vector<uint64_t> leader = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<std::vector<uint64_t>> followers = {
      {1, 1, 1, 4, 4, 5, 5, 6, 6},
      {1, 1, 1, 4},
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
      {1, 1, 1, 4, 4, 4, 4},
      {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},
  };
  for (const auto& log : followers) {
    TestCluster c({1, 2, 3}, kPlain);
    c.SetLog(1, leader, 8);
    c.SetLog(2, log, 7);
    c.Step(1, Campaign{});
    c.TakeWire();
    Message granted;
    granted.type = MessageType::kVoteResp;
    c.Receive(1, 3, 9, granted);  // the third node votes and is never heard of again
    ASSERT_TRUE(c[1].leads());
    c.SetFilter([](const Message& m) { return m.to != MemberId(3); });
    c.Deliver();
    c.Propose(1, "x");
    EXPECT_EQ(c[2].LogTerms(), c[1].LogTerms());
    EXPECT_EQ(c[2].commit(), c[1].commit());
  }
}

// ---------------------------------------------------------------- 5.4 safety

TEST(RaftPaper, VoteRequestCarriesTheEndOfTheCandidatesLog) {
  TestCluster c({1, 2, 3}, kPlain);
  c.SetLog(1, {1, 2, 4}, 4);
  c.Step(1, Campaign{});
  std::vector<Message> requests = OfType(c.TakeWire(), MessageType::kVote);
  ASSERT_EQ(requests.size(), 2u);
  for (const Message& m : requests) {
    EXPECT_EQ(m.last_index, Index(4));
    EXPECT_EQ(m.last_term, Term(4));
    EXPECT_EQ(m.term, Term(5));
  }
}

TEST(RaftPaper, VoterRefusesACandidateWithAnOlderLog) {
  struct Case {
    std::vector<uint64_t> log;
    uint64_t last, last_term;
    bool reject;
  };
  const Case cases[] = {
      {{1}, 2, 1, false}, {{1}, 3, 1, false},    {{1, 1}, 2, 1, true},  // same term, by length
      {{1}, 2, 2, false}, {{1, 1}, 2, 2, false}, {{1}, 3, 2, false},    // newer term wins
      {{2}, 2, 1, true},  {{2}, 9, 1, true},     {{2, 2}, 2, 1, true},  // older term loses
  };
  for (const Case& t : cases) {
    TestCluster c({1, 2, 3}, kPlain);
    c.SetLog(1, t.log, 2);
    c.Receive(1, 2, 3, VoteRequest(t.last, t.last_term));
    ASSERT_EQ(c.wire().size(), 1u);
    EXPECT_EQ(c.wire()[0].reject, t.reject) << t.last << "/" << t.last_term;
  }
}

// 5.4.2 and figure 8.
TEST(RaftPaper, LeaderCommitsOnlyEntriesOfItsOwnTermByCounting) {
  struct Case {
    uint64_t acked, commit;
  };
  // The log holds terms 1 and 2 at 2 and 3; the noop of term 4 is at 4.
  for (const Case& t : {Case{2, 1}, Case{3, 1}, Case{4, 4}}) {
    TestCluster c({1, 2, 3}, kPlain);
    c.SetLog(1, {1, 2}, 3);
    c.Step(1, Campaign{});
    c.TakeWire();
    Message granted;
    granted.type = MessageType::kVoteResp;
    c.Receive(1, 2, 4, granted);
    ASSERT_TRUE(c[1].leads());
    c.Receive(1, 2, 4, Ack(t.acked));
    EXPECT_EQ(c[1].commit(), t.commit) << "acknowledged " << t.acked;
  }
}

TEST(RaftPaper, LeaderNeverOverwritesOrDropsItsOwnEntries) {
  TestCluster c({1, 2, 3}, kPlain);
  c.SetLog(1, {1, 1, 1}, 1);
  c.Campaign(1);
  std::vector<uint64_t> before = c[1].LogTerms();
  c.Propose(1, "a");
  std::vector<uint64_t> after = c[1].LogTerms();
  ASSERT_GE(after.size(), before.size());
  after.resize(before.size());
  EXPECT_EQ(after, before);
}

// ---------------------------------------------------------------- 6 and 8

TEST(RaftPaper, NewLeaderAppendsAnEmptyEntryOfItsTerm) {
  TestCluster c = Led();
  Result<Entry> entry = c[1].core->EntryAt(Index(2));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->kind, EntryKind::kNoop);
  EXPECT_EQ(entry->term, Term(2));
}

TEST(RaftPaper, LeaderAnswersAReadOnlyAfterAMajorityHasConfirmedItsLeadership) {
  TestCluster c = Led();
  uint64_t tag = c.Read(1);
  EXPECT_TRUE(c[1].reads.empty());
  c.Deliver();
  ASSERT_EQ(c[1].reads.size(), 1u);
  EXPECT_EQ(c[1].reads[0].tag, tag);
  EXPECT_EQ(c[1].reads[0].index, Index(2));
}

TEST(RaftPaper, JointConsensusNeedsBothMajorities) {
  TestCluster c = Led([](Config& config) {
    kPlain(config);
    config.check_conf_proposals = false;
  });
  ConfChange change;
  change.transition = ConfTransition::kJointExplicit;
  for (uint64_t id : {4u, 5u}) {
    MemberInfo info;
    info.id = MemberId(id);
    change.changes.push_back({ConfOp::kAddVoter, info});
  }
  MemberInfo gone;
  for (uint64_t id : {2u, 3u}) {
    gone.id = MemberId(id);
    change.changes.push_back({ConfOp::kRemove, gone});
  }
  c.ProposeConf(1, change);
  ASSERT_TRUE(c[1].status().conf->joint());
  c.TakeWire();
  uint64_t commit = c[1].commit();
  c.ProposeOnly(1, "x");
  uint64_t last = c[1].last();
  c.TakeWire();
  c.Receive(1, 2, 2, Ack(last));  // 1 and 2: a majority of the old voters only
  EXPECT_EQ(c[1].commit(), commit);
  c.Receive(1, 4, 2, Ack(last));  // 1 and 4: and of the new ones
  EXPECT_EQ(c[1].commit(), last);
}

}  // namespace
}  // namespace arima::raft
