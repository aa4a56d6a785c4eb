// One node accepts on a thread of its own; the tests dial it with blocking calls.
#include "transport/side_stream.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "transport/frame.h"
#include "transport/io_context.h"
#include "transport/tcp_transport.h"

namespace arima::transport {
namespace {

using raft::MemberId;
using StreamPtr = std::unique_ptr<ByteStream>;

constexpr uint64_t kMs = 1'000'000;

Uuid UuidOf(uint8_t n) { return Uuid{{n}}; }

// Member 2; accepts members 1 and, provisionally, 9.
class Acceptor final : public PeerPolicy, public TransportHandler {
 public:
  explicit Acceptor(TcpOptions options = {}) {
    options.listen_host = "127.0.0.1";
    auto opened = TcpTransport::Open(&loop_, options, this, this);
    EXPECT_TRUE(opened) << opened.error().ToString();
    transport_ = *std::move(opened);
    address_ = "127.0.0.1:" + std::to_string(transport_->port());
    thread_ = std::thread([this] {
      while (!stopping_) loop_.RunOnce(10 * kMs);
    });
  }
  ~Acceptor() override {
    stopping_ = true;
    loop_.Wake();
    thread_.join();
    transport_.reset();
  }

  const std::string& address() const { return address_; }
  // The next stream that somebody opened.
  StreamPtr Take() {
    while (accepted_.empty()) {
      for (StreamPtr& stream : queue_.PopAll()) accepted_.push_back(std::move(stream));
    }
    StreamPtr first = std::move(accepted_.front());
    accepted_.erase(accepted_.begin());
    return first;
  }
  uint64_t bad_inputs() { return bad_inputs_; }

  HelloDecision Check(const Hello& hello) override {
    if (hello.from == MemberId(9)) return {HelloVerdict::kAcceptProvisionally, {}};
    if (hello.from != MemberId(1)) {
      return {HelloVerdict::kRefuse, {RefuseReason::kNotMember, {}, {}, "a stranger"}};
    }
    return {HelloVerdict::kAccept, {}};
  }
  Hello MakeHello(MemberId) override {
    Hello hello;
    hello.from = MemberId(2);
    hello.from_incarnation = UuidOf(2);
    return hello;
  }
  void OnMessage(raft::Message&&) override { ADD_FAILURE() << "a message on a stream"; }
  void OnUnreachable(MemberId) override {}
  void OnPeerClosed(MemberId) override {}
  void OnRefused(MemberId, const Refuse&) override {}
  void OnAddress(const Hello&) override {}
  void OnControl(ControlRequest&&, Responder) override {}
  void OnStream(const Hello& hello, StreamPtr stream) override {
    EXPECT_EQ(hello.from, MemberId(1));
    EXPECT_TRUE(queue_.Push(std::move(stream), 0));
  }
  void OnEvent(const TransportEvent& event) override {
    if (event.kind == TransportEvent::Kind::kBadInput) ++bad_inputs_;
  }

