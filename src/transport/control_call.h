// ControlCall: asks another node once, on a connection of its own.
//
// Thread rule: the thread of the Loop. Internal to transport/.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "transport/connection.h"
#include "transport/context.h"
#include "transport/control.h"

namespace arima::transport {

class ControlCall final : public ConnectionUser {
 public:
  // `done` runs once, inside a later RunOnce, unless Close comes first.
  using Done = std::move_only_function<void(ControlCall*, ControlAnswer)>;

  ControlCall(Context* context, const std::string& address, const ControlRequest& request,
              Done done);
  void Close();

  Status OnFrame(Connection* connection, Frame frame) override;
  void OnDrained(Connection* connection) override;
  void OnClosed(Connection* connection, const ConnectionEnd& end) override;

 private:
  void OnConnected(std::unique_ptr<Stream> stream, const ConnectFailure& failure);
  void Give(ControlAnswer answer);
  void GiveUp(const std::string& why);

  Context* const context_;
  const std::string address_;
  const ControlKind kind_;
  std::string request_;  // encoded
  Done done_;
  std::unique_ptr<Connecting> connector_;
  std::shared_ptr<Connection> connection_;
  Loop::TimerId deadline_ = 0;
  bool asked_ = false;  // the whole request is on its way
};

}  // namespace arima::transport
