// Who this data directory is: cluster, member, name, incarnation, and what state its data is in.
//
// Kept in two checksummed copies (node/checked_file.h) beside the log and the database, both of
// which repeat cluster id and incarnation and must agree. docs/design/raft.md 8.1 to 8.3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/random.h"
#include "raft/types.h"
#include "transport/control.h"

namespace arima::node {

// Standalone is the only voter of the cluster that it founded; Joining was absorbed and has not yet
// seen itself in a committed configuration; Removed was left out by one and is never writable
// again; Damaged lost log that it had acknowledged, and perhaps a vote with it: it takes part in
// nothing until a leader replaces it under a new member id. On disk and on the wire.
using IdentityState = transport::NodeState;

// Newest format of log, database and wire together that this release writes.
inline constexpr uint32_t kFormatVersion = 1;

inline constexpr size_t kDamageTextBytesMax = 1000;

std::string_view IdentityStateName(IdentityState state);

struct Identity {
  Uuid cluster_id;
  raft::MemberId member_id;
  std::string name;  // --node-id of the first start
  Uuid incarnation;  // random per data directory
  IdentityState state = IdentityState::kStandalone;
  // +1 at each rewrite; of two copies the higher one counts.
  uint64_t generation = 0;
  // False between writing this identity and having created the log and database that belong to it:
  // whatever lies there is then of an older life, or half made, and is discarded at start.
  bool data_ready = false;
  // The configuration that the leader named when it absorbed this node, encoded: whom to talk to
  // until the node's own log says more. Empty on a founder.
  std::string seed_conf;
  // Damaged only: what is lost and where, in one line; at most kDamageTextBytesMax.
  std::string damage;

  friend bool operator==(const Identity&, const Identity&) = default;
};

// Version 1, which every release reads; of a damaged node version 2, which releases that would let
// such a node vote refuse as unknown.
std::string EncodeIdentity(const Identity& identity);
Result<Identity> DecodeIdentity(std::string_view bytes);

}  // namespace arima::node