 private:
  IoLoop loop_;
  std::unique_ptr<TcpTransport> transport_;
  std::string address_;
  BoundedQueue<StreamPtr> queue_{UINT64_MAX};
  std::vector<StreamPtr> accepted_;
  std::atomic<uint64_t> bad_inputs_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

Hello HelloFrom(uint64_t member) {
  Hello hello;
  hello.from = MemberId(member);
  hello.from_incarnation = UuidOf(static_cast<uint8_t>(member));
  hello.to = MemberId(2);
  hello.name = "n" + std::to_string(member);
  return hello;
}

Status Dial(SideStream& stream, const Acceptor& acceptor, uint64_t from = 1,
            uint8_t incarnation = 2) {
  return stream.Dial(acceptor.address(), HelloFrom(from), UuidOf(incarnation));
}

TEST(SideStream, CarriesBytesBothWaysInOrder) {
  Acceptor acceptor;
  SideStream near;
  Status dialed = Dial(near, acceptor);
  ASSERT_TRUE(dialed) << dialed.error().ToString();
  StreamPtr far = acceptor.Take();
  std::string big(3 << 20, 'x');  // more than the kernel buffers
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 >> 3);
  std::thread echo([&] {
    std::string got(big.size(), '\0');
    ASSERT_TRUE(far->Read(got));
    ASSERT_TRUE(far->Write(got));
  });
  ASSERT_TRUE(near.Write(std::string_view(big).substr(0, 7)));
  ASSERT_TRUE(near.Write(std::string_view(big).substr(7)));
  std::string back(big.size(), '\0');
  Status read = near.Read(back);
  echo.join();
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(back, big);
}

// The first to write may be either side, right after the greeting.
TEST(SideStream, NothingBehindTheGreetingIsLost) {
  Acceptor acceptor;
  for (int round = 0; round < 20; ++round) {
    SideStream near;
    ASSERT_TRUE(Dial(near, acceptor));
    StreamPtr far = acceptor.Take();
    ASSERT_TRUE(far->Write("hello"));
    ASSERT_TRUE(near.Write("world"));
    std::string got(5, '\0');
    ASSERT_TRUE(near.Read(got));
    EXPECT_EQ(got, "hello");
    ASSERT_TRUE(far->Read(got));
    EXPECT_EQ(got, "world");
  }
}

TEST(SideStream, OnlyMembersAreAccepted) {
  Acceptor acceptor;
  SideStream stranger;
  Status refused = Dial(stranger, acceptor, 3);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_NE(refused.error().message.find("a stranger"), std::string::npos);
  SideStream provisional;
  refused = Dial(provisional, acceptor, 9);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded) << refused.error().ToString();
}

TEST(SideStream, AnotherDataDirectoryIsNotTalkedTo) {
  Acceptor acceptor;
  SideStream stream;
  Status dialed = Dial(stream, acceptor, 1, 7);
  ASSERT_FALSE(dialed);
  EXPECT_EQ(dialed.error().code, Code::kConflict);
  EXPECT_FALSE(stream.Write("x")) << "it stays closed";
}

TEST(SideStream, OneTooManyIsRefusedUntilAnotherOneGoes) {
  TcpOptions options;
  options.streams_max = 2;
  Acceptor acceptor(options);
  SideStream first;
  SideStream second;
  ASSERT_TRUE(Dial(first, acceptor));
  StreamPtr far = acceptor.Take();
  ASSERT_TRUE(Dial(second, acceptor));
  StreamPtr other = acceptor.Take();
  SideStream third;
  Status refused = Dial(third, acceptor);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded) << refused.error().ToString();
  far.reset();
  SideStream fourth;
  EXPECT_TRUE(Dial(fourth, acceptor));
}

TEST(SideStream, WhoSpeaksBeforeTheGreetingIsAnsweredIsCutOff) {
  Acceptor acceptor;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string port = acceptor.address().substr(acceptor.address().rfind(':') + 1);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  OutFrame frame = MakeFrame(FrameType::kHello, EncodeHello(HelloFrom(1)));
  std::string bytes = MakePreamble(Purpose::kStream);
  bytes.append(frame.header.data(), frame.header.size()).append(frame.meta).append("too early");
  ASSERT_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  while (acceptor.bad_inputs() == 0) std::this_thread::yield();
  close(fd);
}

TEST(SideStream, CancelEndsAWaitingCallAndAllLaterOnes) {
  Acceptor acceptor;
  SideStream near;
  ASSERT_TRUE(Dial(near, acceptor));
  StreamPtr far = acceptor.Take();
  std::thread canceller([&] { near.Cancel(); });
  char byte = 0;
  Status read = near.Read({&byte, 1});
  canceller.join();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kUnavailable);
  EXPECT_FALSE(near.Write("x"));
  Status end = far->Read({&byte, 1});
  ASSERT_FALSE(end) << "the other side sees the end";
  EXPECT_EQ(end.error().code, Code::kUnavailable);
}

TEST(SideStream, CancelledBeforeItDialsItReachesNobody) {
  Acceptor acceptor;
  SideStream stream;
  stream.Cancel();
  EXPECT_FALSE(Dial(stream, acceptor));
}

TEST(SideStream, ACallThatMakesNoProgressEnds) {
  Acceptor acceptor;
  SideStreamOptions options;
  options.call_timeout_ms = 20;
  SideStream near(options);
  ASSERT_TRUE(Dial(near, acceptor));
  StreamPtr far = acceptor.Take();
  char byte = 0;
  Status read = near.Read({&byte, 1});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kUnavailable);
  EXPECT_NE(read.error().message.find("in time"), std::string::npos) << read.error().message;
}

TEST(SideStream, AddressesThatLeadNowhereAreErrors) {
  Hello hello = HelloFrom(1);
  for (const char* bad : {"", "host", "host:", ":1", "127.0.0.1:x", "127.0.0.1:123456"}) {
    SideStream stream;
    Status dialed = stream.Dial(bad, hello, {});
    ASSERT_FALSE(dialed) << bad;
    EXPECT_EQ(dialed.error().code, Code::kInvalidArgument) << bad;
  }
  std::string gone;
  {
    gone = Acceptor().address();
  }
  SideStream stream;
  Status dialed = stream.Dial(gone, hello, {});
  ASSERT_FALSE(dialed);
  EXPECT_EQ(dialed.error().code, Code::kPeerUnreachable) << dialed.error().ToString();
}

