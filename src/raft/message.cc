#include "raft/message.h"

namespace arima::raft {

std::string_view MessageTypeName(MessageType type) {
  switch (type) {
    case MessageType::kPreVote:
      return "PreVote";
    case MessageType::kPreVoteResp:
      return "PreVoteResp";
    case MessageType::kVote:
      return "Vote";
    case MessageType::kVoteResp:
      return "VoteResp";
    case MessageType::kApp:
      return "App";
    case MessageType::kAppResp:
      return "AppResp";
    case MessageType::kHeartbeat:
      return "Heartbeat";
    case MessageType::kHeartbeatResp:
      return "HeartbeatResp";
    case MessageType::kSnap:
      return "Snap";
    case MessageType::kSnapProgress:
      return "SnapProgress";
    case MessageType::kTimeoutNow:
      return "TimeoutNow";
    case MessageType::kTransferReq:
      return "TransferReq";
    case MessageType::kPropose:
      return "Propose";
    case MessageType::kProposeResp:
      return "ProposeResp";
    case MessageType::kReadIndex:
      return "ReadIndex";
    case MessageType::kReadIndexResp:
      return "ReadIndexResp";
  }
  return "Unknown";
}

std::string_view RejectReasonName(RejectReason reason) {
  switch (reason) {
    case RejectReason::kNone:
      return "none";
    case RejectReason::kNoLeader:
      return "no leader";
    case RejectReason::kTransferring:
      return "leadership is moving";
    case RejectReason::kUncommittedFull:
      return "too many uncommitted bytes";
    case RejectReason::kNotMember:
      return "leader was removed";
    case RejectReason::kConfPending:
      return "membership change pending";
    case RejectReason::kConfInvalid:
      return "membership change not allowed";
    case RejectReason::kNotReady:
      return "not ready";
    case RejectReason::kDisabled:
      return "node disabled";
    case RejectReason::kTermChanged:
      return "leadership changed";
    case RejectReason::kDiskLow:
      return "disk low";
    case RejectReason::kApplyLag:
      return "state machine behind";
    case RejectReason::kQueueFull:
      return "queue full";
  }
  return "unknown";
}

}  // namespace arima::raft
