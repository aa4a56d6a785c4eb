// Progress: what the leader knows about one peer's log, and what it may send it next.
//
// States (docs/design/raft.md 1.7):
//   kProbe      where the logs part is unknown: one message at a time
//   kReplicate  logs match up to `match`: entries are sent ahead of acknowledgements
//   kSnapshot   the peer needs entries that are gone: nothing is sent until it has a snapshot
// README.md shows which function takes which edge.
//
// Owner: Core (leader only), core thread. Index values from peers are checked by the caller.
#pragma once

#include <cstdint>

#include "raft/core.h"
#include "raft/inflights.h"
#include "raft/types.h"

namespace arima::raft {

struct Progress {
  Progress(MemberId peer, Index next_index, const Config& config)
      : id(peer),
        next(next_index),
        inflights(config.max_inflight_msgs, config.max_inflight_bytes) {}

  MemberId id;
  bool learner = false;
  ProgressState state = ProgressState::kProbe;
  Index match;  // known to be durable on the peer; 0 = nothing known
  Index next;   // first entry of the next message; match < next
  // The peer has been sent a message from which it could commit up to here.
  Index sent_commit;
  Inflights inflights;
  // kProbe: a message is out. kReplicate: the window is full. Ends with an answer.
  bool paused = false;
  // Entries below the cache have been asked from the driver.
  bool loading = false;
  // The peer answered since the last check-quorum.
  bool recent_active = false;
  // It lost acknowledged log: its match counts as 0 for ever and nothing is sent but heartbeats.
  bool damaged = false;
  Index lost_match;  // what it had acknowledged; heartbeats go on saying it, so that it learns

  Index pending_snapshot;    // kSnapshot: index of the one on its way; 0 = not made yet
  uint64_t snapshot_id = 0;  // ... and its id

  // It follows by the log, but lost its state machine: a snapshot is made for it, or on its way;
  // its id once there is one.
  bool repairing = false;
  uint64_t repair_id = 0;

  bool contacted = false;  // last_contact_ns is valid
  uint64_t last_contact_ns = 0;
  uint64_t apply_lag = 0;
  DiskLevel disk = DiskLevel::kOk;  // kFull: it drops entries, so none are sent
  uint32_t sync_us = 0;
  uint64_t acked_round = 0;
  uint64_t echo_peer_ns = 0;
  uint64_t echo_received_ns = 0;
  // Of the newest heartbeat: a rejection that answers it and is at or below this match proves that
  // the peer lost what it had acknowledged.
  uint64_t heartbeat_round = 0;
  Index heartbeat_match;

  // Catch-up rounds (thesis 4.2.1).
  Index catch_up_target;
  uint64_t catch_up_start_ns = 0;
  bool catch_up_fast = false;

  // Removed by the configuration entry at this index (0 = a member): kept until it knows.
  Index leaving_at;
  uint64_t leaving_round = 0;
  uint32_t leaving_ticks = 0;

  // The need of a snapshot has been reported once.
  bool snapshot_reported = false;
  // A message is due even if there is no entry to send; taken when messages are built.
  bool want_empty = false;

  void BecomeProbe();
  void BecomeReplicate();
  void BecomeSnapshot();

  bool IsPaused() const {
    return paused || loading || damaged || state == ProgressState::kSnapshot;
  }

  // Entries (next - 1, last] have been sent.
  void SentEntries(uint64_t count, uint64_t bytes);
  // The peer has everything up to `index`. True if that is news.
  bool Acked(Index index);
  // The peer has no entry with the leader's term at `rejected`; the logs may match at `hint`. False
  // if the answer is out of date.
  bool Rejected(Index rejected, Index hint);

  void StartCatchUp(Index last, uint64_t now_ns);
  void UpdateCatchUp(Index last, uint64_t now_ns, uint64_t round_ns);
  bool CaughtUp(uint64_t now_ns, uint64_t round_ns) const;
};

}  // namespace arima::raft
