// Values come from somewhere: whatever was seen had been written to that key, by a write that was
// not answered as "not applied", and that had begun. Needs no search, and holds for stale reads
// too. Pure function, any thread.
#pragma once

#include <span>

#include "check/findings.h"
#include "check/history.h"

namespace arima::check {

// `operations` are the positions of one key's operations in `history`. False if something is wrong.
bool CheckValues(std::span<const Operation> history, std::span<const size_t> operations,
                 Findings* findings);

}  // namespace arima::check
