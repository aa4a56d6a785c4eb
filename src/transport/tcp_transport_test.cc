// Nodes over real loopback sockets (transport/test_transport.h).
#include "transport/tcp_transport.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "transport/frame.h"
#include "transport/test_transport.h"

namespace arima::transport {
namespace {

// A stranger with a plain socket.
class Stranger {
 public:
  explicit Stranger(uint16_t port, const char* host = "127.0.0.1") {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    ::inet_pton(AF_INET, host, &to.sin_addr);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) error_ = errno;
  }
  ~Stranger() { ::close(fd_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  int error() const { return error_; }
  void Send(std::string_view bytes) {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void SendFrame(const OutFrame& frame) {
    std::string bytes = frame.lead;
    bytes.append(frame.header.data(), frame.header.size());
    bytes += frame.meta;
    for (const SharedBytes& part : frame.payload) bytes += part.view();
    Send(bytes);
  }
  void SendMessages(const std::vector<Message>& messages) {
    codec::MessageEncoder encoder;
    codec::EncodedMessages encoded;
    for (const Message& m : messages) encoder.Append(m, &encoded);
    SendFrame(MakeFrame(std::move(encoded)));
  }
  void Greet(const Hello& hello) {
    OutFrame frame = MakeFrame(FrameType::kHello, EncodeHello(hello));
    frame.lead = MakePreamble(Purpose::kPeer);
    SendFrame(frame);
  }
  // Reads what is there. True when the other side has closed.
  bool Closed() {
    char buffer[4096];
    while (true) {
      ssize_t n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (n > 0) {
        got_.append(buffer, static_cast<size_t>(n));
        continue;
      }
      return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
  }
  // Type of the first frame received, if one is there.
  std::optional<FrameType> Answer() {
    Closed();
    if (got_.size() < kFrameHeaderBytes) return std::nullopt;
    return static_cast<FrameType>(got_[5]);
  }

 private:
  int fd_ = -1;
  int error_ = 0;
  std::string got_;
};

Hello HelloFrom(uint64_t from, const TestNode& to) {
  Hello hello;
  hello.cluster_id = to.cluster;
  hello.from = MemberId(from);
  hello.from_incarnation = UuidOf(static_cast<uint8_t>(from));
  hello.to = MemberId(to.id);
  hello.name = "stranger";
  return hello;
}

bool Greeted(Stranger& stranger, TestNode& node, uint64_t as) {
  stranger.Greet(HelloFrom(as, node));
  return Until({&node}, [&] { return stranger.Answer() == FrameType::kHelloOk; });
}

// ---------------------------------------------------------------- messages

TEST(TcpTransport, MessagesArriveWholeAndInOrder) {
  TestNode one(1), two(2);
  one.Know({&two});
  two.Know({&one});
  std::vector<Message> sent;
  for (uint64_t i = 1; i <= 2000; ++i) {
    sent.push_back(i % 3 == 0 ? App(1, 2, i, std::string(i * 7 % 3000, 'x')) : Heartbeat(1, 2, i));
  }
  // Some before there is a connection, some at once, some one by one.
  for (size_t i = 0; i < sent.size();) {
    size_t n = std::min<size_t>(i % 50 + 1, sent.size() - i);
    one.Send({sent.begin() + static_cast<long>(i), sent.begin() + static_cast<long>(i + n)});
    if (i % 4 == 0) one.loop.RunOnce(0), two.loop.RunOnce(0);
    i += n;
  }
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() >= sent.size(); }));
  EXPECT_TRUE(two.messages == sent);
  EXPECT_TRUE(one.unreachable.empty());
  EXPECT_EQ(one.StatsOf(two).sent_messages, sent.size());
  EXPECT_EQ(two.StatsOf(one).received_messages, sent.size());
  EXPECT_GT(two.StatsOf(one).received_bytes, 2000u * 35);
}

TEST(TcpTransport, ALargeMessageTravelsInOnePiece) {
  TestNode one(1), two(2);
  one.Know({&two});
  Message large = App(1, 2, 1, std::string(20 << 20, 'x'));
  one.Send({large, Heartbeat(1, 2, 7)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 2; }));
  EXPECT_TRUE(two.messages[0] == large);
  EXPECT_EQ(two.messages[1].round, 7u);
}

TEST(TcpTransport, OneSendServesAllPeers) {
  TestNode one(1), two(2), three(3);
  one.Know({&two, &three});
  Message app = App(1, 2, 1, "shared");
  Message copy = app;
  copy.to = MemberId(3);
  one.Send({app, copy, Heartbeat(1, 3, 1)});
  ASSERT_TRUE(Until({&one, &two, &three},
                    [&] { return two.messages.size() == 1 && three.messages.size() == 2; }));
  EXPECT_TRUE(two.messages[0] == app);
  EXPECT_TRUE(three.messages[0] == copy);
}

// A member that is behind must answer a leader which is not in its configuration yet.
TEST(TcpTransport, AnswersGoBackToAMemberWhoseAddressIsNotKnown) {
  TestNode one(1), two(2);
  one.Know({&two});
  one.Send({Heartbeat(1, 2, 1)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 1; }));
  two.Send({Heartbeat(2, 1, 2)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.messages.size() == 1; }));
  EXPECT_TRUE(one.messages[0] == Heartbeat(2, 1, 2));
  EXPECT_FALSE(two.StatsOf(one).connected);
  EXPECT_TRUE(two.StatsOf(one).inbound);
}

