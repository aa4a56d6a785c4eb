// Revisions, where answers carry them, over all keys of a history. No search:
//
// - One revision is one write: two writes never made the same, and every read that names it shows
//   its key and value.
// - The store never goes back: what begins after an answer came sees at least the revision of that
//   answer, and a write makes a newer one. (Stale reads may see an older one, but what they saw is
//   there for those who come later.)
// - A state is whole: who looked at the store at revision s saw the last write of its key up to s,
//   be it one that was answered or one that a read has shown.
//   That holds for stale reads too, and key by key for listings.
//
// Pure function, any thread.
#pragma once

#include <span>

#include "check/findings.h"
#include "check/history.h"

namespace arima::check {

void CheckRevisions(std::span<const Operation> history, Findings* findings);

}  // namespace arima::check
