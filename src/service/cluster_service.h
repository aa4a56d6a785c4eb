// Membership and status of the cluster, free of protocol. Thread rule as in kv_service.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "service/kv_service.h"

namespace arima::service {

// Ordered name/value pairs, as GET /raft/stats prints them: all values are strings
// (docs/design/http-api.md 1.2).
using Stats = std::vector<std::pair<std::string, std::string>>;

struct JoinRequest {
  std::string node_id;
  std::string raft_address;  // host:port
  uint64_t timeout_ms = 30000;
};
struct JoinResponse {
  bool caught_up = false;  // false: the deadline passed first, the node goes on catching up (202)
  Stats stats;
};
struct RemoveRequest {
  std::string node_id;
  bool force = false;
  uint64_t timeout_ms = 30000;
};
struct RemoveResponse {
  Stats stats;
};
struct TransferRequest {
  std::string node_id;         // empty: any healthy voter but the leader
  uint64_t timeout_ms = 5000;  // no further attempt begins after it
};
struct TransferResponse {
  std::string leader;  // who leads now
  bool moved = true;   // false: that node led already
  Stats stats;
};

// What the leader knows about how far a member is.
struct MemberProgress {
  uint64_t match = 0;        // entries up to here are on its disk
  uint64_t next = 0;         // the next one to be sent
  std::string state;         // "probe", "replicate", "snapshot"
  std::string last_contact;  // a duration as in Stats, or "never"
  bool reachable = false;    // heard of within the last second
  bool damaged = false;      // it lost entries that it had acknowledged
};
struct MemberView {
  uint64_t id = 0;
  std::string name;
  std::string raft_address;
  std::string http_address;  // empty: not known
  std::string role;          // "voter", "learner", "leaving" (its vote ends with this change)
  bool is_leader = false;
  uint64_t replaces = 0;                   // the member whose vote a learner takes over; 0: none
  std::optional<MemberProgress> progress;  // on the leader, of the others
};
using Members = std::vector<MemberView>;

struct Check {
  std::string name;  // "leader_known", "log_writable", ...
  bool ok = false;
  std::string detail;  // what is wrong and what to do next; empty when ok
};

// Where this node believes things are; cheap, for headers of every answer. Any thread.
struct NodeView {
  std::string node_name;
  std::string leader_name;          // empty: none known
  std::string leader_http_address;  // empty: unknown
  uint64_t store_revision = 0;
  bool removed = false;  // /store answers 410
  std::string damage;    // not empty: acknowledged log is lost, /store answers 503 with this
};

class ClusterService {
 public:
  virtual ~ClusterService() = default;
  // Join and remove work on any node: a follower forwards them to the leader.
  // Errors: kPeerUnreachable (502), kConflict (409), kInvalidArgument, kUnavailable,
  // kOutcomeUnknown.
  virtual void Join(JoinRequest request, Done<JoinResponse> done) = 0;
  // Errors: kNotFound (404), kConflict, kUnavailable, kOutcomeUnknown.
  virtual void Remove(RemoveRequest request, Done<RemoveResponse> done) = 0;
  // `done` when the target leads. On any node, as above. Errors: kNotFound; kConflict (it has no
  // vote, is not heard of, or lacks too much); kUnavailable: the leader stays the one it was;
  // kOutcomeUnknown.
  virtual void Transfer(TransferRequest request, Done<TransferResponse> done) = 0;
  virtual void GetStats(Done<Stats> done) = 0;
  // As this node knows them, by id; needs no leader.
  virtual void GetMembers(Done<Members> done) = 0;
  virtual NodeView View() = 0;
  // Named readiness checks; ready iff all are ok. Any thread, no waiting.
  virtual std::vector<Check> Readiness() = 0;
  // One figure per element: Prometheus text is made by the front end.
  struct Metric {
    std::string name;  // arima_<subsystem>_<what>_<unit>[_total]
    std::string help;
    bool counter = false;  // else gauge
    double value = 0;
    std::vector<std::pair<std::string, std::string>> labels;
  };
  virtual std::vector<Metric> Metrics() = 0;
};

}  // namespace arima::service
