#include "node/node.h"

#include <chrono>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "base/notification.h"
#include "base/thread.h"
#include "node/cluster_front.h"
#include "node/kv_front.h"
#include "node/node_core.h"
#include "node/shared_state.h"

namespace arima::node {

class Node::Impl {
 public:
  Impl(const NodeOptions& options, Clock* clock, Logger* logger)
      : core(options, clock, logger, &shared),
        kv(&shared, clock, options.value_bytes_max),
        cluster(&core, &shared) {}

  SharedState shared;
  NodeCore core;
  KvFront kv;
  ClusterFront cluster;
  Thread thread;
};

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Node::~Node() { ARIMA_ASSERT(!impl_->thread.joinable()); }

Result<std::unique_ptr<Node>> Node::Start(const NodeOptions& options, env::Env* env, Clock* clock,
                                          Logger* logger) {
  auto impl = std::make_unique<Impl>(options, clock, logger);
  if (Status opened = impl->core.Open(env); !opened) return std::unexpected(opened.error());
  impl->thread = Thread([core = &impl->core] { core->Run(); });
  return std::unique_ptr<Node>(new Node(std::move(impl)));
}

service::KvService& Node::kv() { return impl_->kv; }
service::ClusterService& Node::cluster() { return impl_->cluster; }
uint16_t Node::raft_port() const { return impl_->core.raft_port(); }

void Node::HandOverLeadership(uint64_t timeout_ms) {
  auto done = std::make_shared<Notification>();
  impl_->core.Post([core = &impl_->core, done] { core->HandOver([done] { done->Notify(); }); });
  done->WaitFor(std::chrono::milliseconds(timeout_ms));
}

void Node::Stop() {
  impl_->cluster.Close();
  impl_->core.EndWaits();
  impl_->core.Post([core = &impl_->core] { core->RequestStop(); });
  impl_->thread.Join();
  impl_->core.Close();
}

}  // namespace arima::node
