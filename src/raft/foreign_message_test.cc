// Nothing that a peer sends may end the process: one core is fed random messages, most of them
// nonsense, in every role. Where ARIMA_CHECK_INVARIANTS is on, a proof of lost safety is an
// assertion by design, so only messages that cannot be such a proof are sent there.

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "raft/test_cluster.h"

namespace arima::raft {
namespace {

#ifdef ARIMA_CHECK_INVARIANTS
constexpr bool kViolationsAssert = true;
#else
constexpr bool kViolationsAssert = false;
#endif

class Stranger {
 public:
  explicit Stranger(uint64_t seed) : random_(seed) {}

  Message Next(const CoreStatus& s) {
    Message m;
    m.type = static_cast<MessageType>(random_.Between(0, 18));
    m.from = MemberId(random_.Below(5));
    m.to = s.id;
    m.term = Term(Near(s.hard_state.term.value));
    m.reject = random_.Percent(40);
    m.force = random_.Percent(20);
    m.reason = static_cast<RejectReason>(random_.Below(15));
    m.index = Index(Near(s.last.value));
    m.log_term = Term(Near(s.last_term.value));
    m.last_index = Index(Near(s.last.value));
    m.last_term = Term(Near(s.last_term.value));
    m.commit = Index(Near(s.hard_state.commit.value));
    m.commit_term = Term(Near(s.last_term.value));
    m.hint_index = Index(Near(s.last.value));
    m.hint_term = Term(Near(s.last_term.value));
    m.match = Index(Near(s.last.value));
    m.round = Near(3);
    m.send_ns = m.echo_ns = m.peer_ns = Near(1'000'000'000);
    m.confirmed_ns = m.echo_peer_ns = m.echo_received_ns = Near(1'000'000'000);
    m.window = static_cast<uint32_t>(Near(100));
    m.target = MemberId(random_.Below(6));
    m.received_bytes = m.apply_lag = m.transfer_id = Near(5);
    m.read_id = {MemberId(random_.Below(5)), s.id.value, Near(3)};
    AddEntries(&m);
    for (uint64_t i = random_.Below(3); i > 0; --i) {
      m.proposals.push_back(
          {Near(5), static_cast<EntryKind>(random_.Between(0, 5)), 0, SharedBytes::Copy("p")});
      m.results.push_back({Near(5), RejectReason::kNone, Index(Near(5)), Term(Near(5))});
    }
    m.snapshot.index = Index(Near(s.hard_state.commit.value));
    m.snapshot.term = Term(Near(s.last_term.value));
    m.snapshot.conf = TestConf({1, 2, 3});
    return m;
  }

 private:
  // Mostly close to `v`, sometimes extreme.
  uint64_t Near(uint64_t v) {
    switch (random_.Below(20)) {
      case 0:
        return 0;
      case 1:
        return random_.Percent(50) ? UINT64_MAX : UINT64_MAX - random_.Below(3);
      case 2:
        return (uint64_t{1} << 62) - random_.Below(2);
      default:
        return v + random_.Below(4) - std::min<uint64_t>(v, random_.Below(4));
    }
  }

  void AddEntries(Message* m) {
    Index index = m->index;
    uint64_t term = m->log_term.value;
    for (uint64_t i = random_.Below(4); i > 0; --i) {
      ++index;
      if (random_.Percent(20)) ++term;
      EntryKind kind = random_.Percent(10) ? EntryKind::kConf : EntryKind::kCommand;
      m->entries.push_back(TestEntry(random_.Percent(3) ? Near(term) : term, index.value,
                                     std::to_string(random_.Below(3)), kind));
      if (random_.Percent(3)) m->entries.back().index = Index(Near(index.value));
    }
  }

  SeededRandom random_;
};

// True if `m` would show that two leaders or two histories exist.
bool MayProveAViolation(const Message& m, const CoreStatus& s) {
  bool from_leader = m.type == MessageType::kApp || m.type == MessageType::kHeartbeat ||
                     m.type == MessageType::kSnap;
  if (!from_leader || m.term < s.hard_state.term) return false;
  bool second = m.term == s.hard_state.term && s.soft.leader && s.soft.leader != m.from;
  return second || m.index < s.hard_state.commit;
}

void Bombard(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  Stranger stranger(seed * 7919);
  TestCluster c({1, 2, 3}, [&](Config& config) {
    config.pre_vote = random.Percent(50);
    config.check_quorum = random.Percent(50);
    config.entry_cache_bytes = random.Percent(50) ? 1 : 1 << 20;
    config.max_inflight_msgs = 3;
  });
  c.SetFilter([](const Message&) { return false; });
  c[1].hold_writes = random.Percent(50);
  for (int i = 0; i < 2000; ++i) {
    CoreStatus s = c[1].status();
    if (random.Percent(5)) {
      c.Tick(1);
    } else if (random.Percent(3)) {
      c.ProposeOnly(1, "x");
    } else if (random.Percent(2)) {
      c.Read(1);
    } else if (random.Percent(2)) {
      c.Step(1, Campaign{});
    } else if (!c[1].writes.empty() && random.Percent(20)) {
      c.CompleteWrite(1);
    } else {
      Message m = stranger.Next(s);
      // A damaged node does little more, so half of the runs go without such proofs anyway.
      bool spare = kViolationsAssert || seed % 2 == 1;
      if (spare && MayProveAViolation(m, s)) continue;
      c.Step(1, PeerMessage{std::move(m)});
    }
    auto ok = c[1].core->CheckInvariants();
    ASSERT_TRUE(ok.has_value()) << ok.error().message;
  }
}

TEST(ForeignMessages, NeverEndTheProcessNorBreakAnInvariant) {
  for (uint64_t seed = 1; seed <= 24; ++seed) Bombard(seed);
}

}  // namespace
}  // namespace arima::raft