TEST(TcpTransport, WhoCannotBeReachedIsReportedLaterAndOnceARound) {
  TestNode one(1);
  one.Send({Heartbeat(1, 8, 1), Heartbeat(1, 8, 2), Heartbeat(1, 9, 1)});
  EXPECT_TRUE(one.unreachable.empty());
  ASSERT_TRUE(Until({&one}, [&] { return !one.unreachable.empty(); }));
  EXPECT_EQ(one.unreachable, (std::vector<uint64_t>{8, 9}));
  EXPECT_EQ(one.transport->Stats().unroutable_messages, 3u);
}

TEST(TcpTransport, MessagesToAPeerThatIsDownAreDroppedAndReported) {
  TestNode one(1), two(2);
  two.Crash();
  one.Know({&two});
  one.Send({Heartbeat(1, 2, 1)});
  ASSERT_TRUE(Until({&one}, [&] { return !one.unreachable.empty(); }));
  EXPECT_EQ(one.StatsOf(two).dropped_messages, 1u);
  EXPECT_EQ(one.StatsOf(two).queued_bytes, 0u);
  EXPECT_TRUE(one.closed.empty()) << "it was never seen alive";
}

TEST(TcpTransport, APeerThatDoesNotReadCostsBoundedMemoryAndComesBack) {
  TcpOptions options = QuickOptions();
  options.send_queue_bytes_max = 1 << 20;
  options.socket_buffer_bytes = 64 << 10;
  TestNode one(1, options), two(2, options);
  one.Know({&two});
  one.Send({Heartbeat(1, 2, 1)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 1; }));
  // From here on two is not polled: it does not read.
  std::string payload(100 << 10, 'x');
  for (uint64_t i = 1; i <= 200; ++i) {
    one.Send({App(1, 2, i, payload), Heartbeat(1, 2, 100 + i)});
    one.loop.RunOnce(0);
    ASSERT_LE(one.StatsOf(two).queued_bytes, options.send_queue_bytes_max);
  }
  EXPECT_GT(one.StatsOf(two).dropped_messages, 100u);
  ASSERT_TRUE(Until({&one}, [&] { return !one.unreachable.empty(); }));
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.back().round == 300; }));
  EXPECT_LT(two.messages.size(), 350u);
  EXPECT_TRUE(std::ranges::count_if(two.messages, [](const Message& m) { return m.round > 0; }) ==
              201)
      << "heartbeats are not dropped with the Apps";
}

// ---------------------------------------------------------------- connections

