#include "node/cluster_front.h"

#include <chrono>
#include <memory>
#include <utility>

#include "base/notification.h"
#include "kv/engine.h"

namespace arima::node {
namespace {

// Longest wait of a health or metrics request for the core thread. A core that does not answer in
// this time is itself the finding.
constexpr auto kCoreAnswerWait = std::chrono::milliseconds(500);

Error Stopping() {
  return {Code::kUnavailable, "the node is stopping; nothing was changed, use another node"};
}

}  // namespace

ClusterFront::ClusterFront(NodeCore* core, SharedState* shared) : core_(*core), shared_(*shared) {}

bool ClusterFront::Post(std::move_only_function<void()> task) {
  MutexLock lock(&mutex_);
  if (closed_) return false;
  core_.Post(std::move(task));
  return true;
}

void ClusterFront::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
}

template <class Task>
bool ClusterFront::OnCore(Task task) {
  // Shared with the task: it may run after the wait was given up.
  auto done = std::make_shared<Notification>();
  bool posted = Post([task = std::move(task), done]() mutable {
    task();
    done->Notify();
  });
  return posted && done->WaitFor(kCoreAnswerWait);
}

void ClusterFront::Join(service::JoinRequest request, service::Done<service::JoinResponse> done) {
  auto shared = std::make_shared<service::Done<service::JoinResponse>>(std::move(done));
  bool posted = Post([this, request = std::move(request), shared]() mutable {
    core_.membership().Join(std::move(request), std::move(*shared), core_.NowNs());
  });
  if (!posted) (*shared)(std::unexpected(Stopping()));
}

void ClusterFront::Remove(service::RemoveRequest request,
                          service::Done<service::RemoveResponse> done) {
  auto shared = std::make_shared<service::Done<service::RemoveResponse>>(std::move(done));
  bool posted = Post([this, request = std::move(request), shared]() mutable {
    core_.membership().Remove(std::move(request), std::move(*shared), core_.NowNs());
  });
  if (!posted) (*shared)(std::unexpected(Stopping()));
}

void ClusterFront::Transfer(service::TransferRequest request,
                            service::Done<service::TransferResponse> done) {
  auto shared = std::make_shared<service::Done<service::TransferResponse>>(std::move(done));
  bool posted = Post([this, request = std::move(request), shared]() mutable {
    core_.membership().Transfer(std::move(request), std::move(*shared), core_.NowNs());
  });
  if (!posted) (*shared)(std::unexpected(Stopping()));
}

void ClusterFront::GetMembers(service::Done<service::Members> done) {
  auto shared = std::make_shared<service::Done<service::Members>>(std::move(done));
  bool posted = Post([this, shared] { (*shared)(core_.CurrentMembers()); });
  if (!posted) (*shared)(std::unexpected(Stopping()));
}

void ClusterFront::GetStats(service::Done<service::Stats> done) {
  auto shared = std::make_shared<service::Done<service::Stats>>(std::move(done));
  bool posted = Post([this, shared] { (*shared)(core_.CurrentStats()); });
  if (!posted) (*shared)(std::unexpected(Stopping()));
}

service::NodeView ClusterFront::View() {
  service::NodeView view = shared_.view();
  Error why;
  if (std::shared_ptr<Replica> replica = shared_.replica(&why)) {
    view.store_revision = replica->machine().store_revision();
  }
  return view;
}

std::vector<service::Check> ClusterFront::Readiness() {
  auto checks = std::make_shared<std::vector<service::Check>>();
  if (OnCore([this, checks] { *checks = core_.Readiness(); })) return std::move(*checks);
  return {{"core_responds", false, "the core thread did not answer in time, or the node stops"}};
}

std::vector<service::ClusterService::Metric> ClusterFront::Metrics() {
  auto shared = std::make_shared<std::vector<Metric>>();
  std::vector<Metric> metrics;
  if (OnCore([this, shared] { *shared = core_.Metrics(); })) metrics = std::move(*shared);
  // The database is asked here: it may be slow to answer, and the core waits for nobody.
  Error why;
  if (std::shared_ptr<Replica> replica = shared_.replica(&why)) {
    kv::EngineStats engine = replica->machine().engine().stats();
    metrics.push_back({"arima_storage_table_bytes",
                       "bytes in table files",
                       false,
                       static_cast<double>(engine.table_bytes),
                       {}});
    metrics.push_back({"arima_storage_unflushed_bytes",
                       "bytes in memory only",
                       false,
                       static_cast<double>(engine.unflushed_bytes),
                       {}});
  }
  return metrics;
}

}  // namespace arima::node
