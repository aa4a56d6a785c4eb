// What leaves the core, and what it must wait for (docs/design/raft.md 1.5, W1 to W5).
//
// A gated message speaks for state that must be durable first: it rides on the write that is built
// in the same TakeOutput; if nothing new has to be synced it waits for the newest write in flight;
// if there is none it leaves at once. A change of the commit index alone is written lazily and
// gates nothing: after a crash an older commit index is merely news that has not arrived yet.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/mutants.h"
#include "raft/core_impl.h"

namespace arima::raft {
namespace {

// A later acknowledgement of the same term says everything an earlier one did.
bool Supersedes(const Message& later, const Message& earlier) {
  return later.type == MessageType::kAppResp && earlier.type == MessageType::kAppResp &&
         later.to == earlier.to && later.term == earlier.term && !later.reject && !earlier.reject;
}

void Replace(Message* earlier, Message&& later) {
  later.index = std::max(later.index, earlier->index);
  later.round = std::max(later.round, earlier->round);
  later.echo_ns = std::max(later.echo_ns, earlier->echo_ns);
  *earlier = std::move(later);
}

}  // namespace

bool Output::empty() const {
  return send_now.empty() && !write && apply.empty() && accepted.empty() && rejected.empty() &&
         reads.empty() && load.empty() && snapshot_requests.empty() && !install && !conf_changed &&
         !soft && events.empty();
}

Message CoreImpl::Make(MessageType type, MemberId to) const {
  Message m;
  m.type = type;
  m.group = config_.group;
  m.from = config_.id;
  m.to = to;
  m.term = term_;
  return m;
}

void CoreImpl::Send(Message&& m) {
  ARIMA_ASSERT(m.to != config_.id, m.to);
  out_.send_now.push_back(std::move(m));
}

void CoreImpl::Gate(Message&& m) {
  for (Message& earlier : gated_) {
    if (Supersedes(m, earlier)) return Replace(&earlier, std::move(m));
  }
  gated_.push_back(std::move(m));
}

void CoreImpl::ReleaseHeld(uint64_t seq) {
  while (!held_.empty() && held_.front().seq <= seq) {
    Message m = std::move(held_.front().message);
    held_.pop_front();
    if (m.to == config_.id) {
      StepMessage(std::move(m));
    } else {
      Send(std::move(m));
    }
  }
}

void CoreImpl::SettleGated() {
  // A vote for oneself that need not wait may win an election, which gates further messages.
  while (!gated_.empty() && !NeedsSync()) {
    std::vector<Message> messages = std::exchange(gated_, {});
    uint64_t seq = log_.newest_sync_write();
    for (Message& m : messages) {
      if (seq != 0) {
        auto same = std::find_if(held_.begin(), held_.end(), [&](const Held& held) {
          return held.seq == seq && Supersedes(m, held.message);
        });
        if (same != held_.end()) {
          Replace(&same->message, std::move(m));
        } else {
          ARIMA_ASSERT(held_.empty() || held_.back().seq <= seq, seq);
          held_.push_back({seq, std::move(m)});
        }
      } else if (m.to == config_.id) {
        StepMessage(std::move(m));
      } else {
        Send(std::move(m));
      }
    }
    if (role_ == Role::kLeader) LeaderUpkeep();
  }
}

bool CoreImpl::NeedsSync() const {
  return removal_ == Removal::kKnown || log_.has_unwritten() || term_ != written_.term ||
         vote_ != written_.vote;
}

bool CoreImpl::NeedsWrite() const { return NeedsSync() || log_.commit() != written_.commit; }

void CoreImpl::BuildWrite() {
  if (!NeedsWrite()) return;
  bool sync = NeedsSync();
  Write& write = out_.write.emplace();
  log_.StartWrite(sync, &write);
  HardState now = CurrentHardState();
  if (ARIMA_MUTANT(54) && !write.entries.empty()) now.commit = written_.commit;
  if (now != written_ && !(ARIMA_MUTANT(39) && !write.entries.empty())) {
    write.hard_state = now;
    written_ = now;
  }
  if (removal_ == Removal::kKnown) {
    write.hard_state = now;  // whose commit may have been written without a sync
    removal_ = Removal::kWritten;
    removal_seq_ = write.seq;
  }
  write.need_sync = sync;
  if (sync) write.after_durable = std::exchange(gated_, {});
  ARIMA_ASSERT(write.need_sync || write.after_durable.empty());
  ARIMA_ASSERT(written_.commit <= log_.last(), written_.commit, log_.last());
}

bool CoreImpl::CanApply() const {
  if (installing_ || needs_snapshot_ || own_load_ || own_load_failed_) return false;
  if (disabled_ == Disabled::kDamaged) return false;  // nobody is served from here any more
  if (log_.appliable() <= log_.applying()) return false;
  return handed_over_bytes_ < kApplyWindow * config_.max_apply_bytes;
}

void CoreImpl::BuildApply() {
  if (!CanApply()) return;
  Index low = log_.applying() + 1;
  Index high = log_.appliable() + 1;
  if (!log_.cache().Has(low)) {
    own_load_ = true;
    out_.load.push_back({config_.id, low, std::min(high, std::max(log_.cache().first(), low + 1)),
                         config_.max_apply_bytes});
    return;
  }
  std::vector<Entry> entries;
  log_.cache().Copy(low, high, config_.max_apply_bytes, &entries);
  HandOver(std::move(entries));
}

void CoreImpl::HandOver(std::vector<Entry>&& entries) {
  ARIMA_ASSERT(!entries.empty() && entries.front().index == log_.applying() + 1);
  uint64_t bytes = 0;
  Index last = entries.back().index;
  ARIMA_ASSERT(last + 1 == entries.front().index + entries.size(), last, entries.size());
  for (Entry& entry : entries) {
    bytes += EntryBytes(entry);
    ApplyItem& item = out_.apply.emplace_back();
    if (entry.kind == EntryKind::kConf) {
      auto conf = unapplied_confs_.find(entry.index);
      ARIMA_ASSERT(conf != unapplied_confs_.end(), entry.index);
      item.conf = conf->second;
      unapplied_confs_.erase(conf);
    }
    item.entry = std::move(entry);
  }
  log_.AcceptApplying(last);
  handed_over_.push_back({last, bytes});
  handed_over_bytes_ += bytes;
}

SoftState CoreImpl::CurrentSoft() const {
  return {role_, disabled_, leader_, term_, role_ == Role::kLeader && transferee_};
}

bool CoreImpl::HasOutput() const {
  if (!out_.empty() || CurrentSoft() != soft_told_) return true;
  if (disabled_ == Disabled::kDead) return false;
  if (!gated_.empty() || NeedsWrite() || CanApply()) return true;
  if (!unsent_proposals_.empty() || forwarded_reads_.has_unsent()) return true;
  if (role_ != Role::kLeader) return false;
  return heartbeat_due_ || rounds_.wanted() || CanStepDown() ||
         std::any_of(peers_.begin(), peers_.end(),
                     [this](const Progress& p) { return WantsAppend(p); });
}

Output CoreImpl::TakeOutput() {
  if (disabled_ != Disabled::kDead) {
    SettleGated();
    // Answers to forwarded requests go before the entries, so that a proposer usually knows where
    // its entry stands before it sees it committed.
    FlushForwards();
    FlushReads();
    if (role_ == Role::kLeader) {
      SendHeartbeats();
      FlushPeers();
      if (CanStepDown()) StepDownRemoved();
    }
    BuildWrite();
    BuildApply();
  }
  if (SoftState soft = CurrentSoft(); soft != soft_told_) {
    out_.soft = soft;
    soft_told_ = soft;
  }
  out_.commit = log_.commit();
  return std::exchange(out_, Output());
}

}  // namespace arima::raft