TEST(TcpTransport, ARestartedPeerIsReportedOnceAndReachedAgain) {
  TestNode one(1), two(2);
  one.Know({&two});
  two.Know({&one});
  ASSERT_TRUE(Connected(one, two));
  two.Crash();
  ASSERT_TRUE(Until({&one}, [&] { return !one.closed.empty(); }));
  EXPECT_EQ(one.Events(Kind::kDisconnected), 1u);
  Settle({&one});
  EXPECT_EQ(one.closed, std::vector<uint64_t>{2});
  EXPECT_FALSE(one.unreachable.empty());

  two.Open();
  two.Know({&one});
  ASSERT_TRUE(Connected(one, two));
  one.Send({Heartbeat(1, 2, 5)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 1; }));
  EXPECT_EQ(one.StatsOf(two).connects, 2u);
  two.Crash();
  ASSERT_TRUE(Until({&one}, [&] { return one.closed.size() == 2; }));
}

TEST(TcpTransport, AnInboundConnectionAloneShowsThatItsHostIsGone) {
  TestNode one(1), two(2);
  one.Know({&two});
  one.Send({Heartbeat(1, 2, 1)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 1; }));
  one.Crash();
  ASSERT_TRUE(Until({&two}, [&] { return !two.closed.empty(); }));
  EXPECT_EQ(two.closed, std::vector<uint64_t>{1});
  EXPECT_FALSE(two.transport->Stats().peers.contains(MemberId(1)));
}

TEST(TcpTransport, APeerTakenOutOfTheConfigurationIsNotReportedAsLost) {
  TestNode one(1), two(2);
  one.Know({&two});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
  one.Know({});
  Settle({&one, &two});
  EXPECT_TRUE(one.closed.empty());
  EXPECT_TRUE(one.transport->Stats().peers.empty());
  EXPECT_EQ(two.transport->Stats().inbound_connections, 0u);
}

TEST(TcpTransport, AnUnchangedPeerKeepsItsConnection) {
  TestNode one(1), two(2), three(3);
  one.Know({&two});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
  one.Know({&two, &three});
  ASSERT_TRUE(Until({&one, &two, &three}, [&] { return one.StatsOf(three).connected; }));
  EXPECT_EQ(one.StatsOf(two).connects, 1u);
}

TEST(TcpTransport, AChangedIdentityIsGreetedAnew) {
  TestNode one(1), two(2);
  one.Know({&two});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
  one.id = 5;
  one.Know({&two});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
  EXPECT_EQ(two.greetings.back().from, MemberId(5));
  one.Send({Heartbeat(5, 2, 1)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.messages.size() == 1; }));
}

TEST(TcpTransport, ANewerConnectionOfAMemberReplacesTheOlder) {
  TestNode one(1);
  Stranger older(one.transport->port()), newer(one.transport->port());
  ASSERT_TRUE(Greeted(older, one, 2));
  ASSERT_TRUE(Greeted(newer, one, 2));
  ASSERT_TRUE(Until({&one}, [&] { return older.Closed(); }));
  EXPECT_FALSE(newer.Closed());
  newer.SendMessages({Heartbeat(2, 1, 1)});
  ASSERT_TRUE(Until({&one}, [&] { return one.messages.size() == 1; }));
  EXPECT_TRUE(one.closed.empty());
}

TEST(TcpTransport, EveryAddressOfANameIsTried) {
  TestNode one(1), two(2);
  Peer by_name = two.peer();
  by_name.address = "localhost:" + std::to_string(two.transport->port());  // ::1 first, maybe
  one.transport->SetPeers({{MemberId(2), by_name}});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
}

TEST(TcpTransport, AnAddressThatIsNoneIsAFailureLikeAnyOther) {
  TestNode one(1);
  for (const char* address :
       {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "x:y", "[]:1"}) {
    one.unreachable.clear();
    one.transport->SetPeers({{MemberId(2), {address, {}, "n2"}}});
    one.Send({Heartbeat(1, 2, 1)});
    ASSERT_TRUE(Until({&one}, [&] { return !one.unreachable.empty(); })) << address;
  }
}

