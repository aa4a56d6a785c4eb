#include "check/revision_checker.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace arima::check {
namespace {

constexpr std::string_view kRule = "revisions";

// A write that certainly made the revision it names. A delete that does not say whether there was a
// key may name one that it found.
bool MadeRevision(const Operation& operation) {
  if (operation.outcome != Outcome::kOk || !operation.revision) return false;
  if (operation.kind == Kind::kDelete) return operation.deleted.value_or(false);
  return operation.kind != Kind::kRead;
}

// The revision of the store in the state that `operation` looked at and did not change.
std::optional<uint64_t> LookedAt(const Operation& operation) {
  if (operation.outcome != Outcome::kOk) return std::nullopt;
  if (operation.kind == Kind::kRead) return operation.store_revision;
  const bool no_key = operation.kind == Kind::kDelete && !operation.deleted.value_or(true);
  return no_key ? operation.revision : std::nullopt;
}

// ------------------------------------------------------------ one revision, one write

class Contents {
 public:
  Contents(std::span<const Operation> history, Findings* findings)
      : history_(history), findings_(*findings) {}

  void Run() {
    for (size_t at = 0; at < history_.size(); ++at) {
      if (MadeRevision(history_[at])) OnWrite(at);
    }
    for (size_t at = 0; at < history_.size(); ++at) {
      const Operation& operation = history_[at];
      if (operation.kind == Kind::kRead && operation.revision) OnRead(at);
    }
  }

 private:
  void OnWrite(size_t at) {
    const auto [it, added] = first_.try_emplace(*history_[at].revision, at);
    if (!added) Report(at, it->second, "two writes made one revision");
  }

  void OnRead(size_t at) {
    const auto [it, added] = first_.try_emplace(*history_[at].revision, at);
    const Operation& known = history_[it->second];
    if (known.key != history_[at].key || known.value != history_[at].value) {
      Report(at, it->second, "one revision stands for two contents");
    }
  }

  void Report(size_t at, size_t first, std::string_view what) {
    findings_.Add(kRule, history_[at].key, what, {first, at});
  }

  const std::span<const Operation> history_;
  Findings& findings_;
  std::unordered_map<uint64_t, size_t> first_;  // who named a revision first, writes before reads
};

// ------------------------------------------------------------ the store never goes back

// The least revision that the store had when `operation` had been done; 0 if it does not say.
uint64_t StoreBehind(const Operation& operation) {
  if (operation.outcome != Outcome::kOk) return 0;
  return std::max(operation.revision.value_or(0), operation.store_revision.value_or(0));
}

void CheckNeverBack(std::span<const Operation> history, Findings* findings) {
  std::vector<size_t> by_start;
  std::vector<size_t> by_end;
  for (size_t at = 0; at < history.size(); ++at) {
    if (StoreBehind(history[at]) == 0) continue;
    by_start.push_back(at);
    by_end.push_back(at);
  }
  std::ranges::stable_sort(by_start, {}, [&](size_t at) { return history[at].start_ns; });
  std::ranges::stable_sort(by_end, {}, [&](size_t at) { return history[at].end_ns; });
  uint64_t floor = 0;  // of all that ended before the present operation began
  size_t floor_at = 0;
  size_t ended = 0;
  for (size_t at : by_start) {
    const Operation& operation = history[at];
    for (; history[by_end[ended]].end_ns < operation.start_ns; ++ended) {
      const uint64_t behind = StoreBehind(history[by_end[ended]]);
      if (behind <= floor) continue;
      floor = behind;
      floor_at = by_end[ended];
    }
    const bool read = operation.kind == Kind::kRead;
    if (read && (operation.stale || !operation.store_revision)) continue;
    const uint64_t behind = StoreBehind(operation);
    if (behind > floor || (behind == floor && !MadeRevision(operation))) continue;
    findings->Add(kRule, operation.key,
                  read ? "a read saw an older store than one that had been seen before it began"
                       : "a write is older than what had been seen before it began",
                  {floor_at, at});
  }
}

// ------------------------------------------------------------ a state is whole

class States {
 public:
  States(std::span<const Operation> history, Findings* findings)
      : history_(history), findings_(*findings) {
    for (size_t at = 0; at < history_.size(); ++at) {
      const Operation& operation = history_[at];
      KeyWrites& key = keys_[operation.key];
      if (MadeRevision(operation)) {
        key.by_revision.insert_or_assign(*operation.revision, at);
      } else if (operation.kind == Kind::kRead && operation.outcome == Outcome::kOk &&
                 operation.revision) {
        // Whoever made it may not know; that it was made is seen.
        key.by_revision.try_emplace(*operation.revision, at);
      } else if (operation.kind == Kind::kDelete && operation.deleted.value_or(true) &&
                 operation.outcome != Outcome::kFailed) {
        key.delete_start = std::min(key.delete_start, operation.start_ns);
      }
    }
  }

  void Run() {
    for (size_t at = 0; at < history_.size(); ++at) {
      if (const std::optional<uint64_t> store = LookedAt(history_[at])) Check(at, *store);
    }
  }

 private:
  struct KeyWrites {
    // Those with a known revision: the write, or else a read that shows it.
    std::map<uint64_t, size_t> by_revision;
    uint64_t delete_start = kNever;  // first delete whose revision is not known
  };

  void Check(size_t at, uint64_t store) {
    const Operation& operation = history_[at];
    const KeyWrites& key = keys_[operation.key];
    if (operation.value && operation.revision.value_or(0) > store) {
      findings_.Add(kRule, operation.key, "a value is newer than the store it was read from", {at});
      return;
    }
    const auto behind = key.by_revision.upper_bound(store);
    if (behind == key.by_revision.begin()) return;
    const auto& [revision, write] = *std::prev(behind);
    if (operation.value) {
      if (!operation.revision || *operation.revision >= revision) return;
    } else {
      if (history_[write].kind == Kind::kDelete) return;
      if (key.delete_start <= operation.end_ns) return;
    }
    findings_.Add(kRule, operation.key,
                  "an answer does not show the last write up to the revision of its store",
                  {write, at});
  }

  const std::span<const Operation> history_;
  Findings& findings_;
  std::unordered_map<std::string_view, KeyWrites> keys_;
};

}  // namespace

void CheckRevisions(std::span<const Operation> history, Findings* findings) {
  Contents(history, findings).Run();
  CheckNeverBack(history, findings);
  States(history, findings).Run();
}

}  // namespace arima::check
