// What a RaftLoop answers, and when; in worlds that move only when told to.
#include "node/raft_loop.h"

#include <gtest/gtest.h>

#include "node/test_loops.h"

namespace arima::node::loops {
namespace {

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

}  // namespace
}  // namespace arima::node::loops