// Nodes come, go, change their minds and call back into the transport from its callbacks.
TEST(TcpTransport, NothingIsDoubledOrMisledThroughRandomChangesAndAllIsWellAfterwards) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    TestNode one(1), two(2), three(3);
    std::vector<TestNode*> nodes{&one, &two, &three};
    auto some_peers = [&](TestNode& of) {
      PeerMap peers;
      for (TestNode* other : nodes) {
        if (other != &of && random.Percent(70)) peers[MemberId(other->id)] = other->peer();
      }
      return peers;
    };
    for (TestNode* node : nodes) {
      node->on_message = [&, node] {
        if (random.Percent(10)) node->transport->SetPeers(some_peers(*node));
        if (random.Percent(10)) node->transport->Send({Heartbeat(node->id, 1 + node->id % 3, 0)});
      };
    }
    uint64_t round = 0;
    for (int step = 0; step < 400; ++step) {
      TestNode& node = *nodes[random.Below(3)];
      uint64_t dice = random.Below(100);
      if (node.transport == nullptr) {
        if (dice < 30) node.Open();
      } else if (dice < 60) {
        uint64_t to = (node.id + random.Below(2)) % 3 + 1;
        node.Send({Heartbeat(node.id, to, ++round), App(node.id, to, 1, "payload")});
      } else if (dice < 80) {
        node.transport->SetPeers(some_peers(node));
      } else if (dice < 84) {
        node.Crash();
      } else if (dice < 88) {
        node.removed = MemberId(random.Below(4));
      } else if (dice < 92) {
        node.transport->Call(nodes[random.Below(3)]->address(), {}, 1000, [](ControlAnswer) {});
      }
      for (TestNode* each : nodes) each->loop.RunOnce(random.Percent(5) ? kMs : 0);
    }
    for (TestNode* node : nodes) {
      node->on_message = nullptr;
      node->removed = {};
      if (node->transport == nullptr) node->Open();
      std::vector<uint64_t> rounds;
      for (const Message& m : node->messages) {
        ASSERT_EQ(m.to, MemberId(node->id));
        if (m.type == MessageType::kHeartbeat && m.round > 0) rounds.push_back(m.round);
      }
      std::ranges::sort(rounds);
      EXPECT_EQ(std::ranges::adjacent_find(rounds), rounds.end()) << "delivered twice";
    }
    one.Know({&two, &three});
    two.Know({&one, &three});
    three.Know({&one, &two});
    ASSERT_TRUE(Until({&one, &two, &three}, [&] {
      return one.StatsOf(two).connected && two.StatsOf(one).connected &&
             one.StatsOf(three).connected && three.StatsOf(one).connected &&
             two.StatsOf(three).connected && three.StatsOf(two).connected;
    }));
  }
}

// ---------------------------------------------------------------- identities

TEST(TcpTransport, ANodeOfAnotherClusterIsRefusedAndTold) {
  TestNode one(1), two(2);
  two.cluster = UuidOf(200);
  one.Know({&two});
  one.Send({Heartbeat(1, 2, 1)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return !one.refused.empty(); }));
  EXPECT_EQ(one.refused[0].reason, RefuseReason::kWrongCluster);
  EXPECT_EQ(one.refused[0].next_member_id, MemberId(9));
  EXPECT_EQ(one.refused[0].conf_index, raft::Index(5));
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.refused.size() >= 2; })) << "it tries again";
  EXPECT_TRUE(two.messages.empty());
  EXPECT_GE(two.transport->Stats().refused_hellos, 2u);
  EXPECT_EQ(one.Events(Kind::kRefused), 1u) << "the same refusal is told once a minute";
  EXPECT_EQ(one.StatsOf(two).refused, one.refused.size());
}

TEST(TcpTransport, AnotherDataDirectoryAtTheAddressIsNotTalkedTo) {
  TestNode one(1), two(2);
  Peer expected = two.peer();
  expected.incarnation = UuidOf(77);
  one.transport->SetPeers({{MemberId(2), expected}});
  one.Send({Heartbeat(1, 2, 1)});
  ASSERT_TRUE(Until({&one, &two}, [&] { return !one.unreachable.empty(); }));
  EXPECT_TRUE(two.messages.empty());
  EXPECT_FALSE(one.StatsOf(two).connected);
}

