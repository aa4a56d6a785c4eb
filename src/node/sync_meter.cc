#include "node/sync_meter.h"

#include <algorithm>

namespace arima::node {

void SyncMeter::Begin(uint64_t now_ns) {
  MutexLock lock(&mutex_);
  begin_ns_ = std::max<uint64_t>(1, now_ns);
}

void SyncMeter::End(uint64_t now_ns, bool synced) {
  MutexLock lock(&mutex_);
  const uint64_t spent_ns = now_ns - std::min(now_ns, begin_ns_);
  begin_ns_ = 0;
  end_ns_ = now_ns;
  const bool slow = IsSlow(spent_ns);
  if (slow) slow_ns_ += spent_ns;
  if (!synced) return;
  if (!slow) slow_ns_ = 0;
  recent_ns_[count_ % kRecent] = spent_ns;
  ++count_;
}

void SyncMeter::Cancel() {
  MutexLock lock(&mutex_);
  begin_ns_ = 0;
}

SyncReading SyncMeter::Read(uint64_t now_ns) const {
  MutexLock lock(&mutex_);
  SyncReading reading;
  if (count_ > 0) {
    std::array<uint64_t, kRecent> sorted = recent_ns_;
    const auto end = sorted.begin() + static_cast<ptrdiff_t>(std::min(count_, kRecent));
    const auto middle = sorted.begin() + (end - sorted.begin()) / 2;
    std::nth_element(sorted.begin(), middle, end);
    reading.typical_ns = *middle;
  }
  if (begin_ns_ != 0) reading.running_ns = now_ns - std::min(now_ns, begin_ns_);
  const uint64_t under_way_ns = IsSlow(reading.running_ns) ? reading.running_ns : 0;
  const bool idle = begin_ns_ == 0 && now_ns - std::min(now_ns, end_ns_) >= kForgetNs;
  reading.stalled = !idle && slow_ns_ + under_way_ns >= stall_ns_;
  return reading;
}

}  // namespace arima::node
