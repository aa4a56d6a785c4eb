// Node: one running member. Owns the volume directory, the core thread, the transport and the
// replica; offers what it can do as services to the front ends.
//
//   core thread:   Loop::RunOnce -> RaftLoop::Process -> ticks, membership, publishing
//   other threads: log writer, log reader, segment helper, applier (node/replica.h)
//
// Thread rule: Start, HandOverLeadership and Stop from one owner (main); kv() and cluster() from
// any thread between Start and Stop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "env/env.h"
#include "node/history_keeper.h"
#include "node/logger.h"
#include "node/replica.h"
#include "service/cluster_service.h"
#include "service/kv_service.h"
#include "transport/network.h"

namespace arima::node {

struct NodeOptions {
  std::string name;
  std::string volume_dir;
  std::string raft_listen_host;  // empty: the loopback network
  uint16_t raft_port = 0;
  std::string raft_address;         // host:port for peers
  bool raft_address_given = false;  // by the operator: overrides what a join said
  std::string http_address;         // host:port for clients
  uint64_t value_bytes_max = 0;
  ReplicaOptions replica;
  HistoryOptions history;
  uint64_t disk_reserve_bytes = 512 << 20;  // node/disk_watch.h
  transport::Network* network = &transport::SystemNetwork();
};

class Node {
 public:
  // Everything that can be wrong with directory, ports and data is an Error with one line for the
  // operator; on success the node takes part. `env`, `clock` and `logger` outlive it.
  static Result<std::unique_ptr<Node>> Start(const NodeOptions& options, env::Env* env,
                                             Clock* clock, Logger* logger);
  ~Node();

  service::KvService& kv();
  service::ClusterService& cluster();
  // That the transport listens on.
  uint16_t raft_port() const;

  // If this node leads others: asks the most caught-up voter to take over and waits for it, at most
  // `timeout_ms`.
  void HandOverLeadership(uint64_t timeout_ms);
  // Ends all threads, makes everything durable. Requests still waiting get an answer.
  void Stop();

 private:
  class Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace arima::node
