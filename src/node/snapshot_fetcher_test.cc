// The fetcher against leaders that serve real snapshots over real streams, and stop in the middle
// of one until the test lets them go on: what offers do that come meanwhile
// (docs/design/raft.md 5.5).
#include "node/snapshot_fetcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "env/fault_env.h"
#include "node/test_replica.h"
#include "snapshot/sender.h"
#include "testing/wait_until.h"
#include "transport/io_context.h"
#include "transport/tcp_transport.h"

namespace arima::node {
namespace {

using raft::MemberId;

// Ends waits when it is opened.
class Gate final : public snapshot::Waiter {
 public:
  bool Wait(uint64_t) override {
    MutexLock lock(&mutex_);
    while (!open_) changed_.Wait(&mutex_);
    return true;
  }
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = false;
};

// Serves one snapshot to all who come; after `at_once` bytes it waits for the gate.
class Leader final : public transport::PeerPolicy, public transport::TransportHandler {
 public:
  Leader(uint64_t member, std::string dir, const snapshot::Manifest& manifest, uint64_t at_once)
      : member_(member),
        dir_(std::move(dir)),
        manifest_(manifest),
        limiter_(clock_, 1, std::max<uint64_t>(at_once, 1)) {
    transport::TcpOptions options;
    options.listen_host = "127.0.0.1";
    auto opened = transport::TcpTransport::Open(&loop_, options, this, this);
    EXPECT_TRUE(opened) << opened.error().ToString();
    transport_ = *std::move(opened);
    thread_ = std::thread([this] {
      while (!stopping_) loop_.RunOnce(10'000'000);
    });
  }
  ~Leader() override {
    gate_.Open();
    stopping_ = true;
    loop_.Wake();
    thread_.join();
    transport_.reset();
    for (std::thread& sending : sending_) sending.join();
  }

  SnapshotFetch Offer() const {
    SnapshotFetch fetch;
    fetch.meta.index = raft::Index(manifest_.index);
    fetch.meta.term = raft::Term(manifest_.term);
    fetch.meta.snapshot_id = manifest_.snapshot_id;
    fetch.meta.total_bytes = manifest_.TotalBytes();
    fetch.from = MemberId(member_);
    fetch.term = raft::Term(manifest_.term);
    fetch.address = "127.0.0.1:" + std::to_string(transport_->port());
    fetch.hello.cluster_id = manifest_.cluster_id;
    fetch.hello.from = MemberId(7);
    fetch.hello.to = MemberId(member_);
    return fetch;
  }
  Gate& gate() { return gate_; }
  int streams() const { return streams_; }
  uint64_t bytes_sent() const { return bytes_sent_; }
  // What came of the streams that are over.
  std::vector<Status> served() {
    MutexLock lock(&mutex_);
    return served_;
  }

  transport::HelloDecision Check(const transport::Hello&) override {
    return {transport::HelloVerdict::kAccept, {}};
  }
  transport::Hello MakeHello(MemberId) override {
    transport::Hello hello;
    hello.from = MemberId(member_);
    return hello;
  }
  void OnMessage(raft::Message&&) override {}
  void OnUnreachable(MemberId) override {}
  void OnPeerClosed(MemberId) override {}
  void OnRefused(MemberId, const transport::Refuse&) override {}
  void OnAddress(const transport::Hello&) override {}
  void OnControl(transport::ControlRequest&&, transport::Responder) override {}
  void OnStream(const transport::Hello&, std::unique_ptr<ByteStream> stream) override {
    ++streams_;
    sending_.emplace_back([this, stream = std::move(stream)] {
      snapshot::Sender sender(env_, dir_, manifest_, limiter_, gate_);
      Status served = sender.Serve(*stream);
      bytes_sent_ += sender.bytes_sent();
      MutexLock lock(&mutex_);
      served_.push_back(std::move(served));
    });
  }
  void OnEvent(const transport::TransportEvent&) override {}

