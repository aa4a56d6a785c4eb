// Operations with an unknown outcome are what makes the search for an order expensive: each may
// stand anywhere behind its start, or nowhere. Most of them are settled here, without search:
//
// - A write that is the only one of its value, and whose value was seen, did happen, and before
//   the first of those who saw it ended. It becomes a step with that end. (In any order it stands
//   before all who saw its value.) Known writes get the earlier end too.
// - A write whose value nobody saw is dropped. If there is an order with it, there is one without:
//   what stands between it and the next write asks for no value at all. Who asks that the value be
//   *not* something may have been satisfied by it, so that this only goes where nobody does.
// - Those left that do the same are interchangeable: OpenWrites uses them in order of their start.
//   (Swap two that an order uses the other way round: both may stand where the later one did.)
//
// Values that nobody asks for are one value, kOther: who cannot tell them apart need not.

#include "check/key_history.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace arima::check {
namespace {

class ValueNames {
 public:
  ValueId IdOf(const std::optional<std::string>& value) {
    if (!value) return kAbsent;
    const auto [it, added] = ids_.try_emplace(*value, next_);
    if (added) ++next_;
    return it->second;
  }

 private:
  std::unordered_map<std::string_view, ValueId> ids_;
  ValueId next_ = kOther + 1;
};

// False if the operation says nothing.
bool Describe(const Operation& operation, ValueNames* names, Access* access) {
  const Outcome outcome = operation.outcome;
  if (outcome == Outcome::kFailed || operation.stale) return false;
  if (operation.kind == Kind::kRead && outcome != Outcome::kOk) return false;
  access->open = outcome == Outcome::kUnknown;
  access->start = operation.start_ns;
  access->end = access->open ? kNever : operation.end_ns;
  switch (operation.kind) {
    case Kind::kRead:
      access->needs = names->IdOf(operation.value);
      return true;
    case Kind::kPut:
      access->writes = names->IdOf(operation.value);
      return true;
    case Kind::kDelete:
      if (operation.deleted) (*operation.deleted ? access->forbids : access->needs) = kAbsent;
      if (operation.deleted.value_or(true)) access->writes = kAbsent;
      return true;
    case Kind::kCompareAndSet:
      break;
  }
  if (outcome == Outcome::kMismatch) {
    access->forbids = names->IdOf(operation.expected);
    return true;
  }
  access->needs = names->IdOf(operation.expected);
  access->writes = names->IdOf(operation.value);
  if (access->writes == access->needs) access->writes = kNoValue;  // changes nothing
  return !access->open || access->writes != kNoValue;  // what is open writes, from here on
}

ValueId CountValues(std::span<const Access> accesses) {
  ValueId count = kOther + 1;
  for (const Access& access : accesses) {
    for (ValueId value : {access.needs, access.forbids, access.writes}) {
      if (value != kNoValue) count = std::max(count, value + 1);
    }
  }
  return count;
}

std::vector<Access> StopAt(std::span<const Access> accesses, uint64_t until) {
  std::vector<Access> stopped;
  stopped.reserve(accesses.size());
  for (Access access : accesses) {
    if (access.start > until) continue;
    if (access.end > until) {
      if (access.writes == kNoValue) continue;
      access.open = true;
      access.end = kNever;
      // Without effect it may have met anything; with effect it overwrote whatever it met.
      access.forbids = kNoValue;
    }
    stopped.push_back(access);
  }
  return stopped;
}

// Gives writes that are the only ones of their value the end of the first who saw it.
void CloseSeenWrites(std::vector<Access>* accesses, ValueId values) {
  constexpr size_t kNobody = SIZE_MAX;
  constexpr size_t kSeveral = SIZE_MAX - 1;
  std::vector<size_t> writer(values, kNobody);
  writer[kAbsent] = kSeveral;  // the start of the history is one
  for (size_t i = 0; i < accesses->size(); ++i) {
    const ValueId value = (*accesses)[i].writes;
    if (value != kNoValue) writer[value] = writer[value] == kNobody ? i : kSeveral;
  }
  std::vector<size_t> seers;
  for (size_t i = 0; i < accesses->size(); ++i) {
    if (!(*accesses)[i].open && (*accesses)[i].needs != kNoValue) seers.push_back(i);
  }
  while (!seers.empty()) {
    const Access& seer = (*accesses)[seers.back()];
    seers.pop_back();
    const size_t at = writer[seer.needs];
    if (at >= accesses->size()) continue;
    Access& write = (*accesses)[at];
    // Seen before it began: there is no order, and the search will say so.
    const uint64_t end = std::max(seer.end, write.start);
    if (!write.open && write.end <= end) continue;
    write.open = false;
    write.end = end;
    if (write.needs != kNoValue) seers.push_back(at);
  }
}

// Drops open accesses that nobody can have seen.
void DropUnseenWrites(std::vector<Access>* accesses, ValueId values) {
  std::vector<uint64_t> asked_until(values, 0);
  std::vector<bool> asked(values, false);
  uint64_t forbidden_until = 0;
  bool forbidden = false;
  for (const Access& access : *accesses) {
    if (access.open) continue;
    if (access.needs != kNoValue) {
      asked[access.needs] = true;
      asked_until[access.needs] = std::max(asked_until[access.needs], access.end);
    }
    if (access.forbids != kNoValue) {
      forbidden = true;
      forbidden_until = std::max(forbidden_until, access.end);
    }
  }
  std::vector<bool> kept(accesses->size(), false);
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < accesses->size(); ++i) {
      const Access& access = (*accesses)[i];
      if (kept[i]) continue;
      if (access.open) {
        const bool seen = asked[access.writes] && asked_until[access.writes] >= access.start;
        if (!seen && !(forbidden && forbidden_until >= access.start)) continue;
      }
      kept[i] = true;
      if (access.open && access.needs != kNoValue) {
        more = true;
        asked[access.needs] = true;
        asked_until[access.needs] = kNever;
      }
    }
  }
  size_t out = 0;
  for (size_t i = 0; i < accesses->size(); ++i) {
    if (kept[i]) (*accesses)[out++] = (*accesses)[i];
  }
  accesses->resize(out);
}

