// What a node can do with keys, free of protocol. Front ends (http/, later etcd/) and the CLI talk
// to this interface; node/ implements it; front-end tests use a fake.
//
// Thread rule: every call may come from any thread. `done` is called exactly once, from any thread,
// possibly before the call returns; it must not block and must not read the store: it hands over to
// a thread of its own. Requests own their bytes.
//
// A linearizable read is two calls: ReadBarrier, and when its `done` came back, GetLocal on a
// thread of the front end. A stale read is GetLocal alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/shared_bytes.h"

namespace arima::service {

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

enum class Consistency : uint8_t {
  kLinearizable,  // reflects every write acknowledged before the request arrived
  kStale,         // whatever this node has applied
};

struct PutRequest {
  std::string key;
  SharedBytes value;
  uint64_t timeout_ms = 5000;
};
struct DeleteRequest {
  std::string key;
  uint64_t timeout_ms = 5000;
};
struct BarrierRequest {
  uint64_t timeout_ms = 5000;
};
struct GetRequest {
  std::string_view key;
  Consistency consistency = Consistency::kLinearizable;  // kStale fills in staleness_ms
};

// Revisions start at 1 (empty store) and grow by one per command that changes something.
struct PutResponse {
  uint64_t revision = 0;  // of this write = the key's mod revision
  uint64_t create_revision = 0;
  uint64_t version = 0;  // writes to the key since it was created
};
struct DeleteResponse {
  uint64_t revision = 0;  // of the store after the command
  bool deleted = false;   // false: there was no such key, nothing changed
};
struct GetResponse {
  bool found = false;
  SharedBytes value;
  uint64_t create_revision = 0;
  uint64_t mod_revision = 0;
  uint64_t version = 0;
  uint64_t lease = 0;
  uint64_t store_revision = 0;           // of the state that was read
  std::optional<uint64_t> staleness_ms;  // stale reads: proven bound on the age; empty = unknown
};

// Errors: kUnavailable (no leader in time: not applied), kOverloaded (not applied),
// kOutcomeUnknown, kTooLarge, kInvalidArgument, kRemoved, kDiskFull, kCorruption. Not found is an
// answer, not an error.
class KvService {
 public:
  virtual ~KvService() = default;
  virtual void Put(PutRequest request, Done<PutResponse> done) = 0;
  virtual void Delete(DeleteRequest request, Done<DeleteResponse> done) = 0;
  // Ok when this node has applied every write that was acknowledged, by any node, before this call.
  virtual void ReadBarrier(BarrierRequest request, Done<void> done) = 0;
  // Reads this node's state on the calling thread; may wait for the disk, never for other nodes.
  virtual Result<GetResponse> GetLocal(const GetRequest& request) = 0;
};

}  // namespace arima::service
