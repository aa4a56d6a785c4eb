// A member that may not know yet that it is one (Peer::fresh), over real loopback sockets.
#include <gtest/gtest.h>

#include "transport/test_transport.h"

namespace arima::transport {
namespace {

TcpOptions WithFreshWait(uint64_t wait_ms) {
  TcpOptions options = QuickOptions();
  options.fresh_peer_wait_ms = wait_ms;
  return options;
}

void KnowFresh(TestNode& node, const TestNode& other, bool fresh = true) {
  Peer peer = other.peer();
  peer.fresh = fresh;
  node.transport->SetPeers({{MemberId(other.id), peer}});
}

TEST(FreshPeer, IsConnectedToWhenItGreetsAndNotBefore) {
  TestNode one(1, WithFreshWait(3'600'000)), two(2);
  two.cluster = UuidOf(200);  // it joins us in a moment
  KnowFresh(one, two);
  one.Send({Heartbeat(1, 2, 1)});
  Settle({&one, &two});
  EXPECT_TRUE(two.greetings.empty());
  EXPECT_EQ(one.unreachable, (std::vector<uint64_t>{2}));
  EXPECT_EQ(one.Events(Kind::kRefused), 0u);

  two.cluster = one.cluster;
  two.Know({&one});
  ASSERT_TRUE(Connected(one, two));
  one.Send({Heartbeat(1, 2, 2)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 1; }));
}

TEST(FreshPeer, IsConnectedToAtOnceWhenItIsNotFreshAnyMore) {
  TestNode one(1, WithFreshWait(3'600'000)), two(2);
  KnowFresh(one, two);
  Settle({&one, &two});
  EXPECT_TRUE(two.greetings.empty());
  KnowFresh(one, two, false);
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
  KnowFresh(one, two, false);
  Settle({&one, &two});
  EXPECT_EQ(one.StatsOf(two).connects, 1u) << "the connection stays";
}

TEST(FreshPeer, ThatGreetedBeforeItWasConfiguredIsConnectedToAtOnce) {
  TestNode one(1, WithFreshWait(3'600'000)), two(2);
  two.Know({&one});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.StatsOf(one).connected; }));
  KnowFresh(one, two);
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
}

// It may be unable to connect to us: then we do.
TEST(FreshPeer, IsConnectedToAfterAWhileEvenIfItSaysNothing) {
  TestNode one(1, WithFreshWait(50)), two(2);
  KnowFresh(one, two);
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
}

}  // namespace
}  // namespace arima::transport
