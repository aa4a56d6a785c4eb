// service::ClusterService on top of NodeCore: every question is put to the core thread.
// Thread rule: any thread.
#pragma once

#include <vector>

#include "base/mutex.h"
#include "node/node_core.h"
#include "node/shared_state.h"
#include "service/cluster_service.h"

namespace arima::node {

class ClusterFront final : public service::ClusterService {
 public:
  ClusterFront(NodeCore* core, SharedState* shared);

  void Join(service::JoinRequest request, service::Done<service::JoinResponse> done) override;
  void Remove(service::RemoveRequest request, service::Done<service::RemoveResponse> done) override;
  void Transfer(service::TransferRequest request,
                service::Done<service::TransferResponse> done) override;
  void GetMembers(service::Done<service::Members> done) override;
  void GetStats(service::Done<service::Stats> done) override;
  service::NodeView View() override;
  std::vector<service::Check> Readiness() override;
  std::vector<Metric> Metrics() override;

  // From now on every call answers that the node stops; the core thread may end.
  void Close() EXCLUDES(mutex_);

 private:
  // Runs `task` on the core thread and waits for it; false once closed.
  template <class Task>
  bool OnCore(Task task);
  // False once closed: `task` will not run.
  bool Post(std::move_only_function<void()> task) EXCLUDES(mutex_);

  NodeCore& core_;
  SharedState& shared_;
  Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace arima::node
