// Commands as the records that apply next. Test only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kv/state_machine.h"

namespace arima::kv {

// One a command, with consecutive indexes behind what `machine` has applied. They point into
// `commands`.
inline std::vector<Record> NextRecords(const StateMachine& machine,
                                       const std::vector<std::string>& commands,
                                       uint64_t term = 1) {
  std::vector<Record> records;
  uint64_t index = machine.applied_index();
  for (const std::string& command : commands) {
    records.push_back({.index = ++index,
                       .term = term,
                       .kind = RecordKind::kCommand,
                       .bytes = command,
                       .conf = {}});
  }
  return records;
}

}  // namespace arima::kv
