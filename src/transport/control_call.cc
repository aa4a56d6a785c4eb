#include "transport/control_call.h"

#include <utility>

namespace arima::transport {

ControlCall::ControlCall(Context* context, const std::string& address,
                         const ControlRequest& request, Done done)
    : context_(context),
      address_(address),
      kind_(request.kind),
      request_(EncodeControlRequest(request)),
      done_(std::move(done)) {
  deadline_ =
      context_->loop->After(request.timeout_ms * kNsPerMs, [this] { GiveUp("no answer in time"); });
  connector_ = context_->loop->Connect(
      context_->options, address,
      [this](std::unique_ptr<Stream> stream, const ConnectFailure& failure) {
        OnConnected(std::move(stream), failure);
      });
}

void ControlCall::Close() {
  done_ = nullptr;
  context_->loop->Cancel(std::exchange(deadline_, 0));
  connector_.reset();
  if (connection_ != nullptr) connection_->Close();
}

void ControlCall::OnConnected(std::unique_ptr<Stream> stream, const ConnectFailure& failure) {
  connector_.reset();
  if (stream == nullptr) return Give(Fail(Code::kPeerUnreachable, failure.text));
  connection_ = std::make_shared<Connection>(context_->loop, std::move(stream), false);
  connection_->Allow({FrameType::kControlAnswer});
  OutFrame frame = MakeFrame(FrameType::kControlRequest, std::move(request_));
  frame.lead = MakePreamble(Purpose::kControl);
  connection_->Write(std::move(frame));
  asked_ = connection_->idle();
  connection_->Start(this);
}

void ControlCall::OnDrained(Connection*) { asked_ = true; }

Status ControlCall::OnFrame(Connection*, Frame frame) {
  Result<ControlAnswer> answer = DecodeControlAnswer(frame.meta);
  if (!answer) return std::unexpected(answer.error());
  Give(*std::move(answer));
  return {};
}

void ControlCall::OnClosed(Connection*, const ConnectionEnd& end) { GiveUp(end.text); }

void ControlCall::GiveUp(const std::string& why) {
  // Asking who somebody is changes nothing, so its outcome is never in doubt.
  bool unknown = asked_ && kind_ != ControlKind::kProbe;
  Give(Fail(unknown ? Code::kOutcomeUnknown : Code::kPeerUnreachable,
            std::string(ControlKindName(kind_)) + " request to " + address_ + ": " + why));
}

void ControlCall::Give(ControlAnswer answer) {
  Done done = std::move(done_);
  Close();
  if (done) done(this, std::move(answer));
}

}  // namespace arima::transport
