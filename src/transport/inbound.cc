// States of a session, each with a deadline but the greeted one:
//
//   kNew --preamble--> kNew --Hello accepted--> kGreeted --refused by Recheck--> kEnding
//                       |  |--Hello of a stream--> given away, the session is over
//                       |  \--Hello refused--> kEnding
//                       '--ControlRequest--> kAnswering --answer--> kEnding
//
// kEnding means that the last frame is on its way and the connection closes by itself. Whoever
// breaks the protocol is closed at once; that is counted, and reported at a bounded rate.
#include "transport/inbound.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace arima::transport {
namespace {

constexpr uint64_t kAnswerTimeoutMsMax = 120'000;
constexpr uint64_t kAnswerGraceMs = 1000;

bool OwnClusterOnly(ControlKind kind) {
  return kind != ControlKind::kProbe && kind != ControlKind::kAbsorb;
}

// Answers on a control connection; if it is destroyed before, the caller sees the end instead.
class AnswerSlot {
 public:
  explicit AnswerSlot(std::weak_ptr<Connection> connection) : connection_(std::move(connection)) {}
  AnswerSlot(AnswerSlot&&) = default;
  ~AnswerSlot() {
    if (auto connection = connection_.lock()) connection->Finish();
  }

  void operator()(const ControlAnswer& answer) {
    auto connection = connection_.lock();
    if (connection == nullptr) return;
    std::string bytes = EncodeControlAnswer(answer);
    if (bytes.size() > kControlFrameBytesMax) {
      bytes = EncodeControlAnswer(Fail(Code::kTooLarge, "the answer is too large"));
    }
    connection->Write(MakeFrame(FrameType::kControlAnswer, std::move(bytes)));
    connection->Finish();
  }

 private:
  std::weak_ptr<Connection> connection_;
};

}  // namespace

class Inbound::Session final : public ConnectionUser {
 public:
  Session(Inbound* owner, std::unique_ptr<Stream> stream)
      : owner_(owner),
        context_(owner->context_),
        connection_(std::make_shared<Connection>(context_->loop, std::move(stream), true)) {
    SetDeadline(context_->options.handshake_timeout_ms, "said nothing useful in time");
    connection_->Start(this);
  }

  void Close() {
    context_->loop->Cancel(std::exchange(deadline_, 0));
    connection_->Close();
  }

  bool greeted() const { return state_ == State::kGreeted; }
  raft::MemberId member() const { return hello_.from; }

  void Recheck() {
    HelloDecision decision = context_->policy->Check(hello_);
    provisional_ = decision.verdict == HelloVerdict::kAcceptProvisionally;
    if (decision.verdict == HelloVerdict::kRefuse) SendRefuse(decision.refuse);
  }

  // Leaves the member's channel, if it is in one.
  void Leave(const ConnectionEnd& end) {
    if (!greeted()) return;
    state_ = State::kEnding;
    owner_->peers_->Find(hello_.from)->Detach(connection_.get(), end);
    owner_->peers_->RemoveIfUnused(hello_.from);
  }

  Status OnFrame(Connection*, Frame frame) override {
    switch (frame.type) {
      case FrameType::kPreamble:
        return OnPreamble(static_cast<Purpose>(frame.meta[0]));
      case FrameType::kHello:
        return OnHello(frame.meta);
      case FrameType::kControlRequest:
        return OnControlRequest(frame.meta);
      default:
        ARIMA_ASSERT(frame.type == FrameType::kMessages);
        return owner_->peers_->Find(hello_.from)->Deliver(frame, hello_.to, provisional_);
    }
  }

  void OnDrained(Connection*) override {
    if (greeted()) owner_->peers_->Find(hello_.from)->OnDrained();
  }

  void OnClosed(Connection* connection, const ConnectionEnd& end) override {
    if (end.cause == EndCause::kBadInput && state_ != State::kEnding) {
      CountBadInput(connection->remote() + ": " + end.text);
    }
    Leave(end);
    owner_->Remove(this);
  }

 private:
  enum class State : uint8_t { kNew, kGreeted, kAnswering, kEnding };

