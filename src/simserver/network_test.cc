#include "simserver/network.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sim/swarm.h"

namespace arima::simserver {
namespace {

using sim::kMillisecond;
using sim::kSecond;
using transport::ConnectFailure;
using transport::IoResult;
using transport::Stream;

// A machine whose one thread drives a loop, and keeps what a connection brings.
class Side {
 public:
  Side(Scheduler* scheduler, Network* network, MachineId id)
      : scheduler_(*scheduler), network_(network->PlugIn(id)), loop_(network_->MakeLoop()) {
    process_ = scheduler_.StartProcess(
        [this] {
          while (true) loop_->RunOnce(kSecond);
        },
        nullptr);
  }
  ~Side() { scheduler_.Kill(process_); }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  void Listen(const std::string& host) {
    options_.listen_host = host;
    options_.listen_port = 1;
    auto listening =
        loop_->Listen(options_, [this](std::unique_ptr<Stream> stream) { Use(std::move(stream)); });
    ASSERT_TRUE(listening);
    listening_ = std::move(*listening);
  }
  void Connect(const std::string& address) {
    loop_->Post([this, address] {
      connecting_ = loop_->Connect(
          options_, address, [this](std::unique_ptr<Stream> stream, const ConnectFailure& failure) {
            failure_ = failure;
            if (stream != nullptr) Use(std::move(stream));
          });
    });
  }
  void Write(std::string text) {
    loop_->Post([this, text = std::move(text)] {
      const iovec part{const_cast<char*>(text.data()), text.size()};
      EXPECT_EQ(stream_->Write({&part, 1}).bytes, text.size());
    });
  }
  void Close() {
    loop_->Post([this] { stream_.reset(); });
  }

  bool connected() const { return stream_ != nullptr; }
  const std::string& got() const { return got_; }
  const std::optional<int>& end() const { return end_; }
  const std::optional<ConnectFailure>& failure() const { return failure_; }

 private:
  void Use(std::unique_ptr<Stream> stream) {
    stream_ = std::move(stream);
    Read();
  }
  void Read() {
    stream_->Read(space_, [this](IoResult result) {
      if (result.bytes == 0) {
        end_ = result.error;
        return;
      }
      got_.append(space_.data(), result.bytes);
      Read();
    });
  }

  Scheduler& scheduler_;
  const std::unique_ptr<transport::Network> network_;
  const std::unique_ptr<transport::Loop> loop_;
  transport::TcpOptions options_;
  ProcessId process_ = 0;
  std::unique_ptr<transport::Listening> listening_;
  std::unique_ptr<transport::Connecting> connecting_;
  std::unique_ptr<Stream> stream_;
  std::array<char, 64> space_{};
  std::string got_;
  std::optional<int> end_;
  std::optional<ConnectFailure> failure_;
};

class NetworkTest : public ::testing::Test {
 protected:
  NetworkTest() {
    network_.AddAddress("b:1", 1);
    b_.Listen("b");
  }
  ~NetworkTest() override { scheduler_.DropEvents(); }
  void RunFor(uint64_t ns) {
    scheduler_.RunUntil(scheduler_.now_ns() + ns, [] { return false; });
  }
  void Connect() {
    a_.Connect("b:1");
    RunFor(100 * kMillisecond);
    ASSERT_TRUE(a_.connected() && b_.connected());
  }

  sim::Verdict verdict_;
  Scheduler scheduler_{{.seed = 3}, &verdict_};
  Network network_{&scheduler_, 5, {}};
  Side a_{&scheduler_, &network_, 0};
  Side b_{&scheduler_, &network_, 1};
};

TEST_F(NetworkTest, BytesArriveInOrderAndThenTheEnd) {
  Connect();
  std::string sent;
  for (int i = 0; i < 200; ++i) {
    a_.Write(std::to_string(i) + ",");
    sent += std::to_string(i) + ",";
  }
  a_.Close();
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), sent);
  EXPECT_EQ(b_.end(), 0);
}

TEST_F(NetworkTest, WhatABlockedLinkHoldsArrivesLater) {
  Connect();
  network_.Block(0, 1);
  a_.Write("late");
  b_.Write("at once");
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), "");
  EXPECT_EQ(a_.got(), "at once") << "one way only";
  network_.Unblock(0, 1);
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), "late");
}

TEST_F(NetworkTest, WhatIsSentWhileALinkHealsStaysBehindWhatItHeld) {
  Connect();
  network_.Block(0, 1);
  a_.Write("1,");
  RunFor(kSecond);
  a_.Write("2,");
  RunFor(10'000);  // it is under way
  network_.Unblock(0, 1);
  a_.Write("3,");
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), "1,2,3,");
}

TEST_F(NetworkTest, ALinkThatIsBlockedAgainBeforeItHasHealedKeepsTheOrder) {
  Connect();
  network_.Block(0, 1);
  a_.Write("1,");
  RunFor(kSecond);
  network_.Unblock(0, 1);
  network_.Block(0, 1);
  a_.Write("2,");
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), "");
  network_.Unblock(0, 1);
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), "1,2,");
}

TEST_F(NetworkTest, AConnectionThatGetsNothingThroughIsLost) {
  Connect();
  network_.Block(0, 1);
  a_.Write("never");
  RunFor(10 * kSecond);
  EXPECT_EQ(a_.end(), ETIMEDOUT);
  EXPECT_EQ(b_.end(), ETIMEDOUT);
  network_.UnblockAll();
  RunFor(kSecond);
  EXPECT_EQ(b_.got(), "");
}

TEST_F(NetworkTest, AResetIsSeenAtBothEnds) {
  Connect();
  network_.Reset(1, 0);
  RunFor(kSecond);
  EXPECT_EQ(a_.end(), ECONNRESET);
  EXPECT_EQ(b_.end(), ECONNRESET);
}

TEST_F(NetworkTest, ADeadProcessIsRefusedADeadMachineSaysNothing) {
  network_.Down(1, /*silently=*/false);
  a_.Connect("b:1");
  RunFor(2 * kSecond);
  ASSERT_TRUE(a_.failure());
  EXPECT_TRUE(a_.failure()->refused);
  network_.Up(1);
  network_.Down(1, /*silently=*/true);
  a_.Connect("b:1");
  RunFor(100 * kMillisecond);
  EXPECT_TRUE(a_.failure()->refused) << "nothing new is known";
  RunFor(2 * kSecond);
  EXPECT_FALSE(a_.failure()->refused);
  EXPECT_NE(a_.failure()->text.find("no answer"), std::string::npos);
}

TEST_F(NetworkTest, AMachineThatComesBackKnowsNoOldConnection) {
  Connect();
  network_.Down(1, /*silently=*/true);
  RunFor(kSecond);
  EXPECT_FALSE(a_.end());
  network_.Up(1);
  RunFor(kSecond);
  EXPECT_EQ(a_.end(), ECONNRESET);
}

}  // namespace
}  // namespace arima::simserver