// A resolver that does not answer until it is told to. Lookups may outlive the test: shared.
class SlowResolver {
 public:
  SideStreamOptions Options(uint64_t timeout_ms) const {
    SideStreamOptions options;
    options.lookup_timeout_ms = timeout_ms;
    options.lookup = [gate = gate_](const std::string&, const std::string& port, addrinfo** found) {
      {
        MutexLock lock(&gate->mutex);
        ++gate->asked;
        gate->changed.NotifyAll();
        while (!gate->open) gate->changed.Wait(&gate->mutex);
      }
      addrinfo hints{};
      hints.ai_socktype = SOCK_STREAM;
      return getaddrinfo("127.0.0.1", port.c_str(), &hints, found);
    };
    return options;
  }
  void AwaitAsked() {
    MutexLock lock(&gate_->mutex);
    while (gate_->asked == 0) gate_->changed.Wait(&gate_->mutex);
  }
  void Answer() {
    MutexLock lock(&gate_->mutex);
    gate_->open = true;
    gate_->changed.NotifyAll();
  }
  ~SlowResolver() { Answer(); }

 private:
  struct Gate {
    Mutex mutex;
    CondVar changed;
    int asked GUARDED_BY(mutex) = 0;
    bool open GUARDED_BY(mutex) = false;
  };
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

TEST(SideStream, ANameIsLookedUpAndThenDialed) {
  Acceptor acceptor;
  std::string port = acceptor.address().substr(acceptor.address().rfind(':'));
  SlowResolver resolver;
  SideStream stream(resolver.Options(60'000));
  std::thread answering([&] {
    resolver.AwaitAsked();
    resolver.Answer();
  });
  Status dialed = stream.Dial("n2.example" + port, HelloFrom(1), UuidOf(2));
  answering.join();
  EXPECT_TRUE(dialed) << dialed.error().ToString();
}

TEST(SideStream, CancelDoesNotWaitForAResolverThatHangs) {
  SlowResolver resolver;
  SideStream stream(resolver.Options(3'600'000));
  std::thread cancelling([&] {
    resolver.AwaitAsked();
    stream.Cancel();
  });
  Status dialed = stream.Dial("n2.example:1", HelloFrom(1), UuidOf(2));  // it never answers
  cancelling.join();
  ASSERT_FALSE(dialed);
  EXPECT_EQ(dialed.error().code, Code::kUnavailable) << dialed.error().ToString();
}

TEST(SideStream, LookupsThatTakeTooLongAreLeftBehindAndBounded) {
  const auto busy = [](const Status& dialed) {
    return !dialed && dialed.error().message.find("earlier ones") != std::string::npos;
  };
  {
    SlowResolver resolver;
    bool refused = false;
    for (int i = 0; i < 20 && !refused; ++i) {
      SideStream stream(resolver.Options(1));
      Status dialed = stream.Dial("n2.example:1", HelloFrom(1), UuidOf(2));
      ASSERT_FALSE(dialed);
      EXPECT_EQ(dialed.error().code, Code::kPeerUnreachable) << dialed.error().ToString();
      refused = busy(dialed);
      EXPECT_TRUE(refused || dialed.error().message.find("in time") != std::string::npos);
    }
    EXPECT_TRUE(refused) << "threads must not pile up";
    // An address needs no lookup.
    Acceptor acceptor;
    SideStream stream(resolver.Options(1));
    EXPECT_TRUE(Dial(stream, acceptor));
  }
  // They came back: names are looked up again.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (true) {
    SlowResolver resolver;
    resolver.Answer();
    SideStream stream(resolver.Options(60'000));
    if (!busy(stream.Dial("n2.example:1", HelloFrom(1), UuidOf(2)))) break;
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

// "localhost" may have ::1 first, where nobody listens.
TEST(SideStream, EveryAddressOfANameIsTried) {
  Acceptor acceptor;
  std::string port = acceptor.address().substr(acceptor.address().rfind(':'));
  SideStream stream;
  Status dialed = stream.Dial("localhost" + port, HelloFrom(1), UuidOf(2));
  EXPECT_TRUE(dialed) << dialed.error().ToString();
}

}  // namespace
}  // namespace arima::transport