 private:
  const uint64_t member_;
  const std::string dir_;
  const snapshot::Manifest manifest_;
  env::PosixEnv env_;
  ManualClock clock_;
  snapshot::RateLimiter limiter_;
  Gate gate_;
  transport::IoLoop loop_;
  std::unique_ptr<transport::TcpTransport> transport_;
  std::atomic<int> streams_ = 0;
  std::atomic<uint64_t> bytes_sent_ = 0;
  std::atomic<bool> stopping_ = false;
  Mutex mutex_;
  std::vector<Status> served_ GUARDED_BY(mutex_);
  std::vector<std::thread> sending_;  // the loop's thread, then the destructor
  std::thread thread_;
};

class SnapshotFetcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    first_ = MakeSnapshot("first", 11, 0, 300);
    later_ = MakeSnapshot("later", 12, 300, 330);
    auto dir = DataDir::Open(&receiver_env_, temp_.Path("receiver"));
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
    fetcher_ = std::make_unique<SnapshotFetcher>(dir_.get(), &transport::SystemNetwork(), &clock_,
                                                 &logger_, &counters_, options_);
    fetcher_->Start();
  }
  void TearDown() override {
    if (fetcher_ != nullptr) fetcher_->Stop();
  }
  // The database of a node with the keys up to `last`, as a checkpoint of it would be.
  snapshot::Manifest MakeSnapshot(const std::string& name, uint64_t id, int first, int last) {
    TestReplica node(temp_.Path("node"));
    Status started = node.Start();
    EXPECT_TRUE(started) << started.error().ToString();
    for (int i = first; i < last; ++i) {
      SeededRandom random(static_cast<uint64_t>(i));
      std::string value(2000, '\0');
      for (char& c : value) c = static_cast<char>(random.Below(256));
      EXPECT_TRUE(node.Put("k" + std::to_string(i), value));
    }
    node.Stop();
    CopyDirectory(temp_.Path("node") + "/db-1", temp_.Path(name));
    auto manifest = snapshot::DescribeCheckpoint(env_, temp_.Path(name), id);
    EXPECT_TRUE(manifest) << manifest.error().ToString();
    return manifest.value_or(snapshot::Manifest());
  }
  static uint64_t SharedBytes(const snapshot::Manifest& a, const snapshot::Manifest& b) {
    uint64_t bytes = 0;
    for (const auto& file : b.files) {
      auto same = [&](const auto& other) { return other.hash == file.hash; };
      if (std::ranges::any_of(a.files, same)) bytes += file.bytes;
    }
    return bytes;
  }
  uint64_t Received() {
    auto running = fetcher_->running();
    return running ? running->progress.bytes_done : 0;
  }
  SnapshotFetched TakeOutcome() {
    std::optional<SnapshotFetched> outcome;
    WaitUntil([&] {
      outcome = fetcher_->Take();
      return outcome.has_value();
    });
    return outcome.value_or(SnapshotFetched());
  }

  TempDirectory temp_;
  env::PosixEnv env_;
  env::FaultEnv receiver_env_{env_, 1};
  SystemClock clock_;
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
  SnapshotCounters counters_;
  SnapshotOptions options_{.free_bytes_min = 0};
  snapshot::Manifest first_;
  snapshot::Manifest later_;
  std::unique_ptr<DataDir> dir_;
  std::unique_ptr<SnapshotFetcher> fetcher_;
};

TEST_F(SnapshotFetcherTest, TheSameOfferAgainChangesNothing) {
  Leader leader(1, temp_.Path("first"), first_, 1);
  fetcher_->Fetch(leader.Offer());
  WaitUntil([&] { return Received() > 0 || leader.streams() > 0; });
  for (int i = 0; i < 5; ++i) fetcher_->Fetch(leader.Offer());
  EXPECT_FALSE(fetcher_->Take());
  leader.gate().Open();
  const SnapshotFetched outcome = TakeOutcome();
  ASSERT_TRUE(outcome.status) << outcome.status.error().ToString();
  EXPECT_EQ(outcome.fetch.meta.snapshot_id, 11u);
  EXPECT_EQ(leader.streams(), 1);
  EXPECT_FALSE(fetcher_->Take());
  EXPECT_FALSE(fetcher_->running());
}