TEST(TcpTransport, AProvisionalMemberMayOnlyLead) {
  TestNode one(1);
  one.provisional = true;
  Stranger newer(one.transport->port());
  ASSERT_TRUE(Greeted(newer, one, 7));
  Message answer = Heartbeat(7, 1, 0);
  answer.type = MessageType::kHeartbeatResp;
  Message vote = Heartbeat(7, 1, 0);
  vote.type = MessageType::kVote;
  newer.SendMessages({answer, vote, Heartbeat(7, 1, 1), App(7, 1, 1, "x")});
  ASSERT_TRUE(Until({&one}, [&] { return one.messages.size() == 3; }));
  EXPECT_EQ(one.messages[0].type, MessageType::kVote);

  one.provisional = false;
  one.Know({});
  newer.SendMessages({answer});
  ASSERT_TRUE(Until({&one}, [&] { return one.messages.size() == 4; }));
}

TEST(TcpTransport, AMemberThatWasRemovedMeanwhileIsToldWhy) {
  TestNode one(1), two(2);
  one.Know({&two});
  ASSERT_TRUE(Until({&one, &two}, [&] { return one.StatsOf(two).connected; }));
  two.removed = MemberId(1);
  two.Know({});
  ASSERT_TRUE(Until({&one, &two}, [&] { return !one.refused.empty(); }));
  EXPECT_EQ(one.refused[0].reason, RefuseReason::kNotMember);
  EXPECT_TRUE(one.closed.empty()) << "a refusal is no crash";
  EXPECT_FALSE(two.transport->Stats().peers.contains(MemberId(1)));
}

TEST(TcpTransport, ProtocolsWithoutACommonVersionAreRefused) {
  TestNode one(1);
  Stranger later(one.transport->port());
  Hello hello = HelloFrom(2, one);
  hello.protocol_min = kProtocolMax + 1;
  hello.protocol_max = kProtocolMax + 4;
  later.Greet(hello);
  ASSERT_TRUE(Until({&one}, [&] { return later.Answer() == FrameType::kRefuse; }));
  ASSERT_TRUE(Until({&one}, [&] { return later.Closed(); }));
  EXPECT_TRUE(one.greetings.empty());
}

TEST(TcpTransport, WhoGreetsAsNobodyOrAsTheNodeItselfIsRefused) {
  TestNode one(1);
  for (const uint64_t from : {0u, 1u}) {
    Stranger stranger(one.transport->port());
    stranger.Greet(HelloFrom(from, one));
    ASSERT_TRUE(Until({&one}, [&] { return stranger.Answer() == FrameType::kRefuse; })) << from;
    ASSERT_TRUE(Until({&one}, [&] { return stranger.Closed(); })) << from;
  }
  EXPECT_TRUE(one.greetings.empty());
  EXPECT_TRUE(one.transport->Stats().peers.empty());
}

TEST(TcpTransport, AnAnnouncedAddressIsPassedOn) {
  TestNode one(1), two(2);
  one.announced = "10.9.9.9:1111";
  one.Know({&two});
  ASSERT_TRUE(Until({&one, &two}, [&] { return !two.addresses.empty(); }));
  EXPECT_EQ(two.addresses, std::vector<std::string>{"10.9.9.9:1111"});
}

// ---------------------------------------------------------------- bad input

TEST(TcpTransport, GarbageClosesItsConnectionAndIsReportedRarely) {
  TestNode one(1);
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), std::string("\x16\x03\x01\x02"),
        MakePreamble(static_cast<Purpose>(7)), MakePreamble(Purpose::kPeer) + std::string(99, 'g'),
        MakePreamble(Purpose::kControl) + std::string(99, 'g')}) {
    for (int i = 0; i < 5; ++i) {
      strangers.push_back(std::make_unique<Stranger>(one.transport->port()));
      strangers.back()->Send(bytes);
    }
  }
  ASSERT_TRUE(Until({&one}, [&] {
    return std::ranges::all_of(strangers, [](auto& stranger) { return stranger->Closed(); });
  }));
  Settle({&one});
  EXPECT_EQ(one.transport->Stats().bad_inputs, strangers.size());
  EXPECT_EQ(one.Events(Kind::kBadInput), 1u);
  EXPECT_EQ(one.transport->Stats().inbound_connections, 0u);
}

