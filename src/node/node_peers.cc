// NodeCore: what other nodes say and ask. docs/design/raft.md section 8.
#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/mutants.h"
#include "codec/conf_codec.h"
#include "kv/state_machine.h"
#include "node/answer_codec.h"
#include "node/conf_lookup.h"
#include "node/node_core.h"

namespace arima::node {

using transport::RefuseReason;

void NodeCore::Send(std::vector<raft::Message> messages) { transport_->Send(std::move(messages)); }

void NodeCore::OnMessage(raft::Message&& message) {
  if (message.type != raft::MessageType::kSnap) {
    return replica_->loop().Step(raft::PeerMessage{std::move(message)}, clock_.NowNs());
  }
  raft::SnapshotMeta meta = message.snapshot;
  raft::MemberId from = message.from;
  raft::Term term = message.term;
  replica_->loop().Step(raft::PeerMessage{std::move(message)}, clock_.NowNs());
  OnSnapshotOffered(meta, from, term);
}

void NodeCore::OnUnreachable(raft::MemberId peer) {
  replica_->loop().Step(raft::Unreachable{peer}, clock_.NowNs());
}

void NodeCore::OnPeerClosed(raft::MemberId peer) {
  if (replica_->loop().soft().leader == peer) {
    replica_->loop().Step(raft::LeaderLost{peer}, clock_.NowNs());
  }
}

void NodeCore::OnStream(const transport::Hello& hello, std::unique_ptr<ByteStream> stream) {
  snapshot_source_->Serve(hello.from, std::move(stream));
}

const raft::ConfState& NodeCore::KnownConf() const {
  return seed_conf_.index > conf_->index ? seed_conf_ : *conf_;
}

void NodeCore::UpdatePeers() {
  transport::PeerMap peers;
  for (const auto& [id, member] : KnownConf().members) {
    if (id == identity_.member_id || member.raft_address.empty()) continue;
    bool joining = !IsVoter(KnownConf(), id) && member.attributes.contains(kAutoPromote);
    peers[id] = {member.raft_address, member.incarnation, member.name, joining};
  }
  transport_->SetPeers(peers);
}

transport::Hello NodeCore::MakeHello(raft::MemberId to) {
  transport::Hello hello;
  hello.cluster_id = identity_.cluster_id;
  hello.from = identity_.member_id;
  hello.from_incarnation = identity_.incarnation;
  hello.to = to;
  hello.name = identity_.name;
  if (options_.raft_address_given) hello.address = options_.raft_address;
  return hello;
}

transport::HelloDecision NodeCore::Check(const transport::Hello& hello) {
  const raft::ConfState& conf = KnownConf();
  auto refuse = [&](RefuseReason reason, std::string text) {
    transport::HelloDecision decision;
    decision.refuse = {reason, conf.next_member_id, conf.index, std::move(text)};
    return decision;
  };
  if (hello.cluster_id != identity_.cluster_id && !ARIMA_MUTANT(41)) {
    return refuse(RefuseReason::kWrongCluster,
                  "this node belongs to cluster " + ToHex(identity_.cluster_id));
  }
  if (hello.to != identity_.member_id) {
    return refuse(RefuseReason::kWrongMember,
                  "this node is member " + std::to_string(identity_.member_id.value));
  }
  auto member = conf.members.find(hello.from);
  if (member == conf.members.end()) {
    if (hello.from >= conf.next_member_id) {
      return {transport::HelloVerdict::kAcceptProvisionally, {}};
    }
    return refuse(RefuseReason::kNotMember,
                  "member " + std::to_string(hello.from.value) + " is not in the configuration");
  }
  const Uuid& known = member->second.incarnation;
  if (!known.IsZero() && known != hello.from_incarnation) {
    return refuse(RefuseReason::kWrongIncarnation,
                  "member " + std::to_string(hello.from.value) +
                      " has another data directory; a node that lost its data must be removed and "
                      "joined again");
  }
  return {transport::HelloVerdict::kAccept, {}};
}

// Proof of removal: my id was handed out before that configuration, which leaves me out and is not
// older than mine (docs/design/raft.md 8.5).
void NodeCore::OnRefused(raft::MemberId peer, const transport::Refuse& refuse) {
  bool removed = refuse.reason == RefuseReason::kNotMember &&
                 refuse.next_member_id > identity_.member_id && refuse.conf_index >= conf_->index;
  // A damaged node waits to be replaced anyway.
  bool out =
      identity_.state == IdentityState::kRemoved || identity_.state == IdentityState::kDamaged;
  if (!removed || out) return;
  logger_.Warn("removed",
               "another member says that this node was removed; its data stays on disk. To use it "
               "again, start it with an empty volume directory and join",
               {{"told_by", peer.value}, {"reason", refuse.text}});
  SetState(IdentityState::kRemoved);
  restart_ = Error{Code::kRemoved, "node was removed from the cluster"};
}

void NodeCore::OnAddress(const transport::Hello& hello) {
  const raft::MemberInfo* member = Find(*conf_, hello.from);
  if (hello.address.empty() || member == nullptr) return;
  if (member->raft_address == hello.address) {
    announced_.erase(hello.from);
    return;
  }
  announced_[hello.from] = {hello.address, false};
  AdoptAddresses();
}

// One at a time. One that is refused, because another change is pending, is proposed again.
void NodeCore::AdoptAddresses() {
  const bool leads = replica_->loop().soft().role == raft::Role::kLeader;
  if (!leads) adopting_ = false;
  if (!leads || adopting_ || announced_.empty()) return;
  auto& [id, heard] = *announced_.begin();
  const raft::MemberInfo* member = Find(*conf_, id);
  if (member == nullptr) return;  // OnConfChanged forgets it
  raft::ConfChange change;
  change.changes.push_back({raft::ConfOp::kUpdate, *member});
  change.changes.back().info.raft_address = heard.address;
  if (!std::exchange(heard.said, true)) {
    logger_.Info("member_address_changed", "a member announced another address",
                 {{"member", member->name}, {"address", heard.address}});
  }
  adopting_ = true;
  ProposeConf(std::move(change), false,
              [this](const raft::ProposalRejected&) { adopting_ = false; });
}

void NodeCore::Call(const std::string& address, transport::ControlKind kind, std::string body,
                    uint64_t timeout_ms, CallDone done) {
  transport::ControlRequest request;
  request.kind = kind;
  request.cluster_id = identity_.cluster_id;
  request.body = std::move(body);
  transport_->Call(address, std::move(request), timeout_ms, std::move(done));
}

void NodeCore::OnControl(transport::ControlRequest&& request, transport::Responder responder) {
  switch (request.kind) {
    case transport::ControlKind::kProbe:
      return responder.Answer(AnswerProbe());
    case transport::ControlKind::kAbsorb:
      return responder.Answer(Absorb(request.body));
    case transport::ControlKind::kJoin:
      return ForwardedJoin(request, std::move(responder));
    case transport::ControlKind::kRemove:
      return ForwardedRemove(request, std::move(responder));
    case transport::ControlKind::kTransfer:
      return ForwardedTransfer(request, std::move(responder));
    case transport::ControlKind::kAdmin:
      break;
  }
  responder.Answer(Fail(Code::kNotSupported, "this release does not know the request"));
}

// Founded itself, never configured anybody else, holds nothing, nobody is writing, and it is not
// joining others itself (docs/design/raft.md 8.3, 8.4).
bool NodeCore::Pristine() {
  raft::CoreStatus status = replica_->loop().Status();
  return identity_.state == IdentityState::kStandalone && !status.needs_snapshot &&
         status.conf->next_member_id == raft::MemberId(2) && !membership_.HasOutboundJoin() &&
         replica_->loop().pending_writes() == 0 &&
         replica_->machine().applied_index() >= replica_->loop().last_write().value &&
         replica_->machine().applied().user_op_count == 0;
}

transport::ControlAnswer NodeCore::AnswerProbe() {
  raft::CoreStatus status = replica_->loop().Status();
  transport::ProbeAnswer answer;
  answer.protocol_min = transport::kProtocolMin;
  answer.protocol_max = transport::kProtocolMax;
  answer.software = "arima " ARIMA_VERSION;
  answer.format = kFormatVersion;
  answer.name = identity_.name;
  answer.cluster_id = identity_.cluster_id;
  answer.incarnation = identity_.incarnation;
  answer.member = identity_.member_id;
  answer.state = identity_.state;
  answer.pristine = Pristine();
  answer.user_operations = replica_->machine().applied().user_op_count;
  answer.members = static_cast<uint32_t>(status.conf->members.size());
  answer.next_member_id = status.conf->next_member_id;
  answer.leader = status.soft.leader;
  answer.raft_address = options_.raft_address;
  answer.http_address = options_.http_address;
  return transport::EncodeProbeAnswer(answer);
}

// A learner of that cluster, under this data directory's incarnation: nothing else may be made of
// this node, least of all the sole voter of an empty log.
arima::Status NodeCore::CheckAbsorb(const transport::AbsorbRequest& request) const {
  if (arima::Status conf = raft::CheckConfState(request.conf); !conf) {
    return Fail(Code::kInvalidArgument, conf.error().message);
  }
  auto self = request.conf.members.find(request.member);
  if (self == request.conf.members.end() || self->second.incarnation != identity_.incarnation ||
      !std::ranges::binary_search(request.conf.learners, request.member) ||
      request.cluster_id.IsZero()) {
    return Fail(Code::kInvalidArgument,
                "node " + identity_.name + " is no learner of the cluster that asks for it");
  }
  // It would give up its data and make new files; once begun, there is no way back.
  if (disk_watch_->low()) {
    return Fail(Code::kDiskFull,
                "node " + identity_.name + " has no space to join: " + disk_watch_->Describe());
  }
  return {};
}

transport::ControlAnswer NodeCore::Absorb(std::string_view body) {
  Result<transport::AbsorbRequest> request = transport::DecodeAbsorbRequest(body);
  if (!request) return std::unexpected(request.error());
  if (request->cluster_id == identity_.cluster_id && request->member == identity_.member_id) {
    return std::string();  // done before; the answer was lost
  }
  if (request->expected_incarnation != identity_.incarnation ||
      request->expected_cluster_id != identity_.cluster_id) {
    return Fail(Code::kConflict, "node " + identity_.name + " is not the one that was probed");
  }
  if (arima::Status valid = CheckAbsorb(*request); !valid) return std::unexpected(valid.error());
  // What a removed or damaged member holds is a replica of the cluster that asks for it back.
  bool same_cluster = request->cluster_id == identity_.cluster_id;
  bool out =
      identity_.state == IdentityState::kRemoved || identity_.state == IdentityState::kDamaged;
  bool rejoins = out && same_cluster && request->member > identity_.member_id;
  if (!rejoins && !Pristine() && !ARIMA_MUTANT(42)) {
    return Fail(Code::kConflict, "node " + identity_.name + " holds data or is joining others");
  }
  // From here to the new identity nothing can interfere: this is one event of the core thread, and
  // a write that waits in the inbox is refused as not applied.
  ReplaceData(*request);
  return std::string();
}

namespace {

// The one who asks waits a little longer than this node may take, so that the answer arrives.
uint64_t OwnTimeoutMs(const transport::ControlRequest& request) {
  return request.timeout_ms > kForwardMarginMs ? request.timeout_ms - kForwardMarginMs : 1;
}

std::unexpected<Error> NotLeading() {
  return Fail(Code::kUnavailable,
              "the leader just changed; nothing was changed, repeat the request");
}

}  // namespace

void NodeCore::ForwardedJoin(const transport::ControlRequest& request,
                             transport::Responder responder) {
  auto forward = transport::DecodeJoinForward(request.body);
  if (!forward) return responder.Answer(std::unexpected(forward.error()));
  if (replica_->loop().soft().role != raft::Role::kLeader) {
    return responder.Answer(EncodeJoinAnswer(NotLeading()));
  }
  service::JoinRequest join{forward->name, forward->raft_address, OwnTimeoutMs(request)};
  auto answer = [responder = std::move(responder)](Result<service::JoinResponse> result) mutable {
    responder.Answer(EncodeJoinAnswer(result));
  };
  membership_.Join(std::move(join), std::move(answer), clock_.NowNs());
}

void NodeCore::ForwardedRemove(const transport::ControlRequest& request,
                               transport::Responder responder) {
  auto forward = transport::DecodeRemoveForward(request.body);
  if (!forward) return responder.Answer(std::unexpected(forward.error()));
  if (replica_->loop().soft().role != raft::Role::kLeader) {
    return responder.Answer(EncodeRemoveAnswer(NotLeading()));
  }
  service::RemoveRequest remove{forward->name, forward->force, OwnTimeoutMs(request)};
  auto answer = [responder = std::move(responder)](Result<service::RemoveResponse> result) mutable {
    responder.Answer(EncodeRemoveAnswer(result));
  };
  membership_.Remove(std::move(remove), std::move(answer), clock_.NowNs());
}

// Not leading is a failure of the call here: "unavailable" as an answer says that the leader stays
// the one it was.
void NodeCore::ForwardedTransfer(const transport::ControlRequest& request,
                                 transport::Responder responder) {
  auto forward = transport::DecodeTransferForward(request.body);
  if (!forward) return responder.Answer(std::unexpected(forward.error()));
  if (replica_->loop().soft().role != raft::Role::kLeader) return responder.Answer(NotLeading());
  service::TransferRequest transfer{forward->name, OwnTimeoutMs(request)};
  auto answer = [responder =
                     std::move(responder)](Result<service::TransferResponse> result) mutable {
    responder.Answer(EncodeTransferAnswer(result));
  };
  membership_.Transfer(std::move(transfer), std::move(answer), clock_.NowNs());
}

}  // namespace arima::node
