// Hash of the whole state. Every field that can influence a future output goes in, in a fixed
// order; payloads are represented by their checksums, configurations by their lists and versions.

#include <string>
#include <string_view>

#include "base/checksum.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

class Hasher {
 public:
  void Add(uint64_t v) {
    // splitmix64 finalizer over a running sum: order matters, zeros count.
    uint64_t z = state_ + 0x9E3779B97F4A7C15u + v;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    state_ = z ^ (z >> 31);
  }
  template <class Tag>
  void Add(StrongInt<Tag> v) {
    Add(v.value);
  }
  template <class Enum>
    requires std::is_enum_v<Enum>
  void Add(Enum v) {
    Add(static_cast<uint64_t>(v));
  }
  void Add(std::string_view v) { Add(Checksum64(v)); }
  template <class... Ts>
  void All(const Ts&... vs) {
    (Add(vs), ...);
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0;
};

void Add(Hasher& h, const Entry& e) {
  h.All(e.term, e.index, e.kind, uint64_t{e.checksum}, uint64_t{e.payload.size()});
}

void Add(Hasher& h, const std::vector<MemberId>& ids) {
  h.Add(uint64_t{ids.size()});
  for (MemberId id : ids) h.Add(id);
}

void Add(Hasher& h, const ConfState& c) {
  Add(h, c.voters);
  Add(h, c.voters_outgoing);
  Add(h, c.learners);
  Add(h, c.learners_next);
  h.All(uint64_t{c.auto_leave}, c.next_member_id, c.index, uint64_t{c.members.size()});
  for (const auto& [id, info] : c.members) {
    h.All(id, std::string_view(info.name), std::string_view(info.raft_address),
          std::string_view(info.http_address),
          std::string_view(reinterpret_cast<const char*>(info.incarnation.bytes.data()), 16),
          uint64_t{info.attributes.size()});
    for (const auto& [key, value] : info.attributes) {
      h.All(std::string_view(key), std::string_view(value));
    }
  }
}

void Add(Hasher& h, const SnapshotMeta& s) {
  h.All(s.index, s.term, s.snapshot_id, s.total_bytes);
  Add(h, s.conf);
}

void Add(Hasher& h, const Message& m) {
  h.All(m.type, m.from, m.to, m.term, uint64_t{m.reject}, uint64_t{m.force}, m.reason, m.index,
        m.log_term, m.last_index, m.last_term, m.commit, m.commit_term, m.hint_index, m.hint_term,
        m.match, m.round);
  h.All(m.send_ns, m.confirmed_ns, m.confirmed_commit, m.echo_peer_ns, m.echo_received_ns,
        m.echo_ns, m.peer_ns, m.apply_lag, uint64_t{m.window}, m.disk, uint64_t{m.sync_us},
        m.transfer_id, m.target, m.received_bytes, m.read_id.origin, m.read_id.life,
        m.read_id.counter);
  h.Add(uint64_t{m.entries.size()});
  for (const Entry& e : m.entries) Add(h, e);
}

void Add(Hasher& h, const Progress& p) {
  h.All(p.id, uint64_t{p.learner}, p.state, p.match, p.next, p.sent_commit, uint64_t{p.paused},
        uint64_t{p.loading}, uint64_t{p.recent_active}, uint64_t{p.damaged}, p.lost_match,
        p.pending_snapshot, p.snapshot_id, uint64_t{p.contacted}, p.last_contact_ns, p.apply_lag,
        p.acked_round, p.echo_peer_ns, p.echo_received_ns, p.heartbeat_round, p.heartbeat_match);
  h.All(p.catch_up_target, p.catch_up_start_ns, uint64_t{p.catch_up_fast}, p.leaving_at,
        p.leaving_round, uint64_t{p.leaving_ticks}, uint64_t{p.want_empty},
        uint64_t{p.snapshot_reported}, p.inflights.byte_limit(), uint64_t{p.repairing}, p.repair_id,
        p.disk, uint64_t{p.sync_us});
  h.Add(uint64_t{p.inflights.count()});
  for (uint32_t i = 0; i < p.inflights.count(); ++i) {
    h.All(p.inflights.At(i).last, p.inflights.At(i).bytes);
  }
}

void Add(Hasher& h, const WaitingRead& r) {
  h.All(r.origin, r.id.origin, r.id.life, r.id.counter, r.tag, r.index, r.need_round);
}

void Add(Hasher& h, const ReadRounds& rounds) {
  h.All(rounds.round(), rounds.confirmed_ns(), rounds.confirmed_commit(),
        uint64_t{rounds.early().size()}, uint64_t{rounds.waiting().size()},
        uint64_t{rounds.rounds().size()});
  for (const WaitingRead& r : rounds.early()) Add(h, r);
  for (const WaitingRead& r : rounds.waiting()) Add(h, r);
  for (const ReadRounds::Round& r : rounds.rounds()) {
    h.All(r.round, r.start_ns, r.commit, uint64_t{r.valid});
  }
}

void Add(Hasher& h, const ForwardedReads& reads) {
  h.All(reads.next_counter(), uint64_t{reads.unsent().size()}, uint64_t{reads.sent().size()});
  for (uint64_t tag : reads.unsent()) h.Add(tag);
  for (const ForwardedReads::Batch& b : reads.sent()) {
    h.All(b.counter, b.leader, b.sent_tick, uint64_t{b.tags.size()});
    for (uint64_t tag : b.tags) h.Add(tag);
  }
}

void Add(Hasher& h, const LogView& log) {
  h.All(log.snapshot().index, log.snapshot().term, log.last(), log.commit(), log.stable(),
        log.applying(), log.applied(), log.next_write(), uint64_t{log.reset_pending()},
        log.last_seq(), log.uncommitted_bytes(), log.unapplied_bytes());
  h.Add(uint64_t{log.terms().runs().size()});
  for (const EntryId& run : log.terms().runs()) h.All(run.term, run.index);
  h.Add(log.cache().first());
  for (Index i = log.cache().first(); i < log.cache().next(); ++i) Add(h, log.cache().At(i));
  h.Add(uint64_t{log.writes().size()});
  for (const InflightWrite& w : log.writes()) h.All(w.seq, w.clipped_last, uint64_t{w.sync});
}

// Outputs that wait to be taken: their messages and counts.
void Add(Hasher& h, const Output& out) {
  h.All(uint64_t{out.send_now.size()}, uint64_t{out.apply.size()}, uint64_t{out.accepted.size()},
        uint64_t{out.rejected.size()}, uint64_t{out.reads.size()}, uint64_t{out.load.size()},
        uint64_t{out.snapshot_requests.size()}, uint64_t{out.install.has_value()},
        uint64_t{out.conf_changed != nullptr}, uint64_t{out.events.size()});
  for (const Message& m : out.send_now) Add(h, m);
}

}  // namespace

