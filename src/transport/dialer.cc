#include "transport/dialer.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hex.h"

namespace arima::transport {

Dialer::Dialer(Context* context, raft::MemberId to, const Peer& peer, const Hello& hello,
               uint64_t first_delay_ms, DialerUser* user)
    : context_(context),
      to_(to),
      peer_(peer),
      hello_(hello),
      user_(user),
      delay_ms_(context->options.reconnect_delay_ms_min) {
  if (first_delay_ms == 0) {
    Dial();
    return;
  }
  timer_ = context_->loop->After(first_delay_ms * kNsPerMs, [this] { Dial(); });
}

void Dialer::Close() {
  state_ = State::kClosed;
  context_->loop->Cancel(std::exchange(timer_, 0));
  connector_.reset();
  if (connection_ != nullptr) std::exchange(connection_, nullptr)->Close();
}

void Dialer::Nudge() {
  if (state_ != State::kWaiting) return;
  context_->loop->Cancel(std::exchange(timer_, 0));
  Dial();
}

void Dialer::Dial() {
  ARIMA_ASSERT(state_ == State::kWaiting);
  state_ = State::kConnecting;
  timer_ = 0;
  connector_ = context_->loop->Connect(
      context_->options, peer_.address,
      [this](std::unique_ptr<Stream> stream, const ConnectFailure& failure) {
        OnConnected(std::move(stream), failure);
      });
}

void Dialer::OnConnected(std::unique_ptr<Stream> stream, const ConnectFailure& failure) {
  connector_.reset();
  if (stream == nullptr) return Lose({EndCause::kOther, failure.text}, failure.refused);
  state_ = State::kGreeting;
  timer_ = context_->loop->After(context_->options.handshake_timeout_ms * kNsPerMs, [this] {
    timer_ = 0;
    Lose({EndCause::kOther, "no answer to the greeting"}, false);
  });
  connection_ = std::make_shared<Connection>(context_->loop, std::move(stream), false);
  connection_->Allow({FrameType::kHelloOk, FrameType::kRefuse});
  OutFrame hello = MakeFrame(FrameType::kHello, EncodeHello(hello_));
  hello.lead = MakePreamble(Purpose::kPeer);
  connection_->Write(std::move(hello));
  connection_->Start(this);
}

Status Dialer::OnFrame(Connection*, Frame frame) {
  switch (frame.type) {
    case FrameType::kHelloOk:
      return OnHelloOk(frame.meta);
    case FrameType::kRefuse:
      return OnRefuseFrame(frame.meta);
    default:
      return user_->OnMessages(frame, hello_.from);
  }
}

Status Dialer::OnHelloOk(std::string_view bytes) {
  Result<HelloOk> answer = DecodeHelloOk(bytes);
  if (!answer) return std::unexpected(answer.error());
  if (answer->member != to_) {
    return Fail(Code::kConflict, "member " + std::to_string(answer->member.value) + " answers");
  }
  if (!peer_.incarnation.IsZero() && answer->incarnation != peer_.incarnation) {
    return Fail(Code::kConflict, "another data directory answers: " + ToHex(answer->incarnation));
  }
  if (answer->protocol < hello_.protocol_min || answer->protocol > hello_.protocol_max) {
    return Fail(Code::kNotSupported, "protocol " + std::to_string(answer->protocol));
  }
  context_->loop->Cancel(std::exchange(timer_, 0));
  state_ = State::kUp;
  up_since_ns_ = context_->loop->NowNs();
  connection_->Allow({FrameType::kMessages, FrameType::kRefuse});
  user_->OnUp();
  return {};
}

Status Dialer::OnRefuseFrame(std::string_view bytes) {
  Result<Refuse> refuse = DecodeRefuse(bytes);
  if (!refuse) return std::unexpected(refuse.error());
  user_->OnRefused(*refuse);
  delay_ms_ = context_->options.reconnect_delay_ms_max;  // it will not change its mind at once
  up_since_ns_ = context_->loop->NowNs();                // and so that delay holds
  Lose({EndCause::kOther,
        "refused: " + std::string(RefuseReasonName(refuse->reason)) + " (" + refuse->text + ")"},
       false);
  return {};
}

void Dialer::OnDrained(Connection*) {
  if (state_ == State::kUp) user_->OnDrained();
}

void Dialer::OnClosed(Connection*, const ConnectionEnd& end) { Lose(end, false); }

void Dialer::Lose(const ConnectionEnd& end, bool refused_by_host) {
  bool was_up = state_ == State::kUp;
  std::shared_ptr<Connection> lost = std::exchange(connection_, nullptr);
  if (lost != nullptr) lost->Close();
  context_->loop->Cancel(std::exchange(timer_, 0));
  if (was_up && context_->loop->NowNs() - up_since_ns_ >= kStableNs) {
    delay_ms_ = context_->options.reconnect_delay_ms_min;
  }
  state_ = State::kWaiting;
  timer_ = context_->loop->After(NextDelayNs(), [this] { Dial(); });
  if (was_up) {
    user_->OnDown(*lost, end);
  } else {
    user_->OnDialFailed(refused_by_host, end.text);
  }
}

// A quarter up or down, so that nodes that lost each other do not come back in step.
uint64_t Dialer::NextDelayNs() {
  uint64_t delay_ns = delay_ms_ * kNsPerMs;
  delay_ms_ = std::min(delay_ms_ * 2, context_->options.reconnect_delay_ms_max);
  return delay_ns - delay_ns / 4 + context_->random.Below(delay_ns / 2 + 1);
}

}  // namespace arima::transport
