#include "raft/progress.h"

#include <algorithm>

#include "base/assert.h"

namespace arima::raft {

void Progress::BecomeProbe() {
  // After a snapshot the probe starts above it: the peer is about to have it.
  Index low = state == ProgressState::kSnapshot ? std::max(match, pending_snapshot) : match;
  state = ProgressState::kProbe;
  next = low + 1;
  sent_commit = std::min(sent_commit, low);
  pending_snapshot = Index(0);
  snapshot_id = 0;
  paused = false;
  inflights.Reset();
}

void Progress::BecomeReplicate() {
  state = ProgressState::kReplicate;
  next = match + 1;
  snapshot_reported = false;
  pending_snapshot = Index(0);
  snapshot_id = 0;
  paused = false;
  inflights.Reset();
}

void Progress::BecomeSnapshot() {
  state = ProgressState::kSnapshot;
  pending_snapshot = Index(0);
  snapshot_id = 0;
  repairing = false;
  repair_id = 0;
  paused = false;
  inflights.Reset();
}

void Progress::SentEntries(uint64_t count, uint64_t bytes) {
  ARIMA_ASSERT(state != ProgressState::kSnapshot && count > 0, id, count);
  if (state == ProgressState::kProbe) {
    paused = true;
    return;
  }
  next = next + count;
  inflights.Add(next - 1, bytes);
  paused = inflights.Full();
}

bool Progress::Acked(Index index) {
  ARIMA_ASSERT(match < next, id, match, next);
  bool news = index > match;
  if (news) match = index;
  next = std::max(next, index + 1);
  if (news || (index == match && state == ProgressState::kProbe)) paused = false;
  return news;
}

bool Progress::Rejected(Index rejected, Index hint) {
  if (state == ProgressState::kReplicate) {
    // Everything up to match is known to be there: the answer is older than that knowledge.
    if (rejected <= match || rejected >= next) return false;
    BecomeProbe();
    return true;
  }
  if (state != ProgressState::kProbe || rejected + 1 != next) return false;
  next = std::max(std::min(rejected, hint + 1), match + 1);
  ARIMA_ASSERT(next > match, id, match, next);
  sent_commit = std::min(sent_commit, next - 1);
  paused = false;
  return true;
}

void Progress::StartCatchUp(Index last, uint64_t now_ns) {
  catch_up_target = last;
  catch_up_start_ns = now_ns;
  catch_up_fast = false;
}

void Progress::UpdateCatchUp(Index last, uint64_t now_ns, uint64_t round_ns) {
  if (match < catch_up_target) return;
  catch_up_fast = now_ns - catch_up_start_ns <= round_ns;
  catch_up_target = last;
  catch_up_start_ns = now_ns;
}

bool Progress::CaughtUp(uint64_t now_ns, uint64_t round_ns) const {
  // A round that is still running after its time is over counts as slow already.
  return catch_up_fast && (match >= catch_up_target || now_ns - catch_up_start_ns <= round_ns);
}

}  // namespace arima::raft
