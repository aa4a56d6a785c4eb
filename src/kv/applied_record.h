// The `m` record: AppliedState as the engine stores it (FORMAT.md section 4). Pure functions, any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "kv/state_machine.h"

namespace arima::kv {

// Replaces *out.
void EncodeApplied(const AppliedState& state, std::string* out);
Result<AppliedState> DecodeApplied(std::string_view bytes);

}  // namespace arima::kv
