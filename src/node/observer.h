// Observer: sees what a node's consensus core decides and what its log has done. For the checkers
// of the simulator; there is none in production. Thread rule: called on the core thread; calls
// nothing of the node.
#pragma once

#include <cstdint>
#include <span>

#include "node/identity.h"
#include "raft/core.h"

namespace arima::node {

class Observer {
 public:
  virtual ~Observer() = default;
  // A replica was opened: a new life of the core begins, as this member.
  virtual void OnOpened(const Identity& identity, const raft::CoreStatus& status) = 0;
  // What the core has put out, before anything of it leaves the node or is done.
  virtual void OnOutput(const raft::Output& out) = 0;
  // The log has done the write `seq` and all before it; `released` now leaves the node.
  virtual void OnDurable(uint64_t seq, std::span<const raft::Message> released) = 0;
};

}  // namespace arima::node
