#include "node/history_keeper.h"

#include <algorithm>

namespace arima::node {
namespace {

// The end of history is known this exactly; their sum bounds the number of marks.
constexpr uint64_t kMarksPerAge = 256;
constexpr uint64_t kMarksPerSize = 64;

// What stays of history while the disk is low: this to twice this.
constexpr uint64_t kShortAgeNs = 5'000'000'000;

constexpr uint64_t kProposeStepNs = 1'000'000'000;
// A smaller step waits longer: for this part of the age, so that it costs little and is not late.
constexpr uint64_t kUsefulRevisions = 100;
constexpr uint64_t kSmallStepsPerAge = 20;
constexpr uint64_t kSmallStepNsMax = 30'000'000'000;

}  // namespace

void HistoryKeeper::Note(uint64_t now_ns, uint64_t revision, uint64_t written_bytes) {
  revision_ = revision;
  if (now_ns - recent_.time_ns >= kShortAgeNs) {
    short_target_ = std::max<uint64_t>(1, recent_.revision);
    recent_ = {now_ns, revision, written_bytes};
  }
  bool due = marks_.empty();
  if (!due && marks_.back().revision != revision) {
    due = now_ns - marks_.back().time_ns >= options_.max_age_ns / kMarksPerAge ||
          written_bytes - marks_.back().written_bytes >= options_.max_bytes / kMarksPerSize;
  }
  if (due && revision > target_) marks_.push_back({now_ns, revision, written_bytes});
  while (!marks_.empty() && (now_ns - marks_.front().time_ns >= options_.max_age_ns ||
                             written_bytes - marks_.front().written_bytes > options_.max_bytes)) {
    target_ = std::max(target_, marks_.front().revision);
    marks_.pop_front();
  }
}

std::optional<uint64_t> HistoryKeeper::Propose(uint64_t now_ns, uint64_t compact_revision) {
  uint64_t target = 1;
  if (revision_ > options_.min_revisions) {
    target = std::min(target_, revision_ - options_.min_revisions);
  }
  if (short_) target = std::max(target, short_target_);
  if (target <= compact_revision) return std::nullopt;
  if (proposed_ns_) {
    const uint64_t passed_ns = now_ns - *proposed_ns_;
    const bool useful = short_ || target - compact_revision >= kUsefulRevisions;
    const uint64_t small_step_ns =
        std::clamp(options_.max_age_ns / kSmallStepsPerAge, kProposeStepNs, kSmallStepNsMax);
    if (passed_ns < (useful ? kProposeStepNs : small_step_ns)) return std::nullopt;
  }
  proposed_ns_ = now_ns;
  return target;
}

void HistoryKeeper::Forget() {
  marks_.clear();
  revision_ = 1;
  target_ = 1;
  proposed_ns_.reset();
  recent_ = {};
  short_target_ = 1;
  short_ = false;
}

}  // namespace arima::node