TEST(TcpTransport, AGreetingMayArriveByteByByte) {
  TestNode one(1);
  Stranger slow(one.transport->port());
  OutFrame frame = MakeFrame(FrameType::kHello, EncodeHello(HelloFrom(2, one)));
  std::string bytes = MakePreamble(Purpose::kPeer);
  bytes.append(frame.header.data(), frame.header.size());
  bytes += frame.meta;
  for (char c : bytes) {
    slow.Send({&c, 1});
    one.loop.RunOnce(0);
  }
  ASSERT_TRUE(Until({&one}, [&] { return slow.Answer() == FrameType::kHelloOk; }));
}

TEST(TcpTransport, WhoStopsInTheMiddleOfAGreetingIsClosedInTime) {
  TestNode one(1);
  Stranger silent(one.transport->port()), half(one.transport->port());
  half.Send(MakePreamble(Purpose::kPeer) + "ARMF\1\1");
  ASSERT_TRUE(Until({&one}, [&] { return silent.Closed() && half.Closed(); }));
  EXPECT_EQ(one.transport->Stats().bad_inputs, 2u);
}

TEST(TcpTransport, AnOversizeFrameIsRefusedByItsHeader) {
  TestNode one(1);
  Stranger stranger(one.transport->port());
  ASSERT_TRUE(Greeted(stranger, one, 2));
  OutFrame frame = MakeFrame(FrameType::kMessages, "");
  frame.header[15] = 0x7F;  // payload of 2 GiB
  stranger.SendFrame(frame);
  ASSERT_TRUE(Until({&one}, [&] { return stranger.Closed(); }));
  EXPECT_EQ(one.transport->Stats().bad_inputs, 1u);
}

TEST(TcpTransport, NobodySpeaksForAnother) {
  for (Message foreign : {Heartbeat(3, 1, 1), Heartbeat(2, 9, 1)}) {
    TestNode one(1);
    Stranger stranger(one.transport->port());
    ASSERT_TRUE(Greeted(stranger, one, 2));
    stranger.SendMessages({foreign});
    ASSERT_TRUE(Until({&one}, [&] { return stranger.Closed(); }));
    EXPECT_TRUE(one.messages.empty());
    EXPECT_EQ(one.transport->Stats().bad_inputs, 1u);
  }
}

TEST(TcpTransport, ADamagedEntryCostsItsMessageOnly) {
  TestNode one(1);
  Stranger stranger(one.transport->port());
  ASSERT_TRUE(Greeted(stranger, one, 2));
  Message damaged = App(2, 1, 1, "payload");
  damaged.entries[0].checksum ^= 1;
  stranger.SendMessages({damaged, Heartbeat(2, 1, 1)});
  ASSERT_TRUE(Until({&one}, [&] { return one.messages.size() == 1 && !one.events.empty(); }));
  EXPECT_EQ(one.transport->Stats().damaged_messages, 1u);
  EXPECT_EQ(one.Events(Kind::kBadInput), 1u);
  EXPECT_FALSE(stranger.Closed());
}

TEST(TcpTransport, StrangersAreBoundedInNumberAndMembersStillGetIn) {
  TcpOptions options = QuickOptions();
  options.control_connections_max = 3;
  options.handshake_timeout_ms = 60'000;
  TestNode one(1, options);
  Stranger member(one.transport->port());
  ASSERT_TRUE(Greeted(member, one, 2));
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 5; ++i) {
    strangers.push_back(std::make_unique<Stranger>(one.transport->port()));
    Settle({&one});
  }
  EXPECT_EQ(one.transport->Stats().inbound_connections, 4u);
  EXPECT_EQ(one.transport->Stats().rejected_connections, 2u);
  EXPECT_FALSE(strangers[0]->Closed());
  EXPECT_TRUE(strangers[4]->Closed());
  strangers.clear();
  Settle({&one});
  EXPECT_EQ(one.transport->Stats().inbound_connections, 1u);
}

// ---------------------------------------------------------------- listener

TEST(TcpTransport, TheWholeLoopbackNetworkIsReachableByDefault) {
  TestNode one(1);
  ASSERT_EQ(one.Events(Kind::kListenNarrowed), 0u) << "the kernel refuses SO_BINDTODEVICE";
  for (const char* host : {"127.0.0.1", "127.0.0.2", "127.200.3.4"}) {
    EXPECT_EQ(Stranger(one.transport->port(), host).error(), 0) << host;
  }
}

