// Observer: sees what a node's consensus core decides. For the checkers of the simulator; there is
// none in production. Thread rule: called on the core thread; calls nothing of the node.
#pragma once

#include <span>

#include "node/identity.h"
#include "raft/core.h"

namespace arima::node {

class Observer {
 public:
  virtual ~Observer() = default;
  // A replica was opened: a new life of the core begins, as this member.
  virtual void OnOpened(const Identity& identity, const raft::CoreStatus& status) = 0;
  virtual void OnSoftState(const raft::SoftState& soft) = 0;
  // Handed to the applier: committed, in order.
  virtual void OnCommitted(std::span<const raft::ApplyItem> items) = 0;
};

}  // namespace arima::node
