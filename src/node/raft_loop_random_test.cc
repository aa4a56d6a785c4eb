// A RaftLoop never says what is not so, whatever happens around it.
#include <gtest/gtest.h>

#include "node/test_loops.h"

namespace arima::node::loops {
namespace {

// Under loss, doubling, delay, isolation and slow disks: what was acknowledged is there, what was
// said not to be applied is not there, a read sees all that was acknowledged before it.
class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed), cluster_(3, {.leader_wait_ns = 200 * kMs}) {}

  void Go() {
    cluster_.filter = [this](Message& message) { return Pass(message); };
    for (int step = 0; step < 400; ++step) {
      Disturb();
      if (random_.Percent(60)) AddWrite();
      if (random_.Percent(30)) AddRead();
      cluster_.Tick();
      CheckReads();
    }
    Heal();
    cluster_.Run(8000);
    Judge();
  }

 private:
  struct OneWrite {
    std::string key;
    WriteAnswer answer;
  };
  struct OneRead {
    uint64_t node = 0;
    std::vector<std::string> must_see;
    ReadAnswer answer;
    bool checked = false;
  };

  bool Pass(Message& message) {
    if (calm_) return true;
    if (random_.Percent(5)) return false;
    if (random_.Percent(5)) late_.push_back(message);
    if (random_.Percent(10)) {
      late_.push_back(std::move(message));
      return false;
    }
    return true;
  }
  void Disturb() {
    if (random_.Percent(4)) {
      cluster_.isolated.clear();
      if (random_.Percent(60)) cluster_.isolated = {MemberId(1 + random_.Below(3))};
    }
    for (uint64_t id = 1; id <= 3; ++id) {
      if (random_.Percent(10)) cluster_.node(id).hold_log = random_.Percent(40);
      if (random_.Percent(10)) cluster_.node(id).hold_apply = random_.Percent(40);
    }
    for (Message& message : std::exchange(late_, {})) {
      if (random_.Percent(50)) {
        late_.push_back(std::move(message));
      } else if (!cluster_.isolated.contains(message.from) &&
                 !cluster_.isolated.contains(message.to)) {
        cluster_.node(message.to.value).loop().Step(raft::PeerMessage{message}, cluster_.now_ns());
      }
    }
  }
  void Heal() {
    calm_ = true;
    late_.clear();
    cluster_.isolated.clear();
    for (uint64_t id = 1; id <= 3; ++id) {
      cluster_.node(id).hold_log = false;
      cluster_.node(id).hold_apply = false;
    }
  }
  void AddWrite() {
    OneWrite& write = writes_.emplace_back();
    write.key = "w" + std::to_string(writes_.size());
    cluster_.Write(1 + random_.Below(3), write.key, &write.answer, 100 + random_.Below(2000));
  }
  void AddRead() {
    OneRead& read = reads_.emplace_back();
    read.node = 1 + random_.Below(3);
    for (const OneWrite& write : writes_) {
      if (write.answer.ok()) read.must_see.push_back(write.key);
    }
    cluster_.Read(read.node, &read.answer, 500);
  }
  void CheckReads() {
    for (OneRead& read : reads_) {
      if (read.checked || read.answer.pending()) continue;
      read.checked = true;
      if (!read.answer.ok()) continue;
      ++served_;
      for (const std::string& key : read.must_see) {
        ASSERT_TRUE(cluster_.Has(read.node, key)) << key << " at n" << read.node;
      }
    }
  }
  void Judge() {
    int acknowledged = 0;
    for (const OneWrite& write : writes_) {
      ASSERT_EQ(write.answer.calls, 1) << write.key;
      bool unknown = write.answer.failed(Code::kOutcomeUnknown);
      acknowledged += write.answer.ok() ? 1 : 0;
      for (uint64_t id = 1; id <= 3; ++id) {
        auto found = cluster_.node(id).machine().Get(write.key);
        ASSERT_TRUE(found);
        EXPECT_LE(found->version, 1u) << write.key << " was written twice";
        if (unknown) continue;
        EXPECT_EQ(cluster_.Has(id, write.key), write.answer.ok())
            << write.key << " at n" << id << ": "
            << (write.answer.ok() ? "ok" : write.answer.result.error().ToString());
      }
    }
    for (const OneRead& read : reads_) ASSERT_EQ(read.answer.calls, 1);
    // A run in which nothing happens would prove nothing.
    EXPECT_GT(acknowledged, 5);
    EXPECT_GT(served_, 2);
    for (uint64_t id = 1; id <= 3; ++id) {
      EXPECT_EQ(cluster_.node(id).loop().pending_writes(), 0u);
    }
  }

  SeededRandom random_;
  // Before the cluster: its destructor answers what is left.
  std::deque<OneWrite> writes_;
  std::deque<OneRead> reads_;
  std::vector<Message> late_;
  bool calm_ = false;
  int served_ = 0;
  Cluster cluster_;
};

TEST(RaftLoop, NeverSaysWhatIsNotSo) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomRun(seed).Go();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace arima::node::loops
