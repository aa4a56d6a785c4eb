// Depth first: at each point one of the steps is chosen that may come next, which is every step not
// done yet that starts before the first end among those; the value changes; and where nothing fits,
// the last choice is taken back. A configuration that was left without success is not entered
// again.
//
// What makes it fast:
// - A configuration is small however long the history is. When `ended_` is the first step, by end,
//   that is not done, then all before it are done, and of those behind it only some that overlap
//   with it. So (ended_, which of the overlapping ones are done, value) says it all. Overlapping
//   steps have different slots, and slots are used again, so that "which" is a short row of bits.
//   At a moment when nothing is under way a configuration is a value alone: the history falls into
//   parts there by itself.
// - A step that writes nothing and fits now is done now, and that choice is never taken back: any
//   order of the rest that has it later is as good with it now. So is a write whose value nobody
//   asks for, when nobody asks for the present value any more.
// - The value is not overwritten while somebody who needs it is left and nobody who could bring
//   it back; and a value is not written where that would leave no way on (WouldGetStuck).
// - A write with an unknown outcome is only chosen where the next step depends on the value it
//   makes; any order can do without the others. Those that do the same are chosen by their start
//   (key_history.cc), so that a count says which ones are used.

#include "check/order_search.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "check/configuration_set.h"

namespace arima::check {
namespace {

constexpr size_t kWordBits = 64;

// For each step a number that no other step has which overlaps with it; small numbers.
std::vector<uint32_t> AssignSlots(const std::vector<Step>& steps,
                                  const std::vector<uint32_t>& by_end, uint32_t* slot_count) {
  std::vector<uint32_t> slots(steps.size());
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> free;
  *slot_count = 0;
  size_t ended = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    // Equal times overlap. Who ended has started: its start is not later than its end.
    while (steps[by_end[ended]].end < steps[i].start) free.push(slots[by_end[ended++]]);
    if (free.empty()) free.push((*slot_count)++);
    slots[i] = free.top();
    free.pop();
  }
  return slots;
}

class Search {
 public:
  Search(const KeyHistory& key, uint64_t configurations_max);
  SearchResult Run();

 private:
  // A step by its position, or OpenWrites by its position behind all steps.
  using Choice = size_t;
  static constexpr Choice kFirst = SIZE_MAX;

  struct Made {
    Choice choice;
    size_t ended;  // before it
    ValueId value;
    bool to_be_seen;
    bool forced;
  };

  size_t step_count() const { return key_.steps.size(); }
  size_t choice_count() const { return step_count() + key_.open.size(); }
  // Steps that start later cannot come next.
  uint64_t horizon() const { return key_.steps[by_end_[ended_]].end; }

  bool GoOn();
  bool GoBack();
  Choice FirstStep() const { return WithinHorizon(next_[step_count()]); }
  Choice WithinHorizon(size_t step) const;
  Choice Behind(Choice choice) const;
  Choice FreeStep() const;
  bool IsFree(const Step& step) const;
  bool Fits(Choice choice) const;
  bool MayLeaveValue(const Step* step) const;
  bool WouldGetStuck(ValueId value, size_t step) const;
  void Make(Choice choice, bool forced);
  void TakeBack();
  bool EnterNew();
  void SetBit(size_t step) { bits_[slots_[step] / kWordBits] |= Bit(step); }
  void ClearBit(size_t step) { bits_[slots_[step] / kWordBits] &= ~Bit(step); }
  uint64_t Bit(size_t step) const { return uint64_t{1} << (slots_[step] % kWordBits); }

  const KeyHistory& key_;
  const uint64_t configurations_max_;
  std::vector<uint32_t> by_end_;  // positions of steps, ascending by end
  std::vector<uint32_t> slots_;   // of each step

  // The configuration.
  size_t ended_ = 0;            // by_end_[0, ended_) are done, by_end_[ended_] is not
  std::vector<uint64_t> bits_;  // by slot: steps that are done but not among by_end_[0, ended_)
  ValueId value_ = kAbsent;
  bool to_be_seen_ = false;     // value_ is of an open write: the next step must depend on it
  std::vector<uint32_t> used_;  // of each OpenWrites

  // Follows from it. The list of steps not done, by start; the last position is its anchor.
  std::vector<size_t> next_;
  std::vector<size_t> previous_;
  std::vector<bool> done_;
  std::vector<uint32_t> needers_left_;         // by value: steps not done that need it
  std::vector<uint64_t> latest_needer_start_;  // by value
  uint32_t forbidders_left_ = 0;               // steps not done that forbid a value
  std::vector<bool> needed_by_open_;           // by value
  std::vector<uint32_t> writers_left_;         // by value: steps not done and open writes not used

