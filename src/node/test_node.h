// Whole nodes in one process, on free loopback ports and directories of their own. Test only.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "env/fault_env.h"
#include "env/posix_env.h"
#include "node/node.h"
#include "node/test_replica.h"
#include "testing/wait_until.h"

namespace arima::node {

// Nobody's yet, and none of those that the system gives to connections: a node that is stopped and
// started again finds it free.
inline uint16_t FreePort() {
  std::random_device random;
  while (true) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(10'000 + random() % 20'000));
    const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (free) return ntohs(address.sin_port);
  }
}

template <class T>
struct Waiter {
  std::promise<Result<T>> promise;
  service::Done<T> done() {
    return [this](Result<T> result) { promise.set_value(std::move(result)); };
  }
  Result<T> Get() { return promise.get_future().get(); }
};

class TestNode {
 public:
  TestNode(const TempDirectory& temp, std::string name, LogLevel log_level = LogLevel::kError)
      : name_(std::move(name)),
        dir_(temp.Path(name_)),
        port_(FreePort()),
        logger_(name_, log_level, LogFormat::kText) {
    replica_options_.storage = SmallStorage();
  }
  ~TestNode() { Stop(); }

  Status Start() {
    NodeOptions options;
    options.name = name_;
    options.volume_dir = dir_;
    options.raft_listen_host = "127.0.0.1";
    options.raft_port = port_;
    options.raft_address = address();
    options.http_address = "127.0.0.1:1";
    options.value_bytes_max = 1 << 20;
    options.replica = replica_options_;
    options.disk_reserve_bytes = disk_reserve_bytes;
    auto node = Node::Start(options, &env_, &clock_, &logger_);
    if (!node) return std::unexpected(node.error());
    node_ = std::move(*node);
    return {};
  }
  void Stop() {
    if (node_ != nullptr) node_->Stop();
    node_.reset();
  }

  uint64_t disk_reserve_bytes = 0;  // for the next Start
  // For the next Start.
  ReplicaOptions& replica_options() { return replica_options_; }

  // After the node was stopped by itself.
  void Forget() { node_.reset(); }

  const std::string& name() const { return name_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  const std::string& dir() const { return dir_; }
  Node& node() { return *node_; }
  env::FaultEnv& env() { return env_; }

  Result<service::PutResponse> Put(const std::string& key, const std::string& value,
                                   uint64_t timeout_ms = 20'000) {
    Waiter<service::PutResponse> waiter;
    node_->kv().Put({key, SharedBytes::Copy(value), timeout_ms}, waiter.done());
    return waiter.Get();
  }
  Result<service::DeleteResponse> Delete(const std::string& key) {
    Waiter<service::DeleteResponse> waiter;
    node_->kv().Delete({key, 20'000}, waiter.done());
    return waiter.Get();
  }
  Status Barrier() {
    Waiter<void> waiter;
    node_->kv().ReadBarrier({20'000}, waiter.done());
    return waiter.Get();
  }
  // A linearizable read: the value, "<none>", or the error.
  std::string Get(const std::string& key) {
    if (Status ready = Barrier(); !ready) return ready.error().ToString();
    auto read = node_->kv().GetLocal({key, service::Consistency::kLinearizable});
    if (!read) return read.error().ToString();
    return read->found ? std::string(read->value.view()) : "<none>";
  }
  Result<service::JoinResponse> Join(const std::string& name, const std::string& address,
                                     uint64_t timeout_ms = 30'000) {
    Waiter<service::JoinResponse> waiter;
    node_->cluster().Join({name, address, timeout_ms}, waiter.done());
    return waiter.Get();
  }
  Result<service::JoinResponse> Join(const TestNode& other) {
    return Join(other.name(), other.address());
  }
  Result<service::RemoveResponse> Remove(const std::string& name) {
    Waiter<service::RemoveResponse> waiter;
    node_->cluster().Remove({name, false, 30'000}, waiter.done());
    return waiter.Get();
  }
  Result<service::TransferResponse> Transfer(const std::string& name, uint64_t timeout_ms = 5000) {
    Waiter<service::TransferResponse> waiter;
    node_->cluster().Transfer({name, timeout_ms}, waiter.done());
    return waiter.Get();
  }
  service::Members Members() {
    Waiter<service::Members> waiter;
    node_->cluster().GetMembers(waiter.done());
    return waiter.Get().value_or(service::Members());
  }
  std::map<std::string, std::string> Stats() {
    Waiter<service::Stats> waiter;
    node_->cluster().GetStats(waiter.done());
    auto stats = waiter.Get();
    if (!stats) return {};
    return {stats->begin(), stats->end()};
  }
  bool Leads() { return Stats()["state"] == "Leader"; }

 private:
  const std::string name_;
  const std::string dir_;
  const uint16_t port_;
  ReplicaOptions replica_options_;
  env::PosixEnv posix_;
  env::FaultEnv env_{posix_, 1};
  SystemClock clock_;
  Logger logger_;
  std::unique_ptr<Node> node_;
};

class NodeTest : public ::testing::Test {
 protected:
  TestNode& Add(const std::string& name) {
    nodes_.push_back(std::make_unique<TestNode>(temp_, name, log_level_));
    if (limits_) {
      ReplicaOptions& options = nodes_.back()->replica_options();
      options.flusher = {.flush_bytes = 64 << 10, .flush_interval_ns = 1};
      options.retention = *limits_;
    }
    nodes_.back()->replica_options().snapshots = snapshots_;
    Status started = nodes_.back()->Start();
    EXPECT_TRUE(started) << started.error().ToString();
    return *nodes_.back();
  }
  void ExpectJoined(TestNode& leader, TestNode& other) {
    auto joined = leader.Join(other);
    ASSERT_TRUE(joined) << joined.error().ToString();
    EXPECT_TRUE(joined->caught_up);
  }
  // Nodes added from now on flush often and keep little log.
  void LimitLogs(const LogRetentionLimits& limits) { limits_ = limits; }
  // Waits for it: while a node switches to another database it has few.
  double MetricOf(TestNode& node, const std::string& name) {
    double value = 0;
    WaitUntil([&] {
      for (const auto& metric : node.node().cluster().Metrics()) {
        if (metric.name != name) continue;
        value = metric.value;
        return true;
      }
      return false;
    });
    return value;
  }
  // n1 leads n2 and n3.
  void FormThree() {
    for (const char* name : {"n1", "n2", "n3"}) Add(name);
    ExpectJoined(n(1), n(2));
    ExpectJoined(n(1), n(3));
  }
  TestNode& n(size_t number) { return *nodes_[number - 1]; }
  void ExpectPut(TestNode& node, const std::string& key, const std::string& value) {
    auto put = node.Put(key, value);
    ASSERT_TRUE(put) << put.error().ToString();
  }

  TempDirectory temp_;
  std::optional<LogRetentionLimits> limits_;
  SnapshotOptions snapshots_;  // of nodes added from now on
  LogLevel log_level_ = LogLevel::kError;
  std::vector<std::unique_ptr<TestNode>> nodes_;
};

}  // namespace arima::node
