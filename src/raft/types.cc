#include "raft/types.h"

#include "base/checksum.h"

namespace arima::raft {

uint32_t EntryChecksum(EntryKind kind, std::string_view payload) {
  // The kind is the seed, so that equal bytes of another kind have another checksum.
  return Checksum32(payload, static_cast<uint64_t>(kind));
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre_candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "unknown";
}

std::string_view DiskLevelName(DiskLevel level) {
  switch (level) {
    case DiskLevel::kOk:
      return "ok";
    case DiskLevel::kLow:
      return "low";
    case DiskLevel::kStuck:
      return "stuck";
    case DiskLevel::kFull:
      return "full";
  }
  return "unknown";
}

}  // namespace arima::raft