// One number for all values that nobody asks for; the others get the numbers behind it.
ValueId MergeUnaskedValues(std::vector<Access>* accesses, ValueId values) {
  std::vector<ValueId> renamed(values, kOther);
  renamed[kAbsent] = kAbsent;
  ValueId next = kOther + 1;
  for (const Access& access : *accesses) {
    for (ValueId value : {access.needs, access.forbids}) {
      if (value != kNoValue && renamed[value] == kOther) renamed[value] = next++;
    }
  }
  for (Access& access : *accesses) {
    for (ValueId* value : {&access.needs, &access.forbids, &access.writes}) {
      if (*value != kNoValue) *value = renamed[*value];
    }
  }
  return next;
}

}  // namespace

std::vector<Access> AccessesOf(std::span<const Operation> history,
                               std::span<const size_t> operations) {
  ValueNames names;
  std::vector<Access> accesses;
  accesses.reserve(operations.size());
  for (size_t operation : operations) {
    Access access{.operation = operation};
    if (Describe(history[operation], &names, &access)) accesses.push_back(access);
  }
  return accesses;
}

std::vector<Access> AskForValuesOnly(std::span<const Access> accesses) {
  std::vector<Access> fewer;
  for (Access access : accesses) {
    if (access.writes != kNoValue) {
      access.needs = access.forbids = kNoValue;
    } else if (access.needs == kNoValue || access.needs == kAbsent) {
      continue;
    }
    fewer.push_back(access);
  }
  return fewer;
}

KeyHistory MakeKeyHistory(std::span<const Access> accesses, uint64_t until) {
  std::vector<Access> reduced = StopAt(accesses, until);
  const ValueId values = CountValues(reduced);
  CloseSeenWrites(&reduced, values);
  DropUnseenWrites(&reduced, values);
  KeyHistory key;
  key.values = MergeUnaskedValues(&reduced, values);
  std::map<std::pair<ValueId, ValueId>, std::vector<uint64_t>> open;
  for (const Access& access : reduced) {
    if (access.open) {
      open[{access.needs, access.writes}].push_back(access.start);
    } else {
      key.steps.push_back({access.needs, access.forbids, access.writes, access.start, access.end});
    }
  }
  std::ranges::stable_sort(key.steps, {}, [](const Step& s) { return std::pair(s.start, s.end); });
  for (auto& [does, starts] : open) {
    std::ranges::sort(starts);
    key.open.push_back({does.first, does.second, std::move(starts)});
  }
  return key;
}

}  // namespace arima::check
