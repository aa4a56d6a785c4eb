#include "node/kv_front.h"

#include <algorithm>
#include <utility>

#include "kv/command.h"
#include "kv/engine.h"
#include "service/limits.h"

namespace arima::node {
namespace {

constexpr uint64_t kMs = 1'000'000;
// Clocks of two machines differ in rate by at most this much (docs/design/raft.md 1.11).
constexpr uint64_t kDriftDivisor = 20;
constexpr uint64_t kTimeoutMsMax = 3600'000;

Status CheckKey(std::string_view key) {
  if (key.empty()) return Fail(Code::kInvalidArgument, "the key is empty");
  if (key.size() > service::kKeyBytesMax) {
    return Fail(Code::kTooLarge, "the key has " + std::to_string(key.size()) +
                                     " bytes, the limit is " +
                                     std::to_string(service::kKeyBytesMax));
  }
  return {};
}

}  // namespace

KvFront::KvFront(SharedState* shared, Clock* clock, uint64_t value_bytes_max)
    : shared_(*shared), clock_(*clock), value_bytes_max_(value_bytes_max) {}

std::shared_ptr<Replica> KvFront::Usable(Error* why) {
  if (shared_.removed()) {
    *why = {Code::kRemoved, "node was removed from the cluster; use another node"};
    return nullptr;
  }
  // What it holds may be older than what it once said.
  if (std::string damage = shared_.damage(); !damage.empty()) {
    *why = {Code::kUnavailable, std::move(damage)};
    return nullptr;
  }
  return shared_.replica(why);
}

void KvFront::Propose(std::string command, uint64_t timeout_ms, WriteDone done) {
  Error why;
  std::shared_ptr<Replica> replica = Usable(&why);
  if (replica == nullptr) return done(std::unexpected(std::move(why)));
  ClientWrite write;
  write.checksum = raft::EntryChecksum(raft::EntryKind::kCommand, command);
  write.command = SharedBytes::Take(std::move(command));
  write.deadline_ns = clock_.NowNs() + std::min(timeout_ms, kTimeoutMsMax) * kMs;
  write.done = std::move(done);
  if (Status added = replica->loop().inbox().AddWrite(write); !added) {
    write.done(std::unexpected(std::move(added.error())));
  }
}

void KvFront::Put(service::PutRequest request, service::Done<service::PutResponse> done) {
  if (Status key = CheckKey(request.key); !key) return done(std::unexpected(key.error()));
  if (request.value.size() > value_bytes_max_) {
    return done(Fail(Code::kTooLarge, "the value has " + std::to_string(request.value.size()) +
                                          " bytes, the limit is " +
                                          std::to_string(value_bytes_max_) +
                                          "; --max-value-bytes raises it"));
  }
  std::string command = kv::EncodeCommand(kv::PutCommand{request.key, request.value.view(), 0});
  Propose(std::move(command), request.timeout_ms,
          [done = std::move(done)](Result<kv::ApplyResult> result) mutable {
            if (!result) return done(std::unexpected(std::move(result.error())));
            if (!result->ok) return done(Fail(result->code, std::move(result->message)));
            done(service::PutResponse{result->revision, result->create_revision, result->version});
          });
}

void KvFront::Delete(service::DeleteRequest request, service::Done<service::DeleteResponse> done) {
  if (Status key = CheckKey(request.key); !key) return done(std::unexpected(key.error()));
  std::string command = kv::EncodeCommand(kv::DeleteCommand{request.key});
  Propose(std::move(command), request.timeout_ms,
          [done = std::move(done)](Result<kv::ApplyResult> result) mutable {
            if (!result) return done(std::unexpected(std::move(result.error())));
            if (!result->ok) return done(Fail(result->code, std::move(result->message)));
            done(service::DeleteResponse{result->revision, result->deleted});
          });
}

void KvFront::ReadBarrier(service::BarrierRequest request, service::Done<void> done) {
  Error why;
  std::shared_ptr<Replica> replica = Usable(&why);
  if (replica == nullptr) return done(std::unexpected(std::move(why)));
  ReadWaiter read;
  read.deadline_ns = clock_.NowNs() + std::min(request.timeout_ms, kTimeoutMsMax) * kMs;
  read.done = std::move(done);
  if (Status added = replica->loop().inbox().AddRead(read); !added) {
    read.done(std::unexpected(std::move(added.error())));
  }
}

Result<service::GetResponse> KvFront::GetLocal(const service::GetRequest& request) {
  if (Status key = CheckKey(request.key); !key) return std::unexpected(key.error());
  Error why;
  std::shared_ptr<Replica> replica = Usable(&why);
  if (replica == nullptr) return std::unexpected(std::move(why));
  service::GetResponse response;
  const uint64_t applied = replica->machine().applied_index();
  const bool stale = request.consistency == service::Consistency::kStale;
  // A stale read would answer as of long ago, after the loss of the database even as of the
  // beginning; one that has passed its barrier, as of before the barrier.
  if (applied < (stale ? replica->recovered_commit() : shared_.read_floor())) {
    return Fail(Code::kUnavailable,
                "this node has just started and still applies its log; repeat the request later, "
                "or ask another node");
  }
  if (stale) {
    Staleness staleness = shared_.staleness();
    if (staleness.known && applied >= staleness.needs_index) {
      uint64_t now_ns = clock_.NowNs();
      uint64_t passed_ns = now_ns - std::min(now_ns, staleness.base_ns);
      uint64_t age_ns = staleness.offset_ns + passed_ns + passed_ns / kDriftDivisor;
      response.staleness_ms = (age_ns + kMs - 1) / kMs;
    }
  }
  Result<kv::ReadResult> read = replica->machine().Get(request.key);
  if (!read && read.error().code == Code::kCorruption) {
    // The core thread looks after it: node_database.cc.
    replica->machine().engine().ReportCorruption(read.error());
    return Fail(Code::kCorruption, "this node's copy of the data is damaged: " +
                                       read.error().message + "; ask another node");
  }
  if (!read) return std::unexpected(std::move(read.error()));
  response.found = read->found;
  response.value = std::move(read->value);
  response.create_revision = read->create_revision;
  response.mod_revision = read->mod_revision;
  response.version = read->version;
  response.lease = read->lease;
  response.store_revision = read->store_revision;
  return response;
}

}  // namespace arima::node