uint64_t CoreImpl::Digest() const {
  Hasher h;
  h.All(config_.id, config_.group, random_.state(), start_ns_, start_term_, now_ns_, ticks_, term_,
        vote_, written_.term, written_.vote, written_.commit, role_, leader_, disabled_);
  Add(h, log_);
  Add(h, *conf_);
  h.Add(uint64_t{pending_confs_.size()});
  for (const auto& [index, entry] : pending_confs_) Add(h, entry);
  h.Add(uint64_t{unapplied_confs_.size()});
  for (const auto& [index, conf] : unapplied_confs_) h.All(index, conf->index);
  h.All(pending_conf_index_, confirm_index_, removal_, removal_seq_, uint64_t{step_down_due_},
        uint64_t{election_elapsed_}, uint64_t{heartbeat_elapsed_}, uint64_t{election_timeout_},
        uint64_t{short_timeout_}, uint64_t{heartbeat_due_}, uint64_t{leader_contacted_},
        leader_contact_ns_, round_seen_, clocks_term_, confirmed_ns_, confirmed_commit_,
        echo_peer_ns_, echo_received_ns_);
  h.Add(uint64_t{votes_.size()});
  for (const auto& [id, ballot] : votes_) h.All(id, ballot);
  h.Add(uint64_t{peers_.size()});
  for (const Progress& p : peers_) Add(h, p);
  Add(h, rounds_);
  h.All(transferee_, transfer_id_, uint64_t{timeout_now_sent_});
  h.All(disk_, uint64_t{sync_us_}, uint64_t{sync_stalled_});
  Add(h, forwarded_reads_);
  h.All(next_forward_id_, uint64_t{unsent_proposals_.size()}, uint64_t{forwarded_.size()});
  for (const Proposal& p : unsent_proposals_) {
    h.All(p.tag, p.kind, uint64_t{p.checksum}, uint64_t{p.from_reserve});
  }
  for (const Forwarded& f : forwarded_) h.All(f.id, f.tag, f.leader, f.sent_tick);
  for (const auto& [origin, ranges] : seen_forwards_) {
    h.All(origin, uint64_t{ranges.size()});
    for (const auto& [first, end] : ranges) h.All(first, end);
  }
  h.All(uint64_t{needs_snapshot_}, uint64_t{installing_.has_value()});
  if (installing_) Add(h, *installing_);
  h.All(uint64_t{gated_.size()}, uint64_t{held_.size()});
  for (const Message& m : gated_) Add(h, m);
  for (const Held& held : held_) {
    h.Add(held.seq);
    Add(h, held.message);
  }
  h.All(uint64_t{handed_over_.size()}, handed_over_bytes_, uint64_t{own_load_},
        uint64_t{own_load_failed_});
  for (const HandedOver& batch : handed_over_) h.All(batch.last, batch.bytes);
  Add(h, out_);
  return h.value();
}

}  // namespace arima::raft
