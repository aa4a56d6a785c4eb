// NodeCore: what it does about its own disk (docs/design/raft.md 4.7). The core hears of space and
// of slow syncs; a leader that has too little of the one or too much of the other asks it to find a
// better voter, seldom enough that leadership does not wander.
#include <algorithm>
#include <limits>
#include <string>

#include "kv/engine.h"
#include "node/node_core.h"

namespace arima::node {
namespace {

// Between two attempts to write what a full disk has refused.
constexpr uint64_t kRetryNs = 1'000'000'000;
// Of the log, for others, while the disk is low.
constexpr uint64_t kLowRetainBytesMax = 64 << 20;
// The core need not hear of smaller changes of the latency than by this part.
constexpr uint64_t kLatencyStep = 8;

}  // namespace

void NodeCore::WatchDisk(uint64_t now_ns) {
  if (const bool low = disk_watch_->low(); low != told_disk_low_) {
    told_disk_low_ = low;
    replica_->loop().inbox().SetDiskLow(DiskUser::kReserve, low);
  }
  // A full log needs space whatever the reserve is. What is kept has to do for a member that is
  // full for a while: a low one is sent no snapshot.
  const bool full = replica_->loop().disk_level() == raft::DiskLevel::kFull;
  const uint64_t reserve_bytes = disk_watch_->figures().reserve_bytes;
  replica_->log_cutter().SetDiskLow(told_disk_low_ || full,
                                    std::min(kLowRetainBytesMax, reserve_bytes / 2));
  TellSyncLatency(now_ns);
  HandOverIfUnfit(now_ns);
  if (identity_unwritten_ && now_ns >= next_identity_ns_) WriteIdentityOrLater(now_ns);
}

void NodeCore::TellSyncLatency(uint64_t now_ns) {
  const SyncReading reading = replica_->log_writer().sync_meter().Read(now_ns);
  const uint64_t us =
      std::min<uint64_t>(reading.latency_ns() / 1000, std::numeric_limits<uint32_t>::max());
  const uint64_t step = told_sync_.us / kLatencyStep;
  const bool same = us + step >= told_sync_.us && us <= told_sync_.us + step;
  if (same && reading.stalled == told_sync_.stalled) return;
  if (reading.stalled && !told_sync_.stalled) {
    ++disk_stalls_;
    logger_.Warn("disk_stalled",
                 "the raft log has waited for its disk for --disk-stall-timeout; if this node "
                 "leads, it hands over to a node with a faster disk",
                 {{"running_ms", reading.running_ns / 1'000'000},
                  {"typical_ms", reading.typical_ns / 1'000'000}});
  } else if (!reading.stalled && told_sync_.stalled) {
    logger_.Info("disk_answers", "the disk of the raft log is fast again");
  }
  told_sync_ = {static_cast<uint32_t>(us), reading.stalled};
  replica_->loop().Step(told_sync_, now_ns);
}

void NodeCore::HandOverIfUnfit(uint64_t now_ns) {
  const raft::SoftState& soft = replica_->loop().soft();
  const bool unfit = told_sync_.stalled || replica_->loop().disk_level() != raft::DiskLevel::kOk;
  if (!unfit || soft.role != raft::Role::kLeader || soft.transferring) return;
  if (!hand_over_pacer_.Due(now_ns)) return;
  replica_->loop().Step(raft::MoveLeadership{}, now_ns);
  // If nobody is better off, it is looked again at the next tick.
  if (!replica_->loop().Status().soft.transferring) return;
  hand_over_pacer_.Started(now_ns);
  ++disk_hand_overs_;
}

// A full disk is no reason to end: what the identity says of membership follows from the log, which
// is read again at each start, and is not cut meanwhile.
void NodeCore::WriteIdentityOrLater(uint64_t now_ns) {
  auto written = dir_->WriteIdentity(&identity_);
  identity_unwritten_ = !written;
  if (written) return;
  if (written.error().code != Code::kDiskFull) {
    logger_.Fatal("identity_write_failed", written.error().ToString());
  }
  if (next_identity_ns_ == 0) logger_.Warn("identity_not_written", written.error().ToString());
  next_identity_ns_ = now_ns + kRetryNs;
}

}  // namespace arima::node
