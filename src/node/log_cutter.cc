#include "node/log_cutter.h"

#include <algorithm>
#include <string>

#include "base/mutants.h"
#include "base/units.h"

namespace arima::node {
namespace {

constexpr uint64_t kPauseNs = 1'000'000'000;

std::vector<PeerNeed> NeedsOf(const raft::CoreStatus& status) {
  std::vector<PeerNeed> needs;
  for (const raft::PeerStatus& peer : status.peers) {
    // A damaged one gets nothing but heartbeats until it is replaced.
    if (!peer.damaged) needs.push_back({peer.id, peer.match});
  }
  return needs;
}

uint64_t NewestTwo(std::span<const wal::SegmentSpan> segments) {
  uint64_t bytes = 0;
  for (const wal::SegmentSpan& segment : segments.last(std::min<size_t>(2, segments.size()))) {
    bytes += segment.bytes;
  }
  return bytes;
}

}  // namespace

std::vector<raft::MemberId> LogCutter::Poll(uint64_t now_ns,
                                            std::span<const SnapshotTransfer> transfers) {
  if (now_ns < next_ns_) return {};
  next_ns_ = now_ns + kPauseNs;
  const raft::CoreStatus status = parts_.loop->Status();
  const std::vector<wal::SegmentSpan> segments = parts_.wal->Segments();
  const std::vector<PeerNeed> peers = NeedsOf(status);
  RetentionFacts facts;
  // The database may be ahead of what the core has been told.
  facts.durable = ARIMA_MUTANT(28) ? status.applied
                                   : std::min(status.applied,
                                              raft::Index(parts_.machine->durable_applied_index()));
  facts.cut = status.snapshot_index;
  facts.segments = segments;
  facts.leads = status.soft.role == raft::Role::kLeader;
  facts.peers = peers;
  facts.transfers = transfers;
  LogRetentionLimits limits = limits_;
  if (disk_low_) {
    const uint64_t least = std::max(NewestTwo(segments), low_retain_bytes_);
    limits.retain_bytes = std::min(limits.retain_bytes, least);
  }
  RetentionDecision decision = DecideCut(facts, limits);
  for (raft::MemberId peer : decision.peers_given_up) ReportPeer(peer, status, now_ns);
  if (decision.cut > facts.cut) Cut(decision.cut, status, now_ns);
  return std::move(decision.transfers_given_up);
}

void LogCutter::Cut(raft::Index to, const raft::CoreStatus& status, uint64_t now_ns) {
  ++stats_.cuts;
  parts_.writer->CompactTo(to);
  parts_.loop->Step(raft::CompactTo{to}, now_ns);
  parts_.logger->Log(LogLevel::kDebug, "log_cut", "log segments that nobody needs are released",
                     {{"first_index", to.value + 1}, {"last_index", status.last.value}});
}

void LogCutter::ReportPeer(raft::MemberId peer, const raft::CoreStatus& status, uint64_t now_ns) {
  ++stats_.peers_given_up;
  const auto member = status.conf->members.find(peer);
  const std::string name =
      member == status.conf->members.end() ? std::to_string(peer.value) : member->second.name;
  const auto found = std::ranges::find(status.peers, peer, &raft::PeerStatus::id);
  const uint64_t contact_ns = std::min(now_ns, found->last_contact_ns);
  std::string contact = "never in this term";
  if (contact_ns != 0) contact = FormatDurationMs((now_ns - contact_ns) / 1'000'000) + " ago";
  parts_.logger->Warn(
      "log_peer_given_up",
      "the log entries that " + name + " still needs take more than " +
          (disk_low_ ? "a low disk allows"
                     : "--log-retain-bytes (" + FormatBytes(limits_.retain_bytes) + ")") +
          " and are cut off; it can come back only with a snapshot. Last "
          "contact: " +
          contact,
      {{"peer", name}, {"match", found->match.value}});
}

}  // namespace arima::node