TEST(TcpTransport, AGivenHostIsListenedOnAndNothingElse) {
  TcpOptions options = QuickOptions();
  options.listen_host = "127.0.0.3";
  TestNode one(1, options);
  EXPECT_EQ(Stranger(one.transport->port(), "127.0.0.3").error(), 0);
  EXPECT_EQ(Stranger(one.transport->port(), "127.0.0.1").error(), ECONNREFUSED);
}

TEST(TcpTransport, APortThatIsTakenIsOneClearLine) {
  TestNode one(1);
  TcpOptions options = QuickOptions();
  options.listen_port = one.transport->port();
  for (const char* host : {"", "127.0.0.1", "0.0.0.0"}) {
    options.listen_host = host;
    auto second = TcpTransport::Open(&one.loop, options, &one, &one);
    ASSERT_FALSE(second) << host;
    EXPECT_EQ(second.error().code, Code::kUnavailable);
    EXPECT_NE(second.error().message.find(std::to_string(options.listen_port)), std::string::npos);
    EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
  }
  options.listen_host = "203.0.113.1";  // of nobody
  options.listen_port = 0;
  EXPECT_EQ(TcpTransport::Open(&one.loop, options, &one, &one).error().code, Code::kUnavailable);
}

// ---------------------------------------------------------------- control calls

struct Call {
  std::optional<ControlAnswer> answer;
  bool done() const { return answer.has_value(); }
  Code code() const { return answer->error().code; }
  void Start(TestNode* from, const std::string& address, ControlRequest request,
             uint64_t timeout_ms = 5000) {
    from->transport->Call(address, std::move(request), timeout_ms,
                          [this](ControlAnswer got) { answer = std::move(got); });
    EXPECT_FALSE(done()) << "answered inside the call";
  }
};

TEST(ControlCall, AProbeIsAnsweredAcrossClusters) {
  TestNode one(1), two(2);
  two.cluster = UuidOf(200);
  Call call;
  call.Start(&one, two.address(), {ControlKind::kProbe, 0, {}, 0, ""});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.responders.size() == 1; }));
  EXPECT_EQ(two.requests[0].cluster_id, one.cluster);
  EXPECT_EQ(two.requests[0].timeout_ms, 5000u);
  two.responders[0].Answer("it is me");
  ASSERT_TRUE(Until({&one, &two}, [&] { return call.done(); }));
  EXPECT_EQ(*call.answer, "it is me");
  EXPECT_EQ(two.transport->Stats().control_requests, 1u);
  Settle({&one, &two});
  EXPECT_EQ(two.transport->Stats().inbound_connections, 0u);
}

TEST(ControlCall, OrdersAreTakenFromTheOwnClusterOnly) {
  TestNode one(1), two(2);
  two.cluster = UuidOf(200);
  for (ControlKind kind :
       {ControlKind::kJoin, ControlKind::kRemove, ControlKind::kTransfer, ControlKind::kAdmin}) {
    Call call;
    call.Start(&one, two.address(), {kind, 0, {}, 0, "order"});
    ASSERT_TRUE(Until({&one, &two}, [&] { return call.done(); }));
    EXPECT_EQ(call.code(), Code::kConflict);
  }
  EXPECT_TRUE(two.requests.empty());
  two.cluster = one.cluster;
  Call call;
  call.Start(&one, two.address(), {ControlKind::kAdmin, 42, {}, 0, "order"});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.responders.size() == 1; }));
  EXPECT_EQ(two.requests[0].admin_kind, 42);
  EXPECT_EQ(two.requests[0].body, "order");
  two.responders[0].Answer(Fail(Code::kNotFound, "no such thing"));
  ASSERT_TRUE(Until({&one, &two}, [&] { return call.done(); }));
  EXPECT_EQ(call.code(), Code::kNotFound);
  EXPECT_EQ(call.answer->error().message, "no such thing");
}

