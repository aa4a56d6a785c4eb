// Every limit on bytes becomes an index first: the lowest one that may still be kept. Then needs
// and limits are compared as indexes, and the result is rounded down to the end of a segment.
#include "node/log_retention.h"

#include <algorithm>

#include "base/mutants.h"

namespace arima::node {
namespace {

using raft::Index;

// The lowest cut that leaves at most `bytes` of segments, as far as whole segments can do it.
Index CutForBytes(std::span<const wal::SegmentSpan> segments, uint64_t bytes) {
  uint64_t kept = 0;
  for (size_t i = segments.size(); i > 0; --i) {
    kept += segments[i - 1].bytes;
    // The newest segment is never cut off.
    if (kept > bytes && i < segments.size()) return segments[i - 1].last;
  }
  return Index(0);
}

// The highest end of a segment at or below `limit`; the newest segment has no end yet.
Index RoundDown(std::span<const wal::SegmentSpan> segments, Index limit) {
  Index cut;
  for (size_t i = 0; i + 1 < segments.size() && segments[i].last <= limit; ++i) {
    cut = segments[i].last;
  }
  return cut;
}

}  // namespace

RetentionDecision DecideCut(const RetentionFacts& facts, const LogRetentionLimits& limits) {
  Index limit = facts.durable;
  const Index for_transfers = CutForBytes(facts.segments, limits.retain_max_bytes);
  for (const SnapshotTransfer& transfer : facts.transfers) {
    if (ARIMA_MUTANT(68)) break;
    limit = std::min(limit, std::max(transfer.snapshot_index, for_transfers));
  }
  if (facts.leads) {
    const Index for_peers = CutForBytes(facts.segments, limits.retain_bytes);
    for (const PeerNeed& need : facts.peers) {
      // What it needs is gone already; keeping more would not spare it the snapshot.
      if (need.match > Index(0) && need.match < facts.cut) continue;
      limit = std::min(limit, std::max(need.match, for_peers));
    }
  } else {
    limit = std::min(limit, CutForBytes(facts.segments, limits.retain_bytes / 2));
  }

  RetentionDecision decision;
  decision.cut = std::max(facts.cut, RoundDown(facts.segments, limit));
  for (const SnapshotTransfer& transfer : facts.transfers) {
    if (transfer.snapshot_index < decision.cut) {
      decision.transfers_given_up.push_back(transfer.peer);
    }
  }
  if (!facts.leads) return decision;
  for (const PeerNeed& need : facts.peers) {
    if (need.match >= facts.cut && need.match < decision.cut) {
      decision.peers_given_up.push_back(need.peer);
    }
  }
  return decision;
}

}  // namespace arima::node
