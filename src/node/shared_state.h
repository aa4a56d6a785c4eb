// What the core thread publishes to all other threads of the node.
//
// The core thread writes it at ticks and when something changes; front ends read it for each
// request. One small mutex; nothing is computed and nobody is called with it held.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/mutex.h"
#include "node/replica.h"
#include "service/cluster_service.h"

namespace arima::node {

// The proof of how old this node's data can be (docs/design/http-api.md 2.5).
struct Staleness {
  bool known = false;
  uint64_t offset_ns = 0;    // age at `base_ns`
  uint64_t base_ns = 0;      // own clock
  uint64_t needs_index = 0;  // holds once so much is applied
};

struct Published {
  service::NodeView view;
  Staleness staleness;
};

class SharedState {
 public:
  // Null: there is no replica now (starting, joining, stopping); `why` tells.
  std::shared_ptr<Replica> replica(Error* why) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (replica_ == nullptr) *why = why_;
    return replica_;
  }
  void SetReplica(std::shared_ptr<Replica> replica) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    replica_ = std::move(replica);
  }
  // Returns the last reference held here.
  std::shared_ptr<Replica> TakeReplica(Error why) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    why_ = std::move(why);
    return std::exchange(replica_, nullptr);
  }

  // What the replicas before this one had applied. A barrier may have been passed on one of them,
  // and its read then meets the next one, whose log may still have to be applied.
  uint64_t read_floor() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return read_floor_;
  }
  // While there is no replica; 0: the data is another cluster's from now on.
  void SetReadFloor(uint64_t index) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    read_floor_ = index;
  }

  service::NodeView view() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return published_.view;
  }
  Staleness staleness() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return published_.staleness;
  }
  bool removed() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return published_.view.removed;
  }
  std::string damage() EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return published_.view.damage;
  }
  void Publish(Published published) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    published_ = std::move(published);
  }

 private:
  Mutex mutex_;
  std::shared_ptr<Replica> replica_ GUARDED_BY(mutex_);
  Error why_ GUARDED_BY(mutex_){Code::kUnavailable, "the node is starting"};
  uint64_t read_floor_ GUARDED_BY(mutex_) = 0;
  Published published_ GUARDED_BY(mutex_);
};

}  // namespace arima::node