  std::vector<Made> made_;
  Choice cursor_ = kFirst;  // the next one to try
  uint64_t configurations_ = 0;
  ConfigurationSet entered_;
  std::vector<uint64_t> row_;
};

Search::Search(const KeyHistory& key, uint64_t configurations_max)
    : key_(key),
      configurations_max_(configurations_max),
      by_end_(key.steps.size()),
      used_(key.open.size(), 0),
      next_(key.steps.size() + 1),
      previous_(key.steps.size() + 1),
      done_(key.steps.size(), false),
      needers_left_(key.values, 0),
      latest_needer_start_(key.values, 0),
      needed_by_open_(key.values, false),
      writers_left_(key.values, 0),
      entered_(0) {
  std::iota(by_end_.begin(), by_end_.end(), 0u);
  std::ranges::stable_sort(by_end_, {}, [&](uint32_t step) { return key.steps[step].end; });
  uint32_t slot_count = 0;
  slots_ = AssignSlots(key.steps, by_end_, &slot_count);
  bits_.resize((slot_count + kWordBits - 1) / kWordBits, 0);
  row_.resize(1 + bits_.size() + (used_.size() + 1) / 2);
  entered_ = ConfigurationSet(row_.size());
  for (size_t i = 0; i <= step_count(); ++i) {
    next_[i] = i == step_count() ? 0 : i + 1;
    previous_[i] = i == 0 ? step_count() : i - 1;
  }
  for (const Step& step : key.steps) {
    if (step.needs != kNoValue) {
      ++needers_left_[step.needs];
      latest_needer_start_[step.needs] = std::max(latest_needer_start_[step.needs], step.start);
    }
    if (step.forbids != kNoValue) ++forbidders_left_;
    if (step.writes != kNoValue) ++writers_left_[step.writes];
  }
  for (const OpenWrites& open : key.open) {
    if (open.needs != kNoValue) needed_by_open_[open.needs] = true;
    writers_left_[open.writes] += static_cast<uint32_t>(open.starts.size());
  }
}

SearchResult Search::Run() {
  while (ended_ < step_count()) {
    if (GoOn()) continue;
    if (configurations_ == configurations_max_) return {SearchEnd::kLimit, configurations_};
    if (!GoBack()) return {SearchEnd::kNoOrder, configurations_};
  }
  return {SearchEnd::kOrder, configurations_};
}

// Makes the next choice; false if there is none to make here, or the limit is reached.
bool Search::GoOn() {
  if (configurations_ == configurations_max_) return false;
  if (cursor_ == kFirst) {
    if (const Choice free = FreeStep(); free != choice_count()) {
      Make(free, /*forced=*/true);
      return true;
    }
    cursor_ = FirstStep();
  }
  for (; cursor_ != choice_count(); cursor_ = Behind(cursor_)) {
    if (!Fits(cursor_)) continue;
    const Choice choice = cursor_;
    Make(choice, /*forced=*/false);
    if (EnterNew()) return true;
    TakeBack();
    cursor_ = choice;
    if (configurations_ == configurations_max_) return false;
  }
  return false;
}

// Takes back the last choice that had an alternative; false if there is none.
bool Search::GoBack() {
  while (!made_.empty()) {
    const Made made = made_.back();
    TakeBack();
    if (made.forced) continue;
    cursor_ = Behind(made.choice);
    return true;
  }
  return false;
}

// `step`, or what comes behind all steps if it is too late or the anchor.
Search::Choice Search::WithinHorizon(size_t step) const {
  return step != step_count() && key_.steps[step].start <= horizon() ? step : step_count();
}

Search::Choice Search::Behind(Choice choice) const {
  return choice < step_count() ? WithinHorizon(next_[choice]) : choice + 1;
}

// A step that may as well be done now.
Search::Choice Search::FreeStep() const {
  for (Choice at = FirstStep(); at < step_count(); at = Behind(at)) {
    if (IsFree(key_.steps[at]) && Fits(at)) return at;
  }
  return choice_count();
}

bool Search::IsFree(const Step& step) const {
  if (step.writes == kNoValue) return true;
  // Earlier, it hides the present value from those who come before the next write: none of them may
  // need it. Later, it is missing where it was: nobody there may depend on it.
  const uint32_t needers = step.needs == value_ ? 1 : 0;
  return step.writes == kOther && forbidders_left_ == 0 && needers_left_[value_] <= needers &&
         !needed_by_open_[value_];
}

bool Search::Fits(Choice choice) const {
  if (choice >= step_count()) {
    const size_t at = choice - step_count();
    const OpenWrites& open = key_.open[at];
    if (used_[at] == open.starts.size() || open.starts[used_[at]] > horizon()) return false;
    if (open.writes == value_) return false;
    if (open.needs == kNoValue ? to_be_seen_ : open.needs != value_) return false;
    return MayLeaveValue(nullptr) && !WouldGetStuck(open.writes, step_count());
  }
  const Step& step = key_.steps[choice];
  if (step.needs != kNoValue && step.needs != value_) return false;
  if (step.forbids == value_) return false;
  if (to_be_seen_ && step.needs == kNoValue && step.forbids == kNoValue) return false;
  if (step.writes == kNoValue || step.writes == value_) return true;
  return MayLeaveValue(&step) && !WouldGetStuck(step.writes, choice);
}

bool Search::MayLeaveValue(const Step* step) const {
  const uint32_t needers = step != nullptr && step->needs == value_ ? 1 : 0;
  return needers_left_[value_] <= needers || writers_left_[value_] > 0;
}

// After `value` was written by its last writer (`step`, or an open one), it must stay until all who
// need it are done. If one of them begins behind the horizon, the step that makes the horizon must
// be done before, and so must put up with `value`.
bool Search::WouldGetStuck(ValueId value, size_t step) const {
  if (needers_left_[value] == 0 || latest_needer_start_[value] <= horizon()) return false;
  if (writers_left_[value] > 1 || by_end_[ended_] == step) return false;
  const Step& first = key_.steps[by_end_[ended_]];
  if (first.needs != kNoValue) return first.needs != value;
  return first.writes != kNoValue || first.forbids == value;
}

void Search::Make(Choice choice, bool forced) {
  made_.push_back({choice, ended_, value_, to_be_seen_, forced});
  ++configurations_;
  cursor_ = kFirst;
  if (choice >= step_count()) {
    const size_t at = choice - step_count();
    ++used_[at];
    value_ = key_.open[at].writes;
    --writers_left_[value_];
    to_be_seen_ = true;
    return;
  }
  const Step& step = key_.steps[choice];
  next_[previous_[choice]] = next_[choice];
  previous_[next_[choice]] = previous_[choice];
  done_[choice] = true;
  SetBit(choice);
  if (step.needs != kNoValue) --needers_left_[step.needs];
  if (step.forbids != kNoValue) --forbidders_left_;
  if (step.writes != kNoValue) {
    --writers_left_[step.writes];
    value_ = step.writes;
  }
  to_be_seen_ = false;
  for (; ended_ < step_count() && done_[by_end_[ended_]]; ++ended_) ClearBit(by_end_[ended_]);
}

void Search::TakeBack() {
  ARIMA_ASSERT(!made_.empty());
  const Made made = made_.back();
  made_.pop_back();
  value_ = made.value;
  to_be_seen_ = made.to_be_seen;
  if (made.choice >= step_count()) {
    const size_t at = made.choice - step_count();
    --used_[at];
    ++writers_left_[key_.open[at].writes];
    return;
  }
  while (ended_ > made.ended) SetBit(by_end_[--ended_]);
  const Step& step = key_.steps[made.choice];
  ClearBit(made.choice);
  done_[made.choice] = false;
  next_[previous_[made.choice]] = made.choice;
  previous_[next_[made.choice]] = made.choice;
  if (step.needs != kNoValue) ++needers_left_[step.needs];
  if (step.forbids != kNoValue) ++forbidders_left_;
  if (step.writes != kNoValue) ++writers_left_[step.writes];
}

// False if the search has been in this configuration.
bool Search::EnterNew() {
  row_[0] = ended_ | uint64_t{value_} << 32 | uint64_t{to_be_seen_} << 63;
  std::ranges::copy(bits_, row_.begin() + 1);
  uint64_t* used = &row_[bits_.size()] + 1;
  for (size_t i = 0; i < used_.size(); i += 2) {
    const uint64_t second = i + 1 < used_.size() ? used_[i + 1] : 0;
    used[i / 2] = used_[i] | second << 32;
  }
  return entered_.Insert(row_);
}

}  // namespace

SearchResult FindOrder(const KeyHistory& key, uint64_t configurations_max) {
  ARIMA_ASSERT(key.steps.size() < UINT32_MAX && key.values <= INT32_MAX);
  return Search(key, configurations_max).Run();
}

}  // namespace arima::check