TEST(ControlCall, AKindOfALaterVersionIsAnsweredAsNotSupported) {
  TestNode one(1), two(2);
  for (const auto kind : {static_cast<ControlKind>(0), static_cast<ControlKind>(200)}) {
    Call call;
    call.Start(&one, two.address(), {kind, 0, {}, 0, "order"});
    ASSERT_TRUE(Until({&one, &two}, [&] { return call.done(); }));
    EXPECT_EQ(call.code(), Code::kNotSupported);
  }
  EXPECT_TRUE(two.requests.empty());
}

TEST(ControlCall, ToNobodyFailsAtOnce) {
  TestNode one(1), two(2);
  two.Crash();
  for (const std::string& address : {two.address(), std::string("nonsense")}) {
    Call call;
    auto begin = std::chrono::steady_clock::now();
    call.Start(&one, address, {ControlKind::kJoin, 0, {}, 0, ""});
    ASSERT_TRUE(Until({&one}, [&] { return call.done(); }));
    EXPECT_EQ(call.code(), Code::kPeerUnreachable);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  }
}

TEST(ControlCall, AskedWithoutAnswerIsUnknownButAProbeIsNot) {
  TestNode one(1), two(2);
  for (auto [kind, code] : {std::pair(ControlKind::kJoin, Code::kOutcomeUnknown),
                            std::pair(ControlKind::kProbe, Code::kPeerUnreachable)}) {
    Call late;
    late.Start(&one, two.address(), {kind, 0, {}, 0, ""}, 50);
    ASSERT_TRUE(Until({&one, &two}, [&] { return late.done(); }));
    EXPECT_EQ(late.code(), code);
    two.responders.back().Answer("too late, and nobody is hurt");

    Call dropped;
    size_t before = two.responders.size();
    dropped.Start(&one, two.address(), {kind, 0, {}, 0, ""});
    ASSERT_TRUE(Until({&one, &two}, [&] { return two.responders.size() > before; }));
    two.responders.pop_back();
    ASSERT_TRUE(Until({&one, &two}, [&] { return dropped.done(); }));
    EXPECT_EQ(dropped.code(), code);
  }
}

TEST(ControlCall, BodiesUpToTheLimitTravelAndLargerOnesAreNotSent) {
  TestNode one(1), two(2);
  Call call;
  call.Start(&one, two.address(),
             {ControlKind::kAdmin, 0, {}, 0, std::string(kControlBodyBytesMax, 'x')});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.responders.size() == 1; }));
  EXPECT_EQ(two.requests[0].body.size(), kControlBodyBytesMax);
  two.responders[0].Answer(std::string(kControlBodyBytesMax, 'y'));
  ASSERT_TRUE(Until({&one, &two}, [&] { return call.done(); }));
  EXPECT_EQ(call.answer->value().size(), kControlBodyBytesMax);

  Call large;
  large.Start(&one, two.address(),
              {ControlKind::kAdmin, 0, {}, 0, std::string(kControlBodyBytesMax + 1, 'x')});
  ASSERT_TRUE(Until({&one, &two}, [&] { return large.done(); }));
  EXPECT_EQ(large.code(), Code::kTooLarge);
}

TEST(ControlCall, AResponderOutlivesItsTransport) {
  TestNode one(1), two(2);
  Call call;
  call.Start(&one, two.address(), {ControlKind::kJoin, 0, {}, 0, ""});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.responders.size() == 1; }));
  two.Crash();
  two.responders[0].Answer("to nobody");
  ASSERT_TRUE(Until({&one, &two}, [&] { return call.done(); }));
  EXPECT_EQ(call.code(), Code::kOutcomeUnknown);
}

TEST(ControlCall, ATransportMayGoWhileCallsAreUnderWay) {
  TestNode one(1), two(2);
  Call asked, unasked;
  asked.Start(&one, two.address(), {ControlKind::kJoin, 0, {}, 0, ""});
  ASSERT_TRUE(Until({&one, &two}, [&] { return two.responders.size() == 1; }));
  unasked.Start(&one, two.address(), {ControlKind::kJoin, 0, {}, 0, ""});
  one.Crash();
  Settle({&one, &two});
  EXPECT_FALSE(asked.done());
  EXPECT_FALSE(unasked.done());
}

}  // namespace
}  // namespace arima::transport
