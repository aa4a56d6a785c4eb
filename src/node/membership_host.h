// What joining and removing nodes needs of the node around it. Thread rule: the core thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "node/identity.h"
#include "node/raft_loop.h"
#include "service/cluster_service.h"
#include "transport/control.h"

namespace arima::node {

class MembershipHost {
 public:
  virtual ~MembershipHost() = default;
  virtual raft::CoreStatus Status() = 0;
  virtual const Identity& identity() = 0;
  virtual service::Stats CurrentStats() = 0;
  virtual void ProposeConf(raft::ConfChange change, bool force, ConfRejected rejected) = 0;
  // Starts handing leadership to that voter; 0: to the most caught-up one.
  virtual void TransferLeadership(raft::MemberId target) = 0;
  // A control call to the node that listens at `address`. `done` runs on the core thread, later,
  // at most once, and not any more when whoever called is being destroyed.
  using CallDone = std::move_only_function<void(Result<std::string>)>;
  virtual void Call(const std::string& address, transport::ControlKind kind, std::string body,
                    uint64_t timeout_ms, CallDone done) = 0;
  virtual void LogEvent(std::string_view event, std::string_view message) = 0;
  // Something that an operator should look after; counted.
  virtual void Alarm(std::string_view event, std::string_view message) { LogEvent(event, message); }
};

}  // namespace arima::node
