// WriteChecker: what becomes of each proposed write (docs/design/raft.md 1.14).
//
//   writes once   no client sends a write twice, so no tag is in the history twice, however often
//                 the network doubles a message
//   refused       "refused" means: not appended anywhere; such a write is never in the history
//
// The history is what state machines apply; the first of them tells it, the others are compared by
// StateChecker. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>

#include "raft/types.h"
#include "sim/verdict.h"

namespace arima::sim {

class WriteChecker {
 public:
  explicit WriteChecker(Verdict* verdict) : verdict_(verdict) {}

  // A state machine applies an entry; only clients' commands count.
  void OnApply(const raft::Entry& entry) {
    if (entry.index <= seen_) return;
    seen_ = entry.index;
    if (entry.kind != raft::EntryKind::kCommand || entry.payload.size() < sizeof(uint64_t)) return;
    const uint64_t tag = TagOf(entry);
    if (!applied_.insert(tag).second) Fail("writes once", tag, "is applied a second time", seen_);
    if (refused_.contains(tag)) Fail("refused writes", tag, "was refused and is applied", seen_);
  }
  void OnRefused(uint64_t tag) {
    refused_.insert(tag);
    if (applied_.contains(tag)) Fail("refused writes", tag, "is refused after it was applied", {});
  }

  // Payloads begin with the tag.
  static uint64_t TagOf(const raft::Entry& entry) {
    uint64_t tag = 0;
    for (size_t i = 0; i < sizeof(tag); ++i) {
      tag |= uint64_t{static_cast<uint8_t>(entry.payload.view()[i])} << (8 * i);
    }
    return tag;
  }

 private:
  void Fail(std::string_view rule, uint64_t tag, const std::string& what, raft::Index index) {
    verdict_->Fail(rule, "write " + std::to_string(tag) + " " + what +
                             (index ? " at " + std::to_string(index.value) : std::string()));
  }

  Verdict* const verdict_;
  raft::Index seen_;
  std::unordered_set<uint64_t> applied_;
  std::unordered_set<uint64_t> refused_;
};

}  // namespace arima::sim
