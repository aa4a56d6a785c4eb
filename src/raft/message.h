// Peer messages: one flat struct; which fields a type uses is written beside its name.
//
// All messages carry group, from, to and term; term is 0 only in ReadIndex and in the answers to it
// and to Propose, and in Propose of releases that did not tell it. Gates ("now" or "after durable")
// are in docs/design/raft.md section 1.4.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "raft/types.h"

namespace arima::raft {

// On the wire: never renumber.
enum class MessageType : uint8_t {
  kPreVote = 1,         // last_index, last_term, commit, commit_term; term = the campaign's term
  kPreVoteResp = 2,     // reject, commit, commit_term
  kVote = 3,            // as kPreVote, and force (leadership transfer)
  kVoteResp = 4,        // reject, commit, commit_term
  kApp = 5,             // index, log_term = previous entry; commit, entries, round, clocks
  kAppResp = 6,         // index = durable match, or with reject: rejected previous index and
                        // hint_index, hint_term; round, echo_ns, peer_ns, apply_lag, window
  kHeartbeat = 7,       // commit, commit_term, match, round, clocks
  kHeartbeatResp = 8,   // round, echo_ns, peer_ns, last_index, disk, sync_us
  kSnap = 9,            // snapshot (control only; bytes go by a side stream)
  kSnapProgress = 10,   // snapshot.snapshot_id, received_bytes, reject = failed; id 0: the sender
                        // lost its state machine and asks for a snapshot
  kTimeoutNow = 11,     // last_index, last_term, transfer_id
  kTransferReq = 12,    // target: a follower forwards an operator's wish to the leader
  kPropose = 13,        // proposals: forwarded to the leader
  kProposeResp = 14,    // results of forwarded proposals
  kReadIndex = 15,      // read_id: forwarded to the leader
  kReadIndexResp = 16,  // read_id, index, or reject with reason
};

std::string_view MessageTypeName(MessageType type);  // "PreVote", ...

// Why the core did not take a proposal or a read. On the wire: never renumber.
enum class RejectReason : uint8_t {
  kNone = 0,
  kNoLeader = 1,         // not leader and none known; not applied
  kTransferring = 2,     // leadership is moving
  kUncommittedFull = 3,  // over max_uncommitted_bytes
  kNotMember = 4,        // leader is not in its own configuration any more
  kConfPending = 5,      // an earlier membership change or the term's first entry is not committed
  kConfInvalid = 6,      // the change is not allowed; details in text
  kNotReady = 7,         // promotion before catch-up, or quorum would not be live
  kDisabled = 8,         // removed, damaged or dead
  kTermChanged = 9,      // read: leadership changed since the request; ask again
  kDiskLow = 10,         // no disk for it, at the leader or at a majority
  kApplyLag = 11,        // the state machine is too far behind
  kQueueFull = 12,       // too many waiting reads
};

std::string_view RejectReasonName(RejectReason reason);

// A proposal on its way to the leader. `id` is unique within the origin's process life.
struct ForwardedProposal {
  uint64_t id = 0;
  EntryKind kind = EntryKind::kCommand;
  uint32_t checksum = 0;
  SharedBytes payload;
  // May use the reserve of the disk. Does not travel: whoever receives it judges by the payload.
  bool from_reserve = false;
  friend bool operator==(const ForwardedProposal&, const ForwardedProposal&) = default;
};

struct ForwardedResult {
  uint64_t id = 0;
  RejectReason reason = RejectReason::kNone;
  Index index;  // with kNone: where it was appended, in `term`
  Term term;
  friend bool operator==(const ForwardedResult&, const ForwardedResult&) = default;
};

// A read is named by who asked, in which process life, and a counter: never reused for a retry.
struct ReadId {
  MemberId origin;
  uint64_t life = 0;
  uint64_t counter = 0;
  friend auto operator<=>(const ReadId&, const ReadId&) = default;
};

struct Message {
  MessageType type = MessageType::kHeartbeat;
  GroupId group;
  MemberId from;
  MemberId to;
  Term term;

  bool reject = false;
  bool force = false;
  RejectReason reason = RejectReason::kNone;

  Index index;
  Term log_term;
  Index last_index;
  Term last_term;
  Index commit;
  Term commit_term;
  Index hint_index;
  Term hint_term;
  Index match;

  uint64_t round = 0;
  // Clock readings of one node, in its own nanoseconds; see docs/design/http-api.md 2.5.
  uint64_t send_ns = 0;           // leader: when this message was sent
  uint64_t confirmed_ns = 0;      // leader: send time of the newest round a quorum echoed
  Index confirmed_commit;         // leader: commit index at that time
  uint64_t echo_peer_ns = 0;      // leader -> follower: the follower's last peer_ns ...
  uint64_t echo_received_ns = 0;  // ... and when the leader received it
  uint64_t echo_ns = 0;           // follower -> leader: send_ns it answers
  uint64_t peer_ns = 0;           // follower: own clock when answering

  uint64_t apply_lag = 0;  // entries committed but not applied at the sender
  uint32_t window = 0;     // bytes the sender is willing to have in flight; 0 = no statement
  DiskLevel disk = DiskLevel::kOk;  // of the sender
  uint32_t sync_us = 0;             // how long syncs of the sender's log take now; 0 = not known
  uint64_t transfer_id = 0;
  MemberId target;
  uint64_t received_bytes = 0;

  ReadId read_id;
  std::vector<Entry> entries;
  std::vector<ForwardedProposal> proposals;
  std::vector<ForwardedResult> results;
  SnapshotMeta snapshot;

  friend bool operator==(const Message&, const Message&) = default;
};

}  // namespace arima::raft
