// HandOverPacer: how often a leader may give up leadership because of its own disk. If the others'
// disks are no better in the end, leadership must not wander.
//
// After a hand-over this node waits 30 s before the next one, then twice as long each time, up to
// 16 minutes; 16 minutes without one and it begins anew. Pure decisions. Thread rule: the core
// thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace arima::node {

class HandOverPacer {
 public:
  static constexpr uint64_t kPauseNsMin = 30'000'000'000;
  static constexpr uint64_t kPauseNsMax = 32 * kPauseNsMin;

  bool Due(uint64_t now_ns) const { return pause_ns_ == 0 || now_ns - last_ns_ >= pause_ns_; }
  void Started(uint64_t now_ns) {
    const bool forgotten = pause_ns_ == 0 || now_ns - last_ns_ >= pause_ns_ + kPauseNsMax;
    pause_ns_ = forgotten ? kPauseNsMin : std::min(2 * pause_ns_, kPauseNsMax);
    last_ns_ = now_ns;
  }

 private:
  uint64_t last_ns_ = 0;
  uint64_t pause_ns_ = 0;  // 0: there was none yet
};

}  // namespace arima::node
