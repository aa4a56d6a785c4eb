// The nouns of consensus: terms, indexes, members, entries, hard state, configurations.
//
// Plain values without behaviour; shared by the core, the log on disk, the wire and the node.
// Nothing here allocates behind the caller's back except strings and vectors of configurations.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/shared_bytes.h"
#include "base/strong_int.h"

namespace arima::raft {

// Election term (Raft paper section 5.1). 0 before the first election.
using Term = StrongInt<struct TermTag>;
// Position in the log. The first entry of a cluster is index 2: a fresh node starts from a
// synthetic snapshot point at index 1, term 1 that holds its own one-member configuration.
using Index = StrongInt<struct IndexTag>;
// 64-bit member id, handed out through the log, never reused. 0 means none.
using MemberId = StrongInt<struct MemberIdTag>;
// Raft group; 0 is the only one today, every message and record carries it.
using GroupId = StrongInt<struct GroupIdTag>;

inline constexpr Index kFirstSnapshotIndex{1};
inline constexpr Term kFirstSnapshotTerm{1};

struct EntryId {
  Term term;
  Index index;
  friend auto operator<=>(const EntryId&, const EntryId&) = default;
};

// Values are on disk and on the wire: never renumber.
enum class EntryKind : uint8_t {
  kNoop = 1,       // empty; appended by a new leader
  kCommand = 2,    // opaque to the core; applied by the state machine
  kConf = 3,       // a ConfChange (raft/conf_change.h)
  kClockTick = 4,  // cluster time in milliseconds, u64 (docs/design/raft.md 1.14b)
};

struct Entry {
  Term term;
  Index index;
  EntryKind kind = EntryKind::kNoop;
  // EntryChecksum(kind, payload), computed once by the node that accepted the proposal, checked
  // before each log write and each apply.
  uint32_t checksum = 0;
  SharedBytes payload;

  EntryId id() const { return {term, index}; }
  friend bool operator==(const Entry&, const Entry&) = default;
};

uint32_t EntryChecksum(EntryKind kind, std::string_view payload);

// What must survive a crash besides the entries (Raft paper figure 2, plus commit).
struct HardState {
  Term term;
  MemberId vote;
  Index commit;
  friend bool operator==(const HardState&, const HardState&) = default;
};

// A member's attributes. The id is the identity; name and addresses may change.
struct MemberInfo {
  MemberId id;
  std::string name;                               // the operator's --node-id
  std::string raft_address;                       // host:port that peers connect to
  std::string http_address;                       // host:port that clients are told; may be empty
  Uuid incarnation;                               // of the data directory that owns this id
  std::map<std::string, std::string> attributes;  // at most 1 KiB altogether
  friend bool operator==(const MemberInfo&, const MemberInfo&) = default;
};

// The active configuration: a deterministic function of the committed Conf entries. All id lists
// are sorted. Invariants (CheckConfState):
//   learners are disjoint from voters and voters_outgoing;
//   learners_next is a subset of voters_outgoing;
//   not joint (voters_outgoing empty) => learners_next empty and auto_leave false;
//   members holds exactly the ids of the four lists;  every id < next_member_id.
struct ConfState {
  std::vector<MemberId> voters;           // incoming majority
  std::vector<MemberId> voters_outgoing;  // the other majority while joint
  std::vector<MemberId> learners;
  std::vector<MemberId> learners_next;  // outgoing voters that become learners on leaving
  bool auto_leave = false;
  MemberId next_member_id{1};
  Index index;  // of the Conf entry (or snapshot) that made it active
  std::map<MemberId, MemberInfo> members;

  bool joint() const { return !voters_outgoing.empty(); }
  friend bool operator==(const ConfState&, const ConfState&) = default;
};

struct SnapshotMeta {
  Index index;
  Term term;
  ConfState conf;
  uint64_t snapshot_id = 0;
  uint64_t total_bytes = 0;
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// Why a node, whatever its role, may not take part. kNone is the normal case.
enum class Disabled : uint8_t {
  kNone,
  kRemoved,  // a committed configuration without this node was seen
  kDamaged,  // acknowledged log was lost, or a message proved a safety violation: no votes
  kDead,     // the log write failed; the driver is about to end the process
};

std::string_view RoleName(Role role);  // "follower", ...

// What a node's disk still takes (docs/design/raft.md 4.7); each level includes those before it. On
// the wire: never renumber.
enum class DiskLevel : uint8_t {
  kOk = 0,
  kLow = 1,    // the reserve is touched: nothing that makes data grow
  kStuck = 2,  // the state machine waits for space: no proposals at all
  kFull = 3,   // the log has no room ahead: no entries, from a leader neither; votes still fit
};

std::string_view DiskLevelName(DiskLevel level);  // "ok", "low", "stuck", "full"

}  // namespace arima::raft