TEST_F(SnapshotFetcherTest, AnotherOfferTakesItsPlaceAndItsFiles) {
  const uint64_t shared = SharedBytes(first_, later_);
  ASSERT_GT(shared, later_.TotalBytes() / 2);
  // All of the first snapshot's tables arrive, not all of its files.
  uint64_t tables = 0;
  for (const auto& file : first_.files) {
    if (file.name.ends_with(".sst")) tables += file.bytes;
  }
  Leader old_leader(1, temp_.Path("first"), first_, tables);
  Leader new_leader(2, temp_.Path("later"), later_, UINT32_MAX);
  fetcher_->Fetch(old_leader.Offer());
  WaitUntil([&] { return Received() >= tables; });
  fetcher_->Fetch(new_leader.Offer());
  const SnapshotFetched outcome = TakeOutcome();
  ASSERT_TRUE(outcome.status) << outcome.status.error().ToString();
  EXPECT_EQ(outcome.fetch.meta.snapshot_id, 12u);
  EXPECT_EQ(outcome.fetch.from, MemberId(2));
  EXPECT_FALSE(fetcher_->Take()) << "what gave way has no outcome";
  WaitUntil([&] { return new_leader.bytes_sent() > 0; });
  EXPECT_LE(new_leader.bytes_sent(), later_.TotalBytes() - tables) << "the tables were there";
  EXPECT_EQ(old_leader.streams(), 1);
  auto finished = snapshot::ReadFinished(env_, dir_->receive_path());
  ASSERT_TRUE(finished) << finished.error().ToString();
  EXPECT_EQ(*finished, later_);
}

// From here on the received snapshot is about to be installed: nothing may touch its files.
TEST_F(SnapshotFetcherTest, WhileAnOutcomeWaitsOffersAreRefused) {
  Leader leader(1, temp_.Path("first"), first_, UINT32_MAX);
  Leader other(2, temp_.Path("later"), later_, UINT32_MAX);
  fetcher_->Fetch(leader.Offer());
  WaitUntil([&] {
    auto running = fetcher_->running();
    return running && running->over;
  });
  fetcher_->Fetch(other.Offer());
  const SnapshotFetched outcome = TakeOutcome();
  ASSERT_TRUE(outcome.status) << outcome.status.error().ToString();
  EXPECT_EQ(outcome.fetch.meta.snapshot_id, 11u);
  EXPECT_FALSE(fetcher_->running());
  fetcher_->Stop();
  EXPECT_EQ(other.streams(), 0);
  auto finished = snapshot::ReadFinished(env_, dir_->receive_path());
  ASSERT_TRUE(finished) << finished.error().ToString();
  EXPECT_EQ(*finished, first_);
}

// Chunks are on their way when the receiver stops. A socket that is closed over them would take its
// last words with it.
TEST_F(SnapshotFetcherTest, ALeaderHearsWhyItsPeerStopped) {
  for (auto [fault, code] : {std::pair{env::FaultKind::kError, Code::kIo},
                             std::pair{env::FaultKind::kDiskFull, Code::kDiskFull}}) {
    Leader leader(1, temp_.Path("first"), first_, UINT32_MAX);
    receiver_env_.Inject({.op = env::Op::kWrite, .kind = fault, .path_part = "/.part-"});
    fetcher_->Fetch(leader.Offer());
    const SnapshotFetched outcome = TakeOutcome();
    ASSERT_FALSE(outcome.status);
    EXPECT_EQ(outcome.status.error().code, code) << outcome.status.error().ToString();
    WaitUntil([&] { return !leader.served().empty(); });
    const Status served = leader.served().front();
    ASSERT_FALSE(served);
    EXPECT_EQ(served.error().code, code) << served.error().ToString();
    EXPECT_NE(served.error().message.find("injected fault"), std::string::npos);
    EXPECT_EQ(leader.streams(), 1) << "a disk is not tried again at once";
  }
  Leader leader(1, temp_.Path("first"), first_, UINT32_MAX);
  fetcher_->Fetch(leader.Offer());
  const SnapshotFetched outcome = TakeOutcome();
  EXPECT_TRUE(outcome.status) << outcome.status.error().ToString();
}

TEST_F(SnapshotFetcherTest, StopDoesNotWaitForASenderThatStands) {
  Leader leader(1, temp_.Path("first"), first_, 1);
  fetcher_->Fetch(leader.Offer());
  WaitUntil([&] { return leader.streams() > 0; });
  fetcher_->Stop();
  EXPECT_FALSE(snapshot::ReadFinished(env_, dir_->receive_path()));
}

}  // namespace
}  // namespace arima::node