  Status OnPreamble(Purpose purpose) {
    purpose_ = purpose;
    if (purpose == Purpose::kPeer || purpose == Purpose::kStream) {
      connection_->Allow({FrameType::kHello});
    } else if (purpose == Purpose::kControl) {
      connection_->Allow({FrameType::kControlRequest});
    } else {
      return Fail(Code::kNotSupported, "unknown purpose");
    }
    return {};
  }

  Status OnHello(std::string_view bytes) {
    Result<Hello> hello = DecodeHello(bytes);
    if (!hello) return std::unexpected(hello.error());
    hello_ = *std::move(hello);
    uint16_t protocol = std::min(hello_.protocol_max, kProtocolMax);
    if (protocol < std::max(hello_.protocol_min, kProtocolMin)) {
      SendRefuse({RefuseReason::kProtocol,
                  {},
                  {},
                  "this node speaks " + std::to_string(kProtocolMin) + " to " +
                      std::to_string(kProtocolMax)});
      return {};
    }
    if (!hello_.from || hello_.from == hello_.to) {
      SendRefuse({RefuseReason::kWrongMember, {}, {}, "no member greets itself"});
      return {};
    }
    HelloDecision decision = context_->policy->Check(hello_);
    if (decision.verdict == HelloVerdict::kRefuse) {
      SendRefuse(decision.refuse);
      return {};
    }
    bool provisional = decision.verdict == HelloVerdict::kAcceptProvisionally;
    if (purpose_ == Purpose::kStream) return GiveAway(protocol, provisional);
    Accept(protocol, provisional);
    return {};
  }

  // The socket leaves the event loop; who takes it counts as a live stream until it lets go.
  Status GiveAway(uint16_t protocol, bool provisional) {
    if (provisional) {
      SendRefuse({RefuseReason::kNotReady, {}, {}, "the sender is in no configuration known here"});
      return {};
    }
    if (context_->streams.use_count() > static_cast<long>(context_->options.streams_max)) {
      SendRefuse({RefuseReason::kBusy, {}, {}, "too many streams"});
      return {};
    }
    connection_->Write(HelloOkFrame(protocol));
    if (std::unique_ptr<ByteStream> stream = connection_->Detach(context_->streams)) {
      context_->handler->OnStream(hello_, std::move(stream));
    } else {
      CountBadInput(connection_->remote() + ": does not keep to the greeting of a stream");
    }
    state_ = State::kEnding;
    owner_->Remove(this);
    return {};
  }

  OutFrame HelloOkFrame(uint16_t protocol) {
    Hello own = context_->policy->MakeHello(hello_.from);
    HelloOk answer{protocol, hello_.to, own.from_incarnation, own.name};
    return MakeFrame(FrameType::kHelloOk, EncodeHelloOk(answer));
  }

  void Accept(uint16_t protocol, bool provisional) {
    context_->loop->Cancel(std::exchange(deadline_, 0));
    connection_->Write(HelloOkFrame(protocol));
    connection_->Allow({FrameType::kMessages});
    owner_->CloseOlder(hello_.from, this);
    state_ = State::kGreeted;
    provisional_ = provisional;
    owner_->peers_->FindOrAdd(hello_.from)->Attach(connection_.get());
    if (!hello_.address.empty()) context_->notifier.Address(hello_);
  }

  void SendRefuse(const Refuse& refuse) {
    ++context_->counters.refused_hellos;
    context_->notifier.Event(TransportEvent::Kind::kRefusedOther, hello_.from,
                             connection_->remote(),
                             std::string(RefuseReasonName(refuse.reason)) + ": " + refuse.text);
    Leave({EndCause::kOther, "refused"});
    state_ = State::kEnding;
    context_->loop->Cancel(std::exchange(deadline_, 0));  // Finish has its own
    connection_->Write(MakeFrame(FrameType::kRefuse, EncodeRefuse(refuse)));
    connection_->Finish();
  }

