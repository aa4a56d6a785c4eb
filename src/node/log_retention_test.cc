#include "node/log_retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"

namespace arima::node {
namespace {

using raft::Index;
using raft::MemberId;

constexpr uint64_t kSegment = 100;

// Ten segments of ten entries each, 11-20 to 101-110, the last one being written to.
std::vector<wal::SegmentSpan> TenSegments() {
  std::vector<wal::SegmentSpan> segments;
  for (uint64_t i = 1; i <= 10; ++i) segments.push_back({Index(10 + 10 * i), kSegment});
  return segments;
}

struct Case {
  std::string name;
  uint64_t durable = 110;
  bool leads = true;
  std::vector<uint64_t> matches = {};    // of members 2, 3, ...
  std::vector<uint64_t> transfers = {};  // snapshot indexes for members 102, 103, ...
  LogRetentionLimits limits = {4 * kSegment, 6 * kSegment};
  // Expected:
  uint64_t cut = 10;
  std::vector<uint64_t> peers_given_up = {};
  std::vector<uint64_t> transfers_given_up = {};
};

std::vector<uint64_t> Values(const std::vector<MemberId>& ids) {
  std::vector<uint64_t> values;
  for (MemberId id : ids) values.push_back(id.value);
  return values;
}

void Check(const Case& c) {
  SCOPED_TRACE(c.name);
  const std::vector<wal::SegmentSpan> segments = TenSegments();
  std::vector<PeerNeed> peers;
  for (uint64_t match : c.matches) peers.push_back({MemberId(2 + peers.size()), Index(match)});
  std::vector<SnapshotTransfer> transfers;
  for (uint64_t index : c.transfers) {
    transfers.push_back({MemberId(102 + transfers.size()), Index(index)});
  }
  const RetentionDecision decision =
      DecideCut({Index(c.durable), Index(10), segments, c.leads, peers, transfers}, c.limits);
  EXPECT_EQ(decision.cut, Index(c.cut));
  EXPECT_EQ(Values(decision.peers_given_up), c.peers_given_up);
  EXPECT_EQ(Values(decision.transfers_given_up), c.transfers_given_up);
}

TEST(LogRetention, NothingAboveWhatIsDurableGoes) {
  Check({.name = "nothing is durable", .durable = 10, .cut = 10});
  Check({.name = "half a segment is durable", .durable = 15, .cut = 10});
  Check({.name = "all but one of a segment is durable", .durable = 19, .cut = 10});
  Check({.name = "a whole segment is durable", .durable = 20, .cut = 20});
  Check({.name = "some are durable", .durable = 55, .cut = 50});
  Check({.name = "all is durable, the newest segment stays", .durable = 110, .cut = 100});
}

TEST(LogRetention, ALeaderKeepsWhatOthersNeedWithinTheLimit) {
  Check({.name = "all have everything", .matches = {110, 110}, .cut = 100});
  Check({.name = "one is a little behind", .matches = {110, 85}, .cut = 80});
  Check({.name = "one needs exactly what four segments hold", .matches = {110, 70}, .cut = 70});
  Check({.name = "one needs one entry more than four segments hold",
         .matches = {110, 69},
         .cut = 70,
         .peers_given_up = {3}});
  Check({.name = "one that is given up holds nothing for itself, but the limit stays",
         .matches = {12, 95},
         .cut = 70,
         .peers_given_up = {2}});
  Check({.name = "one whose position is unknown holds what the limit allows, unreported",
         .matches = {0, 110},
         .cut = 70});
  Check({.name = "one that needs what is gone holds nothing", .matches = {9, 110}, .cut = 100});
  Check({.name = "nobody is given up for what is not durable here",
         .durable = 40,
         .matches = {45, 110},
         .cut = 40});
  Check({.name = "and is given up no further than that",
         .durable = 40,
         .matches = {35, 41},
         .cut = 40,
         .peers_given_up = {2}});
}

TEST(LogRetention, AFollowerKeepsANewestPartWhateverOthersNeed) {
  Check({.name = "half the limit", .leads = false, .cut = 90});
  Check({.name = "it knows nothing of others", .leads = false, .matches = {20}, .cut = 90});
  Check({.name = "not durable", .durable = 43, .leads = false, .cut = 40});
  Check({.name = "a limit below a segment keeps the newest one",
         .leads = false,
         .limits = {1, 1},
         .cut = 100});
}

TEST(LogRetention, ARunningTransferKeepsWhatFollowsItsSnapshot) {
  Check({.name = "beyond the limit for peers", .matches = {110}, .transfers = {55}, .cut = 50});
  Check({.name = "exactly its own limit", .matches = {110}, .transfers = {50}, .cut = 50});
  Check({.name = "past it",
         .matches = {110},
         .transfers = {49},
         .cut = 50,
         .transfers_given_up = {102}});
  Check({.name = "one of two is given up",
         .matches = {110},
         .transfers = {30, 75},
         .cut = 50,
         .transfers_given_up = {102}});
  Check({.name = "while nothing can be cut anyway it costs nothing",
         .durable = 20,
         .matches = {110},
         .transfers = {30},
         .cut = 20});
  Check({.name = "its receiver's match does not matter",
         .matches = {5},
         .transfers = {82},
         .cut = 80});
}

TEST(LogRetention, AnEmptyLogIsNotCut) {
  const std::vector<wal::SegmentSpan> one = {{Index(5), kSegment}};
  EXPECT_EQ(DecideCut({Index(5), Index(5), one, true, {}, {}}, {}).cut, Index(5));
  EXPECT_EQ(DecideCut({Index(5), Index(5), {}, false, {}, {}}, {}).cut, Index(5));
}

// Whatever the facts: the cut never falls, never passes what is durable, frees whole segments or
// nothing, and whoever is not given up keeps what it needs.
TEST(LogRetention, RandomFactsNeverLoseWhatIsNeeded) {
  const uint64_t seed = SystemRandom64();
  SeededRandom random(seed);
  for (int round = 0; round < 20'000; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round));
    const Index cut(random.Between(1, 50));
    std::vector<wal::SegmentSpan> segments;
    Index last = cut;
    for (uint64_t i = random.Between(1, 8); i > 0; --i) {
      last = last + random.Below(20);
      segments.push_back({last, random.Between(1, 200)});
    }
    const Index durable(random.Between(1, last.value));
    std::vector<PeerNeed> peers;
    std::vector<SnapshotTransfer> transfers;
    for (uint64_t id = 2; id < 5; ++id) {
      if (random.Percent(50)) peers.push_back({MemberId(id), Index(random.Below(last.value + 1))});
      if (random.Percent(20)) {
        transfers.push_back({MemberId(id), Index(random.Between(cut.value, last.value))});
      }
    }
    const LogRetentionLimits limits{random.Below(800), 400 + random.Below(800)};
    const bool leads = random.Percent(70);
    const RetentionDecision decision =
        DecideCut({durable, cut, segments, leads, peers, transfers}, limits);
    ASSERT_GE(decision.cut, cut);
    if (decision.cut == cut) continue;
    ASSERT_LE(decision.cut, durable);
    ASSERT_LE(decision.cut, last);
    bool at_end = false;
    for (size_t i = 0; i + 1 < segments.size(); ++i) {
      at_end = at_end || segments[i].last == decision.cut;
    }
    ASSERT_TRUE(at_end);
    const auto given_up = [](const std::vector<MemberId>& ids, MemberId id) {
      return std::ranges::find(ids, id) != ids.end();
    };
    for (const PeerNeed& need : peers) {
      if (!leads || need.match < cut) continue;
      ASSERT_EQ(need.match < decision.cut, given_up(decision.peers_given_up, need.peer));
    }
    for (const SnapshotTransfer& transfer : transfers) {
      ASSERT_EQ(transfer.snapshot_index < decision.cut,
                given_up(decision.transfers_given_up, transfer.peer));
    }
  }
}

}  // namespace
}  // namespace arima::node
