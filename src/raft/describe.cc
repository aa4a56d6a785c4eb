#include "raft/describe.h"

#include <algorithm>

#include "raft/conf_payload.h"

namespace arima::raft {
namespace {

constexpr size_t kPayloadShownMax = 32;

std::string Number(uint64_t n) { return std::to_string(n); }

template <class Tag>
std::string Number(StrongInt<Tag> n) {
  return std::to_string(n.value);
}

std::string Field(std::string_view name, const std::string& value) {
  return " " + std::string(name) + "=" + value;
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string Payload(std::string_view bytes) {
  if (bytes.size() <= kPayloadShownMax && IsPrintable(bytes)) {
    return "\"" + std::string(bytes) + "\"";
  }
  return "<" + Number(bytes.size()) + " bytes>";
}

char OpLetter(ConfOp op) {
  switch (op) {
    case ConfOp::kAddVoter:
      return 'v';
    case ConfOp::kAddLearner:
      return 'l';
    case ConfOp::kRemove:
      return 'r';
    case ConfOp::kUpdate:
      return 'u';
  }
  return '?';
}

std::string ReadName(const ReadId& id) { return Number(id.origin) + "." + Number(id.counter); }

std::string VoteFields(const Message& m) {
  std::string text = " last=" + Describe(EntryId{m.last_term, m.last_index}) +
                     Field("commit", Describe(EntryId{m.commit_term, m.commit}));
  return m.force ? text + " force" : text;
}

std::string VoteRespFields(const Message& m) {
  std::string text = m.reject ? " rejected" : " granted";
  if (m.commit) text += Field("commit", Describe(EntryId{m.commit_term, m.commit}));
  return text;
}

std::string AppFields(const Message& m) {
  return " prev=" + Describe(EntryId{m.log_term, m.index}) + Field("commit", Number(m.commit)) +
         Field("round", Number(m.round)) + (m.entries.empty() ? "" : " " + Describe(m.entries));
}

std::string AppRespFields(const Message& m) {
  if (!m.reject) return Field("match", Number(m.index)) + Field("round", Number(m.round));
  return Field("rejected", Number(m.index)) +
         Field("hint", Describe(EntryId{m.hint_term, m.hint_index})) +
         Field("round", Number(m.round));
}

std::string ProposeFields(const Message& m) {
  std::string text;
  for (const ForwardedProposal& p : m.proposals) text += " " + Payload(p.payload.view());
  return text;
}

std::string ProposeRespFields(const Message& m) {
  std::string text;
  for (const ForwardedResult& r : m.results) {
    text += r.reason == RejectReason::kNone ? " at " + Describe(EntryId{r.term, r.index})
                                            : " " + std::string(RejectReasonName(r.reason));
  }
  return text;
}

std::string SnapProgressFields(const Message& m) {
  std::string text = Field("received", Number(m.received_bytes));
  return m.reject ? text + " failed" : text;
}

std::string ReadRespFields(const Message& m) {
  std::string text = " " + ReadName(m.read_id);
  if (m.reject || m.reason != RejectReason::kNone) {
    return text + " " + std::string(RejectReasonName(m.reason));
  }
  return text + Field("index", Number(m.index));
}

// Only what is out of the ordinary.
std::string DiskFields(const Message& m) {
  std::string text;
  if (m.disk != DiskLevel::kOk) text += Field("disk", std::string(DiskLevelName(m.disk)));
  if (m.sync_us != 0) text += Field("sync_us", std::to_string(m.sync_us));
  return text;
}

std::string Fields(const Message& m) {
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote:
      return VoteFields(m);
    case MessageType::kPreVoteResp:
    case MessageType::kVoteResp:
      return VoteRespFields(m);
    case MessageType::kApp:
      return AppFields(m);
    case MessageType::kAppResp:
      return AppRespFields(m);
    case MessageType::kHeartbeat:
      return Field("commit", Describe(EntryId{m.commit_term, m.commit})) +
             Field("match", Number(m.match)) + Field("round", Number(m.round));
    case MessageType::kHeartbeatResp:
      return Field("last", Number(m.last_index)) + Field("round", Number(m.round)) + DiskFields(m);
    case MessageType::kSnap:
      return " " + Describe(m.snapshot);
    case MessageType::kSnapProgress:
      return SnapProgressFields(m);
    case MessageType::kTimeoutNow:
      return " last=" + Describe(EntryId{m.last_term, m.last_index});
    case MessageType::kTransferReq:
      return Field("target", Number(m.target));
    case MessageType::kPropose:
      return ProposeFields(m);
    case MessageType::kProposeResp:
      return ProposeRespFields(m);
    case MessageType::kReadIndex:
      return " " + ReadName(m.read_id);
    case MessageType::kReadIndexResp:
      return ReadRespFields(m);
  }
  return "";
}

}  // namespace

std::string Describe(EntryId id) { return Number(id.term) + "/" + Number(id.index); }

std::string Describe(const Entry& entry) {
  std::string text = Describe(entry.id());
  switch (entry.kind) {
    case EntryKind::kNoop:
      return text + " noop";
    case EntryKind::kCommand:
      return text + " " + Payload(entry.payload.view());
    case EntryKind::kConf: {
      Result<ConfChange> change = DecodeConfPayload(entry.payload.view());
      return text + " conf " + (change ? Describe(*change) : "unreadable");
    }
    case EntryKind::kClockTick:
      return text + " clock";
  }
  return text + " unknown kind";
}

std::string Describe(std::span<const Entry> entries) {
  std::string text = "[";
  for (const Entry& entry : entries) text += (text.size() > 1 ? ", " : "") + Describe(entry);
  return text + "]";
}

std::string Describe(std::span<const MemberId> ids) {
  std::string text = "(";
  for (MemberId id : ids) text += (text.size() > 1 ? " " : "") + Number(id);
  return text + ")";
}

std::string Describe(const HardState& state) {
  return "term=" + Number(state.term) + Field("vote", Number(state.vote)) +
         Field("commit", Number(state.commit));
}

std::string Describe(const SoftState& soft) {
  std::string text = std::string(RoleName(soft.role)) + Field("term", Number(soft.term)) +
                     Field("leader", Number(soft.leader));
  if (soft.transferring) text += " transferring";
  switch (soft.disabled) {
    case Disabled::kNone:
      return text;
    case Disabled::kRemoved:
      return text + " removed";
    case Disabled::kDamaged:
      return text + " damaged";
    case Disabled::kDead:
      return text + " dead";
  }
  return text;
}

std::string Describe(const ConfState& conf) {
  std::string text = "voters=" + Describe(conf.voters);
  if (conf.joint()) text += "&&" + Describe(conf.voters_outgoing);
  if (!conf.learners.empty()) text += Field("learners", Describe(conf.learners));
  if (!conf.learners_next.empty()) text += Field("learners_next", Describe(conf.learners_next));
  if (conf.auto_leave) text += " autoleave";
  return text;
}

std::string Describe(const ConfChange& change) {
  if (change.changes.empty()) return "leave";
  std::string text;
  if (change.transition == ConfTransition::kJointImplicit) text = "implicit";
  if (change.transition == ConfTransition::kJointExplicit) text = "explicit";
  for (const ConfChangeItem& item : change.changes) {
    if (!text.empty()) text += " ";
    text += OpLetter(item.op) + Number(item.info.id);
  }
  return text;
}

std::string Describe(const SnapshotMeta& snapshot) {
  return Describe(EntryId{snapshot.term, snapshot.index}) + " " + Describe(snapshot.conf);
}

std::string Describe(const Message& message) {
  return Number(message.from) + "->" + Number(message.to) + " " +
         std::string(MessageTypeName(message.type)) + Field("term", Number(message.term)) +
         Fields(message);
}

std::string Describe(const Event& event) {
  std::string text(EventKindName(event.kind));
  if (event.member) text += Field("member", Number(event.member));
  if (!event.text.empty()) text += ": " + event.text;
  return text;
}

std::string Describe(const PeerStatus& peer) {
  std::string text = Number(peer.id) + ": " + std::string(ProgressStateName(peer.state)) +
                     Field("match", Number(peer.match)) + Field("next", Number(peer.next));
  if (peer.learner) text += " learner";
  if (peer.paused) text += " paused";
  if (!peer.recent_active) text += " inactive";
  if (peer.pending_snapshot) text += Field("snapshot", Number(peer.pending_snapshot));
  if (peer.inflight_msgs > 0) text += Field("inflight", Number(peer.inflight_msgs));
  return text;
}

std::string_view EventKindName(EventKind kind) {
  switch (kind) {
    case EventKind::kCampaign:
      return "campaign";
    case EventKind::kBecameLeader:
      return "became-leader";
    case EventKind::kSteppedDown:
      return "stepped-down";
    case EventKind::kNewLeader:
      return "new-leader";
    case EventKind::kConfActive:
      return "conf-active";
    case EventKind::kConfRefused:
      return "conf-refused";
    case EventKind::kLogRegression:
      return "log-regression";
    case EventKind::kSafetyViolation:
      return "safety-violation";
    case EventKind::kRemovedSelf:
      return "removed-self";
    case EventKind::kTransferStarted:
      return "transfer-started";
    case EventKind::kTransferAborted:
      return "transfer-aborted";
    case EventKind::kSnapshotNeeded:
      return "snapshot-needed";
  }
  return "unknown";
}

std::string_view ProgressStateName(ProgressState state) {
  switch (state) {
    case ProgressState::kProbe:
      return "probe";
    case ProgressState::kReplicate:
      return "replicate";
    case ProgressState::kSnapshot:
      return "snapshot";
  }
  return "unknown";
}

}  // namespace arima::raft