  Status OnControlRequest(std::string_view bytes) {
    Result<ControlRequest> request = DecodeControlRequest(bytes);
    if (!request) return std::unexpected(request.error());
    connection_->Allow({});
    ++context_->counters.control_requests;
    state_ = State::kAnswering;
    uint64_t timeout_ms = std::min<uint64_t>(request->timeout_ms, kAnswerTimeoutMsMax);
    context_->loop->Cancel(std::exchange(deadline_, 0));
    SetDeadline(timeout_ms + kAnswerGraceMs, "");
    AnswerSlot slot(connection_);
    if (request->kind < ControlKind::kProbe || request->kind > kLastControlKind) {
      slot(Fail(Code::kNotSupported, "unknown kind of control request"));
    } else if (OwnClusterOnly(request->kind) &&
               request->cluster_id != context_->policy->MakeHello({}).cluster_id) {
      slot(Fail(Code::kConflict, "this node belongs to another cluster"));
    } else {
      context_->handler->OnControl(*std::move(request), Responder(std::move(slot)));
    }
    return {};
  }

  // `complaint`: empty if running out is not the other side's fault.
  void SetDeadline(uint64_t timeout_ms, const char* complaint) {
    deadline_ = context_->loop->After(timeout_ms * kNsPerMs, [this, complaint] {
      if (*complaint != '\0') CountBadInput(connection_->remote() + ": " + complaint);
      state_ = State::kEnding;
      owner_->Remove(this);
    });
  }

  void CountBadInput(std::string text) {
    ++context_->counters.bad_inputs;
    context_->notifier.Event(TransportEvent::Kind::kBadInput, hello_.from, connection_->remote(),
                             std::move(text));
  }

  Inbound* const owner_;
  Context* const context_;
  const std::shared_ptr<Connection> connection_;
  State state_ = State::kNew;
  Purpose purpose_ = Purpose::kControl;  // of the preamble
  Hello hello_;
  bool provisional_ = false;
  Loop::TimerId deadline_ = 0;
};

// ---------------------------------------------------------------- all of them

Inbound::Inbound(Context* context, PeerTable* peers) : context_(context), peers_(peers) {}
Inbound::~Inbound() = default;

Status Inbound::Open() {
  auto listener = context_->loop->Listen(
      context_->options, [this](std::unique_ptr<Stream> stream) { OnAccepted(std::move(stream)); });
  if (!listener) return std::unexpected(listener.error());
  listener_ = *std::move(listener);
  if (!listener_->narrowed().empty()) {
    context_->notifier.Event(TransportEvent::Kind::kListenNarrowed, {}, "127.0.0.1",
                             listener_->narrowed());
  }
  return {};
}

void Inbound::Close() {
  listener_.reset();
  for (auto& session : std::exchange(sessions_, {})) context_->Retire(std::move(session));
}

void Inbound::OnAccepted(std::unique_ptr<Stream> stream) {
  auto greeted = static_cast<size_t>(
      std::ranges::count_if(sessions_, [](const auto& item) { return item->greeted(); }));
  if (sessions_.size() >= context_->options.inbound_connections_max ||
      sessions_.size() - greeted >= context_->options.control_connections_max) {
    ++context_->counters.rejected_connections;
    return;
  }
  ++context_->counters.accepted_connections;
  sessions_.push_back(std::make_unique<Session>(this, std::move(stream)));
}

void Inbound::CloseOlder(raft::MemberId member, const Session* but) {
  for (const auto& session : sessions_) {
    if (session.get() == but || !session->greeted() || session->member() != member) continue;
    session->Leave({EndCause::kOther, "replaced by a newer connection"});
    return Remove(session.get());
  }
}

void Inbound::Recheck() {
  std::vector<Session*> greeted;
  for (const auto& session : sessions_) {
    if (session->greeted()) greeted.push_back(session.get());
  }
  for (Session* session : greeted) session->Recheck();
}

void Inbound::Remove(Session* session) {
  auto place = std::ranges::find_if(sessions_, [&](const auto& s) { return s.get() == session; });
  if (place == sessions_.end()) return;
  context_->Retire(std::move(*place));
  sessions_.erase(place);
}

}  // namespace arima::transport
